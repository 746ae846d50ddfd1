//! The poller: takes the lease, reads a batch, hands it over, writes the checkpoint, again.

mod builder;
mod core;
mod delivery;
mod every;
mod follow;
mod group;
mod guard;
mod pull;
mod report;
mod session;
mod settings;
mod slots;
mod step;

pub use builder::PollerBuilder;
pub use delivery::{AtLeastOnce, Delivery, GoesNowhere, Nothing, Parcel};
pub use every::{DEFAULT_INTERVAL, Every};
pub use follow::Poller;
pub use group::{Both, Nobody, Pollers, Runs, Shutdown};
pub use pull::{PulledBatch, Puller};
pub use report::{RunReport, TickReport};
pub use settings::OnPoison;
pub use slots::{Free, HasHandler, HasSource, HasStore, NeedsHandler, NeedsSource, NeedsStore};
pub use step::{EmptyBatches, Ending, Prefetch};
