//! How long a lease lives, and everything that is counted from that.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// How long a lease lives, how often it is renewed, and how long others wait beyond its end.
///
/// Whatever isn't set follows from the TTL. The [module's page](crate::checkpoint) has a picture.
///
/// ```
/// use highwater::checkpoint::LeaseSettings;
/// use std::time::Duration;
///
/// let settings = LeaseSettings::default().ttl(Duration::from_secs(30));
/// assert_eq!(settings.heartbeat_interval(), Duration::from_secs(10));
/// assert_eq!(settings.takeover_margin(), Duration::from_secs(3));
/// settings.validate()?;
/// assert!(LeaseSettings::default().ttl(Duration::from_millis(500)).validate().is_err());
/// # Ok::<(), highwater::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    ttl: Duration,
    heartbeat: Option<Duration>,
    margin: Option<Duration>,
    store_timeout: Option<Duration>,
}

impl LeaseSettings {
    /// 120 s: long enough that a store may be away for a minute without costing the lease, short enough that a
    /// crashed owner is replaced while somebody still remembers why it crashed.
    pub const DEFAULT_TTL: Duration = Duration::from_mins(2);
    /// 3 s: a heartbeat every second, each with half a second for the store. Below, one slow write loses the lease.
    pub const MIN_TTL: Duration = Duration::from_secs(3);
    /// 1 day: a crashed owner blocks its poller for as long as the TTL.
    pub const MAX_TTL: Duration = Duration::from_hours(24);
    /// 2 s, the least margin by default: clocks that follow NTP are well within a second of each other.
    const LEAST_MARGIN: Duration = Duration::from_secs(2);
    /// 10 s, the most a store is waited for by default: no healthy one needs it.
    const MOST_STORE_TIMEOUT: Duration = Duration::from_secs(10);

    /// How long a lease lives after a write that renewed it. Default 120 s, at least 3 s, at most a day.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long after the last acknowledged write the lease is renewed. Default a third of the TTL, so that one
    /// heartbeat may fail without costing the lease; at most half of the [`tenure`](Self::tenure).
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// How long past its expiry a lease is still left alone: the skew between two machines' clocks that
    /// costs nobody a lease. Default a tenth of the TTL, at least 2 s.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// How long one call of the store may take before its outcome counts as unknown. Default a sixth of the TTL, at
    /// most 10 s: several calls must fit between a heartbeat and the deadline.
    #[must_use]
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = Some(timeout);
        self
    }

    /// The TTL.
    #[must_use]
    pub fn lease_ttl(&self) -> Duration {
        self.ttl
    }

    /// The time between heartbeats.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        self.heartbeat.unwrap_or(self.ttl / 3)
    }

    /// The time beyond the expiry.
    #[must_use]
    pub fn takeover_margin(&self) -> Duration {
        self.margin.unwrap_or_else(|| margin_of(self.ttl))
    }

    /// The bound on one call of the store.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        self.store_timeout.unwrap_or_else(|| (self.ttl / 6).min(Self::MOST_STORE_TIMEOUT))
    }

    /// How long an owner counts itself as such after a write: nineteen twentieths of the TTL, so that its handler
    /// has been cancelled when the lease expires in the document.
    #[must_use]
    pub fn tenure(&self) -> Duration {
        self.ttl.saturating_sub(self.ttl / 20)
    }

    /// Checks that the numbers go together.
    ///
    /// # Errors
    ///
    /// `Configuration`, with the number to change.
    pub fn validate(&self) -> Result<(), Error> {
        let (ttl, heartbeat, timeout) = (self.ttl, self.heartbeat_interval(), self.call_timeout());
        let wrong = if ttl < Self::MIN_TTL {
            format!("the lease TTL of {ttl:?} is too short for its heartbeats; give at least 3s")
        } else if ttl > Self::MAX_TTL {
            format!("the lease TTL of {ttl:?} would block the poller as long after a crash; give at most a day")
        } else if heartbeat.is_zero() || heartbeat > self.tenure() / 2 {
            format!(
                "a heartbeat every {heartbeat:?} does not suit a lease TTL of {ttl:?}, which one lost heartbeat must \
                 not cost; leave it at a third of the TTL ({:?}), or give a longer TTL",
                ttl / 3
            )
        } else if timeout.is_zero() || timeout > self.tenure().saturating_sub(heartbeat) {
            format!(
                "a store timeout of {timeout:?} does not fit between a heartbeat ({heartbeat:?}) and the end of a \
                 lease of {ttl:?}; give at most {:?}, or a longer TTL",
                self.tenure().saturating_sub(heartbeat)
            )
        } else if self.takeover_margin() > Self::MAX_TTL {
            "the lease margin is longer than a day; give one like 10s".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Configuration, wrong))
    }
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self { ttl: Self::DEFAULT_TTL, heartbeat: None, margin: None, store_timeout: None }
    }
}

/// The margin that goes with a TTL.
pub(crate) fn margin_of(ttl: Duration) -> Duration {
    (ttl / 10).max(LeaseSettings::LEAST_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_follow_from_the_ttl() {
        let settings = LeaseSettings::default();
        assert_eq!(settings.lease_ttl(), 120 * SECOND);
        assert_eq!(settings.heartbeat_interval(), 40 * SECOND);
        assert_eq!(settings.takeover_margin(), 12 * SECOND);
        assert_eq!(settings.call_timeout(), 10 * SECOND);
        assert_eq!(settings.tenure(), 114 * SECOND);
        for ttl in [3, 4, 10, 60, 120, 86_400] {
            LeaseSettings::default().ttl(ttl * SECOND).validate().unwrap();
        }
        assert_eq!(LeaseSettings::default().ttl(3 * SECOND).takeover_margin(), 2 * SECOND);
    }

    #[test]
    fn numbers_that_do_not_go_together_are_refused_with_the_mend() {
        let base = LeaseSettings::default();
        for (settings, mend) in [
            (base.clone().ttl(2 * SECOND), "at least 3s"),
            (base.clone().ttl(86_401 * SECOND), "at most a day"),
            (base.clone().heartbeat(60 * SECOND), "a third of the TTL (40s)"),
            (base.clone().heartbeat(Duration::ZERO), "a third of the TTL (40s)"),
            (base.clone().store_timeout(75 * SECOND), "at most 74s"),
            (base.clone().store_timeout(Duration::ZERO), "at most 74s"),
            (base.clone().margin(90_000 * SECOND), "one like 10s"),
        ] {
            let error = settings.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.message().contains(mend), "{error}");
        }
    }
}
