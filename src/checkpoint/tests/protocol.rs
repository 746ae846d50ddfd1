//! The writer against a store that fails as scripted.

use chrono::TimeDelta;

use super::*;
use crate::clock::Clock as _;
use crate::error::RetryStatus;
use crate::testing::{Calls, Fault};

fn shared() -> Arc<ObjectCheckpoints> {
    Arc::new(ObjectCheckpoints::memory())
}

#[test]
fn a_tick_of_one_batch_costs_one_read_and_two_writes() {
    let party = Party::alone();
    let (lease, one) = (party.acquire(), token(1));
    party.run(lease.commit_and_release(to(&one, "b"))).unwrap();
    assert_eq!(party.store.calls(), Calls { loads: 1, writes: 2, ..Calls::default() });
    let document = party.document();
    assert_eq!((document.position(), document.lease(), document.revision()), (Some(&one), None, 2));
    assert_eq!(document.checkpoint().unwrap().batch_id(), Some("b"));
}

#[test]
fn a_live_lease_is_held_elsewhere_and_a_dead_one_is_taken_over() {
    let shared = shared();
    let (first, second) = (Party::new(&shared), Party::new(&shared));
    let lease = first.acquire();
    let Acquired::HeldElsewhere(by) = second.run(second.leases.acquire(&table())).unwrap() else {
        panic!("two holders at once")
    };
    assert_eq!(by.owner_id, lease.owner_id());
    assert_eq!(by.free_at - by.expires_at, TimeDelta::seconds(12));
    second.clock.advance(131 * SECOND);
    assert!(matches!(second.run(second.leases.acquire(&table())).unwrap(), Acquired::HeldElsewhere(_)));
    second.clock.advance(2 * SECOND);
    assert_eq!(second.acquire().fencing_token(), 2);
}

#[test]
fn a_paused_owner_commits_no_more_even_if_its_clocks_stood_still() {
    let shared = shared();
    let (first, second) = (Party::new(&shared), Party::new(&shared));
    let (mut stale, one, two) = (first.acquire(), token(1), token(2));
    second.clock.advance(133 * SECOND);
    let mut fresh = second.acquire();
    assert_ne!(stale.owner_id(), fresh.owner_id());
    assert!(stale.keeper().check().is_ok(), "by its own clocks it holds the lease");
    let error = first.run(stale.commit(to(&one, "stale"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LostLease);
    assert_eq!(stale.keeper().check().unwrap_err().kind(), ErrorKind::LostLease);
    assert_eq!(first.run(stale.release()).unwrap_err().kind(), ErrorKind::LostLease);
    second.run(fresh.commit(to(&two, "fresh"))).unwrap();
    assert_eq!(second.document().position(), Some(&two));
    assert!(second.document().lease().is_some(), "nobody freed another's lease");
}

#[test]
fn lost_replies_late_landings_and_refusals_are_settled() {
    use Fault::{Delay, FailAfter, FailBefore, Hang, HangAfter, LandLate, Refuse};
    let scripts: [&[Fault]; 11] = [
        &[FailBefore],
        &[FailAfter],
        &[FailAfter, FailBefore, FailBefore],
        &[Refuse],
        &[Refuse, FailAfter],
        &[LandLate, Refuse],
        &[LandLate, FailBefore, LandLate],
        &[Hang],
        &[HangAfter],
        &[Delay(5 * SECOND)],
        &[Delay(15 * SECOND), FailAfter],
    ];
    for script in scripts {
        let (party, one, two) = (Party::alone(), token(1), token(2));
        let mut lease = party.acquire();
        party.store.fail_writes(script.iter().copied());
        party.run(lease.commit(to(&one, "first"))).unwrap_or_else(|error| panic!("{script:?}: {error:?}"));
        assert_eq!(lease.checkpoint(), Some(&one));
        party.run(lease.commit(to(&two, "second"))).unwrap_or_else(|error| panic!("{script:?}: {error:?}"));
        let document = party.document();
        assert_eq!((document.position(), document.revision()), (Some(&two), 3), "{script:?}: each landed once");
    }
}

#[test]
fn reads_that_fail_while_settling_are_retried() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    party.store.fail_writes([Fault::FailAfter]);
    party.store.fail_loads([Fault::FailBefore, Fault::Hang, Fault::FailBefore]);
    party.run(lease.commit(to(&one, "b"))).unwrap();
    assert_eq!(party.document().revision(), 2);
}

#[test]
fn a_dropped_commit_is_settled_by_the_next_call_wherever_it_was_dropped() {
    for polls in 1..=2 {
        for same in [false, true] {
            let (party, one, two) = (Party::alone(), token(1), token(2));
            let mut lease = party.acquire();
            party.run(lease.commit(to(&one, "first"))).unwrap();
            abandon(lease.commit(to(&two, "dropped")), polls);
            assert_eq!(lease.checkpoint(), Some(&one));
            let landed = polls == 2;
            assert_eq!(party.document().position(), Some(if landed { &two } else { &one }));

            let (batch, expected) = if same { ("dropped", &two) } else { ("other", &token(3)) };
            let outcome = party.run(lease.commit(to(expected, batch)));
            if landed && !same {
                let error = outcome.unwrap_err();
                assert_eq!((error.kind(), error.retry_status()), (ErrorKind::Commit, RetryStatus::Permanent));
                assert_eq!(lease.checkpoint(), Some(&two), "it says where to read on");
                party.run(lease.commit(to(expected, "again"))).unwrap();
            } else {
                outcome.unwrap();
            }
            assert_eq!(party.document().position(), Some(expected));
        }
    }
}

#[test]
fn a_dropped_commit_that_lands_late_never_takes_the_checkpoint_back() {
    let (party, far, near) = (Party::alone(), token(9), token(1));
    let mut lease = party.acquire();
    party.store.fail_writes([Fault::LandLate]);
    abandon(lease.commit(to(&far, "dropped")), 3);
    party.run(party.store.land_late());
    let error = party.run(lease.commit(to(&near, "next"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Commit);
    assert_eq!(party.document().position(), Some(&far));
    assert_eq!(lease.checkpoint(), Some(&far));
}

#[test]
fn settling_costs_nothing_unless_something_is_open() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    party.run(lease.settle()).unwrap();
    assert_eq!(party.store.calls().writes, 1);
    party.store.fail_writes([Fault::FailAfter]);
    abandon(lease.commit(to(&one, "dropped")), 3);
    party.run(lease.settle()).unwrap();
    assert_eq!(lease.checkpoint(), Some(&one), "it had landed");
    let writes = party.store.calls().writes;
    party.run(lease.settle()).unwrap();
    assert_eq!(party.store.calls().writes, writes);
}

#[test]
fn a_commit_that_is_never_answered_is_unknown_by_the_deadline() {
    for fault in [Fault::FailBefore, Fault::HangAfter, Fault::LandLate] {
        let (party, one) = (Party::alone(), token(1));
        let mut lease = party.acquire();
        party.store.fail_writes(std::iter::repeat_n(fault, 500));
        party.store.fail_loads(std::iter::repeat_n(Fault::FailBefore, 500));
        let error = party.run(lease.commit(to(&one, "b"))).unwrap_err();
        assert_eq!((error.kind(), error.retry_status()), (ErrorKind::CommitUnknown, RetryStatus::Unknown));
        let passed = party.clock.monotonic();
        assert!(passed >= 114 * SECOND && passed < 116 * SECOND, "{passed:?}");
        assert_eq!(lease.keeper().check().unwrap_err().kind(), ErrorKind::LostLease);
    }
}

#[test]
fn a_definite_failure_is_a_commit_error_and_leaves_the_lease() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    party.store.fail_writes([Fault::Forbid]);
    let error = party.run(lease.commit(to(&one, "b"))).unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::Commit, RetryStatus::Permanent));
    assert_eq!(lease.checkpoint(), None);
    party.run(lease.commit(to(&one, "b"))).unwrap();

    party.store.fail_writes([Fault::FailBefore, Fault::Forbid]);
    let error = party.run(lease.commit(to(&token(2), "c"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "the first attempt may still land");
}

#[test]
fn a_commit_that_landed_before_a_takeover_is_acknowledged() {
    let shared = shared();
    let (first, second) = (Party::new(&shared), Party::new(&shared));
    let (mut lease, one) = (first.acquire(), token(1));
    first.store.fail_writes([Fault::HangAfter]);
    let mut commit = Box::pin(lease.commit(to(&one, "b")));
    for _ in 0..4 {
        assert!(poll(&mut commit.as_mut()).is_pending());
    }
    second.clock.advance(140 * SECOND);
    assert_eq!(second.acquire().checkpoint(), Some(&one));
    first.run(commit).unwrap();
    assert!(lease.keeper().check().is_err(), "but the lease is lost");
}

#[test]
fn a_commit_whose_trace_is_gone_is_unknown_after_a_takeover() {
    let shared = shared();
    let (first, second) = (Party::new(&shared), Party::new(&shared));
    let (mut lease, one, two) = (first.acquire(), token(1), token(2));
    first.store.fail_writes([Fault::HangAfter]);
    let mut commit = Box::pin(lease.commit(to(&one, "b")));
    for _ in 0..4 {
        assert!(poll(&mut commit.as_mut()).is_pending());
    }
    second.clock.advance(140 * SECOND);
    second.run(second.acquire().commit_and_release(to(&two, "c"))).unwrap();
    let error = first.run(commit).unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::CommitUnknown, RetryStatus::Unknown));
}

#[test]
fn a_commit_that_a_takeover_went_past_is_surely_lost() {
    let shared = shared();
    let (first, second) = (Party::new(&shared), Party::new(&shared));
    let (mut lease, one) = (first.acquire(), token(1));
    first.store.fail_writes([Fault::Hang]);
    let mut commit = Box::pin(lease.commit(to(&one, "b")));
    assert!(poll(&mut commit.as_mut()).is_pending());
    second.clock.advance(140 * SECOND);
    second.run(second.acquire().release()).unwrap();
    assert_eq!(first.run(commit).unwrap_err().kind(), ErrorKind::LostLease);
}

#[test]
fn the_deadline_passes_on_whichever_clock_is_first_and_stays_passed() {
    let moves: [fn(&ManualClock); 3] = [
        |clock| clock.advance(114 * SECOND),
        |clock| clock.suspend(114 * SECOND),
        |clock| {
            clock.skew(TimeDelta::seconds(-3600));
            clock.advance(114 * SECOND);
        },
    ];
    for (which, pass) in moves.into_iter().enumerate() {
        let (party, one) = (Party::alone(), token(1));
        let mut lease = party.acquire();
        let keeper = lease.keeper();
        keeper.check().unwrap();
        pass(&party.clock);
        if which == 1 {
            // NTP may set the clock back again: what was once lost stays lost.
            assert!(keeper.check().is_err());
            party.clock.skew(TimeDelta::seconds(-3600));
        }
        assert_eq!(keeper.check().unwrap_err().kind(), ErrorKind::LostLease, "{which}");
        let before = party.store.calls();
        assert_eq!(party.run(lease.commit(to(&one, "b"))).unwrap_err().kind(), ErrorKind::LostLease);
        assert_eq!(party.run(lease.release()).unwrap_err().kind(), ErrorKind::LostLease);
        assert_eq!(party.store.calls(), before, "nothing is written past the deadline");
        assert_eq!(party.run(keeper.expired()).kind(), ErrorKind::LostLease);
    }
}

#[test]
fn the_deadline_counts_from_before_the_write_was_sent() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    party.store.fail_writes([Fault::Delay(9 * SECOND)]);
    let sent = party.clock.monotonic();
    party.run(lease.commit(to(&one, "b"))).unwrap();
    let left = lease.keeper().remaining();
    assert_eq!(sent + 114 * SECOND, party.clock.monotonic() + left);
}

#[test]
fn heartbeats_keep_the_lease_of_a_slow_handler_and_rest_while_commits_renew() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    let keeper = lease.keeper();
    let mut keep = Box::pin(keeper.keep());
    let mut live = |seconds: u64| {
        for _ in 0..seconds * 10 {
            assert!(poll(&mut keep.as_mut()).is_pending(), "the lease was lost");
            party.clock.advance(Duration::from_millis(100));
        }
    };
    live(1000);
    let writes = party.store.calls().writes;
    assert!((24..=27).contains(&writes), "one write every 40 s, {writes} in all");
    assert!(lease.keeper().check().is_ok());
    let before = party.store.calls().writes;
    for n in 0..10 {
        party.run(lease.commit(to(&one, &format!("b{n}")))).unwrap();
        live(20);
    }
    assert_eq!(party.store.calls().writes - before, 10, "no heartbeat where commits come more often");
}

#[test]
fn heartbeats_outlast_a_store_that_is_away_for_a_minute() {
    let party = Party::alone();
    let lease = party.acquire();
    let keeper = lease.keeper();
    let mut keep = Box::pin(keeper.keep());
    party.store.fail_writes([Fault::Hang, Fault::Hang, Fault::FailBefore, Fault::Forbid, Fault::FailAfter]);
    for _ in 0..3000 {
        assert!(poll(&mut keep.as_mut()).is_pending(), "the lease was lost");
        party.clock.advance(Duration::from_millis(100));
    }
    party.store.fail_writes(std::iter::repeat_n(Fault::FailBefore, 1000));
    let lost = party.run(keep);
    assert_eq!(lost.kind(), ErrorKind::LostLease);
    assert!(std::error::Error::source(&lost).is_some(), "it says why no heartbeat got through");
}

#[test]
fn a_heartbeat_that_nobody_polls_does_not_hold_up_a_commit() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    let keeper = lease.keeper();
    for polls in 1..=2 {
        party.clock.advance(40 * SECOND);
        let mut keep = Box::pin(keeper.keep());
        for _ in 0..polls {
            assert!(poll(&mut keep.as_mut()).is_pending());
        }
        party.run(lease.commit(to(&one, &format!("b{polls}")))).unwrap();
        assert!(poll(&mut keep.as_mut()).is_pending(), "and the heartbeat finds its way afterwards");
    }
    assert_eq!(party.document().position(), Some(&one));
}

#[test]
fn a_released_lease_ends_its_keepers() {
    let party = Party::alone();
    let lease = party.acquire();
    let (keep, expired) = (lease.keeper(), lease.keeper());
    let (mut keep, mut expired) = (Box::pin(keep.keep()), Box::pin(expired.expired()));
    assert!(poll(&mut keep.as_mut()).is_pending() && poll(&mut expired.as_mut()).is_pending());
    party.run(lease.release()).unwrap();
    assert!(poll(&mut keep.as_mut()).is_ready() && poll(&mut expired.as_mut()).is_ready());
    assert_eq!(party.document().lease(), None);
}

#[test]
fn an_acquisition_with_a_lost_reply_is_found_by_its_nonce() {
    for script in
        [&[Fault::FailAfter][..], &[Fault::Refuse], &[Fault::LandLate, Fault::FailBefore], &[Fault::HangAfter]]
    {
        let party = Party::alone();
        party.store.fail_writes(script.iter().copied());
        assert_eq!(party.acquire().fencing_token(), 1, "{script:?}");
        assert_eq!(party.document().revision(), 1);
    }
}

#[test]
fn a_dropped_acquisition_leaves_no_stray_lease_behind() {
    let shared = shared();
    let (party, other) = (Party::new(&shared), Party::new(&shared));
    abandon(party.leases.acquire(&table()), 4);
    assert!(party.document().lease().is_some(), "it had landed");
    assert!(matches!(other.run(other.leases.acquire(&table())).unwrap(), Acquired::HeldElsewhere(_)));
    assert_eq!(party.acquire().fencing_token(), 2, "its own side knows that nobody is behind it");
}

#[test]
fn an_acquisition_names_the_store_s_failure() {
    let party = Party::alone();
    party.store.fail_loads(std::iter::repeat_n(Fault::FailBefore, 1000));
    let error = party.run(party.leases.acquire(&table())).unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::LeaseAcquire, RetryStatus::Transient));
    party.store.heal();
    party.store.fail_writes([Fault::Forbid]);
    let error = party.run(party.leases.acquire(&table())).unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::LeaseAcquire, RetryStatus::Permanent));
    assert!(party.run(party.leases.peek()).unwrap().is_none());
}

#[test]
fn a_wrong_setting_is_refused_before_anything_is_read() {
    let store = Arc::new(FaultyStore::new(ObjectCheckpoints::memory(), Arc::new(ManualClock::new())));
    let settings = LeaseSettings::default().ttl(SECOND);
    let leases = Leases::new(Arc::clone(&store), Arc::new(ManualClock::new()), orders(), settings);
    let error = Party::alone().run(leases.acquire(&table())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(store.calls(), Calls::default());
}

#[test]
fn another_source_is_refused_and_nothing_is_written() {
    let party = Party::alone();
    party.run(party.acquire().release()).unwrap();
    let before = party.document();
    let invoices = SourceDescriptor::new("invoices", "table", Fingerprint::new().part("table", "invoices"));
    let error = party.run(party.leases.acquire(&invoices)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
    assert_eq!(party.document(), before);
}

#[test]
fn a_corrupt_document_is_refused_and_left_alone() {
    let party = Party::alone();
    let name = orders();
    let write = party.store.write_if(&name, b"not JSON", &WriteCondition::Absent);
    assert!(matches!(party.run(write).unwrap(), WriteOutcome::Written(_)));
    let error = party.run(party.leases.acquire(&table())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptState);
    assert_eq!(party.run(party.store.load(&orders())).unwrap().unwrap().bytes, b"not JSON");
}

#[test]
fn a_document_that_is_purged_under_its_owner_ends_the_lease() {
    let (party, one) = (Party::alone(), token(1));
    let mut lease = party.acquire();
    party.run(party.store.purge(&orders())).unwrap();
    assert_eq!(party.run(lease.commit(to(&one, "b"))).unwrap_err().kind(), ErrorKind::LostLease);
}

#[test]
fn an_owner_that_renews_is_not_robbed_while_skew_stays_within_the_margin() {
    let shared = shared();
    let (first, second) = (Party::new(&shared), Party::new(&shared));
    let lease = first.acquire();
    second.clock.suspend(11 * SECOND);
    let keeper = lease.keeper();
    let mut keep = Box::pin(keeper.keep());
    for _ in 0..600 {
        assert!(poll(&mut keep.as_mut()).is_pending());
        let attempt = second.run(second.leases.acquire(&table())).unwrap();
        assert!(matches!(attempt, Acquired::HeldElsewhere(_)), "robbed");
        first.clock.advance(SECOND);
        let ahead = first.clock.wall() + TimeDelta::seconds(11);
        second.clock.set_wall(ahead);
    }
}
