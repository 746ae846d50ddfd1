//! Tables and queries as sources, against real SQLite files.

mod connect;
mod drift;
mod duplicates;
mod filters;
mod lag;
mod nulls;
mod roundtrip;
mod support;
mod validate;
mod values;
