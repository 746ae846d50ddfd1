//! Checkpoints: one document a poller that says how far it got and who may go on, and the stores that keep it.
//!
//! The position and the lease live in one JSON document ([`StateDocument`]), so that one compare-and-set covers
//! both. A store is anything that can read such a document with its version and replace it on condition
//! ([`CheckpointStore`]); [`ObjectCheckpoints`] is that over memory, local files, and any
//! [`object_store::ObjectStore`]. [`Leases`] takes the lease, [`HeldLease`] commits under it, [`LeaseKeeper`] keeps
//! it alive, and [`Operator`] is for people: resets, clones, exports.
//!
//! # Time
//!
//! With the default of 120 s, and nothing but heartbeats:
//!
//! ```text
//!  0 s                40 s                80 s                114 s    120 s       132 s
//!  |-------------------|-------------------|------------------|--------|-----------|
//!  write sent          heartbeat           heartbeat again    deadline expires_at  free for others
//!                      (a third)           (were one lost)    of owner in the      (margin past
//!                                                                      document    expires_at)
//! ```
//!
//! Every acknowledged write starts this anew, from the moment before it was sent. Past the deadline, on the wall
//! clock or on the monotonic one, the owner is cancelled and writes no more. Clocks decide only how often a batch
//! comes twice: what is safe rests on the conditions of the writes and on the fencing token.

mod admin;
mod boxed;
mod document;
mod held;
mod lease;
mod leases;
mod local;
mod object;
mod settings;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

pub use admin::{Adoption, CloneStream, Operator, ResetTo};
pub use boxed::BoxCheckpoints;
pub use document::{Checkpoint, LeaseRecord, StateDocument};
pub use held::{HeldLease, LeaseKeeper};
pub use lease::{Commit, HeldBy};
pub use leases::{Acquired, Leases};
pub use object::ObjectCheckpoints;
pub use settings::LeaseSettings;

/// A place that keeps one document a poller and replaces it only on condition.
///
/// The protocol above it trusts one thing: [`write_if`](Self::write_if) checks its condition and writes in one
/// step that no other writer can come between. Deleting is no part of the protocol, for a store that forgets a
/// document hands out its fencing tokens again. Authors may write the methods as `async fn`.
///
/// ```
/// use highwater::checkpoint::{CheckpointStore, ObjectCheckpoints, PollerName, WriteCondition, WriteOutcome};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = ObjectCheckpoints::memory();
/// let orders = PollerName::new("orders")?;
/// let WriteOutcome::Written(version) = store.write_if(&orders, b"one", &WriteCondition::Absent).await? else {
///     panic!("the store was empty");
/// };
/// assert_eq!(store.write_if(&orders, b"two", &WriteCondition::Absent).await?, WriteOutcome::Refused);
/// store.write_if(&orders, b"two", &WriteCondition::Unchanged(version)).await?;
/// assert_eq!(store.load(&orders).await?.unwrap().bytes, b"two");
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub trait CheckpointStore: Send + Sync {
    /// Reads a poller's document and its version.
    ///
    /// # Errors
    ///
    /// Where the store can't be read. A document that isn't there is no error.
    fn load(&self, poller: &PollerName) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// Writes the document if the condition holds at the moment of writing.
    ///
    /// # Errors
    ///
    /// An error whose [`retry_status`](Error::retry_status) is `Permanent` says that nothing was written. After
    /// any other, the write may have landed, or may still land.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves the outcome open: the write may land afterwards.
    fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> impl Future<Output = Result<WriteOutcome, Error>> + Send;

    /// Lists the pollers that have a document, tombstones included, page by page in order of their names.
    ///
    /// # Errors
    ///
    /// Where the store can't be listed.
    fn list(&self, page: Option<&PageToken>) -> impl Future<Output = Result<Page, Error>> + Send;

    /// Forgets a document for good. **Not fenced**: the fencing token is lost with it, the next poller of that name
    /// begins with token 1, and a destination that compares tokens takes an owner of old for the newest.
    /// [`Operator::tombstone`] deletes without that danger; this is for cleaning up behind pollers that will never
    /// run again.
    ///
    /// # Errors
    ///
    /// Where the store can't delete. A document that isn't there is no error.
    fn purge(&self, poller: &PollerName) -> impl Future<Output = Result<(), Error>> + Send;
}

impl<C: CheckpointStore> CheckpointStore for Arc<C> {
    fn load(&self, poller: &PollerName) -> impl Future<Output = Result<Option<Stored>, Error>> + Send {
        (**self).load(poller)
    }

    fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> impl Future<Output = Result<WriteOutcome, Error>> + Send {
        (**self).write_if(poller, document, condition)
    }

    fn list(&self, page: Option<&PageToken>) -> impl Future<Output = Result<Page, Error>> + Send {
        (**self).list(page)
    }

    fn purge(&self, poller: &PollerName) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).purge(poller)
    }
}

/// The name of a poller: what its document is called in the store.
///
/// ```
/// use highwater::checkpoint::PollerName;
///
/// assert_eq!(PollerName::new("shop.orders-v2")?.as_str(), "shop.orders-v2");
/// assert!(PollerName::new("../orders").is_err());
/// # Ok::<(), highwater::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollerName(Box<str>);

impl PollerName {
    /// The longest name, in bytes: with what the stores append it fits the 255 that file systems give a name.
    pub const MAX_LEN: usize = 128;

    /// Checks a name: 1 to 128 letters, digits, `.`, `_` or `-` of ASCII, the first no dot. So it can't leave its
    /// folder, hide, or be taken for a lock or a temporary file.
    ///
    /// # Errors
    ///
    /// `Configuration`, with the rule that was broken.
    pub fn new(name: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let wrong = if name.is_empty() {
            "is empty"
        } else if name.len() > Self::MAX_LEN {
            "is longer than 128 characters"
        } else if name.starts_with('.') {
            "begins with a dot"
        } else if !name.bytes().all(allowed) {
            "has other characters than letters, digits, `.`, `_` and `-` of ASCII"
        } else {
            return Ok(Self(name.into()));
        };
        let shown: String = name.chars().take(Self::MAX_LEN).collect();
        Err(Error::new(
            ErrorKind::Configuration,
            format!("the poller name {shown:?} {wrong}; choose one like `orders`"),
        ))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PollerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for PollerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for PollerName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

/// Which state of a document a store holds: opaque, told apart by equality, never used again for another state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

impl Version {
    /// A version, in whatever text the store tells its documents' states apart by.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The store's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document as the store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The document.
    pub bytes: Vec<u8>,
    /// The state it is in.
    pub version: Version,
}

/// The size, not the content.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("len", &self.bytes.len()).field("version", &self.version).finish()
    }
}

/// What must hold for a document to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCondition {
    /// There is none yet.
    Absent,
    /// It is still in this state.
    Unchanged(Version),
}

impl WriteCondition {
    /// Whether the condition holds where the store has this version, or nothing.
    #[must_use]
    pub fn holds(&self, present: Option<&Version>) -> bool {
        match self {
            Self::Absent => present.is_none(),
            Self::Unchanged(version) => present == Some(version),
        }
    }
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum WriteOutcome {
    /// The document is stored, in this state.
    Written(Version),
    /// The condition did not hold; nothing was written.
    Refused,
}

/// Where the next page of a list begins; opaque, and only for the store that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(Box<str>);

impl PageToken {
    /// A token, in whatever text the store resumes from.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The store's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The names on it.
    pub names: Vec<PollerName>,
    /// How to read on; `None` on the last page.
    pub next: Option<PageToken>,
}

impl Page {
    /// Names a page, for the stores that see them all at once.
    const LIMIT: usize = 1000;

    /// The page of `names` that begins after the token.
    fn cut(names: impl IntoIterator<Item = PollerName>, after: Option<&PageToken>) -> Self {
        Self::cut_at(names, after, Self::LIMIT)
    }

    fn cut_at(names: impl IntoIterator<Item = PollerName>, after: Option<&PageToken>, limit: usize) -> Self {
        let mut names: Vec<PollerName> =
            names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after.as_str())).collect();
        names.sort_unstable();
        let more = names.len() > limit;
        names.truncate(limit);
        let next = names.last().filter(|_| more).map(|last| PageToken::new(last.as_str()));
        Self { names, next }
    }
}
