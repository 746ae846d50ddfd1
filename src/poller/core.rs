//! What every way of running a poller needs: its name, source, store and settings.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use crate::checkpoint::{Acquired, CheckpointStore, HeldBy, HeldLease, Leases, PollerName};
use crate::clock::Clock;
use crate::error::Error;
use crate::handler::RawBatch;
use crate::poller::settings::Settings;
use crate::position::Position;
use crate::record::BatchInfo;
use crate::retry::Retry;
use crate::source::{Fetch, FetchRequest, Source, Warning};
use crate::telemetry;

pub(crate) struct Core<S, C> {
    pub(crate) name: String,
    pub(crate) source: S,
    store: Arc<C>,
    pub(crate) settings: Settings,
    leases: OnceCell<Leases<C>>,
    /// Whether the source is open.
    open: Mutex<bool>,
}

impl<S, C> Core<S, C> {
    pub(crate) fn new(name: String, source: S, store: C, settings: Settings) -> Self {
        Self { name, source, store: Arc::new(store), settings, leases: OnceCell::new(), open: Mutex::new(false) }
    }

    pub(crate) fn named(&self, error: Error) -> Error {
        error.with_poller(&self.name)
    }
}

impl<S: Source, C: CheckpointStore> Core<S, C> {
    pub(crate) async fn validate(&self) -> Result<Vec<Warning>, Error> {
        self.check().map_err(|error| self.named(error))?;
        self.source.validate().await.map_err(|error| self.named(error))
    }

    fn check(&self) -> Result<PollerName, Error> {
        self.settings.check()?;
        PollerName::new(&self.name)
    }

    /// Gets ready, the first time it is called, and opens the source unless it is open.
    async fn start(&self) -> Result<&Leases<C>, Error> {
        let started = self.leases.get_or_try_init(|| async {
            let name = self.check()?;
            for warning in self.source.validate().await? {
                tracing::warn!(poller = self.name, source = self.source.name(), "{warning}");
            }
            let clock = Arc::clone(&self.settings.clock);
            Ok(Leases::new(Arc::clone(&self.store), clock, name, self.settings.lease.clone()))
        });
        let leases = started.await.map_err(|error| self.named(error))?;
        let mut open = self.open.lock().await;
        if !*open {
            self.source.open().await.map_err(|error| self.named(error))?;
            *open = true;
        }
        Ok(leases)
    }

    /// The lease, or who holds it.
    pub(crate) async fn acquire(&self) -> Result<Result<HeldLease<C>, HeldBy>, Error> {
        let leases = self.start().await?;
        let acquired = Box::pin(leases.acquire(self.source.descriptor())).await;
        match acquired.map_err(|error| self.named(error))? {
            Acquired::Held(lease) => Ok(Ok(lease)),
            Acquired::HeldElsewhere(by) => {
                tracing::debug!(
                    name: telemetry::HELD_ELSEWHERE,
                    poller = self.name,
                    owner_id = %by.owner_id,
                    expires_at = %by.expires_at,
                );
                Ok(Err(by))
            }
        }
    }

    /// A fetch with retries.
    pub(crate) async fn fetch(&self, after: Option<&Position>) -> Result<Reading, Error> {
        let retry = Retry::new(self.settings.fetch_retry.clone()).clock(Arc::clone(&self.settings.clock));
        retry.run(|_| self.fetch_once(after)).await
    }

    pub(crate) async fn fetch_once(&self, after: Option<&Position>) -> Result<Reading, Error> {
        let fetch = self.source.fetch(FetchRequest::new(after, self.settings.limit())).await?;
        Ok(Reading { fetch, at: self.settings.clock.wall() })
    }

    pub(crate) fn batch(&self, lease: &HeldLease<C>, reading: Reading, batch_id: Box<str>) -> RawBatch {
        let info = BatchInfo {
            source: Arc::clone(self.source.descriptor()),
            stream_id: lease.stream_id().into(),
            batch_id,
            fetched_at: reading.at,
            attempt: 1,
        };
        RawBatch::new(reading.fetch.into_records(), info)
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        let mut open = self.open.lock().await;
        if !std::mem::take(&mut *open) {
            return Ok(());
        }
        self.source.close().await.map_err(|error| self.named(error))
    }
}

impl<S, C> fmt::Debug for Core<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a fetch returned, and when.
pub(crate) struct Reading {
    pub(crate) fetch: Fetch,
    at: DateTime<Utc>,
}

impl Reading {
    /// No records, as of an instant.
    pub(crate) fn nothing(at: DateTime<Utc>) -> Self {
        Self { fetch: Fetch::nothing(), at }
    }
}

/// An id for a batch or a tick.
pub(crate) fn new_id() -> Box<str> {
    Uuid::new_v4().simple().to_string().into()
}
