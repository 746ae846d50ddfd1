//! The poller itself.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::CheckpointStore;
use crate::error::Error;
use crate::poller::core::Core;
use crate::poller::delivery::Delivery;
use crate::poller::every::Every;
use crate::poller::guard::{Stop, while_held};
use crate::poller::report::TickReport;
use crate::poller::session::{Session, Turn};
use crate::poller::step::LeaseAfter;
use crate::source::{Source, Warning};

/// Follows a source: made by [`Poller::builder`], run by [`tick`](Self::tick) or [`every`](Self::every).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{Batch, Database, Ending, ObjectCheckpoints, Poller, Sqlite};
///
/// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, status TEXT)").await?;
/// db.execute("CREATE UNIQUE INDEX orders_by_version ON orders (version, id)").await?;
/// db.execute("INSERT INTO orders VALUES (1, 1, 'new'), (2, 2, 'paid')").await?;
///
/// let poller = Poller::builder("orders")
///     .source(db.table("orders").cursor("version").key(["id"]))
///     .checkpoints(ObjectCheckpoints::memory())
///     .handler(async |orders: Batch| {
///         for order in &orders {
///             println!("{:?} is {:?}", order.get("id"), order.get("status"));
///         }
///         Ok(())
///     })
///     .build();
///
/// let report = poller.tick().await?;
/// assert_eq!((report.rows(), report.ending()), (2, Ending::Drained));
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub struct Poller<S, C, D> {
    core: Core<S, C>,
    delivery: D,
}

impl<S, C, D> Poller<S, C, D> {
    pub(crate) fn new(core: Core<S, C>, delivery: D) -> Self {
        Self { core, delivery }
    }

    /// The poller's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Its source.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.core.source
    }
}

impl<S: Source, C: CheckpointStore, D: Delivery<C>> Poller<S, C, D> {
    /// Checks settings and source, as the first tick does, and returns what works but may lose rows or
    /// run slowly.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) for settings that can't work; the source's, for
    /// tables and columns that are not as named.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by it.
    pub async fn validate(&self) -> Result<Vec<Warning>, Error> {
        self.core.validate().await
    }

    /// One run: takes the lease, handles up to [`max_batches_per_tick`](crate::PollerBuilder::max_batches_per_tick)
    /// batches, and releases the lease with the last checkpoint in one write. For cron jobs, timers and
    /// serverless functions.
    ///
    /// A lease that is held elsewhere is no error but an [`Ending`](crate::Ending).
    ///
    /// # Errors
    ///
    /// What stopped it: the source, the handler or the store. The checkpoint stands after the last batch that
    /// was acknowledged; the lease is released, unless it was lost.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await. The handler is dropped with it, a batch whose checkpoint was not
    /// written comes again, and the lease is not released but expires.
    pub async fn tick(&self) -> Result<TickReport, Error> {
        self.run_once(&Stop::new(Duration::ZERO, Arc::clone(&self.core.settings.clock))).await
    }

    /// A tick that a signal ends early: the running batch is finished and acknowledged within `grace`, then the
    /// lease is released and the ending is [`More`](crate::Ending::More). With many batches a tick, it drains.
    ///
    /// # Errors
    ///
    /// As [`tick`](Self::tick), and [`Cancelled`](crate::ErrorKind::Cancelled) where the handler took longer than
    /// the grace.
    ///
    /// # Cancel safety
    ///
    /// As [`tick`](Self::tick).
    pub async fn tick_until(&self, signal: impl Future<Output = ()>, grace: Duration) -> Result<TickReport, Error> {
        let stop = Stop::new(grace, Arc::clone(&self.core.settings.clock));
        stop.when(signal, Box::pin(self.run_once(&stop))).await
    }

    async fn run_once(&self, stop: &Stop) -> Result<TickReport, Error> {
        let lease = match stop.after_grace(self.core.acquire()).await.transpose()? {
            Some(Ok(lease)) => lease,
            Some(Err(by)) => return Ok(TickReport::held_elsewhere(&by)),
            None => return Ok(TickReport::new()),
        };
        let keeper = lease.keeper();
        let mut session = Session::new(lease);
        let turn = Turn { core: &self.core, delivery: &self.delivery, stop };
        let outcome = while_held(&keeper, async {
            let report = turn.take(&mut session, LeaseAfter::Release).await?;
            // A tick that was stopped between two batches still has it.
            session.release().await?;
            Ok(report)
        });
        let outcome = outcome.await;
        if outcome.is_err() {
            session.release_after_failure(&*self.core.settings.clock).await;
        }
        outcome.map_err(|error| self.core.named(error))
    }

    /// Runs again and again: at once, then `interval` after each start, at once again while rows are left.
    ///
    /// The returned value does nothing until [`run`](Every::run).
    pub fn every(&self, interval: Duration) -> Every<'_, S, C, D> {
        Every::new(&self.core, &self.delivery, interval)
    }

    /// Lets go of what the source holds.
    ///
    /// # Errors
    ///
    /// The source's.
    ///
    /// # Cancel safety
    ///
    /// As safe as the source's.
    pub async fn close(self) -> Result<(), Error> {
        self.core.close().await
    }
}

impl<S, C, D> fmt::Debug for Poller<S, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("core", &self.core).finish_non_exhaustive()
    }
}
