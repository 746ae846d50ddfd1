//! Taking the lease of a poller.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::document::StateDocument;
use super::held::HeldLease;
use super::lease::{self, Availability, Claim, HeldBy};
use super::writer::{Writer, within};
use super::{CheckpointStore, LeaseSettings, PollerName, Stored, Version, WriteCondition, WriteOutcome};
use crate::clock::{Clock, Moment};
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::record::SourceDescriptor;

/// How long an acquisition puts up with a failing store, however long the lease: a timer's run should not hang.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// Takes the lease of one poller, again and again.
///
/// ```
/// use highwater::checkpoint::{Acquired, Commit, LeaseSettings, Leases, ObjectCheckpoints, PollerName};
/// use highwater::{Fingerprint, Position, SourceDescriptor, clock::SystemClock};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Arc::new(ObjectCheckpoints::memory());
/// let name = PollerName::new("orders")?;
/// let leases = Leases::new(store, Arc::new(SystemClock::new()), name, LeaseSettings::default());
/// let source = SourceDescriptor::new("orders", "table", Fingerprint::new().part("table", "orders"));
///
/// let Acquired::Held(mut lease) = leases.acquire(&source).await? else { panic!("nobody else is here") };
/// assert!(lease.checkpoint().is_none());
/// assert!(matches!(leases.acquire(&source).await?, Acquired::HeldElsewhere(_)));
///
/// let position = Position::Token("100".into());
/// lease.commit(Commit { position: &position, batch_id: "first", row_count: 100 }).await?;
/// lease.release().await?;
/// assert_eq!(leases.peek().await?.unwrap().position(), Some(&position));
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub struct Leases<C> {
    store: Arc<C>,
    clock: Arc<dyn Clock>,
    name: PollerName,
    settings: LeaseSettings,
    /// Owners of acquisitions that were given up before their answer came: should one of them turn out to hold the
    /// lease, nobody is behind it.
    strays: Mutex<BTreeSet<String>>,
}

/// The outcome of [`Leases::acquire`].
pub enum Acquired<C> {
    /// The lease is ours.
    Held(HeldLease<C>),
    /// Somebody else has it: no error, but nothing to do here for now.
    HeldElsewhere(HeldBy),
}

impl<C> Leases<C> {
    /// The leases of one poller in one store. The settings are checked by [`acquire`](Self::acquire).
    #[must_use]
    pub fn new(store: Arc<C>, clock: Arc<dyn Clock>, name: PollerName, settings: LeaseSettings) -> Self {
        Self { store, clock, name, settings, strays: Mutex::default() }
    }

    /// The poller.
    #[must_use]
    pub fn name(&self) -> &PollerName {
        &self.name
    }

    /// How long its leases live.
    #[must_use]
    pub fn settings(&self) -> &LeaseSettings {
        &self.settings
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<C> {
        &self.store
    }
}

impl<C: CheckpointStore> Leases<C> {
    /// Takes the lease if it is free: one read and one write. A poller's first acquisition creates its document.
    ///
    /// # Errors
    ///
    /// - `LeaseAcquire`: the store failed, and went on failing for as long as a heartbeat's interval.
    /// - `FingerprintMismatch`: the checkpoint belongs to a source that was defined otherwise. Nothing was written.
    /// - `CorruptState`: the document can't be read. Nothing was written.
    /// - `Configuration`, `Unsupported`: settings or store can't work as they are.
    ///
    /// # Cancel safety
    ///
    /// A write that was under way may land, and leave a lease that nobody holds. The next `acquire` of this value
    /// recognises and replaces it; others wait until it expires.
    pub async fn acquire(&self, source: &SourceDescriptor) -> Result<Acquired<C>, Error> {
        self.settings.validate()?;
        let mut patience = Patience::begin(&*self.clock, self.settings.heartbeat_interval().min(LONGEST_PATIENCE));
        let mut found = self.load_patiently(&mut patience).await?;
        loop {
            if let Some(by) = found.as_ref().and_then(|(document, _)| self.holder(document)) {
                return Ok(Acquired::HeldElsewhere(by));
            }
            let bid = self.bid(found, source)?;
            match self.place(&bid, &mut patience).await? {
                Placed::Won(version) => {
                    bid.stray.disarm();
                    return Ok(Acquired::Held(self.held(bid.document, version, bid.moment)));
                }
                Placed::Overtaken(now) => {
                    bid.stray.disarm();
                    found = *now;
                }
            }
        }
    }

    /// Reads the poller's document; `None` where there is none yet.
    ///
    /// # Errors
    ///
    /// `Checkpoint` where the store fails, `CorruptState` where the document can't be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn peek(&self) -> Result<Option<StateDocument>, Error> {
        Ok(self.load().await?.map(|(document, _)| document))
    }

    async fn load(&self) -> Result<Found, Error> {
        let call = self.store.load(&self.name);
        let stored = within(&*self.clock, self.settings.call_timeout(), call).await;
        let Some(Stored { bytes, version }) = stored.map_err(|error| error.with_poller(self.name.as_str()))? else {
            return Ok(None);
        };
        Ok(Some((StateDocument::of(&self.name, &bytes)?, version)))
    }

    async fn load_patiently(&self, patience: &mut Patience) -> Result<Found, Error> {
        loop {
            match self.load().await {
                Err(error) if error.retry_status() != RetryStatus::Permanent => {
                    patience.rest(&*self.clock).await.map_err(|()| self.failed(error, RetryStatus::Transient))?;
                }
                Err(error) => return Err(self.failed(error, RetryStatus::Permanent)),
                Ok(found) => return Ok(found),
            }
        }
    }

    /// Who keeps us from taking the lease.
    fn holder(&self, document: &StateDocument) -> Option<HeldBy> {
        match lease::availability(document, self.clock.wall(), self.settings.takeover_margin()) {
            Availability::Held(by) if !self.lock_strays().contains(&by.owner_id) => Some(by),
            _ => None,
        }
    }

    fn bid(&self, found: Found, source: &SourceDescriptor) -> Result<Bid<'_>, Error> {
        let (document, condition) = match found {
            Some((document, version)) => (Some(document), WriteCondition::Unchanged(version)),
            None => (None, WriteCondition::Absent),
        };
        let (owner_id, fresh) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let moment = Moment::now(&*self.clock);
        let claim = Claim {
            name: &self.name,
            source: source.fingerprint(),
            owner_id: &owner_id,
            nonce: &format!("{owner_id}.0"),
            now: moment.wall,
            ttl: self.settings.lease_ttl(),
            fresh: &fresh,
        };
        let document = lease::acquire(document.as_ref(), &claim)?;
        Ok(Bid { document, condition, moment, stray: Stray { strays: &self.strays, owner_id: Some(owner_id) } })
    }

    /// Writes the same bytes on the same condition until it is known what became of them.
    async fn place(&self, bid: &Bid<'_>, patience: &mut Patience) -> Result<Placed, Error> {
        let bytes = bid.document.to_json();
        loop {
            let call = self.store.write_if(&self.name, &bytes, &bid.condition);
            let error = match within(&*self.clock, self.settings.call_timeout(), call).await {
                Ok(WriteOutcome::Written(version)) => return Ok(Placed::Won(version)),
                Ok(WriteOutcome::Refused) => match self.load().await {
                    Ok(Some((seen, version))) if seen.writer == bid.document.writer => return Ok(Placed::Won(version)),
                    Ok(seen) if bid.condition.holds(seen.as_ref().map(|(_, version)| version)) => {
                        refused_without_cause()
                    }
                    Ok(seen) => return Ok(Placed::Overtaken(Box::new(seen))),
                    Err(error) if error.kind() == ErrorKind::CorruptState => return Err(error),
                    Err(error) => error,
                },
                Err(error) if error.retry_status() == RetryStatus::Permanent => {
                    return Err(self.failed(error, RetryStatus::Permanent));
                }
                Err(error) => error,
            };
            patience.rest(&*self.clock).await.map_err(|()| self.failed(error, RetryStatus::Unknown))?;
        }
    }

    fn held(&self, document: StateDocument, version: Version, moment: Moment) -> HeldLease<C> {
        self.lock_strays().clear();
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let writer = Writer::new(store, clock, self.name.clone(), self.settings.clone(), (document, version, moment));
        HeldLease::new(writer)
    }

    fn failed(&self, error: Error, status: RetryStatus) -> Error {
        match error.kind() {
            ErrorKind::Checkpoint => Error::new(ErrorKind::LeaseAcquire, "the checkpoint store failed")
                .with_poller(self.name.as_str())
                .with_retry_status(status)
                .with_source(error),
            _ => error.with_poller(self.name.as_str()),
        }
    }

    fn lock_strays(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> fmt::Debug for Acquired<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(lease) => f.debug_tuple("Held").field(lease).finish(),
            Self::HeldElsewhere(by) => f.debug_tuple("HeldElsewhere").field(by).finish(),
        }
    }
}

impl<C> fmt::Debug for Leases<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}

type Found = Option<(StateDocument, Version)>;

struct Bid<'a> {
    document: StateDocument,
    condition: WriteCondition,
    moment: Moment,
    stray: Stray<'a>,
}

enum Placed {
    Won(Version),
    /// Somebody else wrote first, so that ours can't land any more.
    Overtaken(Box<Found>),
}

/// Remembers an owner id as a stray, should its acquisition end or be dropped without being settled.
struct Stray<'a> {
    strays: &'a Mutex<BTreeSet<String>>,
    owner_id: Option<String>,
}

impl Stray<'_> {
    fn disarm(mut self) {
        self.owner_id = None;
    }
}

impl Drop for Stray<'_> {
    fn drop(&mut self) {
        if let Some(owner_id) = self.owner_id.take() {
            self.strays.lock().unwrap_or_else(PoisonError::into_inner).insert(owner_id);
        }
    }
}

/// A refusal after which the document is what the condition says. Another attempt tells more.
pub(super) fn refused_without_cause() -> Error {
    Error::new(ErrorKind::Checkpoint, "the store refused a write whose condition held")
        .with_retry_status(RetryStatus::Transient)
}

/// How long a failing store is put up with.
pub(super) struct Patience {
    begun: Moment,
    bound: Duration,
    pause: Duration,
}

impl Patience {
    pub(super) fn begin(clock: &dyn Clock, bound: Duration) -> Self {
        Self { begun: Moment::now(clock), bound, pause: Duration::from_millis(50) }
    }

    /// Rests before the next attempt; `Err` when patience has ended.
    pub(super) async fn rest(&mut self, clock: &dyn Clock) -> Result<(), ()> {
        let left = self.begun.remaining(self.bound, Moment::now(clock));
        if left.is_zero() {
            return Err(());
        }
        clock.sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(2));
        Ok(())
    }
}
