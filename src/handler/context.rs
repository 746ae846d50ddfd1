//! What a handler may know of the call it is in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::position::Position;

/// What a handler may know of the call it is in. Cloning it is cheap.
#[derive(Clone)]
pub struct PollContext(Arc<ContextParts>);

#[derive(Clone)]
pub(crate) struct ContextParts {
    pub(crate) poller: Box<str>,
    pub(crate) source: Box<str>,
    pub(crate) invocation_id: Box<str>,
    pub(crate) batch_id: Box<str>,
    pub(crate) lease_owner: Box<str>,
    pub(crate) fencing_token: u64,
    pub(crate) checkpoint: Option<Position>,
    pub(crate) candidate: Option<Position>,
    pub(crate) tick_started: DateTime<Utc>,
    pub(crate) attempt: u32,
    pub(crate) cancellation: CancellationToken,
    pub(crate) threads: Threads,
}

/// The threads on which blocking handlers run: one that was given up may still be at work.
#[derive(Clone, Default)]
pub(crate) struct Threads(Arc<AtomicUsize>);

impl Threads {
    /// Counts a thread until the returned value is dropped.
    pub(crate) fn enter(&self) -> AtWork {
        self.0.fetch_add(1, Ordering::AcqRel);
        AtWork(Arc::clone(&self.0))
    }

    pub(crate) fn are_at_work(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// One thread at work.
pub(crate) struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PollContext {
    pub(crate) fn new(parts: ContextParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The context of one call with the batch, cancelled with this one or before it.
    pub(crate) fn for_attempt(&self, attempt: u32) -> Self {
        let cancellation = self.0.cancellation.child_token();
        Self(Arc::new(ContextParts { attempt, cancellation, ..(*self.0).clone() }))
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.0.threads
    }

    /// The poller's name.
    #[must_use]
    pub fn poller(&self) -> &str {
        &self.0.poller
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The id of the tick that made this call.
    #[must_use]
    pub fn invocation_id(&self) -> &str {
        &self.0.invocation_id
    }

    /// The id of the batch; a redelivery after a crash has another one.
    #[must_use]
    pub fn batch_id(&self) -> &str {
        &self.0.batch_id
    }

    /// The id under which this process holds the lease.
    #[must_use]
    pub fn lease_owner(&self) -> &str {
        &self.0.lease_owner
    }

    /// The fencing token: a number that rises with every acquisition of the lease.
    ///
    /// A destination that keeps the highest token it has seen, and refuses writes with a lower one, is
    /// safe from an owner that was paused past its lease.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.fencing_token
    }

    /// The position after which this batch begins; `None` at the beginning of the source.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Position> {
        self.0.checkpoint.as_ref()
    }

    /// The position that becomes the checkpoint when this batch is acknowledged; `None` for an empty batch.
    #[must_use]
    pub fn candidate(&self) -> Option<&Position> {
        self.0.candidate.as_ref()
    }

    /// When the tick began.
    #[must_use]
    pub fn tick_started(&self) -> DateTime<Utc> {
        self.0.tick_started
    }

    /// 1 for the first call with this batch, 2 for its first retry.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Cancelled when this call is over or is being given up: the lease was lost, or the grace of a
    /// shutdown has passed. Pass it to work that the handler's future does not itself hold.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.0.cancellation
    }
}

impl fmt::Debug for PollContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollContext")
            .field("poller", &self.0.poller)
            .field("invocation_id", &self.0.invocation_id)
            .field("batch_id", &self.0.batch_id)
            .field("fencing_token", &self.0.fencing_token)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}
