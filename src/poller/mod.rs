//! The poller: takes the lease, reads a batch, hands it over, writes the checkpoint, again.

mod builder;
mod delivery;
mod every;
mod group;
mod guard;
mod pull;
mod report;
mod session;
mod settings;
mod step;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

pub use builder::{Free, HasHandler, HasSource, HasStore, NeedsHandler, NeedsSource, NeedsStore, PollerBuilder};
pub use delivery::{AtLeastOnce, Delivery, GoesNowhere, Parcel};
pub use every::Every;
pub use group::{Pollers, Runs};
pub use pull::{PulledBatch, Puller};
pub use report::{RunReport, TickReport};
pub use settings::OnPoison;
pub use step::{Ending, EmptyBatches, Prefetch};

use crate::checkpoint::{Acquired, CheckpointStore, HeldBy, Leases, PollerName};
use crate::error::Error;
use crate::source::{Source, Warning};
use session::Session;
use settings::Settings;
use step::LeaseAfter;

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
    name: String,
    source: S,
    store: Arc<C>,
    delivery: D,
    settings: Settings,
    leases: OnceCell<Leases<C>>,
}

impl Poller<(), (), ()> {
    /// Starts a poller; the name is that of its checkpoint.
    ///
    /// A name is made of letters, digits, `.`, `_` and `-`, at most 128, and doesn't begin with a dot.
    pub fn builder(name: impl Into<String>) -> PollerBuilder {
        PollerBuilder::new(name.into())
    }
}

impl<S, C, D> Poller<S, C, D> {
    fn new(name: String, source: S, store: C, delivery: D, settings: Settings) -> Self {
        Self { name, source, store: Arc::new(store), delivery, settings, leases: OnceCell::new() }
    }

    /// The poller's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its source.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }
}

impl<S: Source, C: CheckpointStore, D> Poller<S, C, D> {
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
        self.check().map_err(|error| self.named(error))?;
        self.source.validate().await.map_err(|error| self.named(error))
    }

    fn check(&self) -> Result<PollerName, Error> {
        self.settings.check()?;
        PollerName::new(&self.name)
    }

    /// Gets ready, the first time it is called.
    async fn start(&self) -> Result<&Leases<C>, Error> {
        let started = self.leases.get_or_try_init(|| async {
            let name = self.check()?;
            for warning in self.source.validate().await? {
                tracing::warn!(poller = self.name, source = self.source.name(), "{warning}");
            }
            self.source.open().await?;
            let clock = Arc::clone(&self.settings.clock);
            Ok(Leases::new(Arc::clone(&self.store), clock, name, self.settings.lease.clone()))
        });
        started.await.map_err(|error| self.named(error))
    }

    async fn acquire(&self) -> Result<Result<Session<C>, HeldBy>, Error> {
        let leases = self.start().await?;
        match Box::pin(leases.acquire(self.source.descriptor())).await.map_err(|error| self.named(error))? {
            Acquired::Held(lease) => Ok(Ok(Session::new(lease))),
            Acquired::HeldElsewhere(by) => Ok(Err(by)),
        }
    }

    fn named(&self, error: Error) -> Error {
        error.with_poller(&self.name)
    }

    /// Lets go of what the source holds. Ticks after it open the source no more.
    ///
    /// # Errors
    ///
    /// The source's.
    ///
    /// # Cancel safety
    ///
    /// As safe as the source's.
    pub async fn close(self) -> Result<(), Error> {
        self.source.close().await.map_err(|error| error.with_poller(&self.name))
    }
}

impl<S: Source, C: CheckpointStore, D: Delivery<C>> Poller<S, C, D> {
    /// One run: takes the lease, handles up to [`max_batches_per_tick`](PollerBuilder::max_batches_per_tick)
    /// batches, and releases the lease with the last checkpoint in one write. For cron jobs, timers and
    /// serverless functions.
    ///
    /// A lease that is held elsewhere is no error but an [`Ending`].
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
        let stop = guard::Stop::new(Duration::ZERO, Arc::clone(&self.settings.clock));
        let mut session = match self.acquire().await? {
            Ok(session) => session,
            Err(by) => return Ok(TickReport::held_elsewhere(&by)),
        };
        let keeper = session.keeper().clone();
        let outcome = guard::while_held(&keeper, self.turn(&mut session, LeaseAfter::Release, &stop)).await;
        if outcome.is_err() {
            session::release_after_failure(&keeper).await;
        }
        outcome.map_err(|error| self.named(error))
    }

    /// Runs again and again: at once, then `interval` after each start, at once again while rows are left.
    ///
    /// The returned value does nothing until [`run`](Every::run).
    pub fn every(&self, interval: Duration) -> Every<'_, S, C, D> {
        Every::new(self, interval)
    }
}

impl<S, C, D> fmt::Debug for Poller<S, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}
