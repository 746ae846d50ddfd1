//! Batches: raw as the loop hands them over, typed as the handler wants them.

use std::fmt;
use std::sync::Arc;

use crate::record::{BatchInfo, RawRecord, RowChange};
use crate::value::{DecodeError, FromRow, Row};

/// The records of one batch, before they become the handler's type.
#[derive(Clone, Debug)]
pub struct RawBatch {
    records: Vec<RawRecord>,
    info: Arc<BatchInfo>,
}

impl RawBatch {
    pub(crate) fn new(records: Vec<RawRecord>, info: BatchInfo) -> Self {
        Self { records, info: Arc::new(info) }
    }

    /// The records, in the source's order.
    #[must_use]
    pub fn records(&self) -> &[RawRecord] {
        &self.records
    }

    /// The same batch, as another attempt has it.
    pub(crate) fn for_attempt(self, attempt: u32) -> Self {
        Self { info: Arc::new(BatchInfo { attempt, ..(*self.info).clone() }), ..self }
    }

    /// Turns every record into a change of `T`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] of the first row that doesn't fit.
    pub fn decode<T: FromRow>(self) -> Result<Batch<T>, DecodeError> {
        let info = self.info;
        let changes: Result<_, _> =
            self.records.into_iter().map(|record| RowChange::from_record(record, &info)).collect();
        Ok(Batch { changes: changes?, batch_id: info.batch_id.clone() })
    }
}

/// The rows handed to a handler in one call, in the source's order.
///
/// Iteration yields the rows; [`changes`](Self::changes) yields them with operation, position and event id.
pub struct Batch<T = Row> {
    changes: Vec<RowChange<T>>,
    batch_id: Box<str>,
}

impl<T> Batch<T> {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none: only where empty batches are asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The batch's id; a redelivery has another one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.batch_id
    }

    /// The rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + DoubleEndedIterator {
        self.changes.iter().map(RowChange::row)
    }

    /// The changes: each row with its operation, position and event id.
    #[must_use]
    pub fn changes(&self) -> impl ExactSizeIterator<Item = &RowChange<T>> + DoubleEndedIterator {
        self.changes.iter()
    }

    /// The changes, owned.
    #[must_use]
    pub fn into_changes(self) -> Vec<RowChange<T>> {
        self.changes
    }
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("id", &self.batch_id).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> IntoIterator for Batch<T> {
    type Item = T;
    type IntoIter = std::iter::Map<std::vec::IntoIter<RowChange<T>>, fn(RowChange<T>) -> T>;

    fn into_iter(self) -> Self::IntoIter {
        self.changes.into_iter().map(RowChange::into_row)
    }
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a T;
    type IntoIter = std::iter::Map<std::slice::Iter<'a, RowChange<T>>, fn(&'a RowChange<T>) -> &'a T>;

    fn into_iter(self) -> Self::IntoIter {
        self.changes.iter().map(RowChange::row)
    }
}
