//! A clock to turn by hand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::clock::Clock;

/// A clock that stands still until it is moved; its clones are the same clock.
///
/// Both faces are moved together ([`advance`](Self::advance)) or each for itself: the wall clock alone
/// ([`set_wall`](Self::set_wall), [`skew`](Self::skew)), as when NTP corrects it or the machine was suspended. Sleeps
/// count monotonic time and complete once it has been moved that far.
///
/// It knows nothing of tokio's clock: pausing or advancing that moves this one not at all, and sleeping on this one
/// does not let paused tokio time run on. A test that pauses tokio's time and wants both uses
/// [`SystemClock`](crate::clock::SystemClock), whose monotonic face and sleeps are tokio's.
///
/// ```
/// use highwater::{clock::Clock, testing::ManualClock};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let clock = ManualClock::new();
/// let nap = tokio::spawn(clock.sleep(Duration::from_secs(60)));
/// clock.advance(Duration::from_secs(60));
/// nap.await.unwrap();
/// # });
/// ```
#[derive(Clone)]
pub struct ManualClock {
    wall: Arc<Mutex<DateTime<Utc>>>,
    monotonic: watch::Sender<Duration>,
}

impl ManualClock {
    /// A clock that shows midnight, UTC, of 1 January 2026.
    ///
    /// # Panics
    ///
    /// Never: the instant exists.
    #[must_use]
    pub fn new() -> Self {
        Self::at(DateTime::from_timestamp(1_767_225_600, 0).expect("an instant of this century"))
    }

    /// A clock whose wall shows this.
    #[must_use]
    pub fn at(wall: DateTime<Utc>) -> Self {
        Self { wall: Arc::new(Mutex::new(wall)), monotonic: watch::Sender::new(Duration::ZERO) }
    }

    /// Lets time pass on both faces, and wakes those whose sleep is over.
    pub fn advance(&self, duration: Duration) {
        self.skew(TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX));
        self.monotonic.send_modify(|monotonic| *monotonic += duration);
    }

    /// Lets time pass on the wall only, as for a machine that is suspended; wakes nobody.
    pub fn suspend(&self, duration: Duration) {
        self.skew(TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX));
    }

    /// Moves the wall clock, forward or back; wakes nobody.
    pub fn skew(&self, by: TimeDelta) {
        let mut wall = self.wall.lock().unwrap_or_else(PoisonError::into_inner);
        *wall = wall.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC);
    }

    /// Sets the wall clock; wakes nobody.
    pub fn set_wall(&self, wall: DateTime<Utc>) {
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner) = wall;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("wall", &self.wall()).field("monotonic", &self.monotonic()).finish()
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> DateTime<Utc> {
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn monotonic(&self) -> Duration {
        *self.monotonic.borrow()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut monotonic = self.monotonic.subscribe();
        // The clock's own sender, so that a sleep outlives every handle that could still end it.
        let keep = self.monotonic.clone();
        let until = *monotonic.borrow() + duration;
        Box::pin(async move {
            let _ = monotonic.wait_for(|now| *now >= until).await;
            drop(keep);
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_faces_move_apart_and_only_the_monotonic_one_ends_sleeps() {
        let clock = ManualClock::new();
        let begun = clock.wall();
        let mut nap = clock.sleep(2 * SECOND);
        clock.suspend(10 * SECOND);
        assert!((&mut nap).now_or_never().is_none(), "a suspended machine's timers stand still");
        clock.advance(SECOND);
        clock.skew(TimeDelta::seconds(-30));
        assert!((&mut nap).now_or_never().is_none());
        clock.clone().advance(SECOND);
        assert!((&mut nap).now_or_never().is_some());
        assert_eq!(clock.monotonic(), 2 * SECOND);
        assert_eq!(clock.wall() - begun, TimeDelta::seconds(-18));
    }
}
