//! What the dialects of SQL do differently.

use std::time::Duration;

use sea_query::{Expr, SelectStatement, SqliteQueryBuilder, Values};

use crate::error::{Error, ErrorKind};
use crate::position::Exact;
use crate::value::Value;

/// A dialect of SQL.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
}

impl Dialect {
    /// Renders a statement: text and binds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] where a bind doesn't fit: it would be dropped without a word, or panic.
    pub(crate) fn render(self, statement: &SelectStatement) -> Result<(String, Values), Error> {
        let (sql, values) = match self {
            Self::Sqlite => statement.build(SqliteQueryBuilder),
        };
        let too_large = |value: &sea_query::Value| matches!(value, sea_query::Value::BigUnsigned(Some(number)) if i64::try_from(*number).is_err());
        if values.0.iter().any(too_large) {
            return Err(Error::new(ErrorKind::Configuration, "an integer beyond 64 signed bits can't be bound"));
        }
        Ok((sql, values))
    }

    /// Refuses row locks where the dialect has none: its renderer would leave them out without a word. A statement's
    /// lock can't be asked for, only shown.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`], with the mend.
    pub(crate) fn refuse_locks(self, statement: &SelectStatement) -> Result<(), Error> {
        let Self::Sqlite = self;
        if format!("{statement:?}").contains("lock: Some(LockClause") {
            let sentence = "SQLite has no row locks; leave `.lock(..)` out of the statement";
            return Err(Error::new(ErrorKind::Unsupported, sentence));
        }
        Ok(())
    }

    /// A value as a bind, or why the dialect has no one form for it.
    pub(crate) fn bind(self, value: &Value) -> Result<sea_query::Value, &'static str> {
        let Self::Sqlite = self;
        Ok(match value {
            Value::Null => sea_query::Value::String(None),
            Value::Bool(truth) => i64::from(*truth).into(),
            Value::Integer(number) => (*number).into(),
            Value::Real(number) => (*number).into(),
            Value::Text(text) => text.clone().into(),
            Value::Bytes(bytes) => bytes.clone().into(),
            Value::Timestamp(_) => {
                return Err("SQLite has no type for time; give the text or number that the column stores");
            }
        })
    }

    /// A position's value as a bind, in the form and class in which it is stored.
    pub(crate) fn bind_exact(self, value: &Exact) -> sea_query::Value {
        let Self::Sqlite = self;
        match value {
            Exact::Integer(number) => (*number).into(),
            Exact::Real(number) => (*number).into(),
            Exact::Text(text) => text.clone().into(),
            Exact::Blob(bytes) => bytes.clone().into(),
        }
    }

    /// What follows CREATE INDEX, up to the columns.
    pub(crate) fn new_index(self, schema: Option<&str>, index: &str, table: &str) -> String {
        let Self::Sqlite = self;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        // An index lies in the schema of its table, and SQLite wants that said of the index.
        let schema = schema.map(|schema| format!("{}.", quoted(schema))).unwrap_or_default();
        format!("{schema}{} ON {}", quoted(index), quoted(table))
    }

    /// Whether the cursor is older than the lag, by the database's clock: 1, 0, or NULL where it holds no time.
    ///
    /// It is asked of each row instead of standing in WHERE: text with offsets doesn't sort by time, so the rows
    /// are cut at the first that isn't ripe, and none is passed over.
    pub(crate) fn ripe(self, cursor: &Expr, lag: Duration) -> Expr {
        let Self::Sqlite = self;
        // Subqueries, so that the clock is read once a statement and not once a row.
        let bound = || Expr::cust_with_exprs("(SELECT (julianday('now') - 2440587.5) * 86400.0 - ?)", [seconds(lag)]);
        let julian_bound = || Expr::cust_with_exprs("(SELECT julianday('now') - ? / 86400.0)", [seconds(lag)]);
        let c = || cursor.clone();
        let unix = format!(
            "(CASE WHEN ? < {Y2K} THEN NULL WHEN ? < {Y2K}e3 THEN ? <= ? WHEN ? < {Y2K}e6 THEN ? / 1e3 <= ? \
             WHEN ? < {Y2K}e9 THEN ? / 1e6 <= ? ELSE ? / 1e9 <= ? END)"
        );
        let pieces = [c(), c(), c(), bound(), c(), c(), bound(), c(), c(), bound(), c(), bound()];
        let unix = Expr::cust_with_exprs(unix, pieces);
        let template = "(CASE typeof(?) \
             WHEN 'text' THEN CASE WHEN ? GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN julianday(?) <= ? END \
             WHEN 'integer' THEN ? \
             WHEN 'real' THEN CASE WHEN ? BETWEEN 2451544.5 AND 5373484.5 THEN ? <= ? ELSE ? END END)";
        let pieces = [c(), c(), c(), julian_bound(), unix.clone(), c(), c(), julian_bound(), unix];
        Expr::cust_with_exprs(template, pieces)
    }
}

fn seconds(lag: Duration) -> Expr {
    Expr::val(lag.as_secs_f64())
}

/// 2000-01-01 in Unix seconds: below it, an integer counts something other than time.
const Y2K: &str = "946684800";
