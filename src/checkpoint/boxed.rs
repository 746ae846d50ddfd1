//! The private dyn twin of [`CheckpointStore`], behind [`BoxCheckpoints`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::{CheckpointStore, Page, PageToken, PollerName, Stored, WriteCondition, WriteOutcome};
use crate::error::Error;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait DynCheckpoints: Send + Sync {
    fn load<'a>(&'a self, poller: &'a PollerName) -> BoxFuture<'a, Result<Option<Stored>, Error>>;
    fn write_if<'a>(
        &'a self,
        poller: &'a PollerName,
        document: &'a [u8],
        condition: &'a WriteCondition,
    ) -> BoxFuture<'a, Result<WriteOutcome, Error>>;
    fn list<'a>(&'a self, page: Option<&'a PageToken>) -> BoxFuture<'a, Result<Page, Error>>;
    fn purge<'a>(&'a self, poller: &'a PollerName) -> BoxFuture<'a, Result<(), Error>>;
}

impl<C: CheckpointStore> DynCheckpoints for C {
    fn load<'a>(&'a self, poller: &'a PollerName) -> BoxFuture<'a, Result<Option<Stored>, Error>> {
        Box::pin(CheckpointStore::load(self, poller))
    }

    fn write_if<'a>(
        &'a self,
        poller: &'a PollerName,
        document: &'a [u8],
        condition: &'a WriteCondition,
    ) -> BoxFuture<'a, Result<WriteOutcome, Error>> {
        Box::pin(CheckpointStore::write_if(self, poller, document, condition))
    }

    fn list<'a>(&'a self, page: Option<&'a PageToken>) -> BoxFuture<'a, Result<Page, Error>> {
        Box::pin(CheckpointStore::list(self, page))
    }

    fn purge<'a>(&'a self, poller: &'a PollerName) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(CheckpointStore::purge(self, poller))
    }
}

/// A checkpoint store of any kind, for programs that choose it at run time.
///
/// ```
/// use highwater::checkpoint::{BoxCheckpoints, CheckpointStore, ObjectCheckpoints};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = BoxCheckpoints::new(ObjectCheckpoints::memory());
/// assert!(store.list(None).await?.names.is_empty());
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub struct BoxCheckpoints(Box<dyn DynCheckpoints>);

impl BoxCheckpoints {
    /// Boxes a store.
    #[must_use]
    pub fn new(store: impl CheckpointStore + 'static) -> Self {
        Self(Box::new(store))
    }
}

impl fmt::Debug for BoxCheckpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxCheckpoints").finish_non_exhaustive()
    }
}

impl CheckpointStore for BoxCheckpoints {
    async fn load(&self, poller: &PollerName) -> Result<Option<Stored>, Error> {
        self.0.load(poller).await
    }

    async fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> Result<WriteOutcome, Error> {
        self.0.write_if(poller, document, condition).await
    }

    async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        self.0.list(page).await
    }

    async fn purge(&self, poller: &PollerName) -> Result<(), Error> {
        self.0.purge(poller).await
    }
}
