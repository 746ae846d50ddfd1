//! The trait that a source of changes implements, and its boxed form.

mod boxed;

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::error::Error;
use crate::position::Position;
use crate::record::{RawRecord, SourceDescriptor};

pub use boxed::BoxSource;

/// Where rows come from: a table, a query, or anything that can be read in an order of its own and resumed.
///
/// The poller calls [`validate`](Self::validate) and [`open`](Self::open) once when it starts, then
/// [`fetch`](Self::fetch) again and again, each time after the last position, and [`close`](Self::close) at
/// the end. One that is run again after that opens it again. Authors may write the methods as `async fn`.
///
/// ```
/// use highwater::{Capabilities, Error, Fetch, FetchRequest, Fingerprint, Operation, Position, RawRecord, Remaining};
/// use highwater::{Row, Source, SourceDescriptor, Warning};
/// use std::sync::Arc;
///
/// /// Counts from 1 to 10.
/// struct Ten(Arc<SourceDescriptor>);
///
/// impl Source for Ten {
///     fn name(&self) -> &str { self.0.name() }
///     fn descriptor(&self) -> &Arc<SourceDescriptor> { &self.0 }
///     fn capabilities(&self) -> Capabilities { Capabilities::new() }
///     async fn validate(&self) -> Result<Vec<Warning>, Error> { Ok(Vec::new()) }
///     async fn open(&self) -> Result<(), Error> { Ok(()) }
///     async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetch, Error> {
///         let after: u64 = request.after().and_then(Position::as_token).map_or(0, |n| n.parse().unwrap());
///         let last = (after + u64::from(request.limit().get())).min(10);
///         let records = (after + 1..=last).map(|n| {
///             let row = Row::from_iter([("n", i64::try_from(n).unwrap().into())]);
///             RawRecord::new(Operation::Insert, Position::Token(n.to_string()), row)
///         });
///         let remaining = if last < 10 { Remaining::More } else { Remaining::Nothing };
///         Ok(Fetch::new(records.collect(), remaining))
///     }
///     async fn close(&self) -> Result<(), Error> { Ok(()) }
/// }
/// # let ten = Ten(Arc::new(SourceDescriptor::new("ten", "count", Fingerprint::new())));
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let fetch = ten.fetch(FetchRequest::new(None, 4.try_into().unwrap())).await.unwrap();
/// assert_eq!(fetch.records().len(), 4);
/// # });
/// ```
pub trait Source: Send + Sync {
    /// The name by which errors and changes call it.
    fn name(&self) -> &str;

    /// What it is; the checkpoint is bound to the fingerprint in it.
    fn descriptor(&self) -> &Arc<SourceDescriptor>;

    /// What it can do beyond fetching.
    fn capabilities(&self) -> Capabilities;

    /// Checks what only run time can know: that tables and columns exist, that the order holds.
    /// Never caches a failure that passes.
    ///
    /// # Errors
    ///
    /// A sentence that names table and column and how to mend it. What may lose rows or run slowly, but
    /// works, is a [`Warning`].
    fn validate(&self) -> impl Future<Output = Result<Vec<Warning>, Error>> + Send;

    /// Gets ready to fetch.
    ///
    /// # Errors
    ///
    /// Where the source can't be reached.
    fn open(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads up to `limit` records strictly after a position, in order, and says whether more follow.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Fetch`](crate::ErrorKind::Fetch) with the cause as its source; a transient one is retried.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await; nothing but time is lost.
    fn fetch(&self, request: FetchRequest<'_>) -> impl Future<Output = Result<Fetch, Error>> + Send;

    /// Lets go of what [`open`](Self::open) took.
    ///
    /// # Errors
    ///
    /// Where that fails; the poller logs it.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

impl<S: Source> Source for Arc<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn descriptor(&self) -> &Arc<SourceDescriptor> {
        (**self).descriptor()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn validate(&self) -> impl Future<Output = Result<Vec<Warning>, Error>> + Send {
        (**self).validate()
    }

    fn open(&self) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).open()
    }

    fn fetch(&self, request: FetchRequest<'_>) -> impl Future<Output = Result<Fetch, Error>> + Send {
        (**self).fetch(request)
    }

    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).close()
    }
}

/// What the poller asks of a source: up to `limit` records after a position.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'a> {
    after: Option<&'a Position>,
    limit: NonZeroU32,
}

impl<'a> FetchRequest<'a> {
    /// A request; `None` reads from the beginning.
    #[must_use]
    pub fn new(after: Option<&'a Position>, limit: NonZeroU32) -> Self {
        Self { after, limit }
    }

    /// The position after which to read; `None` from the beginning.
    #[must_use]
    pub fn after(&self) -> Option<&'a Position> {
        self.after
    }

    /// The most records to return.
    #[must_use]
    pub fn limit(&self) -> NonZeroU32 {
        self.limit
    }
}

/// Whether rows follow after a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// At least one more row was there.
    More,
    /// That was all, for now.
    Nothing,
}

/// What a source answers: records in order, and whether more follow. Without records, nothing follows.
#[derive(Debug)]
pub struct Fetch {
    records: Vec<RawRecord>,
    remaining: Remaining,
    skipped_nulls: Option<u64>,
}

impl Fetch {
    /// An answer.
    #[must_use]
    pub fn new(records: Vec<RawRecord>, remaining: Remaining) -> Self {
        let remaining = if records.is_empty() { Remaining::Nothing } else { remaining };
        Self { records, remaining, skipped_nulls: None }
    }

    /// No records, and nothing after them.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(Vec::new(), Remaining::Nothing)
    }

    /// Adds the number of rows that were left out for a NULL cursor, where the source counted them.
    #[must_use]
    pub fn with_skipped_nulls(mut self, rows: u64) -> Self {
        self.skipped_nulls = Some(rows);
        self
    }

    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> &[RawRecord] {
        &self.records
    }

    /// The records, owned.
    #[must_use]
    pub fn into_records(self) -> Vec<RawRecord> {
        self.records
    }

    /// Whether more follow.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        self.remaining
    }

    /// How many rows have a NULL cursor and are left out, where that was counted.
    #[must_use]
    pub fn skipped_nulls(&self) -> Option<u64> {
        self.skipped_nulls
    }
}

/// What a source can do beyond fetching.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It can tell rows that were deleted.
    pub deletes: bool,
    /// It keeps back rows that a transaction in flight could still precede.
    pub lag: bool,
}

impl Capabilities {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Something that works, but may lose rows or run slowly, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(String);

impl Warning {
    /// A sentence that says what is not covered and how to cover it.
    #[must_use]
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// The sentence.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
