//! A checkpoint store that fails on command.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::checkpoint::{CheckpointStore, Page, PageToken, PollerName, Stored, WriteCondition, WriteOutcome};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, RetryStatus};

/// What goes wrong with one call of a [`FaultyStore`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error; nothing was done.
    FailBefore,
    /// A permanent error; nothing was done.
    Forbid,
    /// It was done, but the answer was lost. For a load the same as `FailBefore`.
    FailAfter,
    /// The answer was lost, and the write lands later: after the next load has read the document, or when
    /// [`land_late`](FaultyStore::land_late) is called. For a load the same as `FailBefore`.
    LandLate,
    /// A write is refused though its condition holds; nothing was done. For a load nothing.
    Refuse,
    /// It is done after so much of the clock's monotonic time.
    Delay(Duration),
    /// No answer ever; nothing was done.
    Hang,
    /// It was done, but no answer ever comes. For a load the same as `Hang`.
    HangAfter,
}

/// The calls that reached a [`FaultyStore`], those that failed included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls of `load`.
    pub loads: u64,
    /// Calls of `write_if`.
    pub writes: u64,
    /// Calls of `list`.
    pub lists: u64,
    /// Calls of `purge`.
    pub purges: u64,
}

/// A checkpoint store around another that fails as a script says, and counts its calls.
///
/// Each call suspends once before and once after it is done, so that a test can drop its caller on either side.
///
/// ```
/// use highwater::checkpoint::{CheckpointStore, ObjectCheckpoints, PollerName, WriteCondition};
/// use highwater::testing::{Fault, FaultyStore, ManualClock};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = FaultyStore::new(ObjectCheckpoints::memory(), Arc::new(ManualClock::new()));
/// store.fail_writes([Fault::FailAfter]);
/// let orders = PollerName::new("orders")?;
/// assert!(store.write_if(&orders, b"{}", &WriteCondition::Absent).await.is_err());
/// assert!(store.load(&orders).await?.is_some(), "it had landed all the same");
/// assert_eq!(store.calls().writes, 1);
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
pub struct FaultyStore<C> {
    inner: C,
    clock: Arc<dyn Clock>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    loads: VecDeque<Fault>,
    writes: VecDeque<Fault>,
    late: Vec<(PollerName, Vec<u8>, WriteCondition)>,
    calls: Calls,
}

impl<C> FaultyStore<C> {
    /// A store that works, until told otherwise.
    #[must_use]
    pub fn new(inner: C, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, script: Mutex::default() }
    }

    /// Appends faults for the writes to come, one each.
    pub fn fail_writes(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script().writes.extend(faults);
    }

    /// Appends faults for the loads to come, one each.
    pub fn fail_loads(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script().loads.extend(faults);
    }

    /// Forgets the faults to come; late writes stay on their way.
    pub fn heal(&self) {
        let mut script = self.script();
        script.loads.clear();
        script.writes.clear();
    }

    /// How often it was called so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.script().calls
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &C {
        &self.inner
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: CheckpointStore> FaultyStore<C> {
    /// Lets the writes that are on their way land, each on its condition.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, some of the writes may have landed.
    pub async fn land_late(&self) {
        let late = std::mem::take(&mut self.script().late);
        for (poller, document, condition) in late {
            let _ = self.inner.write_if(&poller, &document, &condition).await;
        }
    }

    /// What a fault does before the call itself.
    async fn before(&self, fault: Option<Fault>) -> Result<(), Error> {
        step().await;
        match fault {
            Some(Fault::FailBefore) => Err(lost()),
            Some(Fault::Forbid) => Err(Error::new(ErrorKind::Checkpoint, "forbidden, as scripted")),
            Some(Fault::Delay(duration)) => {
                self.clock.sleep(duration).await;
                Ok(())
            }
            Some(Fault::Hang) => pending().await,
            _ => Ok(()),
        }
    }
}

impl<C: CheckpointStore> CheckpointStore for FaultyStore<C> {
    async fn load(&self, poller: &PollerName) -> Result<Option<Stored>, Error> {
        let fault = {
            let mut script = self.script();
            script.calls.loads += 1;
            script.loads.pop_front()
        };
        self.before(fault).await?;
        match fault {
            Some(Fault::FailAfter | Fault::LandLate) => return Err(lost()),
            Some(Fault::HangAfter) => return pending().await,
            _ => {}
        }
        let found = self.inner.load(poller).await;
        self.land_late().await;
        step().await;
        found
    }

    async fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> Result<WriteOutcome, Error> {
        let fault = {
            let mut script = self.script();
            script.calls.writes += 1;
            script.writes.pop_front()
        };
        self.before(fault).await?;
        match fault {
            Some(Fault::Refuse) => return Ok(WriteOutcome::Refused),
            Some(Fault::LandLate) => {
                self.script().late.push((poller.clone(), document.to_vec(), condition.clone()));
                return Err(lost());
            }
            _ => {}
        }
        let outcome = self.inner.write_if(poller, document, condition).await;
        step().await;
        match fault {
            Some(Fault::FailAfter) => Err(lost()),
            Some(Fault::HangAfter) => pending().await,
            _ => outcome,
        }
    }

    async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        self.script().calls.lists += 1;
        self.inner.list(page).await
    }

    async fn purge(&self, poller: &PollerName) -> Result<(), Error> {
        self.script().calls.purges += 1;
        self.inner.purge(poller).await
    }
}

impl<C> fmt::Debug for FaultyStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = self.script();
        f.debug_struct("FaultyStore")
            .field("loads", &script.loads)
            .field("writes", &script.writes)
            .field("late", &script.late.len())
            .field("calls", &script.calls)
            .finish_non_exhaustive()
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Checkpoint, "no answer, as scripted").with_retry_status(RetryStatus::Unknown)
}

/// Suspends once.
fn step() -> impl Future<Output = ()> + Send {
    struct Step(bool);

    impl Future for Step {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }

    Step(false)
}
