//! Random histories of several owners over one document: crashes at every await, given-up commits, lost replies,
//! late landings, skewed and jumping clocks. Whatever happens, what has landed must obey the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::clock::Clock as _;
use crate::testing::Fault;

const OWNERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Lets an owner run on for so many polls.
    Run(usize, usize),
    /// Ends an owner where it stands; it begins anew when it runs again.
    Crash(usize),
    /// Lets time pass for all.
    Pass(Duration),
    /// Lets time pass for all but one, whose process is stopped and whose clocks both stand still: worse than real.
    Freeze(usize, Duration),
    /// Moves an owner's wall clock.
    Jump(usize, i64),
    Fail(usize, Fault),
    FailLoad(usize, Fault),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        1 => Just(Fault::FailBefore),
        1 => Just(Fault::FailAfter),
        3 => Just(Fault::LandLate),
        1 => Just(Fault::Refuse),
        1 => Just(Fault::Forbid),
        1 => Just(Fault::Hang),
        2 => Just(Fault::HangAfter),
        1 => (1_u64..30).prop_map(|seconds| Fault::Delay(Duration::from_secs(seconds))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let owner = 0..OWNERS;
    prop_oneof![
        24 => (owner.clone(), 1_usize..20).prop_map(|(owner, polls)| Step::Run(owner, polls)),
        1 => owner.clone().prop_map(Step::Crash),
        16 => (1_u64..6_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => (60_u64..200).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        1 => (owner.clone(), 60_u64..300).prop_map(|(owner, seconds)| Step::Freeze(owner, Duration::from_secs(seconds))),
        1 => (owner.clone(), -300_i64..300).prop_map(|(owner, seconds)| Step::Jump(owner, seconds)),
        4 => (owner.clone(), fault()).prop_map(|(owner, fault)| Step::Fail(owner, fault)),
        2 => (owner, fault()).prop_map(|(owner, fault)| Step::FailLoad(owner, fault)),
    ]
}

/// What the owners believe.
#[derive(Default)]
struct Beliefs {
    batches: u64,
    tokens: Vec<u64>,
    acknowledged: Vec<(String, u64)>,
    surely_not: Vec<String>,
}

/// Keeps every document that ever stood in the store, in order.
#[derive(Clone)]
struct Recorded {
    inner: Arc<ObjectCheckpoints>,
    landed: Arc<Mutex<Vec<StateDocument>>>,
}

impl CheckpointStore for Recorded {
    async fn load(&self, poller: &PollerName) -> Result<Option<Stored>, Error> {
        self.inner.load(poller).await
    }

    async fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> Result<WriteOutcome, Error> {
        let outcome = self.inner.write_if(poller, document, condition).await?;
        if let WriteOutcome::Written(_) = outcome {
            lock(&self.landed).push(StateDocument::from_json(document)?);
        }
        Ok(outcome)
    }

    async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        self.inner.list(page).await
    }

    async fn purge(&self, poller: &PollerName) -> Result<(), Error> {
        self.inner.purge(poller).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Faulty = FaultyStore<Recorded>;

struct Owner {
    clock: ManualClock,
    store: Arc<Faulty>,
    life: Option<Pin<Box<dyn Future<Output = ()>>>>,
    beliefs: Arc<Mutex<Beliefs>>,
    leases: Arc<Leases<Faulty>>,
}

impl Owner {
    fn new(recorded: &Recorded, beliefs: &Arc<Mutex<Beliefs>>) -> Self {
        let clock = ManualClock::new();
        let store = Arc::new(FaultyStore::new(recorded.clone(), Arc::new(clock.clone())));
        let leases =
            Arc::new(Leases::new(Arc::clone(&store), Arc::new(clock.clone()), orders(), LeaseSettings::default()));
        Self { clock, store, life: None, beliefs: Arc::clone(beliefs), leases }
    }

    fn run(&mut self, polls: usize) {
        let life = self.life.get_or_insert_with(|| {
            Box::pin(live(Arc::clone(&self.leases), self.clock.clone(), Arc::clone(&self.beliefs)))
        });
        for _ in 0..polls {
            let _ = poll(&mut life.as_mut());
        }
    }
}

/// Takes the lease, commits a few batches beside the heartbeats, lets go in one of several ways, and so on for ever.
async fn live(leases: Arc<Leases<Faulty>>, clock: ManualClock, beliefs: Arc<Mutex<Beliefs>>) {
    loop {
        match leases.acquire(&table()).await {
            Ok(Acquired::Held(lease)) => {
                lock(&beliefs).tokens.push(lease.fencing_token());
                let keeper = lease.keeper();
                tokio::select! {
                    biased;
                    _ = keeper.keep() => {}
                    () = work(lease, &clock, &beliefs) => {}
                }
            }
            Ok(Acquired::HeldElsewhere(_)) | Err(_) => clock.sleep(Duration::from_secs(5)).await,
        }
    }
}

async fn work(mut lease: HeldLease<Faulty>, clock: &ManualClock, beliefs: &Mutex<Beliefs>) {
    for _ in 0..12 {
        let number = {
            let mut beliefs = lock(beliefs);
            beliefs.batches += 1;
            beliefs.batches
        };
        clock.sleep(Duration::from_millis(number * 7919 % 3000)).await;
        let after: u64 = lease.checkpoint().and_then(Position::as_token).map_or(0, |token| token.parse().unwrap());
        let (next, batch) = (token(after + 1 + number % 5), format!("batch {number}"));
        let fencing_token = lease.fencing_token();
        if number % 7 == 0 {
            note(beliefs, &batch, fencing_token, &lease.commit_and_release(to(&next, &batch)).await);
            return;
        }
        if number % 3 == 0 {
            give_up(lease.commit(to(&next, &batch)), usize::try_from(number % 4).unwrap() + 1).await;
            if number % 2 == 0 && lease.settle().await.is_err() {
                return;
            }
            continue;
        }
        let outcome = lease.commit(to(&next, &batch)).await;
        note(beliefs, &batch, fencing_token, &outcome);
        if lease.keeper().check().is_err() {
            return;
        }
    }
    if !lease.fencing_token().is_multiple_of(3) {
        let _ = lease.release().await;
    }
}

/// Polls so often, then drops the future, wherever it stands.
async fn give_up(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        left -= 1;
        let done = future.as_mut().poll(context).is_ready() || left == 0;
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn note(beliefs: &Mutex<Beliefs>, batch: &str, fencing_token: u64, outcome: &Result<(), Error>) {
    let mut beliefs = lock(beliefs);
    match outcome.as_ref().map_err(Error::kind) {
        Ok(()) => beliefs.acknowledged.push((batch.to_owned(), fencing_token)),
        Err(ErrorKind::Commit | ErrorKind::LostLease) => beliefs.surely_not.push(batch.to_owned()),
        Err(kind) => assert_eq!(kind, ErrorKind::CommitUnknown),
    }
}

fn count(document: &StateDocument) -> u64 {
    document.position().and_then(Position::as_token).map_or(0, |token| token.parse().unwrap())
}

/// The invariants of what has landed.
fn check(landed: &[StateDocument], beliefs: &Beliefs) {
    let mut owners: BTreeMap<u64, String> = BTreeMap::new();
    let mut batches: BTreeMap<&str, u64> = BTreeMap::new();
    let mut before: Option<&StateDocument> = None;
    for document in landed {
        let token = document.fencing_token();
        if let Some(lease) = document.lease() {
            let owner = owners.entry(token).or_insert_with(|| lease.owner_id().to_owned());
            assert_eq!(owner, lease.owner_id(), "a token belongs to one owner");
        }
        if let Some(before) = before {
            assert_eq!(document.revision(), before.revision() + 1, "each revision is written once");
            assert!(count(document) >= count(before), "the checkpoint went back");
            if token == before.fencing_token() {
                assert!(before.lease().is_some(), "somebody wrote after letting go");
            } else {
                assert_eq!(token, before.fencing_token() + 1, "each acquisition raises the token by one");
                assert_eq!(document.checkpoint(), before.checkpoint(), "an acquisition moves no checkpoint");
                assert!(document.lease().is_some());
            }
        }
        let batch = document.checkpoint().and_then(Checkpoint::batch_id);
        if let Some(batch) = batch.filter(|_| before.is_none_or(|before| before.checkpoint() != document.checkpoint()))
        {
            assert_eq!(batches.insert(batch, token), None, "{batch} was committed twice");
        }
        before = Some(document);
    }
    let tokens: BTreeSet<u64> = beliefs.tokens.iter().copied().collect();
    assert_eq!(tokens.len(), beliefs.tokens.len(), "two holders of one token");
    for (batch, token) in &beliefs.acknowledged {
        assert_eq!(batches.get(batch.as_str()), Some(token), "{batch} was acknowledged and is not there");
    }
    for batch in &beliefs.surely_not {
        assert_eq!(batches.get(batch.as_str()), None, "{batch} was said not to be written");
    }
}

fn play(steps: &[Step]) {
    let recorded = Recorded { inner: Arc::new(ObjectCheckpoints::memory()), landed: Arc::default() };
    let beliefs = Arc::new(Mutex::new(Beliefs::default()));
    let mut owners: Vec<Owner> = (0..OWNERS).map(|_| Owner::new(&recorded, &beliefs)).collect();
    for step in steps {
        match *step {
            Step::Run(owner, polls) => owners[owner].run(polls),
            Step::Crash(owner) => owners[owner].life = None,
            Step::Pass(duration) => owners.iter().for_each(|owner| owner.clock.advance(duration)),
            Step::Freeze(frozen, duration) => {
                for (which, owner) in owners.iter().enumerate() {
                    if which != frozen {
                        owner.clock.advance(duration);
                    }
                }
            }
            Step::Jump(owner, seconds) => owners[owner].clock.skew(TimeDelta::seconds(seconds)),
            Step::Fail(owner, fault) => owners[owner].store.fail_writes([fault]),
            Step::FailLoad(owner, fault) => owners[owner].store.fail_loads([fault]),
        }
    }
    for owner in &mut owners {
        let clock = owner.clock.clone();
        let store = Arc::clone(&owner.store);
        Party::run_on(&clock, store.land_late());
        owner.life = None;
    }
    check(&lock(&recorded.landed), &lock(&beliefs));
    // However it went, somebody who comes later goes on.
    let latest = lock(&recorded.landed).last().and_then(|last| last.lease().map(LeaseRecord::expires_at));
    let late = Owner::new(&recorded, &beliefs);
    late.clock.set_wall(latest.unwrap_or_else(|| late.clock.wall()) + TimeDelta::seconds(13));
    let acquired = Party::run_on(&late.clock, late.leases.acquire(&table())).unwrap();
    assert!(matches!(acquired, Acquired::Held(_)), "a crashed owner is replaced");
    check(&lock(&recorded.landed), &lock(&beliefs));
}

proptest! {
    // `PROPTEST_CASES` sets half of it.
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_invariants(steps in prop::collection::vec(step(), 1..700)) {
        play(&steps);
    }
}
