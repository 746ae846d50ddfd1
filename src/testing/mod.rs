//! For tests, also those of users: a clock to turn by hand and a checkpoint store that fails on command.

mod clock;
mod store;

pub use clock::ManualClock;
pub use store::{Calls, Fault, FaultyStore};
