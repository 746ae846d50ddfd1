//! What operators do.

use super::*;
use crate::testing::Fault;

struct Desk {
    party: Party,
    operator: Operator<Store>,
}

fn desk() -> Desk {
    let party = Party::alone();
    let operator = Operator::new(Arc::clone(&party.store), Arc::new(party.clock.clone()));
    Desk { party, operator }
}

impl Desk {
    /// A poller that stands at 5 and is free.
    fn at_five() -> Self {
        let desk = desk();
        let (lease, five) = (desk.party.acquire(), token(5));
        desk.party.run(lease.commit_and_release(to(&five, "b"))).unwrap();
        desk
    }

    fn reset(&self, to: ResetTo) -> Result<StateDocument, Error> {
        self.party.run(self.operator.reset(&orders(), to))
    }
}

fn copy() -> PollerName {
    PollerName::new("copy").unwrap()
}

#[test]
fn resets_move_the_checkpoint_raise_the_token_and_keep_the_stream() {
    let desk = Desk::at_five();
    let before = desk.party.document();
    let far = desk.reset(ResetTo::Position(token(9))).unwrap();
    assert_eq!((far.position(), far.fencing_token()), (Some(&token(9)), 2));
    let beginning = desk.reset(ResetTo::Beginning).unwrap();
    assert_eq!((beginning.position(), beginning.fencing_token()), (None, 3));
    assert_eq!(beginning.stream_id(), before.stream_id());
    let back = desk.reset(ResetTo::Document(Box::new(before.clone()))).unwrap();
    assert_eq!((back.position(), back.source(), back.fencing_token()), (Some(&token(5)), before.source(), 4));
    assert_eq!(desk.party.document(), back);
    assert_eq!(desk.party.acquire().fencing_token(), 5);
}

#[test]
fn after_a_reset_the_source_may_be_another_one() {
    let desk = Desk::at_five();
    let invoices = SourceDescriptor::new("invoices", "table", Fingerprint::new().part("table", "invoices"));
    desk.party.run(desk.party.leases.acquire(&invoices)).unwrap_err();
    desk.reset(ResetTo::Beginning).unwrap();
    assert!(matches!(desk.party.run(desk.party.leases.acquire(&invoices)).unwrap(), Acquired::Held(_)));
}

#[test]
fn while_a_lease_lives_nothing_is_changed_but_by_unlocking() {
    let desk = Desk::at_five();
    let exported = desk.party.run(desk.operator.export(&orders())).unwrap();
    let (mut lease, six) = (desk.party.acquire(), token(6));
    let before = desk.party.document();
    let run = |future: std::pin::Pin<Box<dyn Future<Output = Result<StateDocument, Error>> + '_>>| {
        desk.party.run(future).unwrap_err().kind()
    };
    let (operator, name) = (&desk.operator, orders());
    assert_eq!(run(Box::pin(operator.reset(&name, ResetTo::Beginning))), ErrorKind::LeaseHeld);
    assert_eq!(run(Box::pin(operator.tombstone(&name))), ErrorKind::LeaseHeld);
    assert_eq!(run(Box::pin(operator.import(&name, &exported))), ErrorKind::LeaseHeld);
    assert_eq!(desk.party.run(operator.adopt(&name, &table())).unwrap_err().kind(), ErrorKind::LeaseHeld);
    desk.party.run(operator.clone_to(&name, &copy(), CloneStream::New)).unwrap();
    assert_eq!(run(Box::pin(operator.clone_to(&copy(), &name, CloneStream::New))), ErrorKind::LeaseHeld);
    assert_eq!(desk.party.document(), before);

    let unlocked = desk.party.run(operator.unlock(&name)).unwrap();
    assert_eq!((unlocked.lease(), unlocked.fencing_token()), (None, before.fencing_token() + 1));
    let error = desk.party.run(lease.commit(to(&six, "late"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LostLease, "the former owner is fenced off");
}

#[test]
fn a_lease_that_expired_beyond_its_margin_stops_no_operator() {
    let desk = Desk::at_five();
    drop(desk.party.acquire());
    desk.party.clock.advance(131 * SECOND);
    assert_eq!(desk.reset(ResetTo::Beginning).unwrap_err().kind(), ErrorKind::LeaseHeld);
    desk.party.clock.advance(2 * SECOND);
    desk.reset(ResetTo::Beginning).unwrap();
}

#[test]
fn a_tombstone_keeps_token_and_revision() {
    let desk = Desk::at_five();
    let before = desk.party.document();
    let tombstone = desk.party.run(desk.operator.tombstone(&orders())).unwrap();
    assert!(tombstone.deleted_at().is_some() && tombstone.position().is_none() && tombstone.source().is_none());
    assert_eq!(tombstone.revision(), before.revision() + 1);
    let lease = desk.party.acquire();
    assert_eq!((lease.fencing_token(), lease.checkpoint()), (3, None));
    assert_ne!(lease.stream_id(), before.stream_id());
    desk.party.run(lease.release()).unwrap();
    desk.party.run(desk.operator.tombstone(&orders())).unwrap();
    let adopted = desk.party.run(desk.operator.adopt(&orders(), &table()));
    assert_eq!(adopted.unwrap_err().kind(), ErrorKind::NotFound, "there is nothing to adopt in a tombstone");
}

#[test]
fn a_clone_has_the_position_and_never_lowers_the_target_s_token() {
    let desk = Desk::at_five();
    let original = desk.party.document();
    let kept = desk.party.run(desk.operator.clone_to(&orders(), &copy(), CloneStream::Keep)).unwrap();
    assert_eq!((kept.poller_name(), kept.position()), ("copy", Some(&token(5))));
    assert_eq!(kept.stream_id(), original.stream_id());
    for expected in 3..6 {
        let again = desk.party.run(desk.operator.clone_to(&orders(), &copy(), CloneStream::New)).unwrap();
        assert_eq!(again.fencing_token(), expected);
        assert_ne!(again.stream_id(), original.stream_id());
    }
    assert_eq!(desk.party.document(), original, "the original is only read");
    let page = desk.party.run(desk.party.store.list(None)).unwrap();
    assert_eq!(page.names, [copy(), orders()]);
    let onto_itself = desk.party.run(desk.operator.clone_to(&copy(), &copy(), CloneStream::Keep));
    assert_eq!(onto_itself.unwrap_err().kind(), ErrorKind::Configuration);
}

#[test]
fn an_import_brings_back_what_was_exported_under_a_higher_token() {
    let desk = Desk::at_five();
    let before = desk.party.document();
    let exported = desk.party.run(desk.operator.export(&orders())).unwrap();
    desk.reset(ResetTo::Beginning).unwrap();
    let imported = desk.party.run(desk.operator.import(&orders(), &exported)).unwrap();
    assert_eq!((imported.position(), imported.fencing_token()), (Some(&token(5)), 3));
    assert_eq!((imported.stream_id(), imported.source()), (before.stream_id(), before.source()));
    let elsewhere = desk.party.run(desk.operator.import(&copy(), &exported)).unwrap();
    assert_eq!((elsewhere.poller_name(), elsewhere.fencing_token()), ("copy", 2));
    let garbage = desk.party.run(desk.operator.import(&orders(), b"{}")).unwrap_err();
    assert_eq!(garbage.kind(), ErrorKind::CorruptState);
}

#[test]
fn adopting_keeps_the_position_while_cursor_and_key_are_the_same() {
    let desk = Desk::at_five();
    let before = desk.party.document();
    let moved = Fingerprint::new().part("table", "orders_v2").part("cursor", "updated_at");
    let moved = SourceDescriptor::new("orders", "table", moved);
    desk.party.run(desk.party.leases.acquire(&moved)).unwrap_err();
    let adoption = desk.party.run(desk.operator.adopt(&orders(), &moved)).unwrap();
    assert_eq!(adoption.differences, ["table was `orders`, is `orders_v2`"]);
    assert_eq!(adoption.before.as_ref(), before.source());
    assert_eq!(adoption.document.stream_id(), before.stream_id());
    let Acquired::Held(lease) = desk.party.run(desk.party.leases.acquire(&moved)).unwrap() else { panic!("held") };
    assert_eq!(lease.checkpoint(), Some(&token(5)));
    desk.party.run(lease.release()).unwrap();

    let other = Fingerprint::new().part("table", "orders_v2").part("cursor", "version");
    let other = SourceDescriptor::new("orders", "table", other);
    let error = desk.party.run(desk.operator.adopt(&orders(), &other)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
    assert!(error.message().contains("cursor was `updated_at`, is `version`"), "{error}");
}

#[test]
fn a_rehearsal_writes_nothing() {
    let Desk { party, operator } = Desk::at_five();
    let before = (party.document(), party.store.calls().writes);
    let operator = operator.rehearsing();
    let planned = party.run(operator.reset(&orders(), ResetTo::Beginning)).unwrap();
    assert_eq!(planned.position(), None);
    assert_eq!((party.document(), party.store.calls().writes), before);
}

#[test]
fn what_is_not_there_is_not_found() {
    let desk = desk();
    let run = |error: Error| error.kind();
    assert_eq!(run(desk.party.run(desk.operator.export(&orders())).unwrap_err()), ErrorKind::NotFound);
    assert_eq!(run(desk.party.run(desk.operator.tombstone(&orders())).unwrap_err()), ErrorKind::NotFound);
    assert_eq!(run(desk.party.run(desk.operator.unlock(&orders())).unwrap_err()), ErrorKind::NotFound);
    assert_eq!(run(desk.party.run(desk.operator.adopt(&orders(), &table())).unwrap_err()), ErrorKind::NotFound);
    assert_eq!(desk.party.run(desk.operator.show(&orders())).unwrap(), None);
}

#[test]
fn an_operator_s_lost_reply_is_settled_too() {
    let desk = Desk::at_five();
    for script in
        [[Fault::FailAfter, Fault::FailBefore], [Fault::LandLate, Fault::Refuse], [Fault::Hang, Fault::Refuse]]
    {
        desk.party.store.fail_writes(script);
        desk.reset(ResetTo::Position(token(7))).unwrap();
    }
    assert_eq!(desk.party.document().fencing_token(), 4);
    desk.party.store.fail_writes([Fault::Forbid]);
    assert_eq!(desk.reset(ResetTo::Beginning).unwrap_err().kind(), ErrorKind::Checkpoint);
}
