//! A tick under a lease: the one loop that reads, delivers and acknowledges.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::checkpoint::{CheckpointStore, HeldLease, LeaseKeeper};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::handler::{ContextParts, PollContext, RawBatch, Threads};
use crate::poller::core::{Core, Reading, new_id};
use crate::poller::delivery::{Delivery, Parcel};
use crate::poller::guard::Stop;
use crate::poller::report::TickReport;
use crate::poller::step::{Action, Ending, Event, LeaseAfter, Prefetch, Step};
use crate::source::Source;
use crate::telemetry;

/// The lease that this process holds, and the batch that was read ahead under it.
pub(crate) struct Session<C> {
    /// `None` while a delivery has it, and after it was released.
    lease: Option<HeldLease<C>>,
    keeper: LeaseKeeper<C>,
    ahead: Option<Reading>,
    /// The batches that were acknowledged under it, and their rows.
    pub(crate) acknowledged: (u64, u64),
    threads: Threads,
}

impl<C: CheckpointStore> Session<C> {
    pub(crate) fn new(lease: HeldLease<C>) -> Self {
        Self {
            keeper: lease.keeper(),
            lease: Some(lease),
            ahead: None,
            acknowledged: (0, 0),
            threads: Threads::default(),
        }
    }

    pub(crate) fn keeper(&self) -> &LeaseKeeper<C> {
        &self.keeper
    }

    pub(crate) fn lease(&self) -> Result<&HeldLease<C>, Error> {
        self.lease.as_ref().ok_or_else(gone)
    }

    pub(crate) fn lease_mut(&mut self) -> Result<&mut HeldLease<C>, Error> {
        self.lease.as_mut().ok_or_else(gone)
    }

    /// What was read ahead, or a fetch with retries.
    pub(crate) async fn next_fetch<S: Source>(&mut self, core: &Core<S, C>) -> Result<Reading, Error> {
        match self.ahead.take() {
            Some(ahead) => Ok(ahead),
            None => core.fetch(self.lease()?.checkpoint()).await,
        }
    }

    /// Gives the lease back, in a write of its own.
    pub(crate) async fn release(&mut self) -> Result<(), Error> {
        match self.lease.take() {
            Some(lease) => Box::pin(lease.release()).await,
            None => Ok(()),
        }
    }

    /// Gives the lease back after something else went wrong; that error is the one to report.
    pub(crate) async fn release_after_failure(&self, clock: &dyn Clock) {
        if self.keeper.check().is_err() {
            return;
        }
        if self.threads.are_at_work() {
            tracing::warn!("a blocking handler that was given up still runs; the lease is left to expire");
            return;
        }
        if let Err(error) = release_at_the_end(&self.keeper, clock).await {
            tracing::warn!(%error, "the lease could not be released; it expires by itself");
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::LostLease, "the lease was released already").during("deliver")
}

/// Gives the lease back at the end of everything, when nothing but that is left to wait for.
pub(crate) async fn release_at_the_end<C: CheckpointStore>(
    keeper: &LeaseKeeper<C>,
    clock: &dyn Clock,
) -> Result<(), Error> {
    tokio::select! {
        biased;
        released = Box::pin(keeper.release()) => released,
        () = clock.sleep(RELEASE_WAIT) => {
            let message = format!("it did not answer within {RELEASE_WAIT:?}, so the lease may be left to expire");
            Err(Error::new(ErrorKind::Checkpoint, message).during("release").with_retry_status(RetryStatus::Transient))
        }
    }
}

/// A lease expires by itself, so its release is worth no more than what the default grace leaves of the half
/// minute that supervisors commonly wait before they kill.
const RELEASE_WAIT: Duration = Duration::from_secs(5);

/// When a tick began, and under which id.
struct Tick {
    started: DateTime<Utc>,
    invocation_id: Box<str>,
}

/// One tick under a lease that is held.
pub(crate) struct Turn<'a, S, C, D> {
    pub(crate) core: &'a Core<S, C>,
    pub(crate) delivery: &'a D,
    pub(crate) stop: &'a Stop,
}

impl<S: Source, C: CheckpointStore, D: Delivery<C>> Turn<'_, S, C, D> {
    /// Reads, delivers and acknowledges until the tick is over.
    pub(crate) async fn take(&self, session: &mut Session<C>, lease: LeaseAfter) -> Result<TickReport, Error> {
        let tick = Tick { started: self.core.settings.clock.wall(), invocation_id: new_id() };
        let span = tracing::info_span!(
            telemetry::TICK,
            poller = self.core.name,
            source = self.core.source.name(),
            invocation_id = &*tick.invocation_id,
        );
        self.steps(session, lease, &tick).instrument(span).await
    }

    async fn steps(&self, session: &mut Session<C>, lease: LeaseAfter, tick: &Tick) -> Result<TickReport, Error> {
        let mut step = Step::new(self.core.settings.plan(lease));
        let mut report = TickReport::new();
        let mut reading = Reading::nothing(tick.started);
        let mut action = step.on(Event::Held);
        loop {
            action = match action {
                Action::Fetch => {
                    let Some(fetched) = self.stop.at_once(Box::pin(session.next_fetch(self.core))).await else {
                        return Ok(report.ended(Ending::More));
                    };
                    reading = fetched?;
                    let fetch = &reading.fetch;
                    report.fetched(fetch);
                    step.on(Event::Fetched { rows: fetch.records().len(), remaining: fetch.remaining() })
                }
                Action::Deliver { lease, prefetch } => {
                    let rows = reading.fetch.records().len();
                    let batch = std::mem::replace(&mut reading, Reading::nothing(tick.started));
                    self.deliver(session, tick, batch, (lease, prefetch)).await?;
                    tracing::debug!(name: telemetry::ACKNOWLEDGED, rows);
                    report.acknowledged(rows);
                    session.acknowledged.0 += 1;
                    session.acknowledged.1 += rows as u64;
                    step.on(Event::Acknowledged)
                }
                Action::DeliverEmpty => {
                    let nothing = (LeaseAfter::Keep, Prefetch::Off);
                    let batch = std::mem::replace(&mut reading, Reading::nothing(tick.started));
                    self.deliver(session, tick, batch, nothing).await?;
                    step.empty_delivered()
                }
                Action::Release(ending) => {
                    session.release().await?;
                    return Ok(report.ended(ending));
                }
                Action::End(ending) => return Ok(report.ended(ending)),
            };
        }
    }

    /// Hands one batch over, and reads the next beside it.
    async fn deliver(
        &self,
        session: &mut Session<C>,
        tick: &Tick,
        reading: Reading,
        (after, prefetch): (LeaseAfter, Prefetch),
    ) -> Result<(), Error> {
        let lease = session.lease.take().ok_or_else(gone)?;
        let cancellation = CancellationToken::new();
        let _cancelled_at_the_end = cancellation.clone().drop_guard();
        let (batch, context) = self.parcel((&lease, &session.threads), tick, reading, cancellation);
        let span = tracing::debug_span!(
            telemetry::BATCH,
            batch_id = context.batch_id(),
            rows = batch.records().len(),
            fencing_token = context.fencing_token(),
        );
        let candidate = context.candidate().cloned();
        let parcel = Parcel { batch, context, lease: after, settings: &self.core.settings };
        let ahead = async {
            let wanted = prefetch == Prefetch::On && self.core.settings.prefetch == Prefetch::On;
            match &candidate {
                // An error comes again, and is reported, when the batch is asked for in its turn.
                Some(position) if wanted => {
                    let fetch = self.stop.at_once(self.core.fetch_once(Some(position)));
                    Ok(fetch.await.and_then(Result::ok))
                }
                _ => Ok(None),
            }
        };
        let both = Box::pin(async { tokio::try_join!(self.delivery.deliver(lease, parcel).instrument(span), ahead) });
        let Some(delivered) = self.stop.after_grace(both).await else {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "the handler was still running when the grace of the shutdown had passed; its batch comes again",
            )
            .during("handle"));
        };
        (session.lease, session.ahead) = delivered?;
        Ok(())
    }

    fn parcel(
        &self,
        (lease, threads): (&HeldLease<C>, &Threads),
        tick: &Tick,
        reading: Reading,
        cancellation: CancellationToken,
    ) -> (RawBatch, PollContext) {
        let batch_id = new_id();
        let context = ContextParts {
            poller: self.core.name.as_str().into(),
            source: self.core.source.name().into(),
            invocation_id: tick.invocation_id.clone(),
            batch_id: batch_id.clone(),
            lease_owner: lease.owner_id().into(),
            fencing_token: lease.fencing_token(),
            checkpoint: lease.checkpoint().cloned(),
            candidate: reading.fetch.records().last().map(|record| record.position.clone()),
            tick_started: tick.started,
            attempt: 1,
            cancellation,
            threads: threads.clone(),
        };
        (self.core.batch(lease, reading, batch_id), PollContext::new(context))
    }
}
