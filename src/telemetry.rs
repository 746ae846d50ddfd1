//! The names of spans and events, in one place, for whoever filters or counts by them.
//!
//! | name | kind | fields |
//! |---|---|---|
//! | `highwater.tick` | span | `poller`, `source`, `invocation_id` |
//! | `highwater.batch` | span | `batch_id`, `rows`, `fencing_token` |
//! | `highwater.acknowledged` | debug event | `rows` |
//! | `highwater.held_elsewhere` | debug event | `poller`, `owner_id`, `expires_at` |
//!
//! No field ever holds a row's content, a bind value or a password.

/// One run of the loop under a lease.
pub const TICK: &str = "highwater.tick";

/// One batch, from rows to acknowledged.
pub const BATCH: &str = "highwater.batch";

/// A batch's checkpoint was written.
pub const ACKNOWLEDGED: &str = "highwater.acknowledged";

/// Another process holds the lease.
pub const HELD_ELSEWHERE: &str = "highwater.held_elsewhere";
