//! A poller's settings, their defaults, and the check that they can work together.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::checkpoint::LeaseSettings;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::poller::step::{EmptyBatches, LeaseAfter, Plan, Prefetch};
use crate::retry::RetryPolicy;

/// What to do with a batch whose handler fails again and again.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPoison {
    /// The error repeats and nothing advances, until somebody mends the row or the handler: the default.
    #[default]
    Stop,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) batch_size: u32,
    pub(crate) max_batches_per_tick: u32,
    pub(crate) lease: LeaseSettings,
    pub(crate) empty: EmptyBatches,
    pub(crate) prefetch: Prefetch,
    pub(crate) fetch_retry: RetryPolicy,
    pub(crate) handler_retry: RetryPolicy,
    pub(crate) on_poison: OnPoison,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self {
            batch_size: 100,
            max_batches_per_tick: 1,
            lease: LeaseSettings::default(),
            empty: EmptyBatches::Skip,
            prefetch: Prefetch::On,
            fetch_retry: RetryPolicy::new(),
            handler_retry: RetryPolicy::never(),
            on_poison: OnPoison::Stop,
            clock: Arc::new(SystemClock::new()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.lease.validate()?;
        let wrong = |sentence| Err(Error::new(ErrorKind::Configuration, sentence).during("start"));
        if self.batch_size == 0 {
            return wrong("batch_size is 0, so no batch could hold a row; give at least 1");
        }
        if self.batch_size > MAX_BATCH_SIZE {
            return wrong("batch_size is over 1,000,000 rows, all held in memory at once; give less");
        }
        if self.max_batches_per_tick == 0 {
            return wrong("max_batches_per_tick is 0, so no tick could do anything; give at least 1");
        }
        Ok(())
    }

    pub(crate) fn limit(&self) -> NonZeroU32 {
        NonZeroU32::new(self.batch_size).unwrap_or(NonZeroU32::MIN)
    }

    pub(crate) fn plan(&self, lease: LeaseAfter) -> Plan {
        Plan { max_batches: self.max_batches_per_tick, lease, empty: self.empty }
    }
}

/// A batch is held in memory whole, twice with prefetch.
const MAX_BATCH_SIZE: u32 = 1_000_000;

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("batch_size", &self.batch_size)
            .field("max_batches_per_tick", &self.max_batches_per_tick)
            .field("lease", &self.lease)
            .field("empty", &self.empty)
            .field("prefetch", &self.prefetch)
            .field("fetch_retry", &self.fetch_retry)
            .field("handler_retry", &self.handler_retry)
            .field("on_poison", &self.on_poison)
            .finish_non_exhaustive()
    }
}
