//! SQLite.

mod catalogue;
mod connect;
mod decode;
#[cfg(test)]
mod plans;

use futures_util::TryStreamExt as _;
use sea_query::SelectStatement;
use sea_query_sqlx::SqlxValues;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::db::Backend;
use crate::db::driver::{Driver, Fetched, Layout, RelationInfo};
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::sql::Dialect;
use crate::url::ConnectionUrl;

use decode::Form;

/// SQLite, by `sqlite://path/to/file.db` or `sqlite::memory:`.
///
/// URL options: `mode` is `ro`, `rw` (the default), `rwc` (create the file if it is missing) or `memory`; `immutable` is `true` or
/// `false`; `busy_timeout` is in milliseconds (5000).
#[derive(Clone, Copy, Debug)]
pub struct Sqlite;

impl Backend for Sqlite {}

impl Driver for Sqlite {
    type Db = sqlx::Sqlite;
    type Form = Form;

    const NAME: &'static str = "SQLite";
    const DIALECT: Dialect = Dialect::Sqlite;
    const DEFAULT_SCHEMA: &'static str = "main";

    async fn connect(url: &ConnectionUrl) -> Result<SqlitePool, Error> {
        connect::connect(url).await
    }

    fn identity(pool: &SqlitePool) -> String {
        connect::identity(pool.connect_options().get_filename())
    }

    async fn describe_table(
        pool: &SqlitePool,
        schema: Option<&str>,
        table: &str,
    ) -> Result<Option<RelationInfo>, Error> {
        catalogue::describe_table(pool, schema.unwrap_or(Self::DEFAULT_SCHEMA), table).await
    }

    async fn tables(pool: &SqlitePool, schema: Option<&str>) -> Result<Vec<Box<str>>, Error> {
        catalogue::tables(pool, schema.unwrap_or(Self::DEFAULT_SCHEMA)).await
    }

    async fn describe_select(pool: &SqlitePool, select: &SelectStatement) -> Result<RelationInfo, Error> {
        catalogue::describe_select(pool, select).await
    }

    async fn fetch(
        pool: &SqlitePool,
        select: &SelectStatement,
        layout: &Layout<Form>,
        expected_rows: usize,
    ) -> Result<Vec<Fetched>, Error> {
        let (sql, values) = Dialect::Sqlite.render(select)?;
        let mut rows = sqlx::query_with(AssertSqlSafe(sql), SqlxValues(values)).fetch(pool);
        // A batch size says how many rows may come, not how many will.
        let mut fetched = Vec::with_capacity(expected_rows.min(4096));
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            fetched.push(decode::row(&row, layout)?);
        }
        Ok(fetched)
    }

    async fn execute(pool: &SqlitePool, sql: &str) -> Result<u64, Error> {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(pool).await.map_err(classify)?;
        Ok(done.rows_affected())
    }

    async fn fetch_integer(pool: &SqlitePool, select: &SelectStatement) -> Result<i64, Error> {
        let rows = fetch_rows(pool, select).await?;
        rows.first().ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0)).map_err(classify)
    }

    fn form(type_name: &str) -> Form {
        Form::of(type_name)
    }

    fn is_integer(type_name: &str) -> bool {
        type_name.to_ascii_uppercase().contains("INT")
    }
}

/// All rows of a small statement.
async fn fetch_rows(pool: &SqlitePool, select: &SelectStatement) -> Result<Vec<SqliteRow>, Error> {
    let (sql, values) = Dialect::Sqlite.render(select)?;
    sqlx::query_with(AssertSqlSafe(sql), SqlxValues(values)).fetch_all(pool).await.map_err(classify)
}

/// Says what a driver's error means: which kind, and whether trying again can help.
fn classify(error: sqlx::Error) -> Error {
    let (kind, status, sentence) = match &error {
        sqlx::Error::Database(database) => of_code(database.code().and_then(|code| code.parse().ok()).unwrap_or(1)),
        sqlx::Error::PoolTimedOut => {
            (ErrorKind::Connection, RetryStatus::Transient, "no connection of the pool became free in time")
        }
        sqlx::Error::PoolClosed => (ErrorKind::Connection, RetryStatus::Permanent, "the pool is closed"),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Connection, RetryStatus::Transient, "the connection broke")
        }
        sqlx::Error::Configuration(_) => (ErrorKind::Configuration, RetryStatus::Permanent, "it can't be opened so"),
        _ => (ErrorKind::Query, RetryStatus::Permanent, "the driver failed"),
    };
    Error::new(kind, sentence).with_retry_status(status).with_source(error)
}

/// Of SQLite's result codes, the low byte says what happened.
fn of_code(code: i32) -> (ErrorKind, RetryStatus, &'static str) {
    match code & 0xff {
        5 | 6 => (ErrorKind::Query, RetryStatus::Transient, "the database is locked by another connection"),
        7 => (ErrorKind::Query, RetryStatus::Transient, "the database is out of memory"),
        9 => (ErrorKind::Query, RetryStatus::Transient, "the statement was interrupted"),
        // Several connections open or leave a write-ahead log at once.
        15 => (ErrorKind::Query, RetryStatus::Transient, "the database's locks were in use by other connections"),
        17 => (ErrorKind::Query, RetryStatus::Transient, "the schema changed while the statement ran"),
        10 => (ErrorKind::Connection, RetryStatus::Transient, "the database file could not be read"),
        11 => (ErrorKind::Query, RetryStatus::Permanent, "the database file is damaged"),
        14 => (ErrorKind::Connection, RetryStatus::Permanent, "the database file can't be opened"),
        26 => (ErrorKind::Connection, RetryStatus::Permanent, "the file is not a SQLite database"),
        _ => (ErrorKind::Query, RetryStatus::Permanent, "the database refused the statement"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_transient_and_nothing_else() {
        // SQLITE_BUSY, _LOCKED, _NOMEM, _INTERRUPT, _IOERR, _PROTOCOL, _SCHEMA; _BUSY_SNAPSHOT, _IOERR_READ.
        for code in [5, 6, 7, 9, 10, 15, 17, 517, 266] {
            assert_eq!(of_code(code).1, RetryStatus::Transient, "{code}");
        }
        // SQLITE_ERROR, _READONLY, _CORRUPT, _CANTOPEN, _CONSTRAINT, _MISUSE, _NOTADB; _ERROR_MISSING_COLLSEQ.
        for code in [1, 8, 11, 14, 19, 21, 26, 257] {
            assert_eq!(of_code(code).1, RetryStatus::Permanent, "{code}");
        }
    }
}
