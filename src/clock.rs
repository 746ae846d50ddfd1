//! The only door to time: wall, monotonic, and sleep.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A source of time.
///
/// Leases need both faces: suspension of the machine stops the monotonic clock, and NTP moves the wall
/// clock, so a deadline counts as passed as soon as either of them says so.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day, as other machines understand it.
    fn wall(&self) -> DateTime<Utc>;

    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;

    /// Completes after `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn wall(&self) -> DateTime<Utc> {
        (**self).wall()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        (**self).sleep(duration)
    }
}

/// The machine's clock; its monotonic face and its sleep are tokio's, so that tests can pause them.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// An instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of day.
    pub wall: DateTime<Utc>,
    /// The monotonic time.
    pub monotonic: Duration,
}

impl Moment {
    /// Reads both clocks.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.wall(), monotonic: clock.monotonic() }
    }

    /// The time left until `self + after`: zero as soon as either clock has passed it.
    #[must_use]
    pub fn remaining(&self, after: Duration, now: Moment) -> Duration {
        let monotonic = (self.monotonic + after).saturating_sub(now.monotonic);
        let passed = (now.wall - self.wall).to_std().unwrap_or(Duration::ZERO);
        monotonic.min(after.saturating_sub(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_seconds: i64, monotonic_seconds: u64) -> Moment {
        Moment {
            wall: DateTime::from_timestamp(wall_seconds, 0).unwrap(),
            monotonic: Duration::from_secs(monotonic_seconds),
        }
    }

    #[test]
    fn a_deadline_passes_with_whichever_clock_is_first() {
        let sent = at(1000, 10);
        let ttl = Duration::from_secs(60);
        assert_eq!(sent.remaining(ttl, at(1020, 30)), Duration::from_secs(40));
        assert_eq!(sent.remaining(ttl, at(1070, 11)), Duration::ZERO, "suspended: only the wall moved");
        assert_eq!(sent.remaining(ttl, at(500, 75)), Duration::ZERO, "the wall was set back");
    }
}
