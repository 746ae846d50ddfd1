//! Tests of the room: names and pages here, the protocol in the files beside.

mod files;
mod histories;
mod objects;
mod operators;
mod protocol;
mod transitions;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::fingerprint::Fingerprint;
use crate::position::Position;
use crate::record::SourceDescriptor;
use crate::testing::{FaultyStore, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

type Store = FaultyStore<Arc<ObjectCheckpoints>>;

/// One participant: its own clock and its own connection to a store that others share.
struct Party {
    clock: ManualClock,
    store: Arc<Store>,
    leases: Leases<Store>,
}

impl Party {
    fn new(shared: &Arc<ObjectCheckpoints>) -> Self {
        let clock = ManualClock::new();
        let store = Arc::new(FaultyStore::new(Arc::clone(shared), Arc::new(clock.clone())));
        let settings = LeaseSettings::default();
        let leases = Leases::new(Arc::clone(&store), Arc::new(clock.clone()), orders(), settings);
        Self { clock, store, leases }
    }

    fn alone() -> Self {
        Self::new(&Arc::new(ObjectCheckpoints::memory()))
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        Self::run_on(&self.clock, future)
    }

    /// Runs to the end, ten milliseconds passing whenever it waits.
    fn run_on<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..1_000_000 {
            if let Poll::Ready(output) = poll(&mut future) {
                return output;
            }
            clock.advance(Duration::from_millis(10));
        }
        panic!("it never ends");
    }

    fn acquire(&self) -> HeldLease<Store> {
        match self.run(self.leases.acquire(&table())).unwrap() {
            Acquired::Held(lease) => lease,
            Acquired::HeldElsewhere(by) => panic!("held by {by:?}"),
        }
    }

    /// A lease after the last holder was dropped.
    fn acquire_again(&self) -> HeldLease<Store> {
        self.clock.advance(133 * SECOND);
        self.acquire()
    }

    fn document(&self) -> StateDocument {
        self.run(self.leases.peek()).unwrap().unwrap()
    }
}

/// Polls so often and gives up.
fn abandon(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        assert!(poll(&mut future).is_pending(), "it ended before it was given up");
    }
}

fn poll<F: Future + ?Sized>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn orders() -> PollerName {
    PollerName::new("orders").unwrap()
}

fn table() -> SourceDescriptor {
    SourceDescriptor::new("orders", "table", Fingerprint::new().part("table", "orders").part("cursor", "updated_at"))
}

fn token(number: u64) -> Position {
    Position::Token(number.to_string())
}

fn to<'a>(position: &'a Position, batch_id: &'a str) -> Commit<'a> {
    Commit { position, batch_id, row_count: 1 }
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    let long = "x".repeat(129);
    for name in ["", ".", "..", ".orders", "a/b", "a\\b", "a b", "a#1", "ä", "a\0", "%2e", &long] {
        let error = PollerName::new(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{name:?}");
    }
    for name in ["a", "orders", "a..b", "A-1_2.x", &long[..128]] {
        assert_eq!(PollerName::new(name).unwrap().as_str(), name);
    }
}

#[test]
fn pages_follow_each_other_without_gap_or_repeat() {
    let names: Vec<PollerName> = ["d", "a", "c", "b", "e"].iter().map(|name| PollerName::new(name).unwrap()).collect();
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = Page::cut_at(names.clone(), token.as_ref(), 2);
        assert!(page.names.len() <= 2);
        seen.extend(page.names.iter().map(|name| name.as_str().to_owned()));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[test]
fn every_future_is_send() {
    fn assert_send<T: Send>(_: &T) {}
    let party = Party::alone();
    let (source, position) = (table(), token(1));
    assert_send(&party.leases.acquire(&source));
    assert_send(&party.leases.peek());
    let mut lease = party.acquire();
    let keeper = lease.keeper();
    assert_send(&keeper.keep());
    assert_send(&keeper.expired());
    assert_send(&lease.settle());
    assert_send(&lease.commit(to(&position, "b")));
    assert_send(&lease.commit_and_release(to(&position, "b")));
    assert_send(&party.acquire_again().release());
}
