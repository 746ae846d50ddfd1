//! highwater
pub mod clock;
pub mod db;
pub mod error;
pub mod fingerprint;
pub mod position;
pub mod record;
pub mod source;
pub mod sources;
pub mod sql;
pub mod url;
pub mod value;
#[cfg(feature = "sqlite")]
pub use db::Sqlite;
pub use db::sqlx;
pub use db::{Backend, Database};
pub use error::{Error, ErrorKind, RetryStatus};
pub use fingerprint::{Fingerprint, SealedFingerprint};
pub use position::{Exact, Keyset, KeysetColumn, KeysetShape, Position};
pub use record::{Metadata, Operation, RawRecord, RowChange, SourceDescriptor};
pub use sea_query;
pub use source::{BoxSource, Capabilities, Fetch, FetchRequest, Remaining, Source, Warning};
pub use sources::{NullPolicy, QuerySource, TableSource};
pub use sql::{Filter, IntoFilter, SqlFilter, sql_filter};
pub use value::{Columns, DecodeError, FromRow, Row, Value};
