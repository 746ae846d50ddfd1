//! What SQLite's catalogue says of tables, views and statements.

use std::sync::atomic::{AtomicU64, Ordering};

use sea_query::{Alias, Asterisk, Expr, ExprTrait as _, Func, Order, Query, SelectStatement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::ColumnOrigin;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _};

use super::{classify, fetch_rows};
use crate::db::driver::{ColumnInfo, IndexInfo, RelationInfo, RelationKind};
use crate::error::{Error, ErrorKind};
use crate::sql::Dialect;
use crate::sql::lex::{self, Kind, Token};

pub(super) async fn describe_table(
    pool: &SqlitePool,
    schema: &str,
    table: &str,
) -> Result<Option<RelationInfo>, Error> {
    let Some((kind, definition)) = entry(pool, schema, table).await? else {
        return Ok(None);
    };
    if kind == RelationKind::View {
        let mut all = Query::select();
        all.column(Asterisk).from((Alias::new(schema), Alias::new(table))).limit(0);
        let info = describe_select(pool, &all).await?;
        return Ok(Some(RelationInfo { kind, ..info }));
    }
    let mut columns = columns(pool, schema, table).await?;
    let indexes = index_rows(pool, schema, table).await?;
    let rowid_alias = rowid_alias(&columns, &indexes);
    for column in &mut columns {
        column.info.not_null |= Some(&column.info.name) == rowid_alias.as_ref();
        column.info.collation = Some(collation(&definition, &column.info.name).unwrap_or_else(|| "BINARY".into()));
    }
    let indexes = gather(&indexes, rowid_alias.as_deref());
    let columns = columns.into_iter().map(|column| column.info).collect();
    Ok(Some(RelationInfo { kind, columns, indexes, rowid_alias, compound: false }))
}

/// Kind and definition of a table or view; `None` where there is no such, or no such schema.
async fn entry(pool: &SqlitePool, schema: &str, table: &str) -> Result<Option<(RelationKind, String)>, Error> {
    let schemas = Query::select()
        .expr(Func::count(Expr::col(Asterisk)))
        .from_function(Func::cust("pragma_database_list"), "d")
        .and_where(Expr::cust_with_exprs("? = ? COLLATE NOCASE", [Expr::col("name"), Expr::val(schema)]))
        .take();
    let known = fetch_rows(pool, &schemas).await?;
    // The schema for temporary tables is listed only once it is used.
    if known.first().is_none_or(|row| row.try_get::<i64, _>(0).unwrap_or_default() == 0) {
        return Ok(None);
    }
    let select = Query::select()
        .columns(["type", "sql"])
        .from((Alias::new(schema), Alias::new("sqlite_master")))
        .and_where(Expr::col("type").is_in(["table", "view"]))
        .and_where(Expr::cust_with_exprs("? = ? COLLATE NOCASE", [Expr::col("name"), Expr::val(table)]))
        .take();
    let rows = fetch_rows(pool, &select).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let kind = if text(row, 0)? == "view" { RelationKind::View } else { RelationKind::Table };
    Ok(Some((kind, text(row, 1)?)))
}

pub(super) async fn tables(pool: &SqlitePool, schema: &str) -> Result<Vec<Box<str>>, Error> {
    let select = Query::select()
        .column("name")
        .from((Alias::new(schema), Alias::new("sqlite_master")))
        .and_where(Expr::col("type").is_in(["table", "view"]))
        .and_where(Expr::col("name").not_like("sqlite\\_%"))
        .order_by("name", Order::Asc)
        .take();
    fetch_rows(pool, &select).await?.iter().map(|row| Ok(text(row, 0)?.into())).collect()
}

struct CatalogueColumn {
    info: ColumnInfo,
    in_primary_key: bool,
}

async fn columns(pool: &SqlitePool, schema: &str, table: &str) -> Result<Vec<CatalogueColumn>, Error> {
    let select = Query::select()
        .columns(["name", "type", "notnull", "pk"])
        .from_function(Func::cust("pragma_table_xinfo").args([table, schema].map(Expr::val)), "c")
        // 1 marks the hidden columns of virtual tables; generated ones are 2 and 3.
        .and_where(Expr::col("hidden").ne(1))
        .order_by("cid", Order::Asc)
        .take();
    let column = |row: &SqliteRow| {
        let info = ColumnInfo {
            name: text(row, 0)?.into(),
            type_name: text(row, 1)?.into(),
            not_null: integer(row, 2)? != 0,
            collation: None,
        };
        Ok(CatalogueColumn { info, in_primary_key: integer(row, 3)? != 0 })
    };
    fetch_rows(pool, &select).await?.iter().map(column).collect()
}

/// One column of one index.
#[expect(clippy::struct_excessive_bools, reason = "the pragma's columns, as they are")]
struct IndexRow {
    index: String,
    unique: bool,
    partial: bool,
    primary_key: bool,
    /// -1 is the rowid, -2 an expression.
    place: i64,
    column: Option<String>,
    collation: Option<String>,
    descending: bool,
}

async fn index_rows(pool: &SqlitePool, schema: &str, table: &str) -> Result<Vec<IndexRow>, Error> {
    let of = |table: &str, names: &[&'static str]| -> Vec<Expr> {
        names.iter().map(|name| Expr::col((Alias::new(table), Alias::new(*name)))).collect()
    };
    let of_index = [Expr::col(("l", "name")), Expr::val(schema)];
    let select = Query::select()
        .exprs(of("l", &["name", "unique", "partial", "origin"]))
        .exprs(of("i", &["cid", "name", "coll", "desc"]))
        .from_function(Func::cust("pragma_index_list").args([table, schema].map(Expr::val)), "l")
        .from_function(Func::cust("pragma_index_xinfo").args(of_index), "i")
        .and_where(Expr::col(("i", "key")).eq(1))
        .order_by(("l", "seq"), Order::Asc)
        .order_by(("i", "seqno"), Order::Asc)
        .take();
    let row = |row: &SqliteRow| {
        Ok(IndexRow {
            index: text(row, 0)?,
            unique: integer(row, 1)? != 0,
            partial: integer(row, 2)? != 0,
            primary_key: text(row, 3)? == "pk",
            place: integer(row, 4)?,
            column: row.try_get(5).map_err(classify)?,
            collation: row.try_get(6).map_err(classify)?,
            descending: integer(row, 7)? != 0,
        })
    };
    fetch_rows(pool, &select).await?.iter().map(row).collect()
}

/// `INTEGER PRIMARY KEY`, spelled so, in a table that has a rowid: then no index stands for the primary key.
fn rowid_alias(columns: &[CatalogueColumn], indexes: &[IndexRow]) -> Option<Box<str>> {
    let mut primary_key = columns.iter().filter(|column| column.in_primary_key);
    let (only, None) = (primary_key.next()?, primary_key.next()) else {
        return None;
    };
    let integer = only.info.type_name.eq_ignore_ascii_case("INTEGER");
    (integer && !indexes.iter().any(|row| row.primary_key)).then(|| only.info.name.clone())
}

/// The indexes over columns alone, over all rows, in one direction; others serve neither seeking nor uniqueness.
fn gather(rows: &[IndexRow], rowid_alias: Option<&str>) -> Vec<IndexInfo> {
    let whole = rows.chunk_by(|a, b| a.index == b.index).filter(|rows| !rows.iter().any(|row| row.partial));
    whole
        .filter(|rows| rows.iter().all(|row| row.descending == rows[0].descending))
        .filter_map(|rows| {
            let column = |row: &IndexRow| {
                let name = if row.place == -1 { rowid_alias } else { row.column.as_deref() };
                Some((name?.into(), row.collation.as_deref().map(Into::into)))
            };
            let columns = rows.iter().map(column).collect::<Option<Vec<_>>>()?;
            Some(IndexInfo { columns, unique: rows[0].unique })
        })
        .collect()
}

/// The collation that a table's definition gives a column. No pragma tells it; the text is kept by SQLite itself,
/// also when columns are added, renamed or dropped.
fn collation(definition: &str, column: &str) -> Option<Box<str>> {
    let tokens = lex::lex(definition, Dialect::Sqlite).ok()?;
    let tokens: Vec<_> =
        tokens.into_iter().filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment)).collect();
    let mut depth = 0;
    let at_top = |token: &&Token<'_>| {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        depth == 1 && token.kind != Kind::Close
    };
    // The opening parenthesis itself comes first; defaults and constraints in their parentheses are left out.
    let body: Vec<&Token<'_>> = tokens.iter().filter(at_top).skip(1).collect();
    let mut parts = body.split(|token| token.text == ",");
    let part = parts.find(|part| part.first().is_some_and(|first| unquoted(first).eq_ignore_ascii_case(column)))?;
    let named = part.iter().position(|token| token.kind == Kind::Word && token.text.eq_ignore_ascii_case("collate"))?;
    Some(unquoted(part.get(named + 1)?).to_ascii_uppercase().into())
}

/// The name that a token spells.
fn unquoted(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Quoted | Kind::Literal => {
            let (quote, inner) = (&token.text[..1], &token.text[1..token.text.len() - 1]);
            if quote == "[" { inner.to_owned() } else { inner.replace(&quote.repeat(2), quote) }
        }
        _ => token.text.to_owned(),
    }
}

/// Makes each look's text its own.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// The columns that a statement returns; where one is a table's own, with the type and collation it has there.
pub(super) async fn describe_select(pool: &SqlitePool, select: &SelectStatement) -> Result<RelationInfo, Error> {
    let (sql, values) = Dialect::Sqlite.render(select)?;
    // A statement that a connection has kept would tell the columns of when it was first prepared.
    let sql = format!("{sql} /* look {} */", LOOKS.fetch_add(1, Ordering::Relaxed));
    let statement = pool.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await.map_err(classify)?;
    let mut tables: Vec<(String, Vec<ColumnInfo>)> = Vec::new();
    let mut columns = Vec::new();
    for column in statement.columns() {
        let mut info =
            ColumnInfo { name: column.name().into(), type_name: "".into(), not_null: false, collation: None };
        if let ColumnOrigin::Table(origin) = column.origin() {
            if !tables.iter().any(|(table, _)| **table == *origin.table) {
                tables.push((origin.table.to_string(), origin_columns(pool, &origin.table).await?));
            }
            let of_table = tables.iter().find(|(table, _)| **table == *origin.table).map(|(_, columns)| columns);
            if let Some(found) = of_table.and_then(|columns| columns.iter().find(|c| *c.name == *origin.name)) {
                info.type_name.clone_from(&found.type_name);
                info.collation.clone_from(&found.collation);
            }
        }
        columns.push(info);
    }
    if columns.is_empty() {
        return Err(Error::new(ErrorKind::Query, "the query returns no columns"));
    }
    let compound = is_compound(pool, &sql, values).await?;
    Ok(RelationInfo { kind: RelationKind::Query, columns, indexes: Vec::new(), rowid_alias: None, compound })
}

/// Whether a statement reads from several SELECTs as from one.
///
/// Those at the top of the plan were merged into the statement, which SQLite does only where their columns have the
/// same affinities.
async fn is_compound(pool: &SqlitePool, sql: &str, values: Values) -> Result<bool, Error> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let plan =
        sqlx::query_with(explain, SqlxValues(values)).persistent(false).fetch_all(pool).await.map_err(classify)?;
    for row in &plan {
        let (parent, detail) = (integer(row, 1)?, text(row, 3)?);
        if parent != 0 && (detail == "COMPOUND QUERY" || detail == "RECURSIVE STEP") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The columns of the table that a result's column comes from; `schema.table` outside of `main`.
async fn origin_columns(pool: &SqlitePool, origin: &str) -> Result<Vec<ColumnInfo>, Error> {
    let candidates = [Some(("main", origin)), origin.split_once('.')];
    for (schema, table) in candidates.into_iter().flatten() {
        if let Some((RelationKind::Table, _)) = entry(pool, schema, table).await? {
            let info = Box::pin(describe_table(pool, schema, table)).await?;
            return Ok(info.map_or_else(Vec::new, |info| info.columns));
        }
    }
    Ok(Vec::new())
}

fn text(row: &SqliteRow, index: usize) -> Result<String, Error> {
    row.try_get::<Option<String>, _>(index).map(Option::unwrap_or_default).map_err(classify)
}

fn integer(row: &SqliteRow, index: usize) -> Result<i64, Error> {
    row.try_get(index).map_err(classify)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_tells_the_collation() {
        let definition = "CREATE TABLE \"t\" (a TEXT COLLATE nocase DEFAULT ('x, y'), [b c] TEXT CHECK (b > 1) \
             COLLATE \"RTRIM\" NOT NULL, d TEXT DEFAULT 'collate me', e, -- a COLLATE in a comment\n\
             f INT, PRIMARY KEY (e COLLATE NOCASE))";
        assert_eq!(collation(definition, "A").as_deref(), Some("NOCASE"));
        assert_eq!(collation(definition, "b c").as_deref(), Some("RTRIM"));
        for plain in ["d", "e", "f", "nope"] {
            assert_eq!(collation(definition, plain), None, "{plain}");
        }
    }
}
