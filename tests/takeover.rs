//! Eight `highwater tail` processes on one state folder: one works, and when it is gone another goes on.

#[path = "support/command.rs"]
mod command;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use command::{Running, Shop, changes, id, run, seed, until};
use fastrand::Rng;

const PROCESSES: usize = 8;
const BATCH: u64 = 5;
/// TTL and margin, the shortest that there are.
const EXPIRY: Duration = Duration::from_secs(3 + 2);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_secs(8);

/// A process, and when it began to hold the lease, if it did.
struct Member {
    process: Running,
    number: usize,
}

impl Member {
    fn start(shop: &Shop, number: usize) -> Self {
        let args = ["--interval", "100ms", "--batch-size", "5", "--lease-ttl", "3s"];
        let mut command = shop.tail("orders", &args);
        command.env("HIGHWATER_LOG", "highwater=info");
        Self { process: Running::start(&mut command, shop.path(&format!("member-{number}.out"))), number }
    }

    /// The tokens under which it has handed out batches, in order.
    fn tokens(&self) -> Vec<u64> {
        let logged = self.process.logged();
        let after = |line: &str| line.split_once("fencing_token=")?.1.split(' ').next()?.parse().ok();
        logged.lines().filter(|line| line.contains("holding the lease")).filter_map(after).collect()
    }

    fn ids(&self) -> Vec<u64> {
        let printed = self.process.printed();
        let whole = printed.rfind('\n').map_or("", |end| &printed[..=end]);
        changes(whole).iter().map(id).collect()
    }
}

#[test]
fn one_holds_the_lease_and_another_takes_over() {
    let shop = Shop::new();
    let mut rng = Rng::with_seed(seed());
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (past, slowest) = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let last = written.load(Ordering::Relaxed);
                shop.add(last + 1..=last + 3);
                written.store(last + 3, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let watch = scope.spawn(|| watch(&shop, &done));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| succession(&shop, &mut rng)));
        done.store(true, Ordering::Relaxed);
        let (owners, outcome) =
            (watch.join().unwrap(), outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        eprintln!("{} owners, slowest takeover by expiry {:?}", owners.len(), outcome.1);
        outcome
    });
    assert!(slowest <= EXPIRY + SLACK);

    let mut tokens: Vec<u64> = past.iter().flat_map(Member::tokens).collect();
    let count = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), count, "no token was given to two");

    // In the order of their tokens, each began where the one before it ended, give or take the batch that a kill
    // left unacknowledged: there was one at a time.
    let mut holders: Vec<&Member> = past.iter().filter(|member| !member.tokens().is_empty()).collect();
    holders.sort_by_key(|member| member.tokens()[0]);
    let mut reached = 0;
    for member in holders {
        let ids = member.ids();
        assert_eq!(member.tokens().len(), 1, "member {} held the lease without interruption", member.number);
        assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "member {} kept the order", member.number);
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        assert!(first <= reached + 1 && first + BATCH > reached, "{first} came after {reached}");
        reached = last;
    }
    let drain = run(&mut shop.tail("orders", &["--once"]));
    let last = drain.ids().last().copied().unwrap_or(reached);
    assert_eq!((drain.status, last), (0, written.load(Ordering::Relaxed)), "{drain:?}");
}

/// Ends the holder four times, three by kill -9; returns every process that ever was, and the slowest takeover.
fn succession(shop: &Shop, rng: &mut Rng) -> (Vec<Member>, Duration) {
    let mut members: Vec<Member> = (0..PROCESSES).map(|number| Member::start(shop, number)).collect();
    let (mut past, mut slowest) = (Vec::new(), Duration::ZERO);
    for round in 0..4 {
        let mut holder = None;
        until(Duration::from_mins(1), "one holds the lease and works", || {
            let token = shop.document("orders").map_or(0, |document| document.fencing_token());
            holder = members.iter().position(|member| member.tokens().last() == Some(&token));
            holder.is_some()
        });
        thread::sleep(Duration::from_millis(rng.u64(0..1500)));
        let mut ended = members.swap_remove(holder.unwrap());
        let token = ended.tokens()[0];
        let begun = Instant::now();
        let patience = if round == 1 {
            assert_eq!(ended.process.terminate(), 0);
            SLACK
        } else {
            ended.process.kill();
            EXPIRY + SLACK
        };
        past.push(ended);
        until(patience, "another takes over", || {
            members.iter().any(|member| member.tokens().last().is_some_and(|newer| *newer > token))
        });
        slowest = slowest.max(begun.elapsed());
        members.push(Member::start(shop, PROCESSES + round));
    }
    for mut member in members {
        assert_eq!(member.process.terminate(), 0);
        past.push(member);
    }
    (past, slowest)
}

/// Looks at the document all the time: tokens never fall, and each has one owner.
fn watch(shop: &Shop, done: &AtomicBool) -> BTreeMap<u64, String> {
    let (mut owners, mut highest) = (BTreeMap::<u64, String>::new(), 0);
    while !done.load(Ordering::Relaxed) {
        if let Some(document) = shop.document("orders") {
            let token = document.fencing_token();
            assert!(token >= highest, "token {token} came after {highest}");
            highest = token;
            if let Some(lease) = document.lease() {
                let owner = owners.entry(token).or_insert_with(|| lease.owner_id().to_owned());
                assert_eq!(owner, lease.owner_id(), "token {token} has one owner");
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    owners
}

#[test]
fn an_owner_who_was_stopped_past_its_lease_commits_nothing_and_stands_by() {
    let shop = Shop::new();
    shop.add(1..=3);
    let mut stopped = Member::start(&shop, 0);
    until(Duration::from_mins(1), "the first one works", || stopped.ids().len() == 3);
    let other = Member::start(&shop, 1);
    let acknowledged =
        || shop.document("orders").unwrap().checkpoint().map(highwater::checkpoint::Checkpoint::row_count);
    until(SLACK, "its batch is acknowledged", || acknowledged() == Some(3));
    stopped.process.signal("-STOP");
    shop.add(4..=6);
    until(EXPIRY + SLACK, "the other one takes over", || other.ids() == [4, 5, 6]);
    let token = other.tokens()[0];
    assert!(token > stopped.tokens()[0]);

    stopped.process.signal("-CONT");
    shop.add(7..=9);
    until(SLACK, "the other one goes on", || other.ids().len() == 6);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(shop.document("orders").unwrap().fencing_token(), token, "nobody took it from the new owner");
    assert!(stopped.process.is_running() && stopped.ids() == [1, 2, 3], "the old one printed nothing more");
    drop(other);
    shop.add(10..=10);
    until(EXPIRY + SLACK, "the old one goes on when its turn comes", || stopped.ids().last() == Some(&10));
    assert_eq!(stopped.process.terminate(), 0);
}
