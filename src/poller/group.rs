//! Many pollers in one process under one shutdown.

use std::fmt;
use std::future::{Future, Pending, pending};

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::CheckpointStore;
use crate::error::Error;
use crate::poller::delivery::Delivery;
use crate::poller::every::Every;
use crate::poller::report::RunReport;
use crate::source::Source;

/// Something that runs until it is told to stop: one [`Every`], several of one type in a `Vec`, or a
/// combination that [`Pollers`] makes.
pub trait Runs {
    /// Runs until `stop`, which all share.
    fn run_until(self, stop: Shutdown) -> impl Future<Output = Result<RunReport, Error>>;
}

/// The shutdown that a group of pollers shares.
#[derive(Clone, Debug)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Ends the group when `run` fails; the others finish their batches.
    async fn ends_with<T>(self, run: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let outcome = run.await;
        if outcome.is_err() {
            self.0.cancel();
        }
        outcome
    }
}

impl<S, C, D> Runs for Every<'_, S, C, D>
where
    S: Source,
    C: CheckpointStore,
    D: Delivery<C>,
{
    async fn run_until(self, stop: Shutdown) -> Result<RunReport, Error> {
        let signal = stop.0.clone().cancelled_owned();
        stop.ends_with(Box::pin(self.with_graceful_shutdown(signal).run())).await
    }
}

impl<R: Runs> Runs for Vec<R> {
    async fn run_until(self, stop: Shutdown) -> Result<RunReport, Error> {
        let mut total = RunReport::default();
        for report in join_all(self.into_iter().map(|run| run.run_until(stop.clone()))).await {
            total.merge(report?);
        }
        Ok(total)
    }
}

/// No poller.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Runs for Nobody {
    async fn run_until(self, _: Shutdown) -> Result<RunReport, Error> {
        Ok(RunReport::default())
    }
}

/// Two, side by side.
#[derive(Debug)]
pub struct Both<A, B>(A, B);

impl<A: Runs, B: Runs> Runs for Both<A, B> {
    async fn run_until(self, stop: Shutdown) -> Result<RunReport, Error> {
        let (first, second) = join(self.0.run_until(stop.clone()), self.1.run_until(stop)).await;
        let mut total = first?;
        total.merge(second?);
        Ok(total)
    }
}

/// Runs many pollers in one task, under one shutdown.
///
/// When one of them fails, the others finish their batches and stop, and the error is returned: a
/// supervisor restarts the program as a whole.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{Batch, Database, ObjectCheckpoints, Poller, Pollers, Sqlite};
/// use std::time::Duration;
///
/// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await?;
/// db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)").await?;
/// let store = ObjectCheckpoints::memory();
/// # macro_rules! poller { ($table:literal) => {
/// #     Poller::builder($table).source(db.table($table).cursor("id").key(["id"])).checkpoints(store.clone())
/// #         .handler(async |_: Batch| Ok(())).build()
/// # } }
/// let orders = poller!("orders");
/// let users = poller!("users");
///
/// let minute = Duration::from_secs(60);
/// Pollers::new()
///     .with(orders.every(minute))
///     .with(users.every(minute))
///     .with_graceful_shutdown(async { /* tokio::signal::ctrl_c() */ })
///     .run()
///     .await?;
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing runs until `.run().await`"]
pub struct Pollers<R = Nobody, F = Pending<()>> {
    runs: R,
    shutdown: F,
}

impl Pollers {
    /// An empty group.
    pub fn new() -> Self {
        Self { runs: Nobody, shutdown: pending() }
    }
}

impl Default for Pollers {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runs, F: Future<Output = ()>> Pollers<R, F> {
    /// Adds a run: a poller's [`every`](crate::Poller::every), or a `Vec` of such.
    pub fn with<T: Runs>(self, run: T) -> Pollers<Both<R, T>, F> {
        Pollers { runs: Both(self.runs, run), shutdown: self.shutdown }
    }

    /// Stops all when `signal` completes; each batch that is running is finished within its poller's grace.
    pub fn with_graceful_shutdown<G: Future<Output = ()>>(self, signal: G) -> Pollers<R, G> {
        Pollers { runs: self.runs, shutdown: signal }
    }

    /// Runs all until the signal, or until one fails; what they did is added up.
    ///
    /// # Errors
    ///
    /// The first poller's, in the order in which they were added.
    ///
    /// # Cancel safety
    ///
    /// As [`Poller::tick`](crate::Poller::tick), for each.
    pub async fn run(self) -> Result<RunReport, Error> {
        let stop = Shutdown(CancellationToken::new());
        let mut runs = std::pin::pin!(self.runs.run_until(stop.clone()).fuse());
        tokio::select! {
            biased;
            () = self.shutdown => stop.0.cancel(),
            done = &mut runs => return done,
        }
        runs.await
    }
}

impl<R, F> fmt::Debug for Pollers<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pollers")
    }
}
