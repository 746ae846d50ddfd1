//! highwater
pub mod checkpoint;
pub mod clock;
pub mod error;
pub mod fingerprint;
pub mod position;
pub mod record;
pub mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod value;
pub use checkpoint::{
    Acquired, BoxCheckpoints, CheckpointStore, Commit, HeldLease, LeaseKeeper, LeaseSettings, Leases,
    ObjectCheckpoints, Operator, PollerName, StateDocument,
};
pub use error::{Error, ErrorKind, RetryStatus};
pub use fingerprint::{Fingerprint, SealedFingerprint};
pub use position::{Exact, Keyset, KeysetColumn, KeysetShape, Position};
pub use record::{Metadata, Operation, RawRecord, RowChange, SourceDescriptor};
pub use source::{BoxSource, Capabilities, Fetch, FetchRequest, Remaining, Source, Warning};
pub use value::{Columns, DecodeError, FromRow, Row, Value};
