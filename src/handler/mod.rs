//! Handlers: what a program does with a batch.
//!
//! Any async closure or function that takes a [`Batch`], and perhaps a [`PollContext`] by reference, is a
//! handler:
//!
//! ```
//! use highwater::{Batch, HandlerError, PollContext};
//!
//! let capturing = String::from("eu");
//! let closure = async move |orders: Batch, ctx: &PollContext| {
//!     println!("{capturing}: {} rows, token {}", orders.len(), ctx.fencing_token());
//!     Ok(())
//! };
//!
//! async fn function(orders: Batch) -> Result<(), HandlerError> {
//!     for order in &orders {
//!         println!("{:?}", order.get("id"));
//!     }
//!     Ok(())
//! }
//! # fn handler<M>(_: impl highwater::IntoHandler<M>) {}
//! # handler(closure);
//! # handler(function);
//! ```
//!
//! Its error type is [`HandlerError`], into which `?` turns any error. Code that blocks goes through
//! [`blocking`].

mod batch;
mod blocking;
mod context;
mod into;

use std::fmt;
use std::future::Future;

pub use batch::{Batch, RawBatch};
pub use blocking::{Blocking, BlockingHandler, blocking};
pub use context::PollContext;
pub(crate) use context::{ContextParts, Threads};
pub use into::{FnHandler, IntoHandler};

use crate::error::{Error, ErrorKind};
use crate::value::DecodeError;

/// Takes a batch, and answers when it is done with it.
///
/// Closures and functions become handlers by [`IntoHandler`]; implement this trait for a type of your own
/// that is more than one function.
pub trait Handler: Send + Sync {
    /// What it returns; `()` for a handler whose effects are its own.
    type Out;

    /// Handles a batch. Success lets the checkpoint move past it.
    fn handle(
        &self,
        batch: RawBatch,
        invocation: Invocation<'_>,
    ) -> impl Future<Output = Result<Self::Out, HandlerError>>;
}

/// What surrounds one call of a handler.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    context: &'a PollContext,
}

impl<'a> Invocation<'a> {
    pub(crate) fn new(context: &'a PollContext) -> Self {
        Self { context }
    }

    /// The context of the call.
    #[must_use]
    pub fn context(&self) -> &'a PollContext {
        self.context
    }
}

/// What a handler may return: `Result<R, HandlerError>`, or nothing.
#[diagnostic::on_unimplemented(
    message = "a handler returns `Result<_, HandlerError>` or nothing, not `{Self}`",
    label = "this handler returns `{Self}`",
    note = "end it with `Ok(())`; inside, `?` turns any error into a `HandlerError`"
)]
pub trait Outcome {
    /// What is left on success.
    type Out;

    /// Success or failure.
    ///
    /// # Errors
    ///
    /// The handler's.
    fn into_result(self) -> Result<Self::Out, HandlerError>;
}

impl<R> Outcome for Result<R, HandlerError> {
    type Out = R;

    fn into_result(self) -> Result<R, HandlerError> {
        self
    }
}

impl Outcome for () {
    type Out = ();

    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A handler's error: any error, or a sentence.
///
/// Like `anyhow::Error` it is not itself a `std::error::Error`, so that `?` works with every type that is.
///
/// ```
/// use highwater::HandlerError;
///
/// fn parse(text: &str) -> Result<u32, HandlerError> {
///     if text.is_empty() {
///         return Err("nothing to parse".into());
///     }
///     Ok(text.parse()?)
/// }
/// assert!(parse("x").is_err());
/// ```
pub struct HandlerError(Cause);

enum Cause {
    Decode(DecodeError),
    Panic,
    Other(Box<dyn std::error::Error + Send + Sync + 'static>),
}

impl HandlerError {
    pub(crate) fn decode(error: DecodeError) -> Self {
        Self(Cause::Decode(error))
    }

    pub(crate) fn panicked() -> Self {
        Self(Cause::Panic)
    }

    /// Whether another call with the same batch can help: not after a panic, nor with a row that doesn't fit.
    pub(crate) fn is_retriable(&self) -> bool {
        matches!(self.0, Cause::Other(_))
    }

    pub(crate) fn into_error(self) -> Error {
        match self.0 {
            Cause::Decode(error) => {
                let named = Error::new(ErrorKind::Serialization, error.sentence()).during("decode");
                match error.column() {
                    Some(column) => named.with_column(column),
                    None => named,
                }
            }
            Cause::Panic => Error::new(ErrorKind::Handler, "it panicked; the checkpoint stays").during("handle"),
            Cause::Other(cause) => {
                Error::new(ErrorKind::Handler, "it returned an error; the checkpoint stays before this batch")
                    .during("handle")
                    .with_source(cause)
            }
        }
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync + 'static>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Cause::Other(error.into()))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Decode(error) => error.fmt(f),
            Cause::Panic => f.write_str("the handler panicked"),
            Cause::Other(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Decode(error) => error.fmt(f),
            Cause::Panic => f.write_str("Panic"),
            Cause::Other(error) => error.fmt(f),
        }
    }
}
