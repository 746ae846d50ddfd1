//! What a backend does: everything that needs its driver, so that all else is generic.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use sea_query::SelectStatement;
use sqlx::Pool;

use crate::error::Error;
use crate::position::Exact;
use crate::sql::Dialect;
use crate::url::ConnectionUrl;
use crate::value::Value;

/// The private half of [`Backend`](crate::Backend): users see that it is there and can't implement it.
pub trait Driver: Sized + Send + Sync + 'static {
    /// sqlx's type for the database.
    type Db: sqlx::Database;

    /// How the values of one column are to be decoded.
    type Form: Copy + Debug + Send + Sync;

    /// The database's name, for people.
    const NAME: &'static str;

    /// The dialect of its SQL.
    const DIALECT: Dialect;

    /// The schema in which a table without one is looked for.
    const DEFAULT_SCHEMA: &'static str;

    /// Opens a pool and checks that it works.
    fn connect(url: &ConnectionUrl) -> impl Future<Output = Result<Pool<Self::Db>, Error>> + Send;

    /// What tells one database from another, without credentials.
    fn identity(pool: &Pool<Self::Db>) -> String;

    /// What the catalogue says of a table or view; `None` where there is no such.
    fn describe_table(
        pool: &Pool<Self::Db>,
        schema: Option<&str>,
        table: &str,
    ) -> impl Future<Output = Result<Option<RelationInfo>, Error>> + Send;

    /// The names of the tables and views of a schema.
    fn tables(pool: &Pool<Self::Db>, schema: Option<&str>)
    -> impl Future<Output = Result<Vec<Box<str>>, Error>> + Send;

    /// What a statement would return, without running it.
    fn describe_select(
        pool: &Pool<Self::Db>,
        select: &SelectStatement,
    ) -> impl Future<Output = Result<RelationInfo, Error>> + Send;

    /// Runs a statement and decodes its rows as they come.
    fn fetch(
        pool: &Pool<Self::Db>,
        select: &SelectStatement,
        layout: &Layout<Self::Form>,
        expected_rows: usize,
    ) -> impl Future<Output = Result<Vec<Fetched>, Error>> + Send;

    /// Runs SQL text that returns no rows; how many rows it changed.
    fn execute(pool: &Pool<Self::Db>, sql: &str) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Runs a statement that returns one integer.
    fn fetch_integer(
        pool: &Pool<Self::Db>,
        select: &SelectStatement,
    ) -> impl Future<Output = Result<i64, Error>> + Send;

    /// How the values of a column of a declared type are decoded.
    fn form(type_name: &str) -> Self::Form;

    /// Whether a column of this type alone holds integers that count up.
    fn is_integer(type_name: &str) -> bool;
}

/// What is known of a table, a view or a query.
#[derive(Clone, Debug)]
pub struct RelationInfo {
    pub(crate) kind: RelationKind,
    pub(crate) columns: Vec<ColumnInfo>,
    pub(crate) indexes: Vec<IndexInfo>,
    /// The column that is SQLite's rowid by another name.
    pub(crate) rowid_alias: Option<Box<str>>,
    /// Whether the rows come from several SELECTs, each of which could compare by a type of its own.
    pub(crate) compound: bool,
}

/// Whose columns they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelationKind {
    Table,
    View,
    Query,
}

/// A column, as the catalogue has it.
#[derive(Clone, Debug)]
pub(crate) struct ColumnInfo {
    pub(crate) name: Box<str>,
    /// The declared type, as it was written; empty where there is none.
    pub(crate) type_name: Box<str>,
    pub(crate) not_null: bool,
    pub(crate) collation: Option<Box<str>>,
}

/// An index over columns alone.
#[derive(Clone, Debug)]
pub(crate) struct IndexInfo {
    /// Names and collations, in order.
    pub(crate) columns: Vec<(Box<str>, Option<Box<str>>)>,
    pub(crate) unique: bool,
}

/// What stands where in a fetched row.
#[derive(Clone, Debug)]
pub struct Layout<F> {
    /// The names of all columns but flags, for errors.
    pub(crate) names: Arc<[Box<str>]>,
    /// The columns of the user's row: they come first, and this is how they decode.
    pub(crate) forms: Arc<[F]>,
    /// The columns of the position, the cursor first.
    pub(crate) position: Arc<[usize]>,
    /// The column that marks a deleted row.
    pub(crate) deleted: Option<usize>,
    /// The flags, where there are such.
    pub(crate) ripe: Option<usize>,
    pub(crate) step: Option<usize>,
    pub(crate) above: Option<usize>,
}

/// A row as it was fetched.
pub struct Fetched {
    pub(crate) values: Vec<Value>,
    /// The position's values, or which of its columns is NULL.
    pub(crate) position: Result<Box<[Exact]>, usize>,
    pub(crate) deleted: bool,
    /// Whether it is older than the lag; `None` where the cursor holds no time.
    pub(crate) ripe: Option<bool>,
    pub(crate) step: i64,
    /// Whether its position is that of the row before, where that was asked.
    pub(crate) repeated: bool,
}

/// No content.
impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched").field("columns", &self.values.len()).finish_non_exhaustive()
    }
}
