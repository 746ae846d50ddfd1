//! The builder's slots: empty ones, filled ones, and what the compiler says of each.

use crate::checkpoint::CheckpointStore;
use crate::poller::delivery::{Delivery, GoesNowhere};
use crate::source::Source;

/// Shows that a poller has no source yet.
#[derive(Clone, Copy, Debug)]
pub struct NeedsSource;

/// Shows that a poller has no checkpoint store yet.
#[derive(Clone, Copy, Debug)]
pub struct NeedsStore;

/// Shows that a poller has no handler yet.
#[derive(Clone, Copy, Debug)]
pub struct NeedsHandler;

/// A builder's source slot that is filled.
#[diagnostic::on_unimplemented(
    message = "this poller has no source",
    label = "no source",
    note = "add `.source(db.table(\"orders\").cursor(\"updated_at\").key([\"id\"]))`, or any other `Source`"
)]
pub trait HasSource: Source {}

#[diagnostic::do_not_recommend]
impl<S: Source> HasSource for S {}

/// A builder's store slot that is filled.
#[diagnostic::on_unimplemented(
    message = "this poller has no checkpoint store",
    label = "no checkpoint store",
    note = "add `.checkpoints(ObjectCheckpoints::from_url(\"file:///var/lib/shop/state\")?)`, or any other `CheckpointStore`"
)]
pub trait HasStore: CheckpointStore {}

#[diagnostic::do_not_recommend]
impl<C: CheckpointStore> HasStore for C {}

/// A builder's handler slot that is filled.
#[diagnostic::on_unimplemented(
    message = "this poller has no handler",
    label = "no handler",
    note = "add `.handler(async |batch: Batch<Row>| {{ .. Ok(()) }})`, or pull batches with `.pull::<Row>()`"
)]
pub trait HasHandler<C: CheckpointStore>: Delivery<C> {}

#[diagnostic::do_not_recommend]
impl<C: CheckpointStore, D: Delivery<C>> HasHandler<C> for D {}

/// A slot that is still free.
#[diagnostic::on_unimplemented(
    message = "this part of the poller is set already",
    label = "set twice",
    note = "a poller has one source, one checkpoint store and one handler; run several pollers by `Pollers`"
)]
pub trait Free {}

impl Free for NeedsSource {}
impl Free for NeedsStore {}
impl Free for NeedsHandler {}

/// That a handler is missing is said by [`HasHandler`] alone.
impl GoesNowhere for NeedsHandler {}
