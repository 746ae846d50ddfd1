//! A source's shape: what its columns are right now, and the statement that reads them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::db::Backend;
use crate::db::driver::Layout;
use crate::position::KeysetShape;
use crate::record::SourceDescriptor;
use crate::sql::keyset::{Flags, Keyset, Place};
use crate::value::Columns;

/// What a source keeps between fetches.
pub(super) struct Cache<B: Backend> {
    pub(super) descriptor: OnceLock<Arc<SourceDescriptor>>,
    shape: Mutex<Option<(Arc<Shape<B>>, Duration)>>,
    /// Whether the last fetch got past its ties.
    apart: AtomicBool,
    clock: SystemClock,
}

impl<B: Backend> Default for Cache<B> {
    fn default() -> Self {
        Self {
            descriptor: OnceLock::new(),
            shape: Mutex::new(None),
            apart: AtomicBool::new(false),
            clock: SystemClock::new(),
        }
    }
}

impl<B: Backend> Cache<B> {
    /// The shape, if it was read less than `age` ago.
    pub(super) fn recent(&self, age: Duration) -> Option<Arc<Shape<B>>> {
        let kept = self.shape.lock().unwrap_or_else(PoisonError::into_inner);
        let (shape, read_at) = kept.as_ref()?;
        (self.clock.monotonic().saturating_sub(*read_at) < age).then(|| Arc::clone(shape))
    }

    /// What is known of the next position.
    pub(super) fn place(&self) -> Place {
        if self.apart.load(Ordering::Relaxed) { Place::Apart } else { Place::AmongTies }
    }

    pub(super) fn note(&self, place: Place) {
        self.apart.store(place == Place::Apart, Ordering::Relaxed);
    }

    pub(super) fn keep(&self, shape: Shape<B>) -> Arc<Shape<B>> {
        let shape = Arc::new(shape);
        let kept = (Arc::clone(&shape), self.clock.monotonic());
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        shape
    }
}

/// Columns, positions and statement, as of one look at the catalogue.
pub(super) struct Shape<B: Backend> {
    /// The names of the row's columns, shared by all rows.
    pub(super) columns: Columns,
    /// The position's columns.
    pub(super) positions: KeysetShape,
    /// Which of the position's values are compared: a column that is cursor and key once.
    pub(super) compared: Box<[usize]>,
    pub(super) keyset: Keyset,
    pub(super) layout: Layout<B::Form>,
}

impl<B: Backend> Shape<B> {
    /// What stands where in the rows of a statement.
    pub(super) fn layout(&self, flags: Flags) -> Layout<B::Form> {
        let mut next = self.keyset.columns.len();
        let mut place = |flag: bool| {
            flag.then(|| {
                next += 1;
                next - 1
            })
        };
        let (ripe, step, above) = (place(flags.ripe), place(flags.step), place(flags.above));
        Layout { ripe, step, above, ..self.layout.clone() }
    }
}
