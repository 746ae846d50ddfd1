//! How a poller runs: leases, shutdown, prefetch, retries, the pull form. Time is tokio's, paused.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater::testing::{Fault, FaultyStore};
use highwater::{
    Batch, EmptyBatches, Ending, ErrorKind, HandlerError, ObjectCheckpoints, PollContext, Poller, Pollers, Prefetch,
    RetryPolicy, RetryStatus, Row, blocking,
};
use support::{Counted, Numbers, PausedClock};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(30);

/// The numbers that handlers have seen, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<i64>>>);

impl Seen {
    fn add(&self, batch: Batch<(i64,)>) {
        self.0.lock().unwrap().extend(batch.into_iter().map(|(n,)| n));
    }

    fn all(&self) -> Vec<i64> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(serde::Deserialize)]
struct Wrong {
    #[expect(dead_code, reason = "never read: it can't be filled")]
    n: String,
}

/// A poller of numbers, its handler given.
macro_rules! poller {
    ($source:expr, $store:expr, $clock:expr, $handler:expr) => {
        builder!($source, $store, $clock).handler($handler).build()
    };
}

macro_rules! builder {
    ($source:expr, $store:expr, $clock:expr) => {
        Poller::builder("numbers")
            .source($source.clone())
            .checkpoints($store.clone())
            .clock($clock.clone())
            .lease_ttl(TTL)
            .batch_size(10)
    };
}

fn setup(last: u64) -> (Numbers, Counted, PausedClock, Seen) {
    (Numbers::up_to(last), Counted::new(), PausedClock::new(), Seen::default())
}

/// A store that fails on command, in place of one that counts.
fn faulty(clock: &PausedClock) -> Arc<FaultyStore<ObjectCheckpoints>> {
    Arc::new(FaultyStore::new(ObjectCheckpoints::memory(), Arc::new(clock.clone())))
}

#[tokio::test(start_paused = true)]
async fn a_tick_of_one_batch_costs_one_get_and_two_puts() {
    let (source, store, clock, seen) = setup(25);
    let handler_seen = seen.clone();
    let poller = poller!(source, store, clock, async move |batch: Batch<(i64,)>| handler_seen.add(batch));

    let report = poller.tick().await.unwrap();
    assert_eq!((report.batches(), report.rows(), report.ending()), (1, 10, Ending::More));
    assert_eq!(store.take(), (1, 2, 0));
    poller.tick().await.unwrap();
    let report = poller.tick().await.unwrap();
    assert_eq!((report.rows(), report.ending()), (5, Ending::Drained));
    assert_eq!(seen.all(), (1..=25).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_steady_drain_costs_one_put_a_batch_and_an_idle_poll_none() {
    let (source, store, clock, seen) = setup(100);
    let handler_seen = seen.clone();
    let poller = poller!(source, store, clock, async move |batch: Batch<(i64,)>| handler_seen.add(batch));
    let fetches = source.clone();
    // Five idle polls within a heartbeat, then stop.
    let stop = async move {
        while fetches.fetches() < 15 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let report = poller.every(Duration::from_secs(1)).with_graceful_shutdown(stop).run().await.unwrap();
    assert_eq!((report.batches(), report.rows()), (10, 100));
    assert_eq!(store.take(), (1, 1 + 10 + 1, 0), "acquire, ten commits, release");
}

#[tokio::test(start_paused = true)]
async fn a_handler_slower_than_the_ttl_keeps_its_lease() {
    let (source, store, clock, _) = setup(10);
    let slow = poller!(source, store, clock, async |_: Batch| {
        sleep(TTL * 5).await;
        Ok(())
    });
    let other = poller!(source, store, clock, async |_: Batch| Ok(()));
    let contest = async {
        let mut held = 0;
        for _ in 0..20 {
            sleep(TTL / 5).await;
            let report = other.tick().await.unwrap();
            assert_eq!(report.ending(), Ending::HeldElsewhere);
            assert!(report.held_by().is_some());
            held += 1;
        }
        held
    };
    let (slow, held) = tokio::join!(slow.tick(), contest);
    assert_eq!((slow.unwrap().rows(), held), (10, 20));
    assert_eq!(other.tick().await.unwrap().rows(), 0, "the checkpoint was committed");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_past_the_deadline_cancels_the_handler_before_it_is_polled_again() {
    let (source, store, clock, seen) = setup(10);
    let (wake, handler_seen) = (Arc::new(Notify::new()), seen.clone());
    let woken = Arc::clone(&wake);
    let poller = poller!(source, store, clock, async move |batch: Batch<(i64,)>| {
        woken.notified().await;
        handler_seen.add(batch);
        Ok(())
    });
    let suspend = async {
        sleep(Duration::from_secs(1)).await;
        // The machine was suspended: only the wall clock tells.
        clock.skew(chrono::Duration::minutes(10));
        wake.notify_one();
    };
    let (outcome, ()) = tokio::join!(poller.tick(), suspend);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LostLease);
    assert!(seen.all().is_empty(), "the handler went on after the deadline");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_tick_lets_its_lease_expire_and_its_batch_come_again() {
    let (source, store, clock, seen) = setup(10);
    let stuck = poller!(source, store, clock, async |_: Batch| {
        std::future::pending::<()>().await;
        Ok(())
    });
    let handler_seen = seen.clone();
    let other = poller!(source, store, clock, async move |batch: Batch<(i64,)>| handler_seen.add(batch));
    assert!(tokio::time::timeout(Duration::from_secs(1), stuck.tick()).await.is_err());
    assert_eq!(other.tick().await.unwrap().ending(), Ending::HeldElsewhere);
    sleep(TTL + Duration::from_secs(5)).await;
    assert_eq!(other.tick().await.unwrap().rows(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_failed_handler_moves_nothing_and_releases() {
    let (source, store, clock, seen) = setup(10);
    let failing = poller!(source, store, clock, async |_: Batch| Err::<(), HandlerError>("no".into()));
    let error = failing.tick().await.unwrap_err();
    assert_eq!((error.kind(), error.poller()), (ErrorKind::Handler, Some("numbers")));
    let again = failing.tick().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Handler, "nothing advances, and the lease was free");
    let handler_seen = seen.clone();
    let mended = poller!(source, store, clock, async move |batch: Batch<(i64,)>| handler_seen.add(batch));
    assert_eq!(mended.tick().await.unwrap().rows(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_batch_and_the_lease_is_released() {
    let (source, store, clock, _) = setup(10);
    let panicking = poller!(source, store, clock, async |batch: Batch| {
        assert!(batch.is_empty(), "boom");
        Ok(())
    });
    assert_eq!(panicking.tick().await.unwrap_err().kind(), ErrorKind::Handler);
    assert_eq!(panicking.tick().await.unwrap_err().kind(), ErrorKind::Handler, "not held elsewhere");
    let thread = poller!(
        source,
        store,
        clock,
        blocking(|batch: Batch<Row>, _: &PollContext| {
            assert!(batch.is_empty(), "boom");
            Ok(())
        })
    );
    assert_eq!(thread.tick().await.unwrap_err().kind(), ErrorKind::Handler);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_does_not_fit_is_a_serialization_error_naming_its_column() {
    let (source, store, clock, _) = setup(1);
    let poller = poller!(source, store, clock, async |_: Batch<Wrong>| Ok(()));
    let error = poller.tick().await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Serialization, Some("n")));
    assert!(error.to_string().contains("expected a string, found integer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_retried_handler_gets_the_same_batch_again() {
    let (source, store, clock, _) = setup(10);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let handler_calls = Arc::clone(&calls);
    let poller = builder!(source, store, clock)
        .handler_retry(RetryPolicy::new().max_retries(2))
        .handler(async move |batch: Batch, ctx: &PollContext| {
            handler_calls.lock().unwrap().push((ctx.attempt(), batch.id().to_owned(), batch.len()));
            if ctx.attempt() < 3 { Err("not yet".into()) } else { Ok(()) }
        })
        .build();
    assert_eq!(poller.tick().await.unwrap().rows(), 10);
    let calls = calls.lock().unwrap();
    assert_eq!(calls.iter().map(|call| call.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(calls.iter().all(|call| call.1 == calls[0].1 && call.2 == 10), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_not_retried_where_errors_are() {
    let (source, store, clock, _) = setup(10);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let poller = builder!(source, store, clock)
        .handler_retry(RetryPolicy::new())
        .handler(async move |batch: Batch| {
            counter.fetch_add(1, Ordering::SeqCst);
            assert!(batch.is_empty(), "boom");
        })
        .build();
    assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::Handler);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_is_over_before_the_next_begins() {
    let (source, store, clock, _) = setup(10);
    let failed = Arc::new(Mutex::new(None));
    let poller = builder!(source, store, clock)
        .handler_retry(RetryPolicy::new().max_retries(1))
        .handler(async move |_: Batch, ctx: &PollContext| {
            assert!(!ctx.cancellation().is_cancelled());
            let Some(first) = failed.lock().unwrap().replace(ctx.clone()) else { return Err("once".into()) };
            if first.cancellation().is_cancelled() { Ok(()) } else { Err("the first call lives on".into()) }
        })
        .build();
    assert_eq!(poller.tick().await.unwrap().rows(), 10);
}

#[test]
fn a_blocking_handler_that_was_given_up_before_it_began_never_begins() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (source, store, clock, _) = setup(10);
        let (finish, busy) = std::sync::mpsc::channel::<()>();
        let other = tokio::task::spawn_blocking(move || busy.recv());
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let handler = blocking(move |_: Batch, _: &PollContext| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let poller = poller!(source, store, clock, handler);
        assert!(tokio::time::timeout(Duration::from_millis(50), poller.tick()).await.is_err());
        finish.send(()).unwrap();
        other.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 0, "it waited for a thread, and began after its tick was dropped");
    });
}

#[tokio::test(start_paused = true)]
async fn passing_fetch_errors_are_retried_and_permanent_ones_are_not() {
    let (source, store, clock, _) = setup(10);
    let poller = poller!(source, store, clock, async |_: Batch| Ok(()));
    source.fail([RetryStatus::Transient; 3]);
    assert_eq!(poller.tick().await.unwrap().rows(), 10);
    assert_eq!(source.fetches(), 4);

    source.fail([RetryStatus::Permanent]);
    assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::Fetch);
    assert_eq!(source.fetches(), 5);
    assert_eq!(poller.tick().await.unwrap().ending(), Ending::Drained, "the lease was released");
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_is_read_while_one_is_handled() {
    for (prefetch, expected) in [(Prefetch::On, 4 + 10), (Prefetch::Off, 4 * 11)] {
        let (source, store, clock, _) = setup(40);
        source.delay(Duration::from_secs(1));
        let poller = builder!(source, store, clock)
            .max_batches_per_tick(10)
            .prefetch(prefetch)
            .handler(async |_: Batch| sleep(Duration::from_secs(10)).await)
            .build();
        let start = Instant::now();
        assert_eq!(poller.tick().await.unwrap().rows(), 40);
        let seconds = start.elapsed().as_secs();
        match prefetch {
            Prefetch::On => assert_eq!(seconds, 1 + 40),
            Prefetch::Off => assert_eq!(seconds, expected),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_read_ahead_surfaces_after_the_commit() {
    let (source, store, clock, seen) = setup(20);
    let (fail, handler_seen) = (source.clone(), seen.clone());
    let poller = builder!(source, store, clock)
        .max_batches_per_tick(10)
        .handler(async move |batch: Batch<(i64,)>| {
            // Both the read ahead and the read in its turn fail.
            fail.fail([RetryStatus::Permanent; 2]);
            sleep(Duration::from_secs(1)).await;
            handler_seen.add(batch);
        })
        .build();
    assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::Fetch);
    assert_eq!(seen.all(), (1..=10).collect::<Vec<_>>(), "handled before the error");
    let rest = poller!(source, store, clock, async |batch: Batch<(i64,)>| {
        assert_eq!(batch.iter().next(), Some(&(11,)), "and committed");
        Ok(())
    });
    assert_eq!(rest.tick().await.unwrap().rows(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_failed_handler_discards_what_was_read_ahead() {
    let (source, store, clock, seen) = setup(30);
    let (calls, handler_seen) = (Arc::new(AtomicUsize::new(0)), seen.clone());
    let poller = builder!(source, store, clock)
        .max_batches_per_tick(10)
        .handler(async move |batch: Batch<(i64,)>| {
            sleep(Duration::from_secs(1)).await;
            if calls.fetch_add(1, Ordering::SeqCst) == 1 {
                return Err("once".into());
            }
            handler_seen.add(batch);
            Ok(())
        })
        .build();
    poller.tick().await.unwrap_err();
    poller.tick().await.unwrap();
    assert_eq!(seen.all(), (1..=30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn empty_batches_are_skipped_unless_asked_for() {
    for (empty, expected) in [(EmptyBatches::Skip, 0), (EmptyBatches::Deliver, 1)] {
        let (source, store, clock, _) = setup(0);
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let poller = builder!(source, store, clock)
            .empty_batches(empty)
            .handler(async move |batch: Batch, ctx: &PollContext| {
                assert!(batch.is_empty() && ctx.candidate().is_none());
                counter.fetch_add(1, Ordering::SeqCst);
            })
            .build();
        let report = poller.tick().await.unwrap();
        assert_eq!((report.batches(), report.ending()), (0, Ending::Drained));
        assert_eq!(calls.load(Ordering::SeqCst), expected);
        assert_eq!(poller.tick().await.unwrap().ending(), Ending::Drained, "released");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_starts_at_once_and_ticks_that_are_overrun_coalesce() {
    let (source, store, clock, _) = setup(1);
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (handler_starts, begin) = (Arc::clone(&starts), Instant::now());
    let poller = builder!(source, store, clock)
        .empty_batches(EmptyBatches::Deliver)
        .handler(async move |_: Batch| {
            let first = {
                let mut starts = handler_starts.lock().unwrap();
                starts.push(begin.elapsed());
                starts.len() == 1
            };
            sleep(Duration::from_secs(if first { 35 } else { 0 })).await;
        })
        .build();
    let stop = sleep(Duration::from_secs(58));
    poller.every(Duration::from_secs(10)).with_graceful_shutdown(stop).run().await.unwrap();
    let starts: Vec<u64> = starts.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(starts[0], 0, "at once");
    assert_eq!(starts[1], 35, "one tick for the three that were overrun");
    assert!(starts[2] >= 44 && starts[2] <= 45, "{starts:?}");
    assert_eq!(starts.len(), 4, "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_and_acknowledges_the_running_batch() {
    let (source, store, clock, seen) = setup(100);
    let handler_seen = seen.clone();
    let poller = poller!(source, store, clock, async move |batch: Batch<(i64,)>| {
        sleep(Duration::from_secs(10)).await;
        handler_seen.add(batch);
    });
    let start = Instant::now();
    let stop = sleep(Duration::from_secs(15));
    let report = poller.every(Duration::from_secs(60)).with_graceful_shutdown(stop).run().await.unwrap();
    assert_eq!((report.batches(), start.elapsed().as_secs()), (2, 20));
    assert_eq!(source.closed(), 1);
    let rest = poller!(source, store, clock, async |batch: Batch<(i64,)>| {
        assert_eq!(batch.iter().next(), Some(&(21,)));
        Ok(())
    });
    assert_eq!(rest.tick().await.unwrap().ending(), Ending::More, "released, and acknowledged up to 20");
}

#[tokio::test(start_paused = true)]
async fn when_the_grace_has_passed_the_handler_is_cancelled_and_the_lease_released() {
    let (source, store, clock, _) = setup(10);
    let cancelled = Arc::new(Notify::new());
    let seen_cancelled = Arc::clone(&cancelled);
    let stuck = poller!(source, store, clock, async move |_: Batch, ctx: &PollContext| {
        let (token, seen) = (ctx.cancellation().clone(), Arc::clone(&seen_cancelled));
        tokio::spawn(async move {
            token.cancelled().await;
            seen.notify_one();
        });
        std::future::pending::<()>().await;
    });
    let start = Instant::now();
    let run = stuck.every(Duration::from_secs(60)).grace(Duration::from_secs(5));
    let report = run.with_graceful_shutdown(sleep(Duration::from_secs(3))).run().await.unwrap();
    assert_eq!((report.batches(), start.elapsed().as_secs()), (0, 8));
    cancelled.notified().await;
    let other = poller!(source, store, clock, async |_: Batch| Ok(()));
    assert_eq!(other.tick().await.unwrap().rows(), 10, "released, and the batch comes again");
}

#[tokio::test]
async fn a_blocking_handler_that_outlives_the_grace_keeps_others_out_until_its_lease_expires() {
    let (source, store, clock, _) = setup(10);
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let finished = Mutex::new(finished);
    let stuck = poller!(
        source,
        store,
        clock,
        blocking(move |_: Batch<Row>, _: &PollContext| {
            let _ = finished.lock().unwrap().recv();
            Ok(())
        })
    );
    let run = stuck.every(Duration::from_secs(60)).grace(Duration::from_millis(10));
    run.with_graceful_shutdown(sleep(Duration::from_millis(50))).run().await.unwrap();
    let other = poller!(source, store, clock, async |_: Batch| Ok(()));
    assert_eq!(other.tick().await.unwrap().ending(), Ending::HeldElsewhere, "its thread is still at work");
    finish.send(()).unwrap();
    clock.skew(chrono::Duration::minutes(1));
    assert_eq!(other.tick().await.unwrap().rows(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_run_stands_by_and_takes_over_within_ttl_and_margin() {
    let (source, store, clock, seen) = setup(10);
    let stuck = poller!(source, store, clock, async |_: Batch| std::future::pending::<()>().await);
    let handler_seen = seen.clone();
    let standby = poller!(source, store, clock, async move |batch: Batch<(i64,)>| handler_seen.add(batch));
    let start = Instant::now();
    let crash = tokio::time::timeout(Duration::from_secs(20), stuck.tick());
    let seen_all = seen.clone();
    let stop = async move {
        while seen_all.all().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let run = standby.every(Duration::from_secs(600)).with_graceful_shutdown(stop).run();
    let (crashed, report) = tokio::join!(crash, run);
    assert!(crashed.is_err());
    assert_eq!(report.unwrap().rows(), 10);
    let after_crash = start.elapsed().saturating_sub(Duration::from_secs(20));
    assert!(after_crash <= TTL + Duration::from_secs(4), "{after_crash:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_with_the_handlers_error_and_waits_out_a_passing_one() {
    let (source, store, clock, _) = setup(10);
    let poller = builder!(source, store, clock)
        .fetch_retry(RetryPolicy::never())
        .handler(async |_: Batch| Err::<(), HandlerError>("no".into()))
        .build();
    source.fail([RetryStatus::Transient; 2]);
    let start = Instant::now();
    let error = poller.every(Duration::from_secs(10)).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Handler);
    assert!(start.elapsed() >= Duration::from_secs(18), "waited an interval after each passing error");
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_out_a_store_that_can_not_be_written_when_the_lease_is_taken() {
    let (source, _, clock, seen) = setup(10);
    let store = faulty(&clock);
    let handler_seen = seen.clone();
    let poller = poller!(source, store, clock, async move |batch: Batch<(i64,)>| handler_seen.add(batch));
    store.fail_writes([Fault::FailBefore; 100]);
    let run = poller.every(Duration::from_secs(10)).with_graceful_shutdown(sleep(TTL * 10)).run();
    assert_eq!(run.await.unwrap().rows(), 10);
    assert_eq!(seen.all().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_lands_unanswered_is_no_lost_lease() {
    let (source, _, clock, _) = setup(10);
    let store = faulty(&clock);
    let faults = Arc::clone(&store);
    let poller = poller!(source, store, clock, async move |_: Batch| {
        // The next heartbeat, not the commit's own answer, finds out that the lease is free.
        sleep((TTL / 3).saturating_sub(Duration::from_millis(10))).await;
        faults.fail_writes([Fault::HangAfter]);
    });
    let report = poller.tick().await.unwrap();
    assert_eq!((report.rows(), report.ending()), (10, Ending::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_doubt_at_the_deadline_is_said_to_be_so() {
    let (source, _, clock, _) = setup(10);
    let store = faulty(&clock);
    let faults = Arc::clone(&store);
    let poller = poller!(source, store, clock, async move |_: Batch| faults.fail_writes([Fault::Hang; 100]));
    assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::CommitUnknown);

    store.heal();
    sleep(TTL * 2).await;
    let faults = Arc::clone(&store);
    let poller = poller!(source, store, clock, async move |_: Batch| {
        faults.fail_writes([Fault::Hang; 100]);
        std::future::pending::<()>().await;
    });
    assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::LostLease, "there was no commit");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_does_not_hold_up_a_shutdown_or_an_error() {
    let (source, _, clock, _) = setup(10);
    let store = faulty(&clock);
    let idle = poller!(source, store, clock, async |_: Batch| Ok(()));
    let faults = Arc::clone(&store);
    let stop = async move {
        sleep(Duration::from_secs(2)).await;
        faults.fail_writes([Fault::Hang; 100]);
    };
    let start = Instant::now();
    idle.every(Duration::from_secs(60)).with_graceful_shutdown(stop).run().await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(8), "{:?}", start.elapsed());

    store.heal();
    sleep(TTL * 2).await;
    source.raise_to(20);
    let faults = Arc::clone(&store);
    let failing = poller!(source, store, clock, async move |_: Batch| {
        faults.fail_writes([Fault::Hang; 100]);
        Err::<(), HandlerError>("no".into())
    });
    let start = Instant::now();
    assert_eq!(failing.tick().await.unwrap_err().kind(), ErrorKind::Handler);
    assert!(start.elapsed() <= Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_batch_read_ahead_says_when_it_was_read() {
    let (source, store, clock, _) = setup(20);
    let times = Arc::new(Mutex::new(Vec::new()));
    let handler_times = Arc::clone(&times);
    let poller = builder!(source, store, clock)
        .max_batches_per_tick(10)
        .handler(async move |batch: Batch| {
            handler_times.lock().unwrap().push(batch.changes().next().unwrap().metadata().fetched_at);
            sleep(Duration::from_secs(10)).await;
        })
        .build();
    poller.tick().await.unwrap();
    let times = times.lock().unwrap();
    assert!((times[1] - times[0]).num_seconds() < 1, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_after_a_run_opens_the_source_again() {
    let (source, store, clock, _) = setup(10);
    let poller = poller!(source, store, clock, async |_: Batch| Ok(()));
    for rows in [10, 0] {
        let run = poller.every(Duration::from_secs(60)).with_graceful_shutdown(sleep(Duration::from_secs(1)));
        assert_eq!(run.run().await.unwrap().rows(), rows);
    }
    assert_eq!(source.closed(), 2);
    assert_eq!(poller.tick().await.unwrap().ending(), Ending::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_run_counts_what_was_acknowledged_in_a_tick_that_failed() {
    let (source, store, clock, _) = setup(40);
    let calls = AtomicUsize::new(0);
    let poller = builder!(source, store, clock)
        .max_batches_per_tick(10)
        .handler(async move |_: Batch| {
            if calls.fetch_add(1, Ordering::SeqCst) == 2 {
                std::future::pending::<()>().await;
            }
        })
        .build();
    let run = poller.every(Duration::from_secs(60)).with_graceful_shutdown(sleep(Duration::from_secs(1)));
    let report = run.run().await.unwrap();
    assert_eq!((report.batches(), report.rows()), (2, 20));
}

/// Ticks every ten seconds for five times the TTL, never with success.
async fn contend<S, C, D>(other: &Poller<S, C, D>)
where
    S: highwater::Source,
    C: highwater::CheckpointStore,
    D: highwater::Delivery<C>,
{
    let start = Instant::now();
    while start.elapsed() < TTL * 5 {
        assert_eq!(other.tick().await.unwrap().ending(), Ending::HeldElsewhere, "{:?}", start.elapsed());
        sleep(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn idle_waits_longer_than_the_ttl_keep_the_lease() {
    let (source, store, clock, _) = setup(10);
    let idle = poller!(source, store, clock, async |_: Batch| Ok(()));
    let other = poller!(source, store, clock, async |_: Batch| Ok(()));
    let contest = async {
        sleep(Duration::from_secs(1)).await;
        contend(&other).await;
    };
    let report = idle.every(TTL * 20).with_graceful_shutdown(contest).run().await.unwrap();
    assert_eq!((report.ticks(), report.rows()), (1, 10));
    assert_eq!(other.tick().await.unwrap().ending(), Ending::Drained, "released");
}

#[tokio::test(start_paused = true)]
async fn a_grace_longer_than_the_ttl_keeps_the_lease() {
    let (source, store, clock, _) = setup(10);
    let slow = poller!(source, store, clock, async |_: Batch| sleep(TTL * 6).await);
    let other = poller!(source, store, clock, async |_: Batch| Ok(()));
    let run = slow.every(TTL).grace(TTL * 10).with_graceful_shutdown(sleep(Duration::from_secs(1))).run();
    let contest = async {
        sleep(Duration::from_secs(2)).await;
        contend(&other).await;
    };
    let (report, ()) = tokio::join!(run, contest);
    assert_eq!(report.unwrap().rows(), 10);
    assert_eq!(other.tick().await.unwrap().ending(), Ending::Drained, "acknowledged, and released");
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_cancelled_before_its_lease_expires_for_others() {
    let (source, _, clock, _) = setup(10);
    let store = faulty(&clock);
    let faults = Arc::clone(&store);
    let poller = poller!(source, store, clock, async move |_: Batch| {
        faults.fail_writes([Fault::Hang; 100]);
        std::future::pending::<()>().await;
    });
    let start = Instant::now();
    assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::LostLease);
    assert!(start.elapsed() < TTL, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn idle_waits_are_jittered() {
    let (source, store, clock, _) = setup(0);
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (handler_starts, begin) = (Arc::clone(&starts), Instant::now());
    let poller = builder!(source, store, clock)
        .empty_batches(EmptyBatches::Deliver)
        .handler(async move |_: Batch| handler_starts.lock().unwrap().push(begin.elapsed()))
        .build();
    let stop = sleep(Duration::from_secs(1000));
    poller.every(Duration::from_secs(10)).with_graceful_shutdown(stop).run().await.unwrap();
    let starts = starts.lock().unwrap();
    let waits: Vec<Duration> = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    // Tokio's timers tick once a millisecond.
    let expected = Duration::from_millis(8_998)..=Duration::from_millis(10_002);
    assert!(waits.iter().all(|wait| expected.contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| wait.abs_diff(waits[0]) > Duration::from_millis(10)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_has_the_same_event_id_whenever_it_comes() {
    let (source, store, clock, _) = setup(2);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler_seen = Arc::clone(&seen);
    let failing = builder!(source, store, clock)
        .handler_retry(RetryPolicy::new().max_retries(1))
        .handler(async move |batch: Batch| {
            for change in batch.changes() {
                let metadata = change.metadata();
                handler_seen.lock().unwrap().push((change.event_id(), metadata.batch_id, metadata.attempt));
            }
            Err::<(), HandlerError>("no".into())
        })
        .build();
    failing.tick().await.unwrap_err();
    failing.tick().await.unwrap_err();
    let seen = seen.lock().unwrap();
    let column = |n: usize| seen.iter().skip(n).step_by(2).collect::<Vec<_>>();
    for row in [column(0), column(1)] {
        assert!(row.iter().all(|(event_id, ..)| *event_id == row[0].0), "{seen:?}");
        assert_eq!(row.iter().map(|(.., attempt)| *attempt).collect::<Vec<_>>(), [1, 2, 1, 2]);
        assert_eq!((&row[0].1, &row[2].1), (&row[1].1, &row[3].1), "one batch, two attempts");
        assert_ne!(row[0].1, row[2].1, "a redelivery is another batch");
    }
    assert_ne!(seen[0].0, seen[1].0);
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_one_batch_of_a_hundred_by_default() {
    let (source, store, clock, _) = setup(250);
    let poller = Poller::builder("numbers")
        .source(source)
        .checkpoints(store)
        .clock(clock)
        .handler(async |_: Batch| Ok(()))
        .build();
    let report = poller.tick().await.unwrap();
    assert_eq!((report.batches(), report.rows(), report.ending()), (1, 100, Ending::More));
}

#[tokio::test(start_paused = true)]
async fn when_one_of_many_fails_the_others_finish_their_batches() {
    let (source, store, clock, seen) = setup(10);
    let failing = poller!(source, store, clock, async |_: Batch| {
        sleep(Duration::from_secs(1)).await;
        Err::<(), HandlerError>("no".into())
    });
    let handler_seen = seen.clone();
    let slow = Poller::builder("others")
        .source(Numbers::up_to(100))
        .checkpoints(store.clone())
        .clock(clock.clone())
        .batch_size(10)
        .handler(async move |batch: Batch<(i64,)>| {
            sleep(Duration::from_secs(5)).await;
            handler_seen.add(batch);
        })
        .build();
    let minute = Duration::from_secs(60);
    let group = Pollers::new().with(slow.every(minute)).with(failing.every(minute));
    assert_eq!(group.run().await.unwrap_err().kind(), ErrorKind::Handler);
    assert_eq!(seen.all(), (1..=10).collect::<Vec<_>>(), "the running batch, and no other");
    assert_eq!(slow.tick().await.unwrap().rows(), 10, "released");
    assert_eq!(seen.all(), (1..=20).collect::<Vec<_>>(), "and acknowledged");
}

#[tokio::test(start_paused = true)]
async fn pollers_share_a_shutdown_and_end_together() {
    let (one, store, clock, _) = setup(10);
    let two = Numbers::up_to(20);
    let first = poller!(one, store, clock, async |_: Batch| Ok(()));
    let second = Poller::builder("others")
        .source(two.clone())
        .checkpoints(store.clone())
        .clock(clock.clone())
        .handler(async |_: Batch| Ok(()))
        .build();
    let minute = Duration::from_secs(60);
    let stop = sleep(Duration::from_secs(5));
    let group = Pollers::new().with(first.every(minute)).with(vec![second.every(minute)]);
    let report = group.with_graceful_shutdown(stop).run().await.unwrap();
    assert_eq!(report.rows(), 30);

    two.raise_to(21);
    two.fail([RetryStatus::Permanent]);
    let group = Pollers::new().with(first.every(minute)).with(second.every(minute));
    assert_eq!(group.run().await.unwrap_err().kind(), ErrorKind::Fetch, "one failed, the other stopped");
}

#[tokio::test(start_paused = true)]
async fn the_pull_form_repeats_what_was_not_acknowledged_and_keeps_its_lease() {
    let (source, store, clock, _) = setup(15);
    let mut puller = builder!(source, store, clock).pull::<(i64,)>();
    let first = |batch: &Batch<(i64,)>| batch.iter().next().unwrap().0;

    let batch = puller.next_batch().await.unwrap().unwrap();
    assert_eq!(first(&batch), 1);
    drop(batch);
    let batch = puller.next_batch().await.unwrap().unwrap();
    assert_eq!(first(&batch), 1, "it was not acknowledged");
    sleep(TTL * 3).await;
    batch.acknowledge().await.unwrap();
    assert_eq!(puller.ending(), Ending::More);
    let batch = puller.next_batch().await.unwrap().unwrap();
    assert_eq!(first(&batch), 11);
    assert_eq!(batch.fencing_token().unwrap(), 1, "the heartbeat kept the lease");
    batch.acknowledge().await.unwrap();
    assert!(puller.next_batch().await.unwrap().is_none());
    assert_eq!(puller.ending(), Ending::Drained);

    let mut other = builder!(source, store, clock).pull::<(i64,)>();
    assert!(other.next_batch().await.unwrap().is_none());
    assert_eq!(other.ending(), Ending::HeldElsewhere);
    puller.close().await.unwrap();
    assert!(other.next_batch().await.unwrap().is_none());
    assert_eq!(other.ending(), Ending::Drained);
    drop(other);
    sleep(TTL * 2).await;
    source.raise_to(16);
    let mut third = builder!(source, store, clock).pull::<(i64,)>();
    let batch = third.next_batch().await.unwrap().unwrap();
    assert_eq!(first(&batch), 16, "a dropped puller's lease expires");
}

#[tokio::test(start_paused = true)]
async fn a_puller_closes_its_source_though_its_lease_is_lost() {
    let (source, store, clock, _) = setup(10);
    let mut puller = builder!(source, store, clock).pull::<(i64,)>();
    drop(puller.next_batch().await.unwrap());
    clock.skew(chrono::Duration::minutes(10));
    assert_eq!(puller.close().await.unwrap_err().kind(), ErrorKind::LostLease);
    assert_eq!(source.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_pulled_under_a_lease_that_was_lost_while_it_was_read() {
    let (source, store, clock, _) = setup(10);
    source.delay(Duration::from_secs(2));
    let mut puller = builder!(source, store, clock).pull::<(i64,)>();
    let suspend = async {
        sleep(Duration::from_secs(1)).await;
        clock.skew(chrono::Duration::minutes(10));
    };
    let (outcome, ()) = tokio::join!(puller.next_batch(), suspend);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LostLease);
    assert_eq!(puller.next_batch().await.unwrap().unwrap().fencing_token().unwrap(), 2, "taken again");
}

#[tokio::test(start_paused = true)]
async fn settings_that_can_not_work_fail_at_start_up_and_say_how_to_mend_them() {
    let (source, store, clock, _) = setup(1);
    let cases = [
        (builder!(source, store, clock).batch_size(0), "batch_size is 0"),
        (builder!(source, store, clock).max_batches_per_tick(0), "max_batches_per_tick is 0"),
        (builder!(source, store, clock).lease_ttl(Duration::from_secs(1)), "lease TTL"),
    ];
    for (builder, sentence) in cases {
        let poller = builder.handler(async |_: Batch| Ok(())).build();
        let error = poller.tick().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(sentence), "{error}");
        assert_eq!(poller.validate().await.unwrap_err().kind(), ErrorKind::Configuration);
    }
    for name in ["", "../orders", "a/b", ".hidden", "a b"] {
        let poller = Poller::builder(name)
            .source(source.clone())
            .checkpoints(store.clone())
            .handler(async |_: Batch| Ok(()))
            .build();
        assert_eq!(poller.tick().await.unwrap_err().kind(), ErrorKind::Configuration, "{name:?}");
    }
    assert_eq!(store.take(), (0, 0, 0), "before the first write");
}

#[tokio::test(start_paused = true)]
async fn the_context_says_where_the_batch_stands() {
    let (source, store, clock, _) = setup(20);
    let contexts = Arc::new(Mutex::new(Vec::new()));
    let handler_contexts = Arc::clone(&contexts);
    let poller = poller!(source, store, clock, async move |batch: Batch, ctx: &PollContext| {
        assert_eq!(batch.id(), ctx.batch_id());
        handler_contexts.lock().unwrap().push(ctx.clone());
    });
    poller.tick().await.unwrap();
    poller.tick().await.unwrap();
    let contexts = contexts.lock().unwrap();
    let [first, second] = &contexts[..] else { panic!("{contexts:?}") };
    let token = |position: Option<&highwater::Position>| position.and_then(|p| p.as_token()).map(str::to_owned);
    assert_eq!((first.poller(), first.source(), first.attempt()), ("numbers", "numbers", 1));
    assert_eq!(token(first.checkpoint()), None);
    assert_eq!(token(first.candidate()), Some("10".into()));
    assert_eq!(token(second.checkpoint()), Some("10".into()));
    assert!(second.fencing_token() > first.fencing_token());
    assert_ne!(first.lease_owner(), second.lease_owner());
    assert_ne!(first.invocation_id(), second.invocation_id());
    assert!(first.cancellation().is_cancelled(), "the call is over");
}
