//! The one error type: what failed, while doing what, and whether trying again can help.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, as far as a caller may want to tell apart.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A setting, a name or a URL can't work as it stands.
    Configuration,
    /// The database could not be reached or opened.
    Connection,
    /// A statement was refused by the database.
    Query,
    /// A write to a destination failed.
    Write,
    /// Something that was named does not exist.
    NotFound,
    /// The checkpoint store failed while the lease was being taken.
    LeaseAcquire,
    /// Somebody holds the lease, so an operator's change was refused.
    LeaseHeld,
    /// The lease was ours and is not any more: expired, or taken over.
    LostLease,
    /// The source could not deliver rows; the database's error is the `source()`.
    Fetch,
    /// The handler returned an error or panicked.
    Handler,
    /// The checkpoint could not be written; it did not move.
    Commit,
    /// The checkpoint may or may not have been written: the answer was lost.
    CommitUnknown,
    /// The checkpoint store failed outside of acquiring and committing.
    Checkpoint,
    /// The state document can't be read by this version of the library.
    CorruptState,
    /// A row does not fit the type that it was to become.
    Serialization,
    /// Two rows share one position, so a batch border could lose one of them.
    DuplicatePosition,
    /// A row has NULL in its cursor or key, where no position can stand.
    NullPosition,
    /// The checkpoint belongs to a source that was defined otherwise.
    FingerprintMismatch,
    /// The backend or the store can't do what was asked.
    Unsupported,
    /// The work was stopped before it was done.
    Cancelled,
}

impl ErrorKind {
    fn headline(self) -> &'static str {
        match self {
            Self::Configuration => "wrong configuration",
            Self::Connection => "no connection",
            Self::Query => "the query failed",
            Self::Write => "the write failed",
            Self::NotFound => "not found",
            Self::LeaseAcquire => "the lease could not be taken",
            Self::LeaseHeld => "the lease is held",
            Self::LostLease => "the lease was lost",
            Self::Fetch => "fetching rows failed",
            Self::Handler => "the handler failed",
            Self::Commit => "the checkpoint was not written",
            Self::CommitUnknown => "the checkpoint's write has no known outcome",
            Self::Checkpoint => "the checkpoint store failed",
            Self::CorruptState => "the state document can't be read",
            Self::Serialization => "a row does not fit its type",
            Self::DuplicatePosition => "two rows share one position",
            Self::NullPosition => "a row has no position",
            Self::FingerprintMismatch => "the checkpoint belongs to another source",
            Self::Unsupported => "not supported",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whether the same call may succeed when it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryStatus {
    /// Nothing happened, and the cause passes by itself: try again.
    Transient,
    /// Nothing happened, and the same call will fail again.
    Permanent,
    /// It may have happened: find out before doing it again.
    Unknown,
}

/// The error of every fallible call in this crate.
///
/// It is one pointer wide. [`kind`](Self::kind) says what failed, [`operation`](Self::operation)
/// during what, [`retry_status`](Self::retry_status) whether to try again, and
/// [`source`](StdError::source) carries the cause, which `Display` doesn't repeat. No password, bind
/// value or row content is ever part of it.
///
/// ```
/// use highwater::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Configuration, "batch_size is 0; give at least 1")
///     .during("start")
///     .with_poller("orders");
/// assert_eq!(error.to_string(), "wrong configuration (poller `orders`): batch_size is 0; give at least 1");
/// assert!(!error.is_transient());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    operation: Cow<'static, str>,
    poller: Option<Box<str>>,
    table: Option<Box<str>>,
    column: Option<Box<str>>,
    retry: RetryStatus,
    source: Option<Source>,
}

impl Error {
    /// A permanent error with a sentence that says what is wrong and, where it can, how to mend it.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            operation: Cow::Borrowed(""),
            poller: None,
            table: None,
            column: None,
            retry: RetryStatus::Permanent,
            source: None,
        }))
    }

    /// Names the operation that failed, such as `fetch` or `commit`.
    #[must_use]
    pub fn during(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.0.operation = operation.into();
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says whether trying again can help.
    #[must_use]
    pub fn with_retry_status(mut self, status: RetryStatus) -> Self {
        self.0.retry = status;
        self
    }

    /// Names the poller, unless one is named already.
    #[must_use]
    pub fn with_poller(mut self, poller: &str) -> Self {
        self.0.poller.get_or_insert_with(|| poller.into());
        self
    }

    /// Names the table or query, unless one is named already.
    #[must_use]
    pub fn with_table(mut self, table: &str) -> Self {
        self.0.table.get_or_insert_with(|| table.into());
        self
    }

    /// Names the column, unless one is named already.
    #[must_use]
    pub fn with_column(mut self, column: &str) -> Self {
        self.0.column.get_or_insert_with(|| column.into());
        self
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed when it is made again.
    #[must_use]
    pub fn retry_status(&self) -> RetryStatus {
        self.0.retry
    }

    /// Whether nothing happened and the cause passes by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.retry == RetryStatus::Transient
    }

    /// The operation that failed; empty where none was named.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The sentence, without kind and context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The poller in which it happened.
    #[must_use]
    pub fn poller(&self) -> Option<&str> {
        self.0.poller.as_deref()
    }

    /// The table, or the name of the query.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The column.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(inner.kind.headline())?;
        let context = [("poller", &inner.poller), ("table", &inner.table), ("column", &inner.column)];
        let mut named = context.iter().filter_map(|(label, name)| name.as_ref().map(|name| (label, name)));
        if let Some((label, name)) = named.next() {
            write!(f, " ({label} `{name}`")?;
            for (label, name) in named {
                write!(f, ", {label} `{name}`")?;
            }
            f.write_str(")")?;
        }
        write!(f, ": {}", inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("message", &inner.message)
            .field("operation", &inner.operation)
            .field("poller", &inner.poller)
            .field("table", &inner.table)
            .field("column", &inner.column)
            .field("retry", &inner.retry)
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Shows an error and all its causes in one line, `: ` between them.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn display_names_context_once_and_leaves_the_cause_to_source() {
        let cause = std::io::Error::other("disk full");
        let error = Error::new(ErrorKind::Commit, "nothing was written")
            .with_poller("orders")
            .with_table("orders")
            .with_poller("late")
            .with_source(cause);
        assert_eq!(
            error.to_string(),
            "the checkpoint was not written (poller `orders`, table `orders`): nothing was written"
        );
        assert!(Chain(&error).to_string().ends_with("nothing was written: disk full"));
    }
}
