//! Handlers that block, on a thread of their own.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Batch, Handler, HandlerError, IntoHandler, Invocation, Outcome, PollContext, RawBatch};
use crate::value::FromRow;

/// Runs a function that blocks on tokio's pool for blocking code, so that heartbeats go on meanwhile.
///
/// It takes a `Batch<T>` and a `&PollContext`.
///
/// # What cancelling can't do
///
/// A thread can't be stopped from outside. When the lease is lost or the grace of a shutdown has passed, the
/// poller stops waiting, but the function runs on, and its effects can land after another owner took over. A
/// tokio runtime that is dropped waits for it without end, unless it is shut down by `shutdown_timeout`.
/// Long loops should look at [`PollContext::cancellation`] between steps, and destinations should check
/// [`PollContext::fencing_token`].
///
/// ```
/// use highwater::{Batch, PollContext, blocking};
///
/// let handler = blocking(|orders: Batch, ctx: &PollContext| {
///     for order in &orders {
///         if ctx.cancellation().is_cancelled() {
///             return Err("cancelled".into());
///         }
///         println!("{:?}", order.get("id"));
///     }
///     Ok(())
/// });
/// # fn handler_of<M>(_: impl highwater::IntoHandler<M>) {}
/// # handler_of(handler);
/// ```
pub fn blocking<F, T, R>(function: F) -> Blocking<F, T>
where
    F: Fn(Batch<T>, &PollContext) -> R + Send + Sync + 'static,
    T: FromRow + Send + 'static,
    R: Outcome + Send + 'static,
{
    Blocking { function, row: PhantomData }
}

/// A blocking function, on its way to become a handler; made by [`blocking`].
pub struct Blocking<F, T> {
    function: F,
    row: PhantomData<fn(T)>,
}

impl<F, T> fmt::Debug for Blocking<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

/// A handler that runs a blocking function on a thread of tokio's pool for such.
pub struct BlockingHandler<F, T> {
    function: Arc<F>,
    row: PhantomData<fn(T)>,
}

impl<F, T> fmt::Debug for BlockingHandler<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingHandler")
    }
}

impl<F, T, R> IntoHandler<fn(Blocking<F, T>) -> R> for Blocking<F, T>
where
    F: Fn(Batch<T>, &PollContext) -> R + Send + Sync + 'static,
    T: FromRow + Send + 'static,
    R: Outcome + Send + 'static,
    R::Out: Send,
{
    type Handler = BlockingHandler<F, T>;

    fn into_handler(self) -> Self::Handler {
        BlockingHandler { function: Arc::new(self.function), row: PhantomData }
    }
}

impl<F, T, R> Handler for BlockingHandler<F, T>
where
    F: Fn(Batch<T>, &PollContext) -> R + Send + Sync + 'static,
    T: FromRow + Send + 'static,
    R: Outcome + Send + 'static,
{
    type Out = R::Out;

    async fn handle(&self, batch: RawBatch, invocation: Invocation<'_>) -> Result<R::Out, HandlerError> {
        let function = Arc::clone(&self.function);
        let context = invocation.context().clone();
        let at_work = context.threads().enter();
        let work = tokio::task::spawn_blocking(move || {
            let _at_work = at_work;
            // It may have waited long for a thread.
            if context.cancellation().is_cancelled() {
                return Err("it was given up before it began".into());
            }
            let batch = batch.decode().map_err(HandlerError::decode)?;
            Ok(function(batch, &context))
        });
        match work.await {
            Ok(outcome) => outcome.and_then(Outcome::into_result),
            Err(_) => Err(HandlerError::panicked()),
        }
    }
}
