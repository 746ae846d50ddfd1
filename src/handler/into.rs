//! From functions to handlers.

use std::fmt;
use std::marker::PhantomData;

use super::{Batch, Handler, HandlerError, Invocation, Outcome, PollContext, RawBatch};
use crate::value::FromRow;

/// What [`handler`](crate::PollerBuilder::handler) takes: an async closure or function of a batch, or of a
/// batch and a context, or a type that implements [`Handler`] itself.
///
/// `M` only tells the forms apart; it is inferred and never named.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async closure or function of `Batch<T>`, or of `Batch<T>` and `&PollContext`, that returns `Result<_, HandlerError>` or nothing",
    note = "`T` is `Row`, or a type that implements `serde::Deserialize`",
    note = "code that blocks goes through `highwater::blocking(..)`"
)]
pub trait IntoHandler<M> {
    /// The handler that it becomes.
    type Handler: Handler;

    /// Makes the handler.
    fn into_handler(self) -> Self::Handler;
}

/// An async function as a handler; `A` lists what it takes.
pub struct FnHandler<F, A> {
    function: F,
    arguments: PhantomData<fn(A)>,
}

impl<F, A> FnHandler<F, A> {
    fn new(function: F) -> Self {
        Self { function, arguments: PhantomData }
    }
}

impl<F, A> fmt::Debug for FnHandler<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnHandler")
    }
}

/// Marks the form of a handler that is one already.
#[derive(Debug)]
pub struct Itself;

impl<H: Handler> IntoHandler<Itself> for H {
    type Handler = H;

    fn into_handler(self) -> H {
        self
    }
}

impl<F, T, R> IntoHandler<fn(Batch<T>) -> R> for F
where
    F: AsyncFn(Batch<T>) -> R + Send + Sync,
    T: FromRow,
    R: Outcome,
{
    type Handler = FnHandler<F, (T,)>;

    fn into_handler(self) -> Self::Handler {
        FnHandler::new(self)
    }
}

impl<F, T, R> Handler for FnHandler<F, (T,)>
where
    F: AsyncFn(Batch<T>) -> R + Send + Sync,
    T: FromRow,
    R: Outcome,
{
    type Out = R::Out;

    async fn handle(&self, batch: RawBatch, _: Invocation<'_>) -> Result<R::Out, HandlerError> {
        let batch = batch.decode().map_err(HandlerError::decode)?;
        (self.function)(batch).await.into_result()
    }
}

impl<F, T, R> IntoHandler<fn(Batch<T>, &PollContext) -> R> for F
where
    F: AsyncFn(Batch<T>, &PollContext) -> R + Send + Sync,
    T: FromRow,
    R: Outcome,
{
    type Handler = FnHandler<F, (T, PollContext)>;

    fn into_handler(self) -> Self::Handler {
        FnHandler::new(self)
    }
}

impl<F, T, R> Handler for FnHandler<F, (T, PollContext)>
where
    F: AsyncFn(Batch<T>, &PollContext) -> R + Send + Sync,
    T: FromRow,
    R: Outcome,
{
    type Out = R::Out;

    async fn handle(&self, batch: RawBatch, invocation: Invocation<'_>) -> Result<R::Out, HandlerError> {
        let batch = batch.decode().map_err(HandlerError::decode)?;
        (self.function)(batch, invocation.context()).await.into_result()
    }
}
