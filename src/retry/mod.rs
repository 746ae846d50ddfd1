//! Trying again: how often, how long to wait, and which errors are worth it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, RetryStatus};

/// How often to try again, and how long to wait in between.
///
/// The waits grow by `factor` from `initial_delay` up to `cap`; jitter adds up to as much again, so that
/// many copies of a program don't come back at the same instant.
///
/// ```
/// use highwater::RetryPolicy;
/// use std::time::Duration;
///
/// let policy = RetryPolicy::new().max_retries(3).initial_delay(Duration::from_millis(100)).without_jitter();
/// let delays: Vec<u64> = policy.delays().map(|delay| u64::try_from(delay.as_millis()).unwrap()).collect();
/// assert_eq!(delays, [100, 200, 400]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    max_retries: usize,
    initial_delay: Duration,
    factor: f32,
    cap: Duration,
    jitter: bool,
}

impl RetryPolicy {
    /// Five retries from 200 ms, doubling, 10 s at most, with jitter: about 6 to 12 s in all.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_retries: 5,
            initial_delay: Duration::from_millis(200),
            factor: 2.0,
            cap: Duration::from_secs(10),
            jitter: true,
        }
    }

    /// No retry: the first error is the last.
    #[must_use]
    pub fn never() -> Self {
        Self::new().max_retries(0)
    }

    /// How often to try again after the first attempt.
    #[must_use]
    pub fn max_retries(mut self, retries: usize) -> Self {
        self.max_retries = retries;
        self
    }

    /// The wait before the first retry.
    #[must_use]
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = delay;
        self
    }

    /// By how much each wait is longer than the one before; at least 1.
    #[must_use]
    pub fn factor(mut self, factor: f32) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// The longest wait, before jitter.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Waits exactly as long as computed.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// The waits, one for each retry.
    pub fn delays(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let builder = ExponentialBuilder::new()
            .with_max_times(self.max_retries)
            .with_min_delay(self.initial_delay.min(self.cap))
            .with_factor(self.factor)
            .with_max_delay(self.cap);
        if self.jitter { builder.with_jitter() } else { builder }.build()
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs an operation until it succeeds, fails for good, or the policy is spent.
///
/// Only an error that says [`RetryStatus::Transient`] is tried again.
#[derive(Clone)]
pub struct Retry {
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
}

impl Retry {
    /// A runner on the machine's clock.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, clock: Arc::new(SystemClock::new()) }
    }

    /// Waits by another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Runs `operation`, again after each transient error; it is given the number of the attempt, from 1.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use highwater::{Error, ErrorKind, Retry, RetryPolicy, RetryStatus};
    /// use std::time::Duration;
    ///
    /// let retry = Retry::new(RetryPolicy::new().initial_delay(Duration::from_millis(1)));
    /// let attempts = retry.run(async |attempt| match attempt {
    ///     3 => Ok(attempt),
    ///     _ => Err(Error::new(ErrorKind::Connection, "not yet").with_retry_status(RetryStatus::Transient)),
    /// });
    /// assert_eq!(attempts.await?, 3);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The last one.
    ///
    /// # Cancel safety
    ///
    /// As safe as the operation: dropping the future drops the attempt or the wait that is under way.
    pub async fn run<T, F>(&self, mut operation: impl FnMut(u32) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut delays = self.policy.delays();
        let mut attempt = 1;
        loop {
            let error = match operation(attempt).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let delay = if error.retry_status() == RetryStatus::Transient { delays.next() } else { None };
            let Some(delay) = delay else { return Err(error) };
            tracing::debug!(attempt, ?delay, %error, "trying again");
            self.clock.sleep(delay).await;
            attempt += 1;
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    async fn attempts(policy: RetryPolicy, status: RetryStatus) -> u32 {
        let mut calls = 0;
        let outcome = Retry::new(policy)
            .run(|attempt| {
                calls = attempt;
                std::future::ready(Err::<(), _>(Error::new(ErrorKind::Fetch, "down").with_retry_status(status)))
            })
            .await;
        assert!(outcome.is_err());
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_errors_are_tried_again() {
        let policy = RetryPolicy::new().max_retries(3);
        assert_eq!(attempts(policy.clone(), RetryStatus::Transient).await, 4);
        assert_eq!(attempts(policy.clone(), RetryStatus::Permanent).await, 1);
        assert_eq!(attempts(policy, RetryStatus::Unknown).await, 1);
        assert_eq!(attempts(RetryPolicy::never(), RetryStatus::Transient).await, 1);
    }

    #[test]
    fn no_wait_is_longer_than_the_cap() {
        let minute = Duration::from_secs(60);
        let policy = RetryPolicy::new().max_retries(2).initial_delay(minute).without_jitter();
        assert!(policy.delays().all(|delay| delay == Duration::from_secs(10)), "the default cap");
        let delays: Vec<Duration> = policy.cap(minute).factor(f32::INFINITY).delays().collect();
        assert_eq!(delays, [minute; 2]);
    }

    #[test]
    fn jitter_adds_at_most_as_much_again() {
        for (plain, jittered) in RetryPolicy::new().without_jitter().delays().zip(RetryPolicy::new().delays()) {
            assert!(jittered >= plain && jittered <= plain * 2, "{plain:?} {jittered:?}");
        }
    }
}
