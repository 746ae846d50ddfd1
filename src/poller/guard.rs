//! What runs beside the work: the lease's heartbeat and deadline, and the signal to stop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::checkpoint::{CheckpointStore, LeaseKeeper};
use crate::clock::Clock;
use crate::error::Error;

/// Polls `work` while the lease lives, its heartbeat beside it.
///
/// The deadline is looked at first, at every poll: a process that was stopped past it drops the work as its
/// first act. The heartbeat is part of this future, so a dropped tick lets its lease expire.
pub(crate) async fn while_held<C, T>(
    keeper: &LeaseKeeper<C>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error>
where
    C: CheckpointStore,
{
    // On the heap: these are large, and a future that holds them is moved before it is polled.
    let mut keep = Box::pin(keeper.keep());
    let mut expired = pin!(keeper.expired());
    let mut work = Box::pin(work);
    poll_fn(|cx| {
        let lost = match keeper.check() {
            Ok(()) => expired.as_mut().poll(cx),
            Err(lost) => Poll::Ready(lost),
        };
        let lost = if lost.is_pending() { keep.as_mut().poll(cx) } else { lost };
        match lost {
            // Our own release has landed, and the work that sent it is about to learn that.
            Poll::Ready(lost) if !keeper.is_released() => Poll::Ready(Err(keeper.given_up(lost))),
            _ => work.as_mut().poll(cx),
        }
    })
    .await
}

/// The signal to stop, and how long a delivery may go on after it.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    signal: CancellationToken,
    grace: Duration,
    clock: Arc<dyn Clock>,
}

impl Stop {
    pub(crate) fn new(grace: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { signal: CancellationToken::new(), grace, clock }
    }

    pub(crate) fn request(&self) {
        self.signal.cancel();
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// `work`, or `None` as soon as stopping is asked for.
    pub(crate) async fn at_once<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.signal.cancelled() => None,
            done = work => Some(done),
        }
    }

    /// `work`, or `None` when it is still not done a grace after stopping was asked for.
    pub(crate) async fn after_grace<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let given_up = async {
            self.signal.cancelled().await;
            self.clock.sleep(self.grace).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = given_up => None,
        }
    }

    /// Runs `body` to its end, and asks it to stop when `shutdown` completes.
    pub(crate) async fn when<T>(&self, shutdown: impl Future<Output = ()>, body: impl Future<Output = T>) -> T {
        let mut body = pin!(body);
        tokio::select! {
            biased;
            () = shutdown => self.request(),
            done = &mut body => return done,
        }
        body.await
    }
}
