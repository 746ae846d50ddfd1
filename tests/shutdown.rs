//! Stopping in the middle: of taking the lease, of a drain, of a batch. Time is tokio's, paused.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater::testing::{Fault, FaultyStore};
use highwater::{
    Batch, CheckpointStore as _, Ending, ErrorKind, HandlerError, ObjectCheckpoints, Poller, PollerName, StateDocument,
};
use support::{Numbers, PausedClock};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

type Store = Arc<FaultyStore<ObjectCheckpoints>>;

fn store(clock: &PausedClock) -> Store {
    Arc::new(FaultyStore::new(ObjectCheckpoints::memory(), Arc::new(clock.clone())))
}

async fn document(store: &Store) -> StateDocument {
    let stored = store.load(&PollerName::new("numbers").unwrap()).await.unwrap().unwrap();
    StateDocument::from_json(&stored.bytes).unwrap()
}

macro_rules! poller {
    ($source:expr, $store:expr, $clock:expr, $handler:expr) => {
        Poller::builder("numbers")
            .source($source)
            .checkpoints(Arc::clone(&$store))
            .clock($clock.clone())
            .lease_ttl(30 * SECOND)
            .batch_size(10)
            .max_batches_per_tick(u32::MAX)
            .handler($handler)
            .build()
    };
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_being_taken_when_stopping_is_asked_for_is_given_back() {
    for once in [true, false] {
        let clock = PausedClock::new();
        let store = store(&clock);
        // The write lands, but its answer is not there yet when the signal comes.
        store.fail_writes([Fault::HangAfter]);
        let poller = poller!(Numbers::up_to(10), store, clock, async |_: Batch| Ok(()));
        if once {
            let report = poller.tick_until(sleep(SECOND), 25 * SECOND).await.unwrap();
            assert_eq!((report.rows(), report.ending()), (0, Ending::More));
        } else {
            let report = poller.every(SECOND).with_graceful_shutdown(sleep(SECOND)).run().await.unwrap();
            assert_eq!(report.rows(), 0);
        }
        assert!(document(&store).await.lease().is_none(), "nobody has to wait for it to expire");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_one_lease_and_a_signal_ends_it_after_the_running_batch() {
    let clock = PausedClock::new();
    let store = store(&clock);
    let seen = Arc::new(AtomicU64::new(0));
    let handler_seen = Arc::clone(&seen);
    let poller = poller!(Numbers::up_to(100), store, clock, async move |batch: Batch| {
        sleep(SECOND).await;
        handler_seen.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok::<(), HandlerError>(())
    });
    let report = poller.tick_until(sleep(SECOND * 5 / 2), 25 * SECOND).await.unwrap();
    assert_eq!((report.rows(), report.ending()), (30, Ending::More), "the third batch was running");
    assert_eq!(seen.load(Ordering::Relaxed), 30);
    assert!(document(&store).await.lease().is_none());

    let report = poller.tick_until(std::future::pending(), SECOND).await.unwrap();
    assert_eq!((report.rows(), report.ending()), (70, Ending::Drained));
    assert_eq!(document(&store).await.fencing_token(), 2, "one lease for each of the two");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_outlasts_the_grace_is_cancelled_and_comes_again() {
    let clock = PausedClock::new();
    let store = store(&clock);
    let poller = poller!(Numbers::up_to(10), store, clock, async |_: Batch| {
        sleep(100 * SECOND).await;
        Ok::<(), HandlerError>(())
    });
    let error = poller.tick_until(sleep(SECOND), 2 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), error.poller()), (ErrorKind::Cancelled, Some("numbers")));
    let document = document(&store).await;
    assert!(document.lease().is_none() && document.position().is_none());
}
