//! SQL as text and binds: nothing here is asynchronous, and nothing knows a driver.

pub(crate) mod dialect;
pub(crate) mod filter;
pub(crate) mod keyset;
pub(crate) mod lex;
pub(crate) mod params;

pub use dialect::Dialect;
pub use filter::{Filter, IntoFilter, SqlFilter, sql_filter};
