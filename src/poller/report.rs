//! What ticks and runs report.

use crate::checkpoint::HeldBy;
use crate::poller::step::Ending;
use crate::source::Fetch;

/// What one tick did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickReport {
    batches: u32,
    rows: u64,
    ending: Ending,
    skipped_nulls: Option<u64>,
    held_by: Option<HeldBy>,
}

impl TickReport {
    pub(crate) fn new() -> Self {
        Self { batches: 0, rows: 0, ending: Ending::More, skipped_nulls: None, held_by: None }
    }

    pub(crate) fn held_elsewhere(by: &HeldBy) -> Self {
        Self { ending: Ending::HeldElsewhere, held_by: Some(by.clone()), ..Self::new() }
    }

    pub(crate) fn fetched(&mut self, fetch: &Fetch) {
        self.skipped_nulls = fetch.skipped_nulls().or(self.skipped_nulls);
    }

    pub(crate) fn acknowledged(&mut self, rows: usize) {
        self.batches += 1;
        self.rows += rows as u64;
    }

    pub(crate) fn ended(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// The batches that were handled and acknowledged.
    #[must_use]
    pub fn batches(&self) -> u32 {
        self.batches
    }

    /// The rows in them.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How it ended.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// How many rows have a NULL cursor and are left out, where the source was asked to count them.
    #[must_use]
    pub fn skipped_nulls(&self) -> Option<u64> {
        self.skipped_nulls
    }

    /// Who holds the lease, where it is held elsewhere.
    #[must_use]
    pub fn held_by(&self) -> Option<&HeldBy> {
        self.held_by.as_ref()
    }
}

/// What a run did, from its start to its stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    pub(crate) ticks: u64,
    pub(crate) batches: u64,
    pub(crate) rows: u64,
}

impl RunReport {
    pub(crate) fn ticked(&mut self) {
        self.ticks += 1;
    }

    /// Adds what was done under one lease.
    pub(crate) fn acknowledged(&mut self, batches: u64, rows: u64) {
        self.batches += batches;
        self.rows += rows;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.batches += other.batches;
        self.rows += other.rows;
    }

    /// The ticks in which the lease was ours.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// The batches that were handled and acknowledged.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The rows in them.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}
