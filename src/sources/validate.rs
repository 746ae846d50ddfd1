//! What can be checked before the first fetch, from the catalogue alone.

use crate::db::Backend;
use crate::db::driver::{ColumnInfo, IndexInfo, RelationInfo, RelationKind};
use crate::error::Error;
use crate::source::Warning;
use crate::sources::definition::Origin;
use crate::sources::reader::{Reader, quoted_list};
use crate::sources::resolve::{find, is_unique};

impl<B: Backend> Reader<'_, B> {
    pub(super) async fn validate(&self) -> Result<Vec<Warning>, Error> {
        let check = async {
            let info = self.describe().await?;
            // Resolves every column, and composes the filter.
            let shape = self.adopt(&info)?;
            // A statement of no rows: what the catalogue can't tell, the database's parser does.
            let layout = shape.layout(shape.keyset.flags(None));
            B::fetch(self.db.pool(), &shape.keyset.statement(None, 0), &layout, 0).await?;
            self.warnings(&info)
        };
        check.await.map_err(|error| self.during(error, "validate"))
    }

    fn warnings(&self, info: &RelationInfo) -> Result<Vec<Warning>, Error> {
        let columns = self.position_columns(info)?;
        let cursor = find(info, self.cursor)?;
        let warnings = [self.uniqueness(info, &columns), self.index(info, &columns), self.in_flight(info, cursor)];
        Ok(warnings.into_iter().flatten().map(Warning::new).collect())
    }

    fn uniqueness(&self, info: &RelationInfo, columns: &[&ColumnInfo]) -> Option<String> {
        if is_unique(info, columns) {
            return None;
        }
        let (table, key) = (self.definition.table(), quoted_list(self.key));
        Some(match info.kind {
            RelationKind::Table => format!(
                "nothing says that the key {key} of `{table}` tells all rows apart; it is trusted, and every fetch \
                 checks its rows for repeats. Mend it: CREATE UNIQUE INDEX {} ({key})",
                self.index_in_sql("key")
            ),
            RelationKind::View | RelationKind::Query => format!(
                "nothing can say that the key {key} of `{table}` tells all rows apart; it is trusted, and every fetch \
                 checks its rows for repeats"
            ),
        })
    }

    fn index(&self, info: &RelationInfo, columns: &[&ColumnInfo]) -> Option<String> {
        if info.kind != RelationKind::Table {
            return None;
        }
        let mut wanted: Vec<&ColumnInfo> = Vec::new();
        for column in columns {
            if !wanted.iter().any(|other| other.name == column.name) {
                wanted.push(column);
            }
        }
        let rowid = info.rowid_alias.as_deref();
        let serves = |index: &IndexInfo| {
            let mut places = wanted.iter().enumerate();
            places.all(|(place, column)| match index.columns.get(place) {
                Some((name, collation)) => *name == column.name && *collation == column.collation,
                // The rowid ends every index by itself.
                None => place + 1 == wanted.len() && place > 0 && Some(&*column.name) == rowid,
            })
        };
        let cursor = wanted[0];
        let leads = |index: &IndexInfo| {
            index
                .columns
                .first()
                .is_some_and(|(name, collation)| *name == cursor.name && *collation == cursor.collation)
        };
        let seeks = Some(&*cursor.name) == rowid || info.indexes.iter().any(leads);
        if seeks && is_unique(info, &[cursor]) || info.indexes.iter().any(serves) {
            return None;
        }
        let read = if seeks {
            format!("all rows with the checkpoint's `{}` again", cursor.name)
        } else {
            "the whole table".to_owned()
        };
        let (table, list) = (self.definition.table(), quoted_list(wanted.iter().map(|column| &column.name)));
        Some(format!(
            "no index of `{table}` serves reading by {list}, so every poll reads {read}. \
             Mend it: CREATE INDEX {} ({list})",
            self.index_in_sql("changes")
        ))
    }

    /// The name of a new index, and its table.
    fn index_in_sql(&self, suffix: &str) -> String {
        let Origin::Table { schema, name } = &self.definition.origin else {
            return self.relation_in_sql();
        };
        B::DIALECT.new_index(schema.as_deref(), &format!("{name}_{suffix}"), name)
    }

    /// Rows that appear behind the checkpoint: covered by a lag; an id that counts up needs none.
    fn in_flight(&self, info: &RelationInfo, cursor: &ColumnInfo) -> Option<String> {
        let counts_up = B::is_integer(&cursor.type_name) && is_unique(info, &[cursor]);
        if self.definition.lag.is_some() || counts_up {
            return None;
        }
        Some(format!(
            "a row of `{}` that becomes visible with a `{}` at or below one already delivered is not seen: one written \
             in the same tick of the clock with a lower key, or by a transaction that took its value early and \
             committed late. Cover it with `.lag(..)`, longer than both; a number that a single writer counts up needs none",
            self.definition.table(),
            cursor.name
        ))
    }
}
