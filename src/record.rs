//! Records and changes: a row on its way from the source to the handler.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct};
use sha2::{Digest, Sha256};

use crate::fingerprint::{Fingerprint, hex};
use crate::position::{Exact, Position};
use crate::value::{DecodeError, FromRow, Row};

/// What happened to a row, as far as polling can tell.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The row is new.
    Insert,
    /// The row existed before.
    Update,
    /// The row is new or was changed: a poll of a table can't tell which.
    Upsert,
    /// The row is gone, or marked as deleted.
    Delete,
    /// The source doesn't say.
    Unknown,
}

impl Operation {
    /// The name, as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a source is, apart from its rows: its name, its mode, and the parts of its fingerprint.
#[derive(Clone, Debug)]
pub struct SourceDescriptor {
    name: Box<str>,
    mode: &'static str,
    fingerprint: Fingerprint,
}

impl SourceDescriptor {
    /// Describes a source; `mode` is `table`, `query`, `outbox` or a word of one's own.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, mode: &'static str, fingerprint: Fingerprint) -> Self {
        Self { name: name.into(), mode, fingerprint }
    }

    /// The source's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the source is read.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        self.mode
    }

    /// What the checkpoint is bound to.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// A row as a [`Source`](crate::Source) hands it over; the core makes a [`RowChange`] of it.
#[derive(Clone, Debug)]
pub struct RawRecord {
    /// What happened.
    pub operation: Operation,
    /// Where in the source's order the row stands.
    pub position: Position,
    /// The row: as it was for a delete, as it is otherwise.
    pub row: Row,
}

impl RawRecord {
    /// A record of one row.
    #[must_use]
    pub fn new(operation: Operation, position: Position, row: Row) -> Self {
        Self { operation, position, row }
    }
}

/// What all changes of one batch share.
#[derive(Clone, Debug)]
pub(crate) struct BatchInfo {
    pub(crate) source: Arc<SourceDescriptor>,
    pub(crate) stream_id: Box<str>,
    pub(crate) batch_id: Box<str>,
    pub(crate) fetched_at: DateTime<Utc>,
    pub(crate) attempt: u32,
}

/// When and how a change was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The batch in which it came; a redelivery has another one.
    pub batch_id: String,
    /// When its batch was read.
    pub fetched_at: DateTime<Utc>,
    /// 1 for the first call of the handler with this batch, 2 for its first retry.
    pub attempt: u32,
}

/// One change: an operation, a position, and the row before or after.
///
/// As JSON it is one object with the fields `event_id`, `op`, `source`, `cursor`, `pk`, `before`, `after` and
/// `metadata`. `Debug` shows no row content.
pub struct RowChange<T = Row> {
    operation: Operation,
    position: Position,
    row: T,
    info: Arc<BatchInfo>,
}

impl<T> RowChange<T> {
    pub(crate) fn from_record(record: RawRecord, info: &Arc<BatchInfo>) -> Result<Self, DecodeError>
    where
        T: FromRow,
    {
        let row = T::from_row(record.row)?;
        Ok(Self { operation: record.operation, position: record.position, row, info: Arc::clone(info) })
    }

    /// A name for this change that stays the same however often it is delivered: SHA-256 over the
    /// stream's id, the operation, the cursor and the key in exact form, in hexadecimal.
    ///
    /// It is computed when asked for, about 1 µs. Destinations can drop repeats by it.
    #[must_use]
    pub fn event_id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&*self.info.stream_id, self.operation.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        self.position.feed(|bytes| hash.update(bytes));
        hex(&hash.finalize())
    }

    /// What happened.
    #[must_use]
    pub fn op(&self) -> Operation {
        self.operation
    }

    /// The source that it came from.
    #[must_use]
    pub fn source(&self) -> &SourceDescriptor {
        &self.info.source
    }

    /// Where in the source's order it stands.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The cursor column's value, exactly; `None` where the source has positions of its own.
    #[must_use]
    pub fn cursor(&self) -> Option<&Exact> {
        self.position.as_keyset().map(crate::position::Keyset::cursor)
    }

    /// The key's columns and values, in order; empty where the source has positions of its own.
    pub fn pk(&self) -> impl Iterator<Item = (&str, &Exact)> {
        self.position.as_keyset().into_iter().flat_map(crate::position::Keyset::tiebreaker)
    }

    /// The row before the change: known for a delete only.
    #[must_use]
    pub fn before(&self) -> Option<&T> {
        (self.operation == Operation::Delete).then_some(&self.row)
    }

    /// The row after the change: `None` for a delete.
    #[must_use]
    pub fn after(&self) -> Option<&T> {
        (self.operation != Operation::Delete).then_some(&self.row)
    }

    /// The row that came with the change, whichever of the two it is.
    #[must_use]
    pub fn row(&self) -> &T {
        &self.row
    }

    /// The row, owned.
    #[must_use]
    pub fn into_row(self) -> T {
        self.row
    }

    /// When and how it was delivered.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata {
            batch_id: self.info.batch_id.clone().into(),
            fetched_at: self.info.fetched_at,
            attempt: self.info.attempt,
        }
    }
}

impl<T> fmt::Debug for RowChange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowChange")
            .field("op", &self.operation)
            .field("source", &self.info.source.name)
            .field("position", &self.position)
            .field("metadata", &self.metadata())
            .finish_non_exhaustive()
    }
}

impl<T: Serialize> Serialize for RowChange<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Pk<'a, T>(&'a RowChange<T>);
        impl<T> Serialize for Pk<'_, T> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in self.0.pk() {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }

        let mut change = serializer.serialize_struct("RowChange", 8)?;
        change.serialize_field("event_id", &self.event_id())?;
        change.serialize_field("op", &self.operation)?;
        change.serialize_field("source", self.info.source.name())?;
        change.serialize_field("cursor", &self.cursor())?;
        change.serialize_field("pk", &Pk(self))?;
        change.serialize_field("before", &self.before())?;
        change.serialize_field("after", &self.after())?;
        change.serialize_field("metadata", &self.metadata())?;
        change.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Keyset, KeysetColumn};

    fn change(operation: Operation, stream_id: &str, batch_id: &str) -> RowChange {
        let column = |name: &str| KeysetColumn { name: name.into(), type_name: "INTEGER".into(), collation: None };
        let position = Position::Keyset(Keyset::new(
            [column("version"), column("id")].into(),
            [Exact::Integer(3), Exact::Integer(7)],
        ));
        let info = BatchInfo {
            source: Arc::new(SourceDescriptor::new("orders", "table", Fingerprint::new())),
            stream_id: stream_id.into(),
            batch_id: batch_id.into(),
            fetched_at: DateTime::from_timestamp(0, 0).unwrap(),
            attempt: 1,
        };
        let record = RawRecord::new(operation, position, Row::from_iter([("id", 7.into())]));
        RowChange::from_record(record, &Arc::new(info)).unwrap()
    }

    #[test]
    fn event_id_outlives_the_batch_and_tells_streams_and_operations_apart() {
        let id = change(Operation::Upsert, "s", "b1").event_id();
        assert_eq!(id, change(Operation::Upsert, "s", "b2").event_id());
        assert_ne!(id, change(Operation::Upsert, "t", "b1").event_id());
        assert_ne!(id, change(Operation::Delete, "s", "b1").event_id());
    }

    #[test]
    fn the_json_form_is_pinned() {
        let json = serde_json::to_value(change(Operation::Delete, "s", "b")).unwrap();
        let expected = serde_json::json!({
            "event_id": change(Operation::Delete, "s", "b").event_id(),
            "op": "delete", "source": "orders", "cursor": 3, "pk": { "id": 7 },
            "before": { "id": 7 }, "after": null,
            "metadata": { "batch_id": "b", "fetched_at": "1970-01-01T00:00:00Z", "attempt": 1 },
        });
        assert_eq!(json, expected);
    }
}
