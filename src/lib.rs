//! highwater

pub mod checkpoint;
pub mod clock;
pub mod db;
pub mod error;
pub mod fingerprint;
pub mod handler;
pub mod poller;
pub mod position;
pub mod record;
pub mod retry;
pub mod source;
pub mod sources;
pub mod sql;
pub mod url;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod value;

pub use sea_query;

pub use checkpoint::{
    Acquired, BoxCheckpoints, CheckpointStore, Commit, HeldLease, LeaseKeeper, LeaseSettings, Leases,
    ObjectCheckpoints, Operator, PollerName, StateDocument,
};
#[cfg(feature = "sqlite")]
pub use db::Sqlite;
pub use db::{Backend, Database, sqlx};
pub use error::{Error, ErrorKind, RetryStatus};
pub use fingerprint::{Fingerprint, SealedFingerprint};
pub use handler::{Batch, Handler, HandlerError, IntoHandler, Invocation, PollContext, RawBatch, blocking};
pub use poller::{
    Delivery, EmptyBatches, Ending, Every, OnPoison, Poller, PollerBuilder, Pollers, Prefetch, PulledBatch, Puller,
    RunReport, TickReport,
};
pub use position::{Exact, Keyset, KeysetColumn, KeysetShape, Position};
pub use record::{Metadata, Operation, RawRecord, RowChange, SourceDescriptor};
pub use retry::{Retry, RetryPolicy};
pub use source::{BoxSource, Capabilities, Fetch, FetchRequest, Remaining, Source, Warning};
pub use sources::{NullPolicy, QuerySource, TableSource};
pub use sql::{Filter, IntoFilter, SqlFilter, sql_filter};
pub use value::{Columns, DecodeError, FromRow, Row, Value};
