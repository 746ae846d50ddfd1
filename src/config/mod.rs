//! Sources and stores as data: what a configuration file, a command line and the typed builder have in common.
//!
//! A program that knows its tables when it is compiled names them by [`Database::table`](crate::Database::table), and
//! mistakes don't compile. A program that learns them at run time fills a [`SourceSpec`] and a [`StoreSpec`], from
//! TOML, JSON or arguments, and the same rules are checked when they are opened. Both ways describe the same source:
//! its checkpoint doesn't care which was taken.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use highwater::{AnyDatabase, Batch, Poller, SourceSpec, StoreSpec};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("shop.db");
//! # let url = format!("sqlite://{}?mode=rwc", file.display());
//! # highwater::Database::<highwater::Sqlite>::connect(&url).await?
//! #     .execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)").await?;
//! let source: SourceSpec = serde_json::from_str(
//!     r#"{ "table": "orders", "cursor": "version", "key": ["id"], "filter": "id > :least", "params": { "least": 5 } }"#,
//! ).unwrap();
//! let store = StoreSpec::new("memory://");
//!
//! let db = AnyDatabase::connect(&url).await?;
//! let poller = Poller::builder("orders")
//!     .source(db.source(source)?)
//!     .checkpoints(store.open()?)
//!     .handler(async |orders: Batch| println!("{} orders", orders.len()))
//!     .build();
//! assert_eq!(poller.tick().await?.rows(), 0);
//! # Ok::<(), highwater::Error>(()) }).unwrap();
//! ```

mod database;
mod duration;
mod source;
mod store;

pub use database::AnyDatabase;
pub use duration::{format_duration, parse_duration};
pub use source::SourceSpec;
pub use store::StoreSpec;
