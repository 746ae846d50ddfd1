//! What SQLite's planner makes of the keyset statements: it has to seek, at any depth.

use sea_query::{Asterisk, Expr, SelectStatement, Value};
use sea_query_sqlx::SqlxValues;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row as _};

use super::catalogue::describe_select;
use crate::sql::Dialect;
use crate::sql::keyset::{Keyset, Relation, Seek};
use crate::sql::params::{Part, SqlText};

/// 3000 rows: half of them share one time.
async fn shop() -> SqlitePool {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE rowids (id INTEGER PRIMARY KEY, u TEXT, status TEXT);
         CREATE TABLE three (a INT, b TEXT, c INT, u TEXT NOT NULL, status TEXT, PRIMARY KEY (a, b, c));
         CREATE TABLE texts (k TEXT PRIMARY KEY, u TEXT NOT NULL) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO rowids SELECT i, CASE WHEN i BETWEEN 700 AND 2200 THEN '2026-01-01' ELSE printf('2026-%05d', i) END, i % 3
           FROM n;
         INSERT INTO three SELECT id % 10, id % 20, id, u, status FROM rowids;
         INSERT INTO texts SELECT id, u FROM rowids;
         CREATE INDEX rowids_changes ON rowids (u, id);
         CREATE INDEX three_changes ON three (u, a, b, c);
         CREATE INDEX texts_changes ON texts (u, k);
         ANALYZE",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool
}

fn keyset(relation: Relation, order: &[&str], seek: Seek) -> Keyset {
    let order: Vec<Box<str>> = order.iter().map(|name| (*name).into()).collect();
    Keyset {
        relation,
        columns: order.clone(),
        order,
        filter: None,
        nullable_cursor: true,
        ripe: None,
        seek,
        check_repeats: false,
        as_stored: false,
    }
}

fn table(name: &str, order: &[&str], seek: Seek) -> Keyset {
    keyset(Relation::Table { schema: None, name: name.into() }, order, seek)
}

async fn plan(pool: &SqlitePool, select: &SelectStatement) -> Vec<String> {
    let (sql, values) = Dialect::Sqlite.render(select).unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query_with(explain, SqlxValues(values)).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

fn binds(values: &[&str]) -> Vec<Value> {
    values.iter().map(|text| Value::from(*text)).collect()
}

/// Every step seeks, and none sorts.
fn assert_seeks(plan: &[String], seeks: &[&str]) {
    for seek in seeks {
        assert!(plan.iter().any(|line| line.contains(seek)), "no {seek} in {plan:#?}");
    }
    let bad = |line: &&String| {
        line.starts_with("SCAN") && !line.contains("step") && *line != "SCAN CONSTANT ROW"
            || line.contains("TEMP B-TREE")
    };
    assert_eq!(plan.iter().find(bad), None, "{plan:#?}");
}

#[tokio::test]
async fn row_values_seek_at_the_start_in_ties_and_at_the_end() {
    let pool = shop().await;
    for values in [["0", "0"], ["2026-01-01", "1500"], ["2026-02900", "2900"], ["9", "9"]] {
        let texts = table("texts", &["u", "k"], Seek::RowValue);
        let found = plan(&pool, &texts.statement(Some((&binds(&values), texts.seek)), 101)).await;
        assert_seeks(&found, &["SEARCH texts USING COVERING INDEX texts_changes ((u,k)>(?,?))"]);

        let three = table("three", &["u", "a", "b", "c"], Seek::RowValue);
        let values = binds(&[values[0], "1", "2", values[1]]);
        let found = plan(&pool, &three.statement(Some((&values, three.seek)), 101)).await;
        assert_seeks(&found, &["SEARCH three USING COVERING INDEX three_changes ((u,a,b,c)>(?,?,?,?))"]);
    }
    let first = table("rowids", &["u", "id"], Seek::RowValue);
    assert_seeks(&plan(&pool, &first.statement(None, 101)).await, &["rowids_changes (u>?)"]);
}

#[tokio::test]
async fn two_steps_seek_ties_by_rowid() {
    let pool = shop().await;
    for index in ["CREATE INDEX i ON rowids (u)", "DROP INDEX rowids_changes"] {
        sqlx::raw_sql(AssertSqlSafe(index)).execute(&pool).await.unwrap();
        let rowids = table("rowids", &["u", "id"], Seek::TwoSteps);
        for filter in [None, Some(Expr::cust("(status = '1')"))] {
            let keyset = Keyset { filter, ..rowids.clone() };
            let found = plan(&pool, &keyset.statement(Some((&binds(&["2026-01-01", "1500"]), keyset.seek)), 101)).await;
            assert_seeks(
                &found,
                &["(u=? AND id>?)", "(u>?)"].map(|seek| seek.replace("id", "rowid")).each_ref().map(String::as_str),
            );
        }
    }
}

#[tokio::test]
async fn filters_lags_and_wrapped_queries_still_seek() {
    let pool = shop().await;
    let three = table("three", &["u", "a", "b", "c"], Seek::RowValue);
    let ripe = Dialect::Sqlite.ripe(&three.relation.column("u"), std::time::Duration::from_secs(2));
    let filter = Some(Expr::cust("(status = '1')"));
    let keyset_ = Keyset { filter, ripe: Some(ripe), ..three };
    let found =
        plan(&pool, &keyset_.statement(Some((&binds(&["2026-01-01", "1", "2", "3"]), keyset_.seek)), 101)).await;
    assert_seeks(&found, &["three_changes ((u,a,b,c)>(?,?,?,?))"]);

    let sql = SqlText::new("SELECT * FROM three WHERE status = '1'");
    let query = Relation::Query(sql.operand(Part::Query, Dialect::Sqlite).unwrap());
    let keyset = keyset(query, &["u", "a", "b", "c"], Seek::RowValue);
    let found = plan(&pool, &keyset.statement(Some((&binds(&["2026-01-01", "1", "2", "3"]), keyset.seek)), 101)).await;
    assert_seeks(&found, &["three_changes ((u,a,b,c)>(?,?,?,?))"]);
}

#[tokio::test]
async fn the_probe_for_null_seeks() {
    let pool = shop().await;
    let found = plan(&pool, &table("rowids", &["u", "id"], Seek::TwoSteps).null_cursor_probe()).await;
    assert!(
        found.iter().any(|line| line.contains("SEARCH rowids USING COVERING INDEX rowids_changes (u=?)")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_union_of_tables_alike_still_seeks() {
    let pool = shop().await;
    let sql = "SELECT k, u FROM texts UNION ALL SELECT status || id AS k, u FROM rowids";
    let relation = |sql: &str| Relation::Query(SqlText::new(sql).operand(Part::Query, Dialect::Sqlite).unwrap());
    let compound = async |sql: &str| {
        let all = relation(sql).select().column(Asterisk).limit(0).take();
        describe_select(&pool, &all).await.unwrap().compound
    };
    assert!(compound(sql).await, "`||` has no affinity, a column of text has");
    let sql = "SELECT k, u FROM texts UNION ALL SELECT status AS k, u FROM three";
    assert!(!compound(sql).await);
    let found = plan(
        &pool,
        &keyset(relation(sql), &["u", "k"], Seek::RowValue).statement(Some((&binds(&["1", "1"]), Seek::RowValue)), 9),
    )
    .await;
    assert!(found.iter().any(|line| line.contains("texts_changes ((u,k)>(?,?))")), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("three_changes (u>?)")), "{found:#?}");
}
