//! Query mode.

use std::fmt;
use std::sync::Arc;

use sea_query::SelectStatement;

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
use crate::sql::params::SqlText;
use crate::value::Value;

/// A query as a source; it is wrapped as a subquery, and cursor and key are columns of its result.
///
/// The query's own ORDER BY and LIMIT don't decide the order in which changes come.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{Database, FetchRequest, Source, Sqlite};
///
/// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// sqlx::raw_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, region TEXT, version INTEGER)")
///     .execute(db.pool())
///     .await
///     .unwrap();
///
/// let orders = db
///     .query_sql("SELECT id, version FROM orders WHERE region = :region")
///     .param("region", "eu")
///     .cursor("version")
///     .key(["id"]);
/// let fetch = orders.fetch(FetchRequest::new(None, 100.try_into().unwrap())).await?;
/// assert!(fetch.records().is_empty());
/// # Ok::<(), highwater::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a source does nothing until it is polled"]
pub struct QuerySource<B: Backend, C = NeedsCursor, K = NeedsKey> {
    db: Database<B>,
    definition: Definition,
    cursor: C,
    key: K,
    cache: Cache<B>,
}

impl<B: Backend> Database<B> {
    /// A query made with sea-query, to be read in the order of one of its columns.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use highwater::sea_query::{Expr, ExprTrait as _, Query};
    /// use highwater::{Database, Source, Sqlite};
    ///
    /// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
    /// let paid = Query::select().columns(["id", "version"]).from("orders").and_where(Expr::col("paid").eq(true)).take();
    /// let orders = db.query(paid).cursor("version").key(["id"]).named("paid orders");
    /// assert_eq!(orders.name(), "paid orders");
    /// # Ok::<(), highwater::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn query(&self, select: SelectStatement) -> QuerySource<B> {
        self.query_source(Origin::Select(Box::new(select)))
    }

    /// A query in SQL, to be read in the order of one of its columns; `:name` stands for a value that
    /// [`param`](QuerySource::param) gives.
    pub fn query_sql(&self, sql: impl Into<Box<str>>) -> QuerySource<B> {
        self.query_source(Origin::Sql(SqlText::new(sql)))
    }

    fn query_source(&self, origin: Origin) -> QuerySource<B> {
        let definition = Definition::new("query", origin);
        QuerySource { db: self.clone(), definition, cursor: NeedsCursor, key: NeedsKey, cache: Cache::default() }
    }
}

impl<B: Backend, C, K> QuerySource<B, C, K> {
    /// Gives `:name` its value, which is only ever bound.
    pub fn param(self, name: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        let param = (name.into(), value.into());
        self.with(|definition| match &mut definition.origin {
            Origin::Sql(sql) => sql.params.push(param),
            // A statement of sea-query's has no names: refused like a name that the text lacks.
            Origin::Select(_) | Origin::Table { .. } => definition.unused_param = Some(param.0),
        })
    }

    /// Doesn't compile: a query names its columns itself.
    pub fn columns<I>(self, columns: I) -> Self
    where
        Self: OwnColumns,
    {
        drop(columns);
        self
    }

    /// Doesn't compile: a query has its WHERE itself.
    pub fn filter(self, filter: impl IntoFilter) -> Self
    where
        Self: OwnColumns,
    {
        drop(filter);
        self
    }
}

/// A source whose columns and filter are named by steps of the builder; a query isn't one.
#[diagnostic::on_unimplemented(
    message = "a query has its columns and its filter in its own SQL",
    label = "not on a query",
    note = "write them into the query, or read a table with `db.table(..)`"
)]
pub trait OwnColumns: sealed::Never {}

mod sealed {
    /// Implemented by nothing.
    pub trait Never {}
}

common_steps!(QuerySource);
