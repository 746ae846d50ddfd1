//! The one place through which an owner writes: plans each write from what is known of the document, sends it, and
//! finds out what became of it.
//!
//! What is known lives behind a mutex that is never held across an await, so a future that is dropped in the middle
//! of a write loses nothing: its nonce stands among the unsettled ones, and the next write settles it. Commits and
//! heartbeats plan through the same mutex. Should two of them be in flight at once, they carry the same condition:
//! the store lets one through, the other is refused and planned anew on top. So nobody waits for a future that
//! nobody polls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::document::StateDocument;
use super::lease::{self, Intention, Loss, ReadBack, Stamp};
use super::{CheckpointStore, LeaseSettings, PollerName, Stored, Version, WriteCondition, WriteOutcome};
use crate::clock::{Clock, Moment};
use crate::error::{Chain, Error, ErrorKind, RetryStatus};
use crate::position::Position;

/// What all the handles of one lease share.
pub(crate) struct Writer<C> {
    pub(crate) store: Arc<C>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) name: PollerName,
    pub(crate) settings: LeaseSettings,
    pub(crate) owner_id: String,
    pub(crate) fencing_token: u64,
    pub(crate) stream_id: String,
    known: Mutex<Known>,
    lost: Notify,
}

struct Known {
    /// The last document that is known to have stood in the store, written by us.
    base: StateDocument,
    version: Version,
    /// When the write of `base` was planned, before it was first sent.
    renewed: Moment,
    /// The writes on top of `base` of which nobody knows what became.
    unsettled: Vec<Planned>,
    writes: u64,
    loss: Option<Loss>,
    /// What the document showed when it turned out to be somebody else's.
    successor: Option<StateDocument>,
}

/// A write: planned, perhaps sent.
#[derive(Clone)]
struct Planned {
    document: Arc<StateDocument>,
    bytes: Arc<[u8]>,
    condition: Version,
    moment: Moment,
}

enum Step {
    Done,
    Send(Planned),
}

impl<C> Writer<C> {
    /// The writer of a lease that was acquired by writing `base` at `moment`.
    pub(crate) fn new(
        store: Arc<C>,
        clock: Arc<dyn Clock>,
        name: PollerName,
        settings: LeaseSettings,
        (base, version, moment): (StateDocument, Version, Moment),
    ) -> Self {
        Self {
            store,
            clock,
            name,
            settings,
            owner_id: base.lease.as_ref().map_or_else(String::new, |lease| lease.owner_id.clone()),
            fencing_token: base.fencing_token,
            stream_id: base.stream_id.clone(),
            known: Mutex::new(Known {
                base,
                version,
                renewed: moment,
                unsettled: Vec::new(),
                writes: 0,
                loss: None,
                successor: None,
            }),
            lost: Notify::new(),
        }
    }

    /// The position of the checkpoint, as far as it is known.
    pub(crate) fn position(&self) -> Option<Position> {
        self.known().base.position().cloned()
    }

    /// Whether a write of unknown outcome is still open.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.known().unsettled.is_empty()
    }

    /// The revision of the last document that is known to be ours.
    pub(crate) fn revision(&self) -> u64 {
        self.known().base.revision
    }

    /// `LostLease` if the lease is lost, as of now.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.remaining().map(drop)
    }

    /// Whether a release of ours has landed while the lease was ours.
    pub(crate) fn is_released(&self) -> bool {
        self.known().loss == Some(Loss::Released)
    }

    /// The time to the deadline, by whichever clock is nearer to it; once passed, it stays passed.
    pub(crate) fn remaining(&self) -> Result<Duration, Error> {
        let mut known = self.known();
        let now = Moment::now(&*self.clock);
        let remaining = known.renewed.remaining(self.settings.tenure(), now);
        if known.loss.is_none() && remaining.is_zero() {
            self.lose(&mut known, Loss::Expired);
        }
        match &known.loss {
            Some(loss) => Err(self.lost_lease(loss)),
            None => Ok(remaining),
        }
    }

    /// The time to the next heartbeat.
    pub(crate) fn until_heartbeat(&self) -> Duration {
        let now = Moment::now(&*self.clock);
        self.known().renewed.remaining(self.settings.heartbeat_interval(), now)
    }

    /// Completes when the writer finds the lease lost; not by itself when the deadline passes.
    pub(crate) async fn found_lost(&self) {
        let mut lost = std::pin::pin!(self.lost.notified());
        lost.as_mut().enable();
        if self.known().loss.is_none() {
            lost.await;
        }
    }

    /// Sleeps, at most until the writer finds the lease lost.
    pub(crate) async fn sleep(&self, duration: Duration) {
        tokio::select! {
            biased;
            () = self.clock.sleep(duration) => {}
            () = self.found_lost() => {}
        }
    }
}

impl<C: CheckpointStore> Writer<C> {
    /// Makes the intention true, or says why it can't be known or can't be.
    pub(crate) async fn write(&self, intention: Intention<'_>) -> Result<(), Error> {
        let mut course = Course { intention, planned: None, doubt: Doubt::None, cause: None, pause: FIRST_PAUSE };
        loop {
            let Step::Send(planned) = self.next_step(&mut course)? else { return Ok(()) };
            let condition = WriteCondition::Unchanged(planned.condition.clone());
            let call = self.store.write_if(&self.name, &planned.bytes, &condition);
            match within(&*self.clock, self.timeout(), call).await {
                Ok(WriteOutcome::Written(version)) => self.landed(&planned, version),
                Ok(WriteOutcome::Refused) => self.refused(&mut course, &planned).await,
                Err(error) if error.retry_status() == RetryStatus::Permanent => {
                    return Err(self.refused_for_good(&course, error));
                }
                Err(error) => {
                    tracing::warn!(poller = %self.name, error = %Chain(&error), "a write went unanswered; trying again");
                    course.doubt = Doubt::Open;
                    course.cause = Some(error);
                    self.pause(&mut course).await;
                }
            }
        }
    }

    /// A refusal says only that the condition did not hold; reads back why.
    async fn refused(&self, course: &mut Course<'_>, planned: &Planned) {
        if self.known().version != planned.condition {
            return;
        }
        match self.read_back().await {
            Ok(ReadBack::Ours | ReadBack::Lost(_)) => {}
            Ok(ReadBack::Unchanged) => self.pause(course).await,
            Err(error) => {
                course.cause = Some(error);
                self.pause(course).await;
            }
        }
    }

    async fn read_back(&self) -> Result<ReadBack, Error> {
        let stored = within(&*self.clock, self.timeout(), self.store.load(&self.name)).await?;
        let seen = match stored {
            Some(Stored { bytes, version }) => Some((StateDocument::of(&self.name, &bytes)?, version)),
            None => None,
        };
        let mut known = self.known();
        let nonces = known.unsettled.iter().map(|planned| planned.document.writer.as_str());
        let seen_ref = seen.as_ref().map(|(document, version)| (document, version));
        let verdict = lease::judge((&known.base, &known.version), nonces, seen_ref);
        match (&verdict, seen) {
            (ReadBack::Ours, Some((document, version))) => {
                let ours = known.unsettled.iter().find(|planned| planned.document.writer == document.writer).cloned();
                drop(known);
                if let Some(planned) = ours {
                    self.landed(&planned, version);
                }
            }
            (ReadBack::Lost(loss), seen) => {
                known.successor = seen.map(|(document, _)| document);
                if known.loss.is_none() {
                    let loss = loss.clone();
                    self.lose(&mut known, loss);
                }
            }
            _ => {}
        }
        Ok(verdict)
    }
}

impl<C> Writer<C> {
    /// Decides what to do next: nothing, the same write again, or another one on what is known now.
    fn next_step(&self, course: &mut Course<'_>) -> Result<Step, Error> {
        let alive = self.check();
        let mut known = self.known();
        if course.intention.is_fulfilled(&known.base) {
            return Ok(Step::Done);
        }
        if let Err(lost) = alive {
            return self.after_loss(course, &known, lost);
        }
        if let Some(planned) = course.planned.as_ref().filter(|planned| planned.condition == known.version) {
            return Ok(Step::Send(planned.clone()));
        }
        // Another write of ours came between: whatever was in doubt was conditional on what it replaced.
        course.doubt = Doubt::None;
        let moment = Moment::now(&*self.clock);
        let nonce = known.next_nonce(&self.owner_id);
        let stamp = Stamp { nonce: &nonce, now: moment.wall, ttl: self.settings.lease_ttl() };
        let Some(document) = lease::apply(&known.base, &course.intention, stamp) else {
            return Err(self.error(ErrorKind::Commit, SUPERSEDED));
        };
        let bytes = document.to_json().into();
        let planned = Planned { document: Arc::new(document), bytes, condition: known.version.clone(), moment };
        known.unsettled.push(planned.clone());
        course.planned = Some(planned.clone());
        Ok(Step::Send(planned))
    }

    /// A write of ours stands in the store.
    fn landed(&self, planned: &Planned, version: Version) {
        let mut known = self.known();
        if planned.document.revision > known.base.revision {
            known.stand_on(planned, version);
        }
        if known.base.lease.is_none() && known.loss.is_none() {
            self.lose(&mut known, Loss::Released);
        }
    }

    async fn pause(&self, course: &mut Course<'_>) {
        let pause = course.pause;
        course.pause = (pause * 2).min(MOST_PAUSE);
        if let Ok(remaining) = self.remaining() {
            self.sleep(pause.min(remaining)).await;
        }
    }

    /// No call waits beyond the deadline.
    fn timeout(&self) -> Duration {
        self.remaining().unwrap_or_default().min(self.settings.call_timeout())
    }

    fn refused_for_good(&self, course: &Course<'_>, error: Error) -> Error {
        let (kind, message) = match (course.intention.commit(), course.doubt) {
            (Some(_), Doubt::Open) => return self.unknown(error),
            (Some(_), Doubt::None) => (ErrorKind::Commit, "the store refused the write"),
            (None, _) => (ErrorKind::Checkpoint, "the store refused the write"),
        };
        self.error(kind, message).with_source(error)
    }

    /// The lease is lost; what became of the commit?
    fn after_loss(&self, course: &mut Course<'_>, known: &Known, lost: Error) -> Result<Step, Error> {
        let cause = course.cause.take();
        if let (Some(commit), Doubt::Open) = (course.intention.commit(), course.doubt) {
            match &known.successor {
                Some(successor) if lease::is_committed(successor, commit) => return Ok(Step::Done),
                Some(successor) if lease::surely_not_committed(&known.base, successor) => {}
                _ => return Err(self.unknown(cause.unwrap_or(lost))),
            }
        }
        Err(match cause {
            Some(cause) => lost.with_source(cause),
            None => lost,
        })
    }

    /// The loss, or `CommitUnknown` where a commit is on its way of which nobody knows what became.
    pub(crate) fn given_up(&self, lost: Error) -> Error {
        let known = self.known();
        let commits = |planned: &Planned| planned.document.checkpoint != known.base.checkpoint;
        let settled = known.successor.as_ref().is_some_and(|seen| lease::surely_not_committed(&known.base, seen));
        if known.unsettled.iter().any(commits) && !settled { self.unknown(lost) } else { lost }
    }

    fn unknown(&self, cause: Error) -> Error {
        self.error(ErrorKind::CommitUnknown, UNKNOWN).with_retry_status(RetryStatus::Unknown).with_source(cause)
    }

    fn lose(&self, known: &mut Known, loss: Loss) {
        known.loss = Some(loss);
        self.lost.notify_waiters();
    }

    fn lost_lease(&self, loss: &Loss) -> Error {
        self.error(ErrorKind::LostLease, loss.sentence())
    }

    fn error(&self, kind: ErrorKind, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(kind, message).with_poller(self.name.as_str())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn next_nonce(&mut self, owner_id: &str) -> String {
        self.writes += 1;
        format!("{owner_id}.{}", self.writes)
    }

    /// A write has landed: what comes next builds on it, and no other on top of the same base can land any more.
    fn stand_on(&mut self, planned: &Planned, version: Version) {
        self.base = (*planned.document).clone();
        self.version = version;
        if planned.moment.monotonic >= self.renewed.monotonic {
            self.renewed = planned.moment;
        }
        let revision = self.base.revision;
        self.unsettled.retain(|planned| planned.document.revision > revision);
    }
}

/// How far a call of [`Writer::write`] has come.
struct Course<'a> {
    intention: Intention<'a>,
    planned: Option<Planned>,
    doubt: Doubt,
    cause: Option<Error>,
    pause: Duration,
}

/// Whether an attempt of this course may have landed without an answer.
#[derive(Clone, Copy)]
enum Doubt {
    None,
    Open,
}

/// A transient failure is often over after this, and a document is written in less.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// No pause between attempts is longer, so that several fit before the deadline of the shortest lease.
const MOST_PAUSE: Duration = Duration::from_secs(2);

const UNKNOWN: &str = "the store did not say whether it was written before the lease ended; the next run finds out";
const SUPERSEDED: &str = "an earlier commit of this owner, given up before its answer came, has landed after all, so \
                          the checkpoint is further on; read on from there";

/// Bounds a call of the store. Beyond the bound its outcome is unknown.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    timeout: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        answer = call => answer,
        () = clock.sleep(timeout) => {
            Err(Error::new(ErrorKind::Checkpoint, format!("the store did not answer within {timeout:?}"))
                .with_retry_status(RetryStatus::Unknown))
        }
    }
}
