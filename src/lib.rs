//! Notice what changed in a database, and go on where you stopped.
//!
//! highwater polls a table or a query in keyset order, hands each batch to an async function, and keeps a
//! checkpoint with a fenced lease in a store of your choice.
//!
//! ```no_run
//! use highwater::{Batch, Database, Error, ObjectCheckpoints, Poller, Sqlite};
//! use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     id: i64,
//!     status: String,
//! }
//!
//! # async fn example() -> Result<(), Error> {
//! let db = Database::<Sqlite>::connect("sqlite://shop.db").await?;
//!
//! let poller = Poller::builder("orders")
//!     .source(db.table("orders").cursor("updated_at").key(["id"]))
//!     .checkpoints(ObjectCheckpoints::from_url("file:///var/lib/shop/state")?)
//!     .handler(async |orders: Batch<Order>| {
//!         for order in &orders {
//!             println!("{} is {}", order.id, order.status);
//!         }
//!         Ok(())
//!     })
//!     .build();
//!
//! poller.tick().await?; // once: a timer, a cron job, a serverless function
//! poller.every(Duration::from_secs(60)).run().await?; // or for good
//! # Ok(()) }
//! ```
//!
//! # Contents
//!
//! - [Sources](#sources): tables, queries, and your own
//! - [Order, and what "no loss" means](#order-and-what-no-loss-means)
//! - [Handlers](#handlers)
//! - [Checkpoints and leases](#checkpoints-and-leases)
//! - [Running](#running)
//! - [Errors](#errors)
//! - [What it is not](#what-it-is-not)
//!
//! # Sources
//!
//! A source has a *cursor column*, which orders its changes (`updated_at`, `version`, an id that only grows), and a
//! *key*, which tells apart rows with the same cursor. Together they are a row's [`Position`]. The builder is a
//! source as soon as both are named, and doesn't compile where one is missing:
//!
//! ```
//! # use highwater::{Database, Sqlite, sql_filter};
//! # fn example(db: Database<Sqlite>) {
//! use std::time::Duration;
//!
//! let orders = db
//!     .table("orders")
//!     .columns(["id", "status", "total"])
//!     .filter(sql_filter("region = :region").param("region", "eu"))
//!     .cursor("updated_at")
//!     .key(["id"])
//!     .deleted_when("deleted_at")
//!     .lag(Duration::from_secs(2));
//!
//! let revenue = db
//!     .query_sql("SELECT day, version, total FROM revenue WHERE region = :region")
//!     .param("region", "eu")
//!     .cursor("version")
//!     .key(["day"]);
//! # let _ = (orders, revenue); }
//! ```
//!
//! Anything else that can be read in an order of its own and resumed is a source too: implement [`Source`].
//!
//! # Order, and what "no loss" means
//!
//! Rows come in `(cursor, key)` order, strictly after the checkpoint. Comparing is the database's business: positions
//! are bound back in the very form in which they are stored, so that text in any format, integers beyond 2^53, reals
//! to the last bit, and columns of mixed types keep the database's order.
//!
//! Every row is delivered whose position, when it becomes visible, lies above the checkpoint and above the rows that
//! were read since. That is a condition on the source. A row that appears *at or below* what was read can't be seen by
//! any poll: because its transaction took its timestamp early and committed late, or because it was written within
//! the second of the last row and has a lower key. Where that can happen, `.lag(Duration)` reads only rows that are
//! older than the lag by the database's own clock; choose it longer than your longest transaction and the tick of your
//! timestamps. An integer that a single writer counts up needs none. [`Poller::validate`] says which rows are not covered.
//!
//! A row with NULL in its cursor has no position: by default that is an error before anything is delivered, and
//! [`NullPolicy::Skip`] leaves such rows out. Two rows with one position would be cut apart by the border of a
//! batch: that is an error too.
//!
//! # Handlers
//!
//! An async closure or function of a [`Batch`], with or without a [`PollContext`]; rows come as [`Row`] or as any
//! `serde::Deserialize` type. Its success lets the checkpoint move; a crash in between delivers the batch again (*at
//! least once*), with the same [`event_id`](RowChange::event_id) for each change. See [`handler`].
//!
//! # Checkpoints and leases
//!
//! One JSON document per poller holds the checkpoint and the lease, so that one compare-and-set covers both. Only the
//! owner of the lease reads and commits; every acquisition raises the *fencing token*. While a handler runs, a
//! heartbeat renews the lease; an owner that was paused past it is cancelled as its first act, and its commit is
//! refused. A write whose answer was lost is settled before anything else happens. See [`checkpoint`].
//!
//! # Running
//!
//! | form | for |
//! |---|---|
//! | [`Poller::tick`] | a timer, a cron job, a serverless function: takes the lease, works, releases |
//! | [`Poller::every`] | a service: keeps the lease, drains, waits, stops gracefully |
//! | [`PollerBuilder::pull`] | a loop of your own: batches are asked for and acknowledged |
//! | [`Pollers`] | many in one process, under one shutdown |
//!
//! Several copies may run against one database: the store's compare-and-set is the only coordination they need.
//!
//! # Errors
//!
//! One type, [`Error`]: its [`kind`](Error::kind) says what failed, its [`retry_status`](Error::retry_status) whether to
//! try again, its sentence how to mend it. No password, bind value or row content is ever part of one. That the lease
//! is held elsewhere is no error but an [`Ending`].
//!
//! # What it is not
//!
//! It runs on tokio and no other runtime. It has no derive macros: serde's serve. It doesn't read the write-ahead log,
//! which is Debezium's job. It knows no cron syntax: your scheduler does. SQL Server and Oracle are not built in:
//! implement [`Source`] over their driver.
//!
//! # Features
//!
//! `sqlite` (default): the SQLite backend, SQLite compiled in. `cli`: the `highwater` command. `testing`: a clock to turn by
//! hand and a store that fails on command.

pub mod checkpoint;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod fingerprint;
pub mod handler;
pub mod poller;
pub mod position;
pub mod record;
pub mod retry;
pub mod source;
pub mod sources;
pub mod sql;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod url;
pub mod value;

pub use sea_query;

pub use checkpoint::{
    Acquired, BoxCheckpoints, CheckpointStore, Commit, HeldLease, LeaseKeeper, LeaseSettings, Leases,
    ObjectCheckpoints, Operator, PollerName, StateDocument,
};
pub use config::{AnyDatabase, SourceSpec, StoreSpec};
#[cfg(feature = "sqlite")]
pub use db::Sqlite;
pub use db::{Backend, Database, sqlx};
pub use error::{Error, ErrorKind, RetryStatus};
pub use fingerprint::{Fingerprint, SealedFingerprint};
pub use handler::{Batch, Handler, HandlerError, IntoHandler, Invocation, PollContext, RawBatch, blocking};
pub use poller::{
    DEFAULT_INTERVAL, Delivery, EmptyBatches, Ending, Every, OnPoison, Poller, PollerBuilder, Pollers, Prefetch,
    PulledBatch, Puller, RunReport, TickReport,
};
pub use position::{Exact, Keyset, KeysetColumn, KeysetShape, Position};
pub use record::{Metadata, Operation, RawRecord, RowChange, SourceDescriptor};
pub use retry::{Retry, RetryPolicy};
pub use source::{BoxSource, Capabilities, Fetch, FetchRequest, Remaining, Source, Warning};
pub use sources::{NullPolicy, QuerySource, TableSource};
pub use sql::{Filter, IntoFilter, SqlFilter, sql_filter};
pub use value::{Columns, DecodeError, FromRow, Row, Value};

/// The README's program compiles.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
