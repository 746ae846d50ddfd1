//! What operators do to a poller's state, each by one conditional write that raises the fencing token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::document::{Checkpoint, StateDocument};
use super::lease::{self, Availability};
use super::leases::{Patience, refused_without_cause};
use super::settings::margin_of;
use super::writer::within;
use super::{CheckpointStore, PollerName, Stored, Version, WriteCondition, WriteOutcome};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::fingerprint::SealedFingerprint;
use crate::position::Position;
use crate::record::SourceDescriptor;

/// Changes pollers' state by hand: resets, clones, imports.
///
/// Every change raises the fencing token, so that an owner who still believes in its lease can't commit any more, and
/// is refused with `LeaseHeld` while a lease lives, except by [`unlock`](Self::unlock).
///
/// # Cancel safety
///
/// A change whose future is dropped may have been made, or may still be: [`show`](Self::show) tells.
///
/// ```
/// use highwater::checkpoint::{ObjectCheckpoints, Operator, PollerName, ResetTo};
/// use highwater::{Position, clock::SystemClock};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let operator = Operator::new(Arc::new(ObjectCheckpoints::memory()), Arc::new(SystemClock::new()));
/// let orders = PollerName::new("orders")?;
/// let state = operator.reset(&orders, ResetTo::Position(Position::Token("100".into()))).await?;
/// assert_eq!(state.fencing_token(), 1);
/// assert_eq!(operator.show(&orders).await?, Some(state));
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub struct Operator<C> {
    store: Arc<C>,
    clock: Arc<dyn Clock>,
    effect: Effect,
}

/// Where a reset takes a poller.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResetTo {
    /// To the first row. The source may be another one from here on.
    Beginning,
    /// Right after a position. The source may be another one from here on, as far as the position suits it.
    Position(Position),
    /// To where another document stands, of this poller as a rule: checkpoint and source are taken from it.
    Document(Box<StateDocument>),
}

/// Whether a clone's events are the same as the original's, to those who tell them apart by `event_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloneStream {
    /// Another stream: every event gets an id of its own.
    New,
    /// The same stream: a row that both deliver has one id.
    Keep,
}

/// The outcome of [`Operator::adopt`].
#[derive(Clone, Debug)]
pub struct Adoption {
    /// What had changed in the source, one phrase a part; empty where nothing had.
    pub differences: Vec<String>,
    /// The parts to which the checkpoint was bound, if it was.
    pub before: Option<SealedFingerprint>,
    /// The document that was written.
    pub document: StateDocument,
}

#[derive(Clone, Copy)]
enum Effect {
    Write,
    Nothing,
}

/// No call of the store may take longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a person is kept waiting for a store that fails.
const PATIENCE: Duration = Duration::from_secs(30);

impl<C> Operator<C> {
    /// An operator on a store.
    #[must_use]
    pub fn new(store: Arc<C>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, effect: Effect::Write }
    }

    /// An operator who only rehearses: every check is made and every document returned, nothing is written.
    #[must_use]
    pub fn rehearsing(self) -> Self {
        Self { effect: Effect::Nothing, ..self }
    }
}

impl<C: CheckpointStore> Operator<C> {
    /// Reads a poller's document; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `Checkpoint` where the store fails, `CorruptState` where the document can't be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn show(&self, name: &PollerName) -> Result<Option<StateDocument>, Error> {
        Ok(self.load(name).await?.map(|(document, _)| document))
    }

    /// The document as it stands in the store, for [`import`](Self::import).
    ///
    /// # Errors
    ///
    /// As [`show`](Self::show), and `NotFound` where there is none.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only reads.
    pub async fn export(&self, name: &PollerName) -> Result<Vec<u8>, Error> {
        let (document, _) = self.load(name).await?.ok_or_else(|| absent(name))?;
        Ok(document.to_json())
    }

    /// Moves a poller's checkpoint. A poller that has no document yet gets one, and starts there.
    ///
    /// # Errors
    ///
    /// `LeaseHeld` while a lease lives; `Checkpoint` where the store fails or somebody else wrote at the same time;
    /// `CorruptState` where the document can't be read.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may have been written or not, but whole; [`show`](Self::show) tells.
    pub async fn reset(&self, name: &PollerName, to: ResetTo) -> Result<StateDocument, Error> {
        let found = self.load(name).await?;
        self.idle(name, found.as_ref())?;
        let mut next = alive(name, found.as_ref());
        match to {
            ResetTo::Beginning => {
                next.checkpoint = None;
                next.unbind();
            }
            ResetTo::Position(position) => {
                next.checkpoint = Some(Checkpoint::new(position, None, 0, self.clock.wall()));
                next.unbind();
            }
            ResetTo::Document(document) => {
                next.checkpoint = document.checkpoint;
                next.source = document.source;
                next.source_fingerprint = document.source_fingerprint;
            }
        }
        self.write(name, found, next).await
    }

    /// Deletes a poller's state, all but its token and its revision: whoever comes later by that name begins anew
    /// and still has a higher token than anyone before.
    ///
    /// # Errors
    ///
    /// As [`reset`](Self::reset), and `NotFound` where there is nothing to delete.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may have been written or not, but whole; [`show`](Self::show) tells.
    pub async fn tombstone(&self, name: &PollerName) -> Result<StateDocument, Error> {
        let found = self.load(name).await?;
        self.idle(name, found.as_ref())?;
        let (document, _) = found.as_ref().ok_or_else(|| absent(name))?;
        let mut next = StateDocument::empty(name, &document.stream_id);
        next.deleted_at = Some(self.clock.wall());
        self.write(name, found, next).await
    }

    /// Breaks a lease, for an owner who is known to be gone. One who isn't is fenced off: it can't commit any more,
    /// but may be busy with a batch that comes again.
    ///
    /// # Errors
    ///
    /// As [`reset`](Self::reset) but for `LeaseHeld`, and `NotFound` where there is nothing to unlock.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may have been written or not, but whole; [`show`](Self::show) tells.
    pub async fn unlock(&self, name: &PollerName) -> Result<StateDocument, Error> {
        let found = self.load(name).await?;
        let (document, _) = found.as_ref().ok_or_else(|| absent(name))?;
        let next = document.clone();
        self.write(name, found, next).await
    }

    /// Gives another poller the state of this one: checkpoint and source. What stood there is replaced, but for its
    /// token, which rises above both.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is nothing to copy, `Configuration` where both names are the same, else as
    /// [`reset`](Self::reset), of the copy's name; the original is only read.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may have been written or not, but whole; [`show`](Self::show) tells.
    pub async fn clone_to(
        &self,
        name: &PollerName,
        copy: &PollerName,
        stream: CloneStream,
    ) -> Result<StateDocument, Error> {
        if name == copy {
            return Err(Error::new(
                ErrorKind::Configuration,
                "a poller can't be cloned onto itself; give another name",
            )
            .with_poller(name.as_str()));
        }
        let original = existing(name, self.load(name).await?.as_ref())?;
        let found = self.load(copy).await?;
        self.idle(copy, found.as_ref())?;
        let mut next = original;
        if stream == CloneStream::New {
            next.stream_id = Uuid::new_v4().to_string();
        }
        self.write(copy, found, next).await
    }

    /// Puts an exported document back, or into another store or under another name: stream, checkpoint and source
    /// are as they were exported. Token and revision rise above both.
    ///
    /// # Errors
    ///
    /// `CorruptState` where the bytes are no state document, else as [`reset`](Self::reset). A document of the
    /// poller that can't be read must be moved away first, for its token could not be kept.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may have been written or not, but whole; [`show`](Self::show) tells.
    pub async fn import(&self, name: &PollerName, document: &[u8]) -> Result<StateDocument, Error> {
        let next = StateDocument::from_json(document).map_err(|error| error.with_poller(name.as_str()))?;
        let found = self.load(name).await?;
        self.idle(name, found.as_ref())?;
        self.write(name, found, next).await
    }

    /// Binds the checkpoint to the source as it is defined now, and keeps the position and the stream.
    ///
    /// # Errors
    ///
    /// `FingerprintMismatch` where mode, cursor or key have changed, for then the position means nothing; `NotFound`
    /// where there is no document; else as [`reset`](Self::reset).
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may have been written or not, but whole; [`show`](Self::show) tells.
    pub async fn adopt(&self, name: &PollerName, source: &SourceDescriptor) -> Result<Adoption, Error> {
        let found = self.load(name).await?;
        self.idle(name, found.as_ref())?;
        let mut next = existing(name, found.as_ref())?;
        let before = next.source.clone();
        let fresh = Uuid::new_v4().to_string();
        let now = source.fingerprint().seal(before.as_ref().map_or(&*fresh, SealedFingerprint::salt));
        let differences = before.as_ref().map(|before| before.differences(&now)).unwrap_or_default();
        if let Some(before) = before.as_ref().filter(|before| !same_order(before, &now)) {
            let changed = before.differences(&now).join("; ");
            let message = format!(
                "{changed}; a position is kept only while mode, cursor and key are the same: use `checkpoint reset`"
            );
            return Err(Error::new(ErrorKind::FingerprintMismatch, message).with_poller(name.as_str()));
        }
        next.bind(now);
        let document = self.write(name, found, next).await?;
        Ok(Adoption { differences, before, document })
    }

    async fn load(&self, name: &PollerName) -> Result<Found, Error> {
        let stored = within(&*self.clock, CALL_TIMEOUT, self.store.load(name)).await;
        let Some(Stored { bytes, version }) = stored.map_err(|error| error.with_poller(name.as_str()))? else {
            return Ok(None);
        };
        Ok(Some((StateDocument::of(name, &bytes)?, version)))
    }

    /// `LeaseHeld` while a lease lives. The margin is that of its own TTL, for the operator has no other.
    fn idle(&self, name: &PollerName, found: Option<&(StateDocument, Version)>) -> Result<(), Error> {
        let Some((document, lease)) = found.and_then(|(document, _)| Some((document, document.lease.as_ref()?))) else {
            return Ok(());
        };
        let ttl = (lease.expires_at - lease.heartbeat_at).to_std().unwrap_or_default();
        let Availability::Held(by) = lease::availability(document, self.clock.wall(), margin_of(ttl)) else {
            return Ok(());
        };
        let message = format!(
            "owner {} has it until {}; stop that poller, or wait until {}",
            by.owner_id,
            by.expires_at.format("%FT%TZ"),
            by.free_at.format("%FT%TZ")
        );
        Err(Error::new(ErrorKind::LeaseHeld, message).with_poller(name.as_str()))
    }

    /// Writes `next` in place of what was found: free, under the poller's name, token and revision above both.
    async fn write(&self, name: &PollerName, found: Found, mut next: StateDocument) -> Result<StateDocument, Error> {
        let before = found.as_ref().map(|(document, _)| document);
        next.fencing_token = before.map_or(0, |before| before.fencing_token).max(next.fencing_token) + 1;
        next.revision = before.map_or(0, |before| before.revision).max(next.revision) + 1;
        next.writer = format!("operator-{}", Uuid::new_v4());
        name.as_str().clone_into(&mut next.poller_name);
        next.lease = None;
        if let Effect::Write = self.effect {
            let condition = found.map_or(WriteCondition::Absent, |(_, version)| WriteCondition::Unchanged(version));
            self.place(name, &next, &condition).await?;
        }
        Ok(next)
    }

    async fn place(&self, name: &PollerName, next: &StateDocument, condition: &WriteCondition) -> Result<(), Error> {
        let (bytes, mut patience) = (next.to_json(), Patience::begin(&*self.clock, PATIENCE));
        loop {
            let error = match within(&*self.clock, CALL_TIMEOUT, self.store.write_if(name, &bytes, condition)).await {
                Ok(WriteOutcome::Written(_)) => return Ok(()),
                Ok(WriteOutcome::Refused) => match self.load(name).await {
                    Ok(Some((seen, _))) if seen.writer == next.writer => return Ok(()),
                    Ok(seen) if condition.holds(seen.as_ref().map(|(_, version)| version)) => refused_without_cause(),
                    Ok(_) => return Err(overtaken(name)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if error.retry_status() == RetryStatus::Permanent || patience.rest(&*self.clock).await.is_err() {
                return Err(error.with_poller(name.as_str()));
            }
        }
    }
}

impl<C> fmt::Debug for Operator<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

type Found = Option<(StateDocument, Version)>;

/// What was found as a document to go on from: a new one in place of nothing or of a tombstone.
fn alive(name: &PollerName, found: Option<&(StateDocument, Version)>) -> StateDocument {
    match found {
        Some((document, _)) if document.deleted_at.is_none() => document.clone(),
        _ => StateDocument::empty(name, &Uuid::new_v4().to_string()),
    }
}

/// What was found, unless it is nothing or a tombstone.
fn existing(name: &PollerName, found: Option<&(StateDocument, Version)>) -> Result<StateDocument, Error> {
    let found = found.map(|(document, _)| document).filter(|document| document.deleted_at.is_none());
    found.cloned().ok_or_else(|| absent(name))
}

/// Whether positions of the one mean the same in the other.
fn same_order(before: &SealedFingerprint, now: &SealedFingerprint) -> bool {
    let order = |sealed: &SealedFingerprint| -> Vec<(String, String)> {
        let counts = |name: &str| {
            let first = name.split('.').next().unwrap_or(name);
            matches!(first, "mode" | "cursor" | "key")
        };
        sealed.parts().filter(|(name, _)| counts(name)).map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    };
    order(before) == order(now)
}

fn absent(name: &PollerName) -> Error {
    let message = "there is no state of this poller in the store; `checkpoint list` shows those that have one";
    Error::new(ErrorKind::NotFound, message).with_poller(name.as_str())
}

fn overtaken(name: &PollerName) -> Error {
    let message = "somebody else changed the state at the same time; look at it and try again";
    Error::new(ErrorKind::Checkpoint, message).with_poller(name.as_str()).with_retry_status(RetryStatus::Transient)
}
