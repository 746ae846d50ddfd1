//! Table mode.

use std::fmt;
use std::sync::Arc;

use crate::db::{Backend, Database};
use crate::error::Error;
use crate::record::{Operation, SourceDescriptor};
use crate::source::{Capabilities, Fetch, FetchRequest, Source, Warning};
use crate::sources::definition::{Definition, NullPolicy, Origin, common_steps};
use crate::sources::reader::Reader;
use crate::sources::shape::Cache;
use crate::sources::state::{
    HasCursor, HasKey, KeyLength, NeedsCursor, NeedsKey, WantsCursor, WantsKey, WithCursor, WithKey,
};
use crate::sql::IntoFilter;

/// A table or view as a source. It is one as soon as cursor and key are named.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{Database, FetchRequest, Source, Sqlite, sql_filter};
///
/// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// sqlx::raw_sql(
///     "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, updated_at TEXT NOT NULL);
///      CREATE INDEX orders_changes ON orders (updated_at, id);
///      INSERT INTO orders VALUES (1, 'paid', '2026-01-01 10:00:00'), (2, 'new', '2026-01-01 10:00:01')",
/// )
/// .execute(db.pool())
/// .await
/// .unwrap();
///
/// let orders = db
///     .table("orders")
///     .columns(["id", "status"])
///     .cursor("updated_at")
///     .key(["id"])
///     .filter(sql_filter("status = :status").param("status", "paid"));
/// let fetch = orders.fetch(FetchRequest::new(None, 100.try_into().unwrap())).await?;
/// assert_eq!(fetch.records().len(), 1);
/// # Ok::<(), highwater::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a source does nothing until it is polled"]
pub struct TableSource<B: Backend, C = NeedsCursor, K = NeedsKey> {
    db: Database<B>,
    definition: Definition,
    cursor: C,
    key: K,
    cache: Cache<B>,
}

impl<B: Backend> Database<B> {
    /// A table or view, to be read in the order of a cursor column.
    pub fn table(&self, name: impl Into<Box<str>>) -> TableSource<B> {
        let name = name.into();
        let definition = Definition::new(name.clone(), Origin::Table { schema: None, name });
        TableSource { db: self.clone(), definition, cursor: NeedsCursor, key: NeedsKey, cache: Cache::default() }
    }
}

impl<B: Backend, C, K> TableSource<B, C, K> {
    /// Names the table's schema; on SQLite that of an attached database.
    pub fn schema(self, schema: impl Into<Box<str>>) -> Self {
        let given = schema.into();
        self.with(|definition| {
            if let Origin::Table { schema, .. } = &mut definition.origin {
                *schema = Some(given);
            }
        })
    }

    /// Names the columns of the rows; without it, all the table has. Cursor and key need not be among them.
    pub fn columns<I>(self, columns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let columns = columns.into_iter().map(Into::into).collect();
        self.with(|definition| definition.columns = Some(columns))
    }

    /// Reads only some rows; called again, it narrows further.
    pub fn filter(self, filter: impl IntoFilter) -> Self {
        let filter = filter.into_filter();
        self.with(|definition| definition.filters.push(filter))
    }
}

common_steps!(TableSource);
