//! Deliveries: one batch, from rows to acknowledged.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::checkpoint::{CheckpointStore, Commit, HeldLease};
use crate::clock::Clock;
use crate::error::Error;
use crate::handler::{Handler, HandlerError, Invocation, PollContext, RawBatch};
use crate::poller::settings::{OnPoison, Settings};
use crate::poller::step::LeaseAfter;

/// How a batch gets from rows to acknowledged: the poller's third slot.
///
/// [`AtLeastOnce`] calls the handler and then writes the checkpoint.
pub trait Delivery<C: CheckpointStore>: Send + Sync {
    /// Hands the batch over and acknowledges it under the lease, which comes back unless it was released.
    fn deliver(
        &self,
        lease: HeldLease<C>,
        parcel: Parcel<'_>,
    ) -> impl Future<Output = Result<Option<HeldLease<C>>, Error>>;
}

/// One batch with all that its delivery needs to know.
#[derive(Debug)]
pub struct Parcel<'a> {
    pub(crate) batch: RawBatch,
    pub(crate) context: PollContext,
    pub(crate) lease: LeaseAfter,
    pub(crate) settings: &'a Settings,
}

/// Calls the handler, then writes the checkpoint: a crash in between delivers the batch again.
pub struct AtLeastOnce<H> {
    handler: H,
}

impl<H> AtLeastOnce<H> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler }
    }
}

impl<H> fmt::Debug for AtLeastOnce<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtLeastOnce")
    }
}

/// A delivery after which nothing is left over.
pub trait GoesNowhere {}

impl<H: Handler> GoesNowhere for AtLeastOnce<H> where H::Out: Nothing {}

/// The result of a handler whose effects are its own: `()`.
#[diagnostic::on_unimplemented(
    message = "the handler returns `{Self}`, and nothing takes it",
    label = "this handler's result goes nowhere",
    note = "end the handler with `Ok(())`"
)]
pub trait Nothing {}

impl Nothing for () {}

impl<C: CheckpointStore, H: Handler> Delivery<C> for AtLeastOnce<H> {
    async fn deliver(&self, mut lease: HeldLease<C>, parcel: Parcel<'_>) -> Result<Option<HeldLease<C>>, Error> {
        let Parcel { batch, context, lease: after, settings } = parcel;
        let rows = batch.records().len() as u64;
        handle(&self.handler, batch, &context, settings).await?;
        let Some(position) = context.candidate() else { return Ok(Some(lease)) };
        let commit = Commit { position, batch_id: context.batch_id(), row_count: rows };
        match after {
            LeaseAfter::Release => lease.commit_and_release(commit).await.map(|()| None),
            LeaseAfter::Keep => lease.commit(commit).await.map(|()| Some(lease)),
        }
    }
}

/// Calls the handler, again after errors where the settings say so.
async fn handle<H: Handler>(
    handler: &H,
    batch: RawBatch,
    context: &PollContext,
    settings: &Settings,
) -> Result<(), Error> {
    let mut attempt = 1;
    for delay in settings.handler_retry.delays() {
        // The batch is copied only while another attempt may need it.
        let copy = batch.clone().for_attempt(attempt);
        let Err(error) = call(handler, copy, &context.for_attempt(attempt)).await else { return Ok(()) };
        let retriable = error.is_retriable();
        let error = error.into_error();
        if !retriable {
            return give_up(error, settings.on_poison);
        }
        tracing::warn!(attempt, ?delay, %error, "the handler is called again with the same batch");
        settings.clock.sleep(delay).await;
        attempt += 1;
    }
    let last = call(handler, batch.for_attempt(attempt), &context.for_attempt(attempt)).await;
    last.or_else(|error| give_up(error.into_error(), settings.on_poison))
}

/// What becomes of a batch that can't be handled.
fn give_up(error: Error, on_poison: OnPoison) -> Result<(), Error> {
    match on_poison {
        OnPoison::Stop => Err(error),
    }
}

/// Calls the handler once; a panic is an error.
async fn call<H: Handler>(handler: &H, batch: RawBatch, context: &PollContext) -> Result<(), HandlerError> {
    let _over_at_the_end = context.cancellation().clone().drop_guard();
    let invocation = Invocation::new(context);
    match AssertUnwindSafe(async { handler.handle(batch, invocation).await }).catch_unwind().await {
        Ok(outcome) => outcome.map(drop),
        Err(_) => Err(HandlerError::panicked()),
    }
}
