//! What several suites share: a source of numbers, a clock that follows tokio's paused time, a store that counts.

#![allow(dead_code, unreachable_pub, reason = "each suite uses a part")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater::checkpoint::{Page, PageToken, PollerName, Stored, WriteCondition, WriteOutcome};
use highwater::clock::Clock;
use highwater::{
    Capabilities, CheckpointStore, Error, ErrorKind, Fetch, FetchRequest, Fingerprint, ObjectCheckpoints, Operation,
    Position, RawRecord, Remaining, RetryStatus, Row, Source, SourceDescriptor, Warning,
};

/// Counts upward to a number that can rise, and fails when told to.
#[derive(Clone)]
pub struct Numbers(Arc<Inner>);

struct Inner {
    descriptor: Arc<SourceDescriptor>,
    last: AtomicU64,
    faults: Mutex<Vec<RetryStatus>>,
    delay: Mutex<Duration>,
    fetches: AtomicUsize,
    open: AtomicUsize,
    closed: AtomicUsize,
}

impl Numbers {
    pub fn up_to(last: u64) -> Self {
        let fingerprint = Fingerprint::new().part("mode", "numbers");
        Self(Arc::new(Inner {
            descriptor: Arc::new(SourceDescriptor::new("numbers", "numbers", fingerprint)),
            last: AtomicU64::new(last),
            faults: Mutex::default(),
            delay: Mutex::default(),
            fetches: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
        }))
    }

    pub fn raise_to(&self, last: u64) {
        self.0.last.store(last, Ordering::SeqCst);
    }

    /// The next fetches fail, one for each status.
    pub fn fail(&self, faults: impl IntoIterator<Item = RetryStatus>) {
        self.0.faults.lock().unwrap().extend(faults);
    }

    /// Every fetch takes this long.
    pub fn delay(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    pub fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> usize {
        self.0.closed.load(Ordering::SeqCst)
    }
}

impl Source for Numbers {
    fn name(&self) -> &str {
        self.0.descriptor.name()
    }

    fn descriptor(&self) -> &Arc<SourceDescriptor> {
        &self.0.descriptor
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    async fn validate(&self) -> Result<Vec<Warning>, Error> {
        Ok(Vec::new())
    }

    async fn open(&self) -> Result<(), Error> {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetch, Error> {
        assert!(self.0.open.load(Ordering::SeqCst) > 0, "read while it was closed");
        self.0.fetches.fetch_add(1, Ordering::SeqCst);
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if let Some(status) = self.0.faults.lock().unwrap().pop() {
            return Err(Error::new(ErrorKind::Fetch, "the numbers ran out").with_retry_status(status));
        }
        let after: u64 = request.after().and_then(Position::as_token).map_or(0, |token| token.parse().unwrap());
        let all = self.0.last.load(Ordering::SeqCst);
        let last = all.min(after + u64::from(request.limit().get()));
        let records = (after + 1..=last).map(|n| {
            let row = Row::from_iter([("n", i64::try_from(n).unwrap().into())]);
            RawRecord::new(Operation::Insert, Position::Token(n.to_string()), row)
        });
        let remaining = if last < all { Remaining::More } else { Remaining::Nothing };
        Ok(Fetch::new(records.collect(), remaining))
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Both faces of time from tokio's clock, which tests pause; `skew` moves the wall alone.
#[derive(Clone, Debug)]
pub struct PausedClock {
    start: tokio::time::Instant,
    skew: Arc<Mutex<chrono::Duration>>,
}

impl PausedClock {
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now(), skew: Arc::default() }
    }

    pub fn skew(&self, skew: chrono::Duration) {
        *self.skew.lock().unwrap() = skew;
    }
}

impl Clock for PausedClock {
    fn wall(&self) -> DateTime<Utc> {
        let since = chrono::Duration::from_std(self.start.elapsed()).unwrap();
        DateTime::from_timestamp(1_767_225_600, 0).unwrap() + since + *self.skew.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Counts the calls to a store.
#[derive(Clone)]
pub struct Counted {
    inner: ObjectCheckpoints,
    pub gets: Arc<AtomicUsize>,
    pub puts: Arc<AtomicUsize>,
    pub lists: Arc<AtomicUsize>,
}

impl Counted {
    pub fn new() -> Self {
        Self { inner: ObjectCheckpoints::memory(), gets: Arc::default(), puts: Arc::default(), lists: Arc::default() }
    }

    /// GETs, PUTs and LISTs since the last call.
    pub fn take(&self) -> (usize, usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        (take(&self.gets), take(&self.puts), take(&self.lists))
    }
}

impl CheckpointStore for Counted {
    async fn load(&self, poller: &PollerName) -> Result<Option<Stored>, Error> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.load(poller).await
    }

    async fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> Result<WriteOutcome, Error> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.write_if(poller, document, condition).await
    }

    async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(page).await
    }

    async fn purge(&self, poller: &PollerName) -> Result<(), Error> {
        self.inner.purge(poller).await
    }
}

/// Time a thousand times as fast, which can also jump: leases of a minute live for 60 ms.
#[derive(Clone, Debug)]
pub struct FastClock {
    start: std::time::Instant,
    jumped: Arc<Mutex<Duration>>,
}

impl FastClock {
    const SPEED: u32 = 1000;

    pub fn new() -> Self {
        Self { start: std::time::Instant::now(), jumped: Arc::default() }
    }

    pub fn jump(&self, by: Duration) {
        *self.jumped.lock().unwrap() += by;
    }
}

impl Clock for FastClock {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap() + chrono::Duration::from_std(self.monotonic()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed() * Self::SPEED + *self.jumped.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration / Self::SPEED))
    }
}
