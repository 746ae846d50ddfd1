//! Databases: the only room that names sqlx.

pub(crate) mod driver;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::sync::Arc;

use sqlx::Pool;

use crate::error::Error;
use crate::url::ConnectionUrl;

#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use sqlx;

/// A kind of database. The backends are this crate's own: the trait is sealed.
///
/// `B::Db` is sqlx's type for it, as in `sqlx::Pool<B::Db>`.
pub trait Backend: driver::Driver {}

/// A database: a pool of connections and what identifies it.
///
/// It is cheap to clone, and all clones share one pool. `Debug` shows the kind of database alone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{Database, Sqlite};
///
/// let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
/// sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TEXT)").execute(db.pool()).await.unwrap();
/// let orders = db.table("orders").cursor("updated_at").key(["id"]);
/// # Ok::<(), highwater::Error>(())
/// # }).unwrap();
/// ```
pub struct Database<B: Backend> {
    pool: Pool<B::Db>,
    identity: Arc<str>,
}

impl<B: Backend> Database<B> {
    /// Opens the database that a URL names, such as `sqlite://shop.db`, and checks that it is one.
    ///
    /// In the URL `%NAME%` stands for the environment variable `NAME`, percent-encoded, and `%%` for a percent
    /// sign; `a%40b` stays what it is. A database that doesn't exist is not created.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where the scheme is another database's, an
    /// option is unknown or a variable isn't set; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where there
    /// is no such file; [`ErrorKind::Connection`](crate::ErrorKind::Connection) where it can't be opened.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped in the middle, what was opened is closed.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let url = ConnectionUrl::parse(url).map_err(|error| error.during("connect"))?;
        let pool = B::connect(&url).await.map_err(|error| error.during("connect"))?;
        Ok(Self::from_pool(pool))
    }

    /// Uses a pool of one's own, with its settings.
    #[must_use]
    pub fn from_pool(pool: Pool<B::Db>) -> Self {
        let identity = B::identity(&pool).into();
        Self { pool, identity }
    }

    /// The pool, for statements of one's own.
    #[must_use]
    pub fn pool(&self) -> &Pool<B::Db> {
        &self.pool
    }

    /// Runs a statement of SQL text that returns no rows, and returns how many rows it changed.
    ///
    /// The text is run as it stands: values don't belong in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Query`](crate::ErrorKind::Query) where the database refuses it,
    /// [`ErrorKind::Connection`](crate::ErrorKind::Connection) where it can't be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, the statement may have run or not.
    pub async fn execute(&self, sql: &str) -> Result<u64, Error> {
        B::execute(&self.pool, sql).await.map_err(|error| error.during("execute"))
    }

    /// Closes the pool, and with it every clone; statements that run are waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the pool closes none the less; it is only not waited for.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What tells this database from another: no credentials in it.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }
}

impl<B: Backend> Clone for Database<B> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), identity: Arc::clone(&self.identity) }
    }
}

impl<B: Backend> fmt::Debug for Database<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&B::NAME).finish()
    }
}
