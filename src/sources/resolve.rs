//! From names to columns: what the catalogue says, made into a shape.

use std::sync::Arc;

use crate::db::Backend;
use crate::db::driver::{ColumnInfo, IndexInfo, Layout, RelationInfo, RelationKind};
use crate::error::{Error, ErrorKind};
use crate::position::KeysetColumn;
use crate::sources::reader::Reader;
use crate::sources::shape::Shape;
use crate::sql::keyset::{Keyset, Seek};
use crate::value::Columns;

impl<B: Backend> Reader<'_, B> {
    /// Reads the shape.
    pub(super) async fn reload(&self) -> Result<Arc<Shape<B>>, Error> {
        let info = self.describe().await?;
        self.adopt(&info)
    }

    /// Makes a shape of what was described, and keeps it.
    pub(super) fn adopt(&self, info: &RelationInfo) -> Result<Arc<Shape<B>>, Error> {
        self.shape_of(info).map(|shape| self.cache.keep(shape))
    }

    /// What the catalogue says of the table, or the database of the query.
    pub(super) async fn describe(&self) -> Result<RelationInfo, Error> {
        use crate::sources::definition::Origin;
        match &self.definition.origin {
            Origin::Table { schema, name } => match B::describe_table(self.db.pool(), schema.as_deref(), name).await? {
                Some(info) => Ok(info),
                None => Err(self.no_such_table(schema.as_deref(), name).await),
            },
            Origin::Select(_) | Origin::Sql(_) => {
                let mut none = self.definition.relation(B::DIALECT)?.select();
                none.column(sea_query::Asterisk).limit(0);
                B::describe_select(self.db.pool(), &none).await
            }
        }
    }

    async fn no_such_table(&self, schema: Option<&str>, name: &str) -> Error {
        let place = schema.unwrap_or(B::DEFAULT_SCHEMA);
        let tables = match B::tables(self.db.pool(), schema).await {
            Ok(tables) => tables,
            Err(error) if error.is_transient() => return error,
            Err(_) => return Error::new(ErrorKind::NotFound, format!("there is no schema `{place}`")),
        };
        let known = known_names(name, tables.iter().map(|table| &**table));
        Error::new(ErrorKind::NotFound, format!("schema `{place}` has no such table; {known}"))
    }

    fn shape_of(&self, info: &RelationInfo) -> Result<Shape<B>, Error> {
        let mut selected = self.projected(info)?;
        let columns: Columns = selected.iter().map(|column| column.name.clone()).collect();
        let forms = selected.iter().map(|column| B::form(&column.type_name)).collect();
        let mut place = |column| place_of(&mut selected, column);
        let position = self.position_columns(info)?;
        let mut layout = Layout {
            names: Arc::default(),
            forms,
            position: position.iter().map(|column| place(column)).collect(),
            deleted: self.definition.deleted_when.as_ref().map(|name| find(info, name)).transpose()?.map(place),
            ripe: None,
            step: None,
            above: None,
        };
        let first = |index: &usize| position[..*index].iter().all(|other| other.name != position[*index].name);
        let compared: Box<[usize]> = (0..position.len()).filter(first).collect();
        let order = compared.iter().map(|index| position[*index]).collect::<Vec<_>>();
        let selected: Vec<Box<str>> = selected.iter().map(|column| column.name.clone()).collect();
        layout.names = selected.as_slice().into();
        Ok(Shape {
            columns,
            positions: position.iter().map(|column| keyset_column(column)).collect(),
            keyset: self.keyset(info, selected, &order)?,
            compared,
            layout,
        })
    }

    /// The columns of the user's row, each once.
    fn projected<'i>(&self, info: &'i RelationInfo) -> Result<Vec<&'i ColumnInfo>, Error> {
        let Some(names) = &self.definition.columns else {
            return Ok(info.columns.iter().collect());
        };
        let mut columns: Vec<&ColumnInfo> = Vec::with_capacity(names.len());
        for name in names {
            let column = find(info, name)?;
            if columns.iter().any(|other| other.name == column.name) {
                let error = Error::new(ErrorKind::Configuration, "the column is named twice in `.columns(..)`");
                return Err(error.with_column(name));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "`.columns(..)` names none; leave it away to read all"));
        }
        Ok(columns)
    }

    /// The cursor's column, then the key's.
    pub(super) fn position_columns<'i>(&self, info: &'i RelationInfo) -> Result<Vec<&'i ColumnInfo>, Error> {
        std::iter::once(self.cursor).chain(self.key.iter().map(|name| &**name)).map(|name| find(info, name)).collect()
    }

    fn keyset(&self, info: &RelationInfo, columns: Vec<Box<str>>, order: &[&ColumnInfo]) -> Result<Keyset, Error> {
        let relation = self.definition.relation(B::DIALECT)?;
        let ripe = self.definition.lag.map(|lag| B::DIALECT.ripe(&relation.column(&order[0].name), lag));
        // The rowid ends every index of its table, so SQLite can seek it among equal cursors, in a step of its own.
        let rowid_tiebreaker = order.len() == 2 && info.rowid_alias.as_deref() == Some(&*order[1].name);
        Ok(Keyset {
            relation,
            columns,
            filter: self.definition.filter(B::DIALECT)?,
            nullable_cursor: !order[0].not_null,
            ripe,
            seek: if rowid_tiebreaker { Seek::TwoSteps } else { Seek::RowValue },
            check_repeats: !is_unique(info, order),
            as_stored: info.compound,
            order: order.iter().map(|column| column.name.clone()).collect(),
        })
    }
}

/// The column's place among the selected ones; it is added where it isn't yet.
fn place_of<'i>(selected: &mut Vec<&'i ColumnInfo>, column: &'i ColumnInfo) -> usize {
    selected.iter().position(|other| other.name == column.name).unwrap_or_else(|| {
        selected.push(column);
        selected.len() - 1
    })
}

fn keyset_column(column: &ColumnInfo) -> KeysetColumn {
    KeysetColumn { name: column.name.clone(), type_name: column.type_name.clone(), collation: column.collation.clone() }
}

/// Whether the catalogue says that no two rows share these columns: a unique index over some of them that compares
/// as they do. NULLs, which an index may hold twice, are refused or left out elsewhere.
pub(super) fn is_unique(info: &RelationInfo, columns: &[&ColumnInfo]) -> bool {
    let rowid = info.rowid_alias.as_deref().is_some_and(|rowid| columns.iter().any(|column| *column.name == *rowid));
    let covers = |index: &IndexInfo| {
        index.columns.iter().all(|(name, collation)| {
            columns.iter().any(|column| column.name == *name && column.collation == *collation)
        })
    };
    rowid || info.indexes.iter().any(|index| index.unique && covers(index))
}

/// A column by its name; where only the case differs, it is the same.
pub(super) fn find<'i>(info: &'i RelationInfo, name: &str) -> Result<&'i ColumnInfo, Error> {
    let exact = info.columns.iter().find(|column| *column.name == *name);
    exact.or_else(|| info.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))).ok_or_else(|| {
        let whose = if info.kind == RelationKind::Query { "the query's result" } else { "the table" };
        let known = known_names(name, info.columns.iter().map(|column| &*column.name));
        Error::new(ErrorKind::NotFound, format!("{whose} has no such column; {known}")).with_column(name)
    })
}

/// How many names an error lists.
const LISTED: usize = 20;

/// "did you mean `a`?", or what there is.
fn known_names<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let near = names.iter().map(|name| (distance(wanted, name), name)).min();
    if let Some((distance, name)) = near
        && distance <= wanted.len().div_ceil(3)
    {
        return format!("did you mean `{name}`?");
    }
    let listed: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "it has none at all".to_owned(),
        count if count > LISTED => format!("it has {}, and {} more", listed.join(", "), count - LISTED),
        _ => format!("it has {}", listed.join(", ")),
    }
}

/// How many letters have to be added, dropped or changed to make one name of the other, case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, collation: &str) -> ColumnInfo {
        ColumnInfo { name: name.into(), type_name: "TEXT".into(), not_null: false, collation: Some(collation.into()) }
    }

    #[test]
    fn an_index_says_unique_only_for_what_it_covers_and_compares_alike() {
        let unique = |index: &[(&str, &str)], wanted: &[&ColumnInfo]| {
            let columns = index.iter().map(|(name, collation)| ((*name).into(), Some((*collation).into()))).collect();
            let info = RelationInfo {
                kind: RelationKind::Table,
                columns: Vec::new(),
                indexes: vec![IndexInfo { columns, unique: true }],
                rowid_alias: None,
                compound: false,
            };
            is_unique(&info, wanted)
        };
        let (u, a, b) = (column("u", "BINARY"), column("a", "BINARY"), column("b", "NOCASE"));
        assert!(unique(&[("a", "BINARY")], &[&u, &a]));
        assert!(unique(&[("a", "BINARY"), ("u", "BINARY")], &[&u, &a]));
        assert!(!unique(&[("a", "BINARY"), ("b", "NOCASE")], &[&u, &a]), "more than is compared");
        assert!(!unique(&[("b", "BINARY")], &[&u, &b]), "'a' and 'A' are one position");
        assert!(unique(&[("b", "NOCASE")], &[&u, &b]));
    }

    #[test]
    fn near_names_are_offered_and_others_listed() {
        let names = ["id", "updated_at", "status"];
        assert_eq!(known_names("update_at", names.into_iter()), "did you mean `updated_at`?");
        assert_eq!(known_names("total", names.into_iter()), "it has `id`, `updated_at`, `status`");
    }
}
