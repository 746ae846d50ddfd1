//! What a tick does next: a state machine without I/O, from (state, event) to action.

use crate::source::Remaining;

/// What is fixed for one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) max_batches: u32,
    pub(crate) lease: LeaseAfter,
    pub(crate) empty: EmptyBatches,
}

/// What becomes of the lease when the tick is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseAfter {
    /// Released with the last commit: one run of a timer.
    Release,
    /// Kept for the next tick: a service.
    Keep,
}

/// Whether the handler is called when a tick finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyBatches {
    /// It is not called: the default.
    Skip,
    /// It is called once a tick with an empty batch, as a sign of life.
    Deliver,
}

/// How a tick ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every row that was there has been handled.
    Drained,
    /// The limit of batches was reached; more rows are there.
    More,
    /// Another process holds the lease; nothing was done, and nothing is wrong.
    HeldElsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The lease is ours.
    Held,
    /// A fetch returned.
    Fetched { rows: usize, remaining: Remaining },
    /// The batch was handled and its checkpoint written.
    Acknowledged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read the next batch.
    Fetch,
    /// Hand the batch over and acknowledge it.
    Deliver { lease: LeaseAfter, prefetch: Prefetch },
    /// Call the handler with no rows; there is nothing to acknowledge.
    DeliverEmpty,
    /// Give the lease back in a write of its own.
    Release(Ending),
    /// The tick is over, and the lease is as the plan wants it.
    End(Ending),
}

/// Whether the next batch is read while one is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefetch {
    /// It is: the default.
    On,
    /// It is not: half the memory, and no read that a failure would waste.
    Off,
}

#[derive(Debug)]
pub(crate) struct Step {
    plan: Plan,
    batches: u32,
    /// The ending that the delivery under way will be, if it is the last.
    last: Option<Ending>,
}

impl Step {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, batches: 0, last: None }
    }

    pub(crate) fn on(&mut self, event: Event) -> Action {
        match event {
            Event::Held => Action::Fetch,
            Event::Fetched { rows: 0, .. } => self.nothing_left(),
            Event::Fetched { remaining, .. } => self.deliver(remaining),
            Event::Acknowledged => match self.last.take() {
                Some(ending) => Action::End(ending),
                None => Action::Fetch,
            },
        }
    }

    /// The empty batch was handed over.
    pub(crate) fn empty_delivered(&self) -> Action {
        self.finish(Ending::Drained)
    }

    fn nothing_left(&self) -> Action {
        if self.plan.empty == EmptyBatches::Deliver && self.batches == 0 {
            Action::DeliverEmpty
        } else {
            self.finish(Ending::Drained)
        }
    }

    fn deliver(&mut self, remaining: Remaining) -> Action {
        self.batches += 1;
        self.last = match remaining {
            Remaining::Nothing => Some(Ending::Drained),
            Remaining::More if self.batches >= self.plan.max_batches => Some(Ending::More),
            Remaining::More => None,
        };
        let over = self.last.is_some();
        let lease = if over { self.plan.lease } else { LeaseAfter::Keep };
        let goes_on = remaining == Remaining::More && lease == LeaseAfter::Keep;
        Action::Deliver { lease, prefetch: if goes_on { Prefetch::On } else { Prefetch::Off } }
    }

    fn finish(&self, ending: Ending) -> Action {
        match self.plan.lease {
            LeaseAfter::Release => Action::Release(ending),
            LeaseAfter::Keep => Action::End(ending),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Drives a tick over batches that have more behind them or not; returns deliveries and the last action.
    fn drive(plan: Plan, available: usize) -> (Vec<Action>, Action) {
        let mut step = Step::new(plan);
        let mut left = available;
        let mut deliveries = Vec::new();
        let mut action = step.on(Event::Held);
        loop {
            action = match action {
                Action::Fetch if left == 0 => step.on(Event::Fetched { rows: 0, remaining: Remaining::Nothing }),
                Action::Fetch => {
                    left -= 1;
                    let remaining = if left > 0 { Remaining::More } else { Remaining::Nothing };
                    step.on(Event::Fetched { rows: 1, remaining })
                }
                Action::Deliver { .. } => {
                    deliveries.push(action);
                    step.on(Event::Acknowledged)
                }
                Action::DeliverEmpty => {
                    deliveries.push(action);
                    step.empty_delivered()
                }
                last => return (deliveries, last),
            }
        }
    }

    proptest! {
        #[test]
        fn a_tick_keeps_its_limit_and_releases_exactly_once(
            available in 0_usize..20, max_batches in 1_u32..10, keep: bool, deliver_empty: bool,
        ) {
            let lease = if keep { LeaseAfter::Keep } else { LeaseAfter::Release };
            let empty = if deliver_empty { EmptyBatches::Deliver } else { EmptyBatches::Skip };
            let (deliveries, last) = drive(Plan { max_batches, lease, empty }, available);
            let batches = deliveries.iter().filter(|action| matches!(action, Action::Deliver { .. })).count();
            prop_assert_eq!(batches, available.min(max_batches as usize));
            let with_commit = deliveries
                .iter()
                .filter(|action| matches!(action, Action::Deliver { lease: LeaseAfter::Release, .. }))
                .count();
            let on_its_own = usize::from(matches!(last, Action::Release(_)));
            prop_assert_eq!(with_commit + on_its_own, usize::from(!keep), "released once, or kept");
            let ending = if available > max_batches as usize { Ending::More } else { Ending::Drained };
            prop_assert!(matches!(last, Action::Release(end) | Action::End(end) if end == ending));
            prop_assert_eq!(deliveries.contains(&Action::DeliverEmpty), deliver_empty && available == 0);
        }
    }

    #[test]
    fn nothing_is_read_ahead_that_this_lease_will_not_deliver() {
        let plan = Plan { max_batches: 2, lease: LeaseAfter::Release, empty: EmptyBatches::Skip };
        let (deliveries, _) = drive(plan, 5);
        let ahead: Vec<Prefetch> = deliveries
            .iter()
            .filter_map(|action| match action {
                Action::Deliver { prefetch, .. } => Some(*prefetch),
                _ => None,
            })
            .collect();
        assert_eq!(ahead, [Prefetch::On, Prefetch::Off]);
    }
}
