//! Every transition by itself.

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::checkpoint::lease::{
    Availability, Claim, Intention, Loss, ReadBack, Stamp, acquire, apply, availability, judge, surely_not_committed,
};

const TTL: Duration = Duration::from_mins(2);
const MARGIN: Duration = Duration::from_secs(12);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

fn take(document: Option<&StateDocument>, owner_id: &str, now: DateTime<Utc>) -> StateDocument {
    let (name, source) = (orders(), Fingerprint::new().part("table", "orders"));
    let claim = Claim { name: &name, source: &source, owner_id, nonce: owner_id, now, ttl: TTL, fresh: owner_id };
    acquire(document, &claim).unwrap()
}

fn stamp(nonce: &str, seconds: i64) -> Stamp<'_> {
    Stamp { nonce, now: at(seconds), ttl: TTL }
}

fn version(text: &str) -> Version {
    Version::new(text)
}

#[test]
fn the_first_acquisition_creates_the_document() {
    let document = take(None, "a", at(0));
    assert_eq!((document.fencing_token, document.revision), (1, 1));
    assert_eq!(document.lease().unwrap().owner_id(), "a");
    assert_eq!(document.lease().unwrap().expires_at(), at(120));
    assert_eq!(document.stream_id(), "a");
    assert_eq!(document.source_fingerprint, Some(document.source().unwrap().digest()));
}

#[test]
fn a_lease_lives_until_its_expiry_and_the_margin() {
    let document = take(None, "a", at(0));
    for seconds in [-3600, 0, 119, 120, 131] {
        let Availability::Held(by) = availability(&document, at(seconds), MARGIN) else { panic!("free at {seconds}") };
        assert_eq!((by.owner_id.as_str(), by.expires_at, by.free_at), ("a", at(120), at(132)));
    }
    assert_eq!(availability(&document, at(132), MARGIN), Availability::Expired);
}

#[test]
fn a_released_lease_is_free_at_once_and_the_token_still_rises() {
    let held = take(None, "a", at(0));
    let released = apply(&held, &Intention::Release, stamp("r", 1)).unwrap();
    assert_eq!((released.fencing_token, released.revision), (1, 2));
    assert_eq!(availability(&released, at(1), MARGIN), Availability::Free);
    let again = take(Some(&released), "a2", at(1));
    assert_eq!((again.fencing_token, again.revision), (2, 3));
    assert_eq!(again.stream_id(), held.stream_id());
}

#[test]
fn a_tombstone_is_free_and_begins_another_stream_with_a_higher_token() {
    let mut tombstone = StateDocument::empty(&orders(), "old");
    (tombstone.fencing_token, tombstone.revision, tombstone.deleted_at) = (41, 7, Some(at(0)));
    assert_eq!(availability(&tombstone, at(0), MARGIN), Availability::Free);
    let reborn = take(Some(&tombstone), "new", at(1));
    assert_eq!((reborn.fencing_token, reborn.revision, reborn.stream_id()), (42, 8, "new"));
    assert_eq!(reborn.deleted_at(), None);
}

#[test]
fn every_write_renews_and_keeps_what_it_does_not_know() {
    let mut held = take(None, "a", at(0));
    held.extra.insert("later".into(), 1.into());
    held.lease.as_mut().unwrap().extra.insert("later".into(), 2.into());
    let (one, position) = (held.revision, token(5));
    let renewed = apply(&held, &Intention::Renew { beyond: one }, stamp("n", 40)).unwrap();
    assert_eq!(renewed.lease().unwrap().expires_at(), at(160));
    assert_eq!(renewed.lease().unwrap().acquired_at(), at(0));
    assert_eq!((renewed.revision, renewed.writer.as_str(), renewed.fencing_token), (2, "n", 1));
    let commit = Intention::Commit { commit: to(&position, "b"), after: None };
    let committed = apply(&renewed, &commit, stamp("c", 50)).unwrap();
    assert_eq!(committed.lease().unwrap().expires_at(), at(170));
    assert_eq!(committed.position(), Some(&position));
    assert_eq!((&committed.extra, &committed.lease.unwrap().extra), (&held.extra, &held.lease.unwrap().extra));
}

#[test]
fn a_commit_read_after_another_position_does_not_suit() {
    let (held, one, two) = (take(None, "a", at(0)), token(1), token(2));
    let second = Intention::Commit { commit: to(&two, "second"), after: None };
    let moved = apply(&held, &second, stamp("x", 1)).unwrap();
    let first = Intention::Commit { commit: to(&one, "first"), after: None };
    assert!(apply(&held, &first, stamp("y", 2)).is_some());
    assert!(apply(&moved, &first, stamp("y", 2)).is_none(), "it would take the checkpoint back");
    assert!(apply(&moved, &second, stamp("y", 2)).is_some(), "the same position again takes nothing back");
}

#[test]
fn intentions_know_when_they_are_fulfilled() {
    let (held, one) = (take(None, "a", at(0)), token(1));
    let commit = to(&one, "b");
    let and_release = Intention::CommitAndRelease { commit, after: None };
    let plain = Intention::Commit { commit, after: None };
    let committed = apply(&held, &plain, stamp("x", 1)).unwrap();
    assert!(!plain.is_fulfilled(&held) && plain.is_fulfilled(&committed) && !and_release.is_fulfilled(&committed));
    assert!(!Intention::Commit { commit: to(&one, "other"), after: None }.is_fulfilled(&committed));
    let released = apply(&committed, &and_release, stamp("y", 2)).unwrap();
    assert!(and_release.is_fulfilled(&released) && Intention::Release.is_fulfilled(&released));
    assert!(
        Intention::Renew { beyond: 1 }.is_fulfilled(&committed)
            && !Intention::Renew { beyond: 2 }.is_fulfilled(&committed)
    );
    assert!(!Intention::Renew { beyond: 2 }.is_fulfilled(&released), "what was released is not renewed");
}

#[test]
fn a_read_back_is_judged_by_nonce_and_token() {
    let (base, one) = (take(None, "a", at(0)), token(1));
    let ours = apply(&base, &Intention::Commit { commit: to(&one, "b"), after: None }, stamp("n1", 1)).unwrap();
    let theirs = take(Some(&base), "b", at(200));
    let (v1, v2) = (version("1"), version("2"));
    let see = |seen: Option<(&StateDocument, &Version)>| judge((&base, &v1), ["n0", "n1"].into_iter(), seen);
    assert_eq!(see(Some((&base, &v1))), ReadBack::Unchanged);
    assert_eq!(see(Some((&ours, &v2))), ReadBack::Ours);
    assert_eq!(see(Some((&theirs, &v2))), ReadBack::Lost(Loss::TakenOver { fencing_token: 2 }));
    assert_eq!(see(None), ReadBack::Lost(Loss::Purged));
    let stranger = apply(&base, &Intention::Release, stamp("nobody", 1)).unwrap();
    assert!(matches!(see(Some((&stranger, &v2))), ReadBack::Lost(_)), "our token under a nonce that we never used");
    let settled = judge((&ours, &v2), [].into_iter(), Some((&base, &v1)));
    assert_eq!(settled, ReadBack::Unchanged, "a read that our own write overtook");
}

#[test]
fn a_successor_tells_what_became_of_our_commit() {
    let (base, one) = (take(None, "a", at(0)), token(1));
    let ours = apply(&base, &Intention::Commit { commit: to(&one, "b"), after: None }, stamp("n1", 1)).unwrap();
    assert!(surely_not_committed(&base, &take(Some(&base), "b", at(200))));
    assert!(!surely_not_committed(&base, &take(Some(&ours), "b", at(200))));
}

#[test]
fn another_source_is_refused_with_the_differences_and_both_ways_on() {
    let held = take(None, "a", at(0));
    let (name, source) = (orders(), Fingerprint::new().part("table", "invoices"));
    let claim = Claim { name: &name, source: &source, owner_id: "b", nonce: "b", now: at(0), ttl: TTL, fresh: "fresh" };
    let error = acquire(Some(&held), &claim).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
    for part in ["table was `orders`, is `invoices`", "checkpoint adopt", "checkpoint reset"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
fn the_end_of_time_is_no_panic() {
    let far = crate::checkpoint::lease::after(DateTime::<Utc>::MAX_UTC - TimeDelta::seconds(1), TTL);
    assert_eq!(far, DateTime::<Utc>::MAX_UTC);
}
