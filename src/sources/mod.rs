//! Tables and queries as sources: their builders, and how they are read.

mod definition;
mod query;
mod reader;
mod resolve;
mod shape;
mod state;
mod table;
mod validate;

pub use definition::NullPolicy;
pub use query::{OwnColumns, QuerySource};
pub use state::{HasCursor, HasKey, KeyLength, NeedsCursor, NeedsKey, WantsCursor, WantsKey, WithCursor, WithKey};
pub use table::TableSource;
