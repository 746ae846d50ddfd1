//! kill -9 of `highwater tail` at random instants, while rows are written, and a drain at the end.

#[path = "support/command.rs"]
mod command;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use command::{Running, Shop, changes, id, names, run, seed, until};
use fastrand::Rng;
use highwater::clock::SystemClock;
use highwater::{ObjectCheckpoints, Operator, PollerName};

/// Pollers side by side over one database, each killed so often.
const POLLERS: usize = 10;
const KILLS: usize = 10;
/// Each of these kills is followed by a takeover by expiry; after the others an operator breaks the lease.
const EXPIRES_AFTER: [usize; 2] = [3, 7];
const BATCH: usize = 5;
/// The shortest that there is, and the margin that goes with it.
const TTL: &str = "3s";
const MARGIN: chrono::TimeDelta = chrono::TimeDelta::seconds(2);
/// How late a busy machine may be.
const SLACK: chrono::TimeDelta = chrono::TimeDelta::seconds(10);

#[derive(Debug, Default)]
struct Tally {
    while_holding: usize,
    takeovers: usize,
    leftovers: usize,
    torn_lines: usize,
    repeats: usize,
}

#[test]
fn a_hundred_kills_lose_nothing_and_tear_nothing() {
    let shop = Shop::new();
    let mut seeds = Rng::with_seed(seed());
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let (mut pace, shop, written, done) = (seeds.fork(), &shop, &written, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let last = written.load(Ordering::Relaxed);
                let next = last + pace.u64(1..=8);
                shop.add(last + 1..=next);
                written.store(next, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(pace.u64(5..25)));
            }
        });
        let victims: Vec<_> = (0..POLLERS)
            .map(|number| {
                let rng = seeds.fork();
                scope.spawn(move || torment(shop, &format!("poller-{number}"), rng))
            })
            .collect();
        let tallies: Vec<_> = victims.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Before a panic is passed on, or the writer would write for ever.
        done.store(true, Ordering::Relaxed);
        tallies.into_iter().map(Result::unwrap).collect()
    });

    let last = written.load(Ordering::Relaxed);
    let total = tallies.into_iter().enumerate().fold(Tally::default(), |mut total, (number, tally)| {
        total.repeats += judge(&shop, &format!("poller-{number}"), last);
        total.while_holding += tally.while_holding;
        total.takeovers += tally.takeovers;
        total.leftovers += tally.leftovers;
        total.torn_lines += tally.torn_lines;
        total
    });
    eprintln!("{} kills, {last} rows: {total:?}", POLLERS * KILLS);
    assert!(total.while_holding > POLLERS * KILLS / 4, "the kills hit the work");
    assert!(total.takeovers > 2, "leases expired and were taken over");

    let expected: Vec<String> = (0..POLLERS)
        .flat_map(|number| [format!("poller-{number}.json"), format!("poller-{number}.json.lock")])
        .collect();
    assert_eq!(names(&shop.path("state")), expected, "what kills left behind is swept");
}

/// Starts and kills one poller again and again.
fn torment(shop: &Shop, name: &str, mut rng: Rng) -> Tally {
    let mut tally = Tally::default();
    for round in 0..KILLS {
        let args = ["--interval", "20ms", "--batch-size", "5", "--lease-ttl", TTL];
        let mut tail = Running::start(&mut shop.tail(name, &args), shop.path(&format!("{name}.{round}.out")));
        if round > 0 && EXPIRES_AFTER.contains(&(round - 1)) {
            tally.takeovers += usize::from(taken_over(shop, name));
        }
        // Some before they have done anything, most in the middle of it.
        if rng.u8(0..4) > 0 {
            until(Duration::from_mins(1), "it prints", || !tail.printed().is_empty());
        }
        thread::sleep(Duration::from_millis(rng.u64(0..150)));
        tail.kill();
        tally.while_holding += usize::from(shop.document(name).is_some_and(|document| document.lease().is_some()));
        tally.torn_lines += usize::from(!tail.printed().is_empty() && !tail.printed().ends_with('\n'));
        let state = shop.path("state");
        let left = |file: &String| file.starts_with(&format!("{name}.json#"));
        tally.leftovers += if state.exists() { names(&state).iter().filter(|file| left(file)).count() } else { 0 };
        if !EXPIRES_AFTER.contains(&round) {
            break_lease(shop, name);
        }
    }
    tally
}

/// Waits until the lease of a killed owner is taken over, neither too early nor too late.
fn taken_over(shop: &Shop, name: &str) -> bool {
    let before = shop.document(name).unwrap();
    let Some(lost) = before.lease() else { return false };
    let free = lost.expires_at() + MARGIN;
    until(Duration::from_secs(30), "the lease is taken over", || {
        shop.document(name).unwrap().fencing_token() > before.fencing_token()
    });
    let after = shop.document(name).unwrap();
    // It may already be given back, with its first commit.
    if let Some(taken) = after.lease() {
        assert_ne!(taken.owner_id(), lost.owner_id());
        assert!(taken.acquired_at() >= free, "an owner is not robbed before its margin has passed");
        assert!(taken.acquired_at() <= free + SLACK, "a crashed owner is replaced");
    }
    true
}

fn break_lease(shop: &Shop, name: &str) {
    if shop.document(name).is_some_and(|document| document.lease().is_some()) {
        let store = ObjectCheckpoints::local(shop.path("state")).unwrap();
        let operator = Operator::new(Arc::new(store), Arc::new(SystemClock::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(operator.unlock(&PollerName::new(name).unwrap())).unwrap();
    }
}

/// Drains a poller and goes through everything that it has printed; returns how many rows came again.
fn judge(shop: &Shop, name: &str, last: u64) -> usize {
    break_lease(shop, name);
    let drain = run(&mut shop.tail(name, &["--once", "--batch-size", "1000"]));
    assert_eq!(drain.status, 0, "{drain:?}");
    let mut rounds: Vec<String> =
        (0..KILLS).map(|round| std::fs::read_to_string(shop.path(&format!("{name}.{round}.out"))).unwrap()).collect();
    rounds.push(drain.stdout);

    let (mut events, mut total, mut reached) = (BTreeMap::new(), 0, 0);
    for printed in &rounds {
        // The last line may be torn: its batch was not acknowledged.
        let whole = printed.rfind('\n').map_or("", |end| &printed[..=end]);
        let changes = changes(whole);
        let mut previous: Option<u64> = None;
        for change in &changes {
            let id = id(change);
            match previous {
                Some(previous) => assert_eq!(id, previous + 1, "{name}: order is kept, and nothing is left out"),
                None => assert!(id <= reached + 1, "{name}: {id} comes after {reached}, rows between were lost"),
            }
            previous = Some(id);
            let event = change["event_id"].as_str().unwrap().to_owned();
            assert_eq!(*events.entry(id).or_insert_with(|| event.clone()), event, "{name}: a repeat has the same id");
        }
        total += changes.len();
        reached = reached.max(previous.unwrap_or(0));
    }
    assert!(events.keys().copied().eq(1..=last), "{name}: every row was delivered");
    let repeats = total - events.len();
    assert!(repeats <= KILLS * BATCH, "{name}: a kill repeats no more than a batch, {repeats} rows came again");
    repeats
}
