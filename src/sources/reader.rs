//! Reading in keyset order: what table and query do alike.

use std::sync::Arc;

use crate::db::driver::Fetched;
use crate::db::{Backend, Database};
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::position::{Keyset, KeysetColumn, KeysetShape, Position};
use crate::record::{Operation, RawRecord, SourceDescriptor};
use crate::source::{Capabilities, Fetch, FetchRequest, Remaining};
use crate::sources::definition::{Definition, NullPolicy};
use crate::sources::shape::{Cache, Shape};
use crate::sql::keyset::Place;
use crate::value::Row;

/// A complete source, looked at without its type state.
pub(super) struct Reader<'a, B: Backend> {
    pub(super) db: &'a Database<B>,
    pub(super) definition: &'a Definition,
    pub(super) cursor: &'a str,
    pub(super) key: &'a [Box<str>],
    pub(super) cache: &'a Cache<B>,
}

impl<'a, B: Backend> Reader<'a, B> {
    pub(super) fn descriptor(&self) -> &'a Arc<SourceDescriptor> {
        let describe = || {
            let (identity, schema) = (self.db.identity(), B::DEFAULT_SCHEMA);
            Arc::new(self.definition.describe(identity, schema, B::DIALECT, self.cursor, self.key))
        };
        self.cache.descriptor.get_or_init(describe)
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new();
        capabilities.deletes = self.definition.deleted_when.is_some();
        capabilities.lag = self.definition.lag.is_some();
        capabilities
    }

    pub(super) async fn open(&self) -> Result<(), Error> {
        self.reload().await.map(|_| ()).map_err(|error| self.during(error, "open"))
    }

    pub(super) async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetch, Error> {
        let fetch = async {
            let known = self.cache.recent(self.definition.refresh);
            let shape = match &known {
                Some(shape) => Arc::clone(shape),
                None => self.reload().await?,
            };
            match self.fetch_as(&shape, request).await {
                // The statement may name a column that is gone: look again, once.
                Err(error) if known.is_some() && may_be_drift(&error) => {
                    let shape = self.reload().await?;
                    self.fetch_as(&shape, request).await
                }
                outcome => outcome,
            }
        };
        fetch.await.map_err(|error| self.during(below_fetch(error), "fetch"))
    }

    /// Names table and operation.
    pub(super) fn during(&self, error: Error, operation: &'static str) -> Error {
        error.with_table(self.definition.table()).during(operation)
    }

    async fn fetch_as(&self, shape: &Shape<B>, request: FetchRequest<'_>) -> Result<Fetch, Error> {
        let after = request.after().map(|position| resume(&shape.positions, position)).transpose()?;
        if self.definition.nulls == NullPolicy::Error && shape.keyset.nullable_cursor {
            self.refuse_null_cursor(shape).await?;
        }
        let binds = after.map(|after| {
            let value = |index: &usize| B::DIALECT.bind_exact(&after.values()[*index]);
            shape.compared.iter().map(value).collect::<Vec<_>>()
        });
        let limit = request.limit().get();
        // One more row than asked for tells whether more follow, and whether the border would cut equals.
        let seek = shape.keyset.seek(self.cache.place());
        let statement = shape.keyset.statement(binds.as_deref().map(|binds| (binds, seek)), u64::from(limit) + 1);
        let layout = shape.layout(shape.keyset.flags(after.map(|_| seek)));
        let expected = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let rows = B::fetch(self.db.pool(), &statement, &layout, expected).await?;
        let fetch = self.deliver(shape, rows, expected - 1)?;
        refuse_standstill(&fetch, after)?;
        self.cache.note(place_after(&fetch, after));
        self.count_nulls(shape, fetch).await
    }

    async fn refuse_null_cursor(&self, shape: &Shape<B>) -> Result<(), Error> {
        if B::fetch_integer(self.db.pool(), &shape.keyset.null_cursor_probe()).await? == 0 {
            return Ok(());
        }
        let (cursor, key) = (&shape.positions[0].name, quoted_list(self.key));
        let sentence = format!(
            "rows have NULL in their cursor; find them by key {key}: SELECT {key} FROM {} WHERE \"{cursor}\" IS NULL; \
             give them a value, or leave them out with `.nulls(NullPolicy::Skip)`",
            self.relation_in_sql()
        );
        Err(Error::new(ErrorKind::NullPosition, sentence).with_column(cursor))
    }

    /// What stands after FROM in a query that people type.
    pub(super) fn relation_in_sql(&self) -> String {
        use crate::sources::definition::Origin;
        match &self.definition.origin {
            Origin::Table { schema: Some(schema), name } => {
                format!("{}.{}", quoted_list([schema]), quoted_list([name]))
            }
            Origin::Table { schema: None, name } => quoted_list([name]),
            Origin::Select(_) | Origin::Sql(_) => "(the query)".to_owned(),
        }
    }

    /// Makes records of rows, up to the first that is too young.
    fn deliver(&self, shape: &Shape<B>, rows: Vec<Fetched>, limit: usize) -> Result<Fetch, Error> {
        let mut remaining = if rows.len() > limit { Remaining::More } else { Remaining::Nothing };
        let mut records = Vec::with_capacity(rows.len().min(limit));
        let mut step = 0;
        for row in rows {
            if row.step < step {
                return Err(Error::new(ErrorKind::Query, "the database returned rows out of their order"));
            }
            step = row.step;
            if row.repeated {
                return Err(self.duplicate(shape));
            }
            if row.ripe == Some(false) {
                remaining = Remaining::Nothing;
                break;
            }
            if records.len() == limit {
                break;
            }
            if row.ripe.is_none() {
                return Err(no_time(shape));
            }
            records.push(self.record(shape, row)?);
        }
        Ok(Fetch::new(records, remaining))
    }

    fn record(&self, shape: &Shape<B>, row: Fetched) -> Result<RawRecord, Error> {
        let values = row.position.map_err(|place| {
            let column = &shape.positions[place].name;
            let sentence = format!(
                "a row has NULL in its key, where no position can stand; find it: SELECT * FROM {} WHERE \"{column}\" IS NULL",
                self.relation_in_sql()
            );
            Error::new(ErrorKind::NullPosition, sentence).with_column(column)
        })?;
        let operation = if row.deleted { Operation::Delete } else { self.definition.operation };
        let position = Position::Keyset(Keyset::new(Arc::clone(&shape.positions), values));
        Ok(RawRecord::new(operation, position, Row::new(Arc::clone(&shape.columns), row.values)))
    }

    fn duplicate(&self, shape: &Shape<B>) -> Error {
        let columns = quoted_list(shape.keyset.order.iter());
        let sentence = format!(
            "two rows share cursor and key, and a batch border between them would lose one; find them: \
             SELECT {columns}, COUNT(*) FROM {} GROUP BY {columns} HAVING COUNT(*) > 1; then add columns to `.key(..)` \
             until it tells all rows apart",
            self.relation_in_sql()
        );
        Error::new(ErrorKind::DuplicatePosition, sentence).with_column(&self.key.join(", "))
    }

    /// Counts the rows that were left out, once the source is drained.
    async fn count_nulls(&self, shape: &Shape<B>, fetch: Fetch) -> Result<Fetch, Error> {
        if self.definition.nulls != NullPolicy::SkipAndCount || fetch.remaining() == Remaining::More {
            return Ok(fetch);
        }
        if !shape.keyset.nullable_cursor {
            return Ok(fetch.with_skipped_nulls(0));
        }
        let rows = B::fetch_integer(self.db.pool(), &shape.keyset.null_cursor_count()).await?;
        Ok(fetch.with_skipped_nulls(rows.unsigned_abs()))
    }
}

/// The position to go on from, if it was taken in columns as they are now.
fn resume<'p>(now: &KeysetShape, position: &'p Position) -> Result<&'p Keyset, Error> {
    let mismatch = |what: &str| {
        let sentence = format!(
            "the checkpoint can't be resumed here: {what}; `checkpoint adopt` binds it to this source as it is, \
             `checkpoint reset` starts over"
        );
        Error::new(ErrorKind::FingerprintMismatch, sentence)
    };
    let keyset = position.as_keyset().ok_or_else(|| mismatch("it is a token of another kind of source"))?;
    let then = keyset.shape();
    if then == now {
        return Ok(keyset);
    }
    if then.len() != now.len() {
        let count = format!("it has {} columns, the source has {}", then.len(), now.len());
        return Err(mismatch(&count));
    }
    let difference = then.iter().zip(now.iter()).find_map(|(then, now)| column_difference(then, now));
    Err(mismatch(&difference.unwrap_or_default()))
}

/// Whether the next position may stand among more ties than one batch has rows: only where this batch did not get
/// past its first cursor value, or there was none. Values are compared as bytes, for this is no more than a hint.
fn place_after(fetch: &Fetch, after: Option<&Keyset>) -> Place {
    let cursor = |record: &RawRecord| record.position.as_keyset().map(|keyset| keyset.cursor().clone());
    let (first, last) = (fetch.records().first().map(cursor), fetch.records().last().map(cursor));
    let before = after.map(|after| Some(after.cursor().clone()));
    if first == last || before == last { Place::AmongTies } else { Place::Apart }
}

/// A database that finds the checkpoint's own row above the checkpoint compares it in two ways; going on would
/// deliver it for ever.
fn refuse_standstill(fetch: &Fetch, after: Option<&Keyset>) -> Result<(), Error> {
    let first = fetch.records().first().and_then(|record| record.position.as_keyset());
    match (first, after) {
        (Some(first), Some(after)) if first.values() == after.values() => {
            let sentence = "the row of the checkpoint comes again: its cursor or key compares as one type in the table \
                and as another in the query; cast it in the query to what it is";
            Err(Error::new(ErrorKind::DuplicatePosition, sentence))
        }
        _ => Ok(()),
    }
}

fn no_time<B: Backend>(shape: &Shape<B>) -> Error {
    let sentence = "`.lag(..)` needs a cursor that holds times, and a row's does not: text that begins with a date, Unix \
        time since 2000 as a number, or julian days";
    Error::new(ErrorKind::Configuration, sentence).with_column(&shape.positions[0].name)
}

/// The first thing in which two columns differ.
fn column_difference(then: &KeysetColumn, now: &KeysetColumn) -> Option<String> {
    let shown = |text: &str| if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") };
    if then.name != now.name {
        return Some(format!("its column `{}` is now `{}`", then.name, now.name));
    }
    if then.type_name != now.type_name {
        let (then_type, now_type) = (shown(&then.type_name), shown(&now.type_name));
        return Some(format!("the type of `{}` was {then_type}, is {now_type}", now.name));
    }
    let collation = |of: &Option<Box<str>>| shown(of.as_deref().unwrap_or_default());
    (then.collation != now.collation).then(|| {
        format!("the collation of `{}` was {}, is {}", now.name, collation(&then.collation), collation(&now.collation))
    })
}

/// `"a", "b"`.
pub(super) fn quoted_list<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> String {
    let quoted = names.into_iter().map(|name| format!("\"{}\"", name.as_ref().replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Whether a change of the table can be behind it.
fn may_be_drift(error: &Error) -> bool {
    let refused = error.kind() == ErrorKind::Query && error.retry_status() == RetryStatus::Permanent;
    refused || error.kind() == ErrorKind::FingerprintMismatch
}

/// What the database refused is the cause of a failed fetch.
fn below_fetch(error: Error) -> Error {
    if !matches!(error.kind(), ErrorKind::Query | ErrorKind::Connection) {
        return error;
    }
    let status = error.retry_status();
    Error::new(ErrorKind::Fetch, "the rows could not be read").with_retry_status(status).with_source(error)
}
