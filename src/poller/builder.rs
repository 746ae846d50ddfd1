//! The poller's builder: three slots that the compiler watches, and tunables with defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::CheckpointStore;
use crate::clock::Clock;
use crate::handler::IntoHandler;
use crate::poller::core::Core;
use crate::poller::delivery::{AtLeastOnce, GoesNowhere};
use crate::poller::follow::Poller;
use crate::poller::pull::Puller;
use crate::poller::settings::{OnPoison, Settings};
use crate::poller::slots::{Free, HasHandler, HasSource, HasStore, NeedsHandler, NeedsSource, NeedsStore};
use crate::poller::step::{EmptyBatches, Prefetch};
use crate::retry::RetryPolicy;
use crate::source::Source;
use crate::value::FromRow;

/// Gathers a poller's parts; made by [`Poller::builder`].
///
/// Source, checkpoints and handler are required, in any order, once each: the compiler sees to it. The rest
/// has defaults.
#[must_use = "a builder does nothing until `.build()`"]
pub struct PollerBuilder<S = NeedsSource, C = NeedsStore, D = NeedsHandler> {
    name: String,
    source: S,
    store: C,
    delivery: D,
    settings: Settings,
}

impl PollerBuilder {
    fn new(name: String) -> Self {
        Self { name, source: NeedsSource, store: NeedsStore, delivery: NeedsHandler, settings: Settings::new() }
    }
}

impl Poller<(), (), ()> {
    /// Starts a poller; the name is that of its checkpoint.
    ///
    /// A name is made of letters, digits, `.`, `_` and `-`, at most 128, and doesn't begin with a dot.
    pub fn builder(name: impl Into<String>) -> PollerBuilder {
        PollerBuilder::new(name.into())
    }
}

impl<S, C, D> PollerBuilder<S, C, D> {
    /// Where the rows come from.
    pub fn source<T: Source>(self, source: T) -> PollerBuilder<T, C, D>
    where
        S: Free,
    {
        let Self { name, store, delivery, settings, .. } = self;
        PollerBuilder { name, source, store, delivery, settings }
    }

    /// Where checkpoint and lease are kept.
    pub fn checkpoints<T: CheckpointStore>(self, store: T) -> PollerBuilder<S, T, D>
    where
        C: Free,
    {
        let Self { name, source, delivery, settings, .. } = self;
        PollerBuilder { name, source, store, delivery, settings }
    }

    /// What is done with each batch: an async closure or function, or a [`Handler`](crate::Handler).
    ///
    /// Its return lets the checkpoint move; a crash between the two delivers the batch again.
    pub fn handler<H, M>(self, handler: H) -> PollerBuilder<S, C, AtLeastOnce<H::Handler>>
    where
        H: IntoHandler<M>,
        D: Free,
    {
        let Self { name, source, store, settings, .. } = self;
        PollerBuilder { name, source, store, delivery: AtLeastOnce::new(handler.into_handler()), settings }
    }

    /// The most rows in one batch. Default: 100.
    pub fn batch_size(mut self, rows: u32) -> Self {
        self.settings.batch_size = rows;
        self
    }

    /// The most batches in one tick. Default: 1. In [`every`](Poller::every) a tick that leaves rows behind is
    /// followed by the next one at once.
    pub fn max_batches_per_tick(mut self, batches: u32) -> Self {
        self.settings.max_batches_per_tick = batches;
        self
    }

    /// How long the lease lives without a heartbeat. Default: 120 s; at least 3 s. A crashed owner is
    /// replaced after this and the margin; a heartbeat comes every third of it.
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.settings.lease = self.settings.lease.ttl(ttl);
        self
    }

    /// How long others wait beyond the lease's expiry, for clocks that disagree. Default: a tenth of the TTL, at
    /// least 2 s.
    pub fn lease_margin(mut self, margin: Duration) -> Self {
        self.settings.lease = self.settings.lease.margin(margin);
        self
    }

    /// Whether the handler is called when there is nothing. Default: [`EmptyBatches::Skip`].
    pub fn empty_batches(mut self, empty: EmptyBatches) -> Self {
        self.settings.empty = empty;
        self
    }

    /// Whether the next batch is read while one is handled. Default: [`Prefetch::On`].
    pub fn prefetch(mut self, prefetch: Prefetch) -> Self {
        self.settings.prefetch = prefetch;
        self
    }

    /// How fetches that fail for a passing reason are retried. Default: [`RetryPolicy::new`].
    pub fn fetch_retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.fetch_retry = policy;
        self
    }

    /// How a handler that returned an error is called again with the same batch. Default:
    /// [`RetryPolicy::never`]. Panics, and rows that don't fit the handler's type, are not retried.
    pub fn handler_retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.handler_retry = policy;
        self
    }

    /// What to do with a batch that fails again and again. Default: [`OnPoison::Stop`].
    pub fn on_poison(mut self, policy: OnPoison) -> Self {
        self.settings.on_poison = policy;
        self
    }

    /// Takes time from another clock, in tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// The poller. Settings are checked when it starts.
    #[must_use]
    pub fn build(self) -> Poller<S, C, D>
    where
        S: HasSource,
        C: HasStore,
        D: HasHandler<C> + GoesNowhere,
    {
        Poller::new(Core::new(self.name, self.source, self.store, self.settings), self.delivery)
    }

    /// The pull form, for programs that own the loop: batches are asked for and acknowledged one by one.
    #[must_use]
    pub fn pull<T: FromRow>(self) -> Puller<S, C, T>
    where
        S: HasSource,
        C: HasStore + 'static,
        D: Free,
    {
        Puller::new(Core::new(self.name, self.source, self.store, self.settings))
    }
}

impl<S, C, D> fmt::Debug for PollerBuilder<S, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollerBuilder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
