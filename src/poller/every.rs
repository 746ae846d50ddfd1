//! The long run: tick after tick under one lease, until it is told to stop.

use std::fmt;
use std::future::{Future, Pending, pending};
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::{CheckpointStore, HeldBy};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::poller::core::Core;
use crate::poller::delivery::Delivery;
use crate::poller::guard::{Stop, while_held};
use crate::poller::report::RunReport;
use crate::poller::session::{Session, Turn, release_at_the_end};
use crate::poller::step::{Ending, LeaseAfter};
use crate::source::Source;

/// A poller's long run; made by [`Poller::every`](crate::Poller::every), started by [`run`](Self::run).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{Batch, Database, ObjectCheckpoints, Poller, Sqlite};
/// use std::time::Duration;
///
/// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await?;
/// db.execute("INSERT INTO orders VALUES (1), (2)").await?;
/// let poller = Poller::builder("orders")
///     .source(db.table("orders").cursor("id").key(["id"]))
///     .checkpoints(ObjectCheckpoints::memory())
///     .handler(async |_: Batch| Ok(()))
///     .build();
///
/// let signal = tokio::time::sleep(Duration::from_millis(50)); // or tokio::signal::ctrl_c()
/// let run = poller.every(Duration::from_secs(60)).grace(Duration::from_secs(10)).with_graceful_shutdown(signal);
/// assert_eq!(run.run().await?.rows(), 2);
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing runs until `.run().await`"]
pub struct Every<'a, S, C, D, F = Pending<()>> {
    core: &'a Core<S, C>,
    delivery: &'a D,
    interval: Duration,
    grace: Duration,
    shutdown: F,
}

impl<'a, S, C, D> Every<'a, S, C, D> {
    pub(crate) fn new(core: &'a Core<S, C>, delivery: &'a D, interval: Duration) -> Self {
        Self { core, delivery, interval, grace: DEFAULT_GRACE, shutdown: pending() }
    }
}

/// The interval to choose without a reason for another: a minute, as timers and cron jobs commonly run.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// Long enough for most batches, and within the half minute that supervisors commonly wait before they kill.
const DEFAULT_GRACE: Duration = Duration::from_secs(25);

impl<'a, S, C, D, F> Every<'a, S, C, D, F> {
    /// Stops when `signal` completes: the running batch is finished and acknowledged within the
    /// [grace](Self::grace), then the lease is released.
    pub fn with_graceful_shutdown<G: Future<Output = ()>>(self, signal: G) -> Every<'a, S, C, D, G> {
        let Self { core, delivery, interval, grace, .. } = self;
        Every { core, delivery, interval, grace, shutdown: signal }
    }

    /// How long a running batch may take after the signal to stop. Default: 25 s. Then its handler is cancelled.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl<S, C, D, F> Every<'_, S, C, D, F>
where
    S: Source,
    C: CheckpointStore,
    D: Delivery<C>,
    F: Future<Output = ()>,
{
    /// Runs until the signal to stop, or until an error that waiting does not mend.
    ///
    /// The first tick starts at once. While the process lives it keeps its lease: over full batches, which
    /// follow each other at once, and over idle waits, which are up to a tenth shorter than the interval at
    /// random. A tick that takes longer than the interval is followed by one other, never by those it
    /// overran. While another process holds the lease, this one stands by, and takes over when the lease is
    /// released or has expired. Passing failures of source and store, and a lost lease, are logged, and
    /// the next tick tries again.
    ///
    /// # Errors
    ///
    /// A handler's error, a row that doesn't fit, a permanent error of the source or the store: the lease is released, the
    /// checkpoint stands after the last acknowledged batch, and nothing advances until the cause is mended.
    ///
    /// # Cancel safety
    ///
    /// As [`Poller::tick`](crate::Poller::tick): nothing is lost, and the lease is not released but expires. To stop cleanly, use
    /// [`with_graceful_shutdown`](Self::with_graceful_shutdown).
    pub async fn run(self) -> Result<RunReport, Error> {
        let Self { core, delivery, interval, grace, shutdown } = self;
        let stop = Stop::new(grace, Arc::clone(&core.settings.clock));
        let service = Service { turn: Turn { core, delivery, stop: &stop }, interval };
        stop.when(shutdown, Box::pin(service.run())).await.map_err(|error| core.named(error))
    }
}

impl<S, C, D, F> fmt::Debug for Every<'_, S, C, D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Every")
            .field("poller", &self.core.name)
            .field("interval", &self.interval)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// The run without its signal.
struct Service<'a, S, C, D> {
    turn: Turn<'a, S, C, D>,
    interval: Duration,
}

impl<S: Source, C: CheckpointStore, D: Delivery<C>> Service<'_, S, C, D> {
    async fn run(&self) -> Result<RunReport, Error> {
        let mut total = RunReport::default();
        let outcome = self.compete(&mut total).await;
        if let Err(error) = self.turn.core.close().await {
            tracing::warn!(poller = self.turn.core.name, %error, "the source could not be closed");
        }
        outcome.map(|()| total)
    }

    /// Takes the lease and serves under it, or stands by, until stopping is asked for.
    async fn compete(&self, total: &mut RunReport) -> Result<(), Error> {
        while !self.turn.stop.is_requested() {
            // Given up in the middle, it could leave a lease that nobody holds.
            let wait = match self.turn.stop.after_grace(self.turn.core.acquire()).await {
                None => return Ok(()),
                Some(Ok(Err(by))) => self.standby(&by),
                Some(Ok(Ok(lease))) => match self.hold(Session::new(lease), total).await {
                    Ok(()) => return Ok(()),
                    Err(error) => self.passing(error)?,
                },
                Some(Err(error)) => self.passing(error)?,
            };
            self.turn.stop.at_once(self.clock().sleep(wait)).await;
        }
        Ok(())
    }

    /// Serves under one lease, and releases it at the end.
    async fn hold(&self, mut session: Session<C>, total: &mut RunReport) -> Result<(), Error> {
        let keeper = session.keeper().clone();
        let outcome = while_held(&keeper, self.serve(&mut session, total)).await;
        let (batches, rows) = session.acknowledged;
        total.acknowledged(batches, rows);
        match outcome {
            Ok(()) => release_at_the_end(&keeper, self.clock()).await,
            Err(error) => {
                session.release_after_failure(self.clock()).await;
                Err(error)
            }
        }
    }

    /// Tick after tick, until stopping is asked for.
    async fn serve(&self, session: &mut Session<C>, total: &mut RunReport) -> Result<(), Error> {
        let mut due = self.clock().monotonic();
        loop {
            let report = self.turn.take(session, LeaseAfter::Keep).await?;
            total.ticked();
            if self.turn.stop.is_requested() {
                return Ok(());
            }
            if report.ending() == Ending::More {
                continue;
            }
            // Ticks that were overrun coalesce into one.
            let now = self.clock().monotonic();
            due = (due + self.jittered_interval()).max(now + SHORTEST_IDLE);
            if self.turn.stop.at_once(self.clock().sleep(due.saturating_sub(now))).await.is_none() {
                return Ok(());
            }
        }
    }

    /// How long to wait after an error, if waiting can mend it.
    fn passing(&self, error: Error) -> Result<Duration, Error> {
        let lost = error.kind() == ErrorKind::LostLease;
        let ours = matches!(error.kind(), ErrorKind::Handler | ErrorKind::Serialization);
        // What has no known outcome, a commit or an acquisition, is found out by the next.
        if ours || !(lost || error.retry_status() != RetryStatus::Permanent) {
            return if error.kind() == ErrorKind::Cancelled && self.turn.stop.is_requested() {
                tracing::warn!(poller = self.turn.core.name, %error, "stopped");
                Ok(Duration::ZERO)
            } else {
                Err(error)
            };
        }
        let cause = crate::error::Chain(&error).to_string();
        tracing::warn!(poller = self.turn.core.name, error = cause, "the next tick tries again");
        // A lost lease is competed for at once: whoever has it now says for how long.
        Ok(if lost { SHORTEST_STANDBY } else { self.jittered_interval().max(SHORTEST_STANDBY) })
    }

    /// Until the lease may be free: at most one interval, for it can be released early.
    fn standby(&self, by: &HeldBy) -> Duration {
        let until_free = (by.free_at - self.clock().wall()).to_std().unwrap_or_default();
        until_free.min(self.jittered_interval()).max(SHORTEST_STANDBY)
    }

    /// The interval less up to a tenth, so that copies started together drift apart.
    fn jittered_interval(&self) -> Duration {
        self.interval.mul_f64(1.0 - fastrand::f64() / 10.0)
    }

    fn clock(&self) -> &dyn Clock {
        &*self.turn.core.settings.clock
    }
}

/// Between two looks at a source that had nothing, however short the interval.
const SHORTEST_IDLE: Duration = Duration::from_millis(1);

/// Between two looks at a lease that should be free by our clock and isn't.
const SHORTEST_STANDBY: Duration = Duration::from_millis(100);
