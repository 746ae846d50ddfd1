//! The pull form: the program owns the loop, and asks for each batch.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use tokio::task::AbortHandle;

use crate::checkpoint::{CheckpointStore, Commit};
use crate::error::Error;
use crate::handler::{Batch, HandlerError};
use crate::poller::core::{Core, new_id};
use crate::poller::session::{Session, release_at_the_end};
use crate::poller::step::Ending;
use crate::position::Position;
use crate::source::{Remaining, Source};
use crate::value::{FromRow, Row};

/// Hands out batches one at a time; made by [`PollerBuilder::pull`](crate::PollerBuilder::pull).
///
/// A task of its own keeps the lease while the program works on a batch, and ends with this value.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use highwater::{Database, ObjectCheckpoints, Poller, Row, Sqlite};
/// # let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// # db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await?;
/// # db.execute("INSERT INTO orders VALUES (1), (2)").await?;
/// let mut orders = Poller::builder("orders")
///     .source(db.table("orders").cursor("id").key(["id"]))
///     .checkpoints(ObjectCheckpoints::memory())
///     .pull::<Row>();
///
/// while let Some(batch) = orders.next_batch().await? {
///     for order in &*batch {
///         println!("{:?}", order.get("id"));
///     }
///     batch.acknowledge().await?;
/// }
/// orders.close().await?;
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub struct Puller<S, C, T = Row> {
    core: Core<S, C>,
    held: Option<Held<C>>,
    ending: Ending,
    row: PhantomData<fn() -> T>,
}

/// The lease, and the task that keeps it.
struct Held<C> {
    session: Session<C>,
    heartbeat: AbortHandle,
}

impl<C> Drop for Held<C> {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

impl<S, C, T> Puller<S, C, T>
where
    S: Source,
    C: CheckpointStore + 'static,
    T: FromRow,
{
    pub(crate) fn new(core: Core<S, C>) -> Self {
        Self { core, held: None, ending: Ending::More, row: PhantomData }
    }

    /// The next batch after the last one that was acknowledged, or `None` where there is nothing to do:
    /// [`ending`](Self::ending) says whether the source is drained or the lease held elsewhere.
    ///
    /// A batch that is dropped without being acknowledged comes again.
    ///
    /// # Errors
    ///
    /// The source's, the store's, a lost lease, a row that is no `T`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped; at worst a lease expires that nobody uses.
    pub async fn next_batch(&mut self) -> Result<Option<PulledBatch<'_, C, T>>, Error> {
        if !self.hold().await? {
            return Ok(None);
        }
        let Self { core, held: Some(held), ending, .. } = self else { return Ok(None) };
        // An acknowledgment that was dropped in the middle may have landed.
        held.session.lease_mut()?.settle().await.map_err(|error| core.named(error))?;
        let reading = held.session.next_fetch(core).await.map_err(|error| core.named(error))?;
        // It may have taken long, or the process may have been stopped in the middle.
        held.session.keeper().check().map_err(|error| core.named(error))?;
        let lease = held.session.lease()?;
        *ending = match reading.fetch.remaining() {
            Remaining::More => Ending::More,
            Remaining::Nothing => Ending::Drained,
        };
        let Some(position) = reading.fetch.records().last().map(|record| record.position.clone()) else {
            return Ok(None);
        };
        let batch = core.batch(lease, reading, new_id());
        let batch = batch.decode().map_err(|error| core.named(HandlerError::decode(error).into_error()))?;
        Ok(Some(PulledBatch { batch, position, session: &mut held.session, name: &core.name }))
    }

    /// Why the last [`next_batch`](Self::next_batch) was `None`, or whether its batch was the last one.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Releases the lease and closes the source. Dropping instead lets the lease expire.
    ///
    /// # Errors
    ///
    /// The store's, the source's.
    ///
    /// # Cancel safety
    ///
    /// A lease that is not released expires.
    pub async fn close(mut self) -> Result<(), Error> {
        let released = match self.held.take() {
            Some(held) => release_at_the_end(held.session.keeper(), &*self.core.settings.clock).await,
            None => Ok(()),
        };
        self.core.close().await?;
        released.map_err(|error| self.core.named(error))
    }

    /// Makes sure that the lease is ours; `false` when it is held elsewhere.
    async fn hold(&mut self) -> Result<bool, Error> {
        if let Some(held) = &self.held {
            match held.session.keeper().check() {
                Ok(()) => return Ok(true),
                Err(lost) => tracing::warn!(poller = self.core.name, error = %lost, "taking the lease again"),
            }
            self.held = None;
        }
        let Ok(lease) = self.core.acquire().await? else {
            self.ending = Ending::HeldElsewhere;
            return Ok(false);
        };
        let keeper = lease.keeper();
        let session = Session::new(lease);
        let heartbeat = tokio::spawn(async move { drop(keeper.keep().await) }).abort_handle();
        self.held = Some(Held { session, heartbeat });
        Ok(true)
    }
}

impl<S, C, T> fmt::Debug for Puller<S, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").field("core", &self.core).field("ending", &self.ending).finish_non_exhaustive()
    }
}

/// A batch that waits to be acknowledged; it reads as the [`Batch`] that it holds.
#[must_use = "a batch that is not acknowledged comes again"]
pub struct PulledBatch<'a, C, T> {
    batch: Batch<T>,
    position: Position,
    session: &'a mut Session<C>,
    name: &'a str,
}

impl<C: CheckpointStore, T> PulledBatch<'_, C, T> {
    /// The position that becomes the checkpoint.
    #[must_use]
    pub fn candidate(&self) -> &Position {
        &self.position
    }

    /// The fencing token under which the batch was read.
    ///
    /// # Errors
    ///
    /// [`LostLease`](crate::ErrorKind::LostLease) when the lease is not ours any more.
    pub fn fencing_token(&self) -> Result<u64, Error> {
        self.session.keeper().check()?;
        Ok(self.session.lease()?.fencing_token())
    }

    /// Writes the checkpoint after this batch.
    ///
    /// # Errors
    ///
    /// [`LostLease`](crate::ErrorKind::LostLease), [`Commit`](crate::ErrorKind::Commit) or
    /// [`CommitUnknown`](crate::ErrorKind::CommitUnknown); unless it was written after all, the batch comes again.
    ///
    /// # Cancel safety
    ///
    /// The checkpoint may or may not have been written; the next call finds out.
    pub async fn acknowledge(self) -> Result<(), Error> {
        let row_count = self.batch.len() as u64;
        let commit = Commit { position: &self.position, batch_id: self.batch.id(), row_count };
        let written = self.session.lease_mut()?.commit(commit).await;
        written.map_err(|error| error.with_poller(self.name))
    }
}

impl<C, T> Deref for PulledBatch<'_, C, T> {
    type Target = Batch<T>;

    fn deref(&self) -> &Batch<T> {
        &self.batch
    }
}

impl<C, T> fmt::Debug for PulledBatch<'_, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PulledBatch").field("batch", &self.batch).finish_non_exhaustive()
    }
}
