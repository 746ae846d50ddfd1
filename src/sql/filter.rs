//! Filters: which rows of a table are read.

use std::fmt;

use sea_query::{Condition, Expr, ExprTrait as _, Query};

use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::sql::dialect::Dialect;
use crate::sql::lex;
use crate::sql::params::{self, Part, SqlText};
use crate::value::Value;

/// Which rows of a table are read: a condition of sea-query's, or SQL text with `:name` parameters.
///
/// `Debug` shows neither text nor values.
#[derive(Clone)]
pub struct Filter(Inner);

#[derive(Clone)]
enum Inner {
    Condition(Condition),
    Sql(SqlText),
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

/// What `.filter(..)` takes: a [`sea_query::Condition`], a [`sea_query::Expr`], or [`sql_filter`].
pub trait IntoFilter {
    /// The filter.
    fn into_filter(self) -> Filter;
}

impl IntoFilter for Filter {
    fn into_filter(self) -> Filter {
        self
    }
}

impl IntoFilter for Condition {
    fn into_filter(self) -> Filter {
        Filter(Inner::Condition(self))
    }
}

impl IntoFilter for Expr {
    fn into_filter(self) -> Filter {
        Filter(Inner::Condition(Condition::all().add(self)))
    }
}

impl IntoFilter for SqlFilter {
    fn into_filter(self) -> Filter {
        Filter(Inner::Sql(self.0))
    }
}

/// A filter in SQL, with `:name` parameters. Made by [`sql_filter`].
#[derive(Clone)]
pub struct SqlFilter(SqlText);

/// A filter in SQL: `:name` stands for a value that [`param`](SqlFilter::param) gives.
///
/// The text is one operand of the statement: quotes, comments and parentheses that don't close in it, a second
/// statement, and parameters without a value are refused when the source is validated or read.
///
/// ```
/// use highwater::sql_filter;
///
/// let filter = sql_filter("status = :status OR total > :total").param("status", "paid").param("total", 100);
/// ```
#[must_use]
pub fn sql_filter(text: impl Into<Box<str>>) -> SqlFilter {
    SqlFilter(SqlText::new(text))
}

impl SqlFilter {
    /// Gives `:name` its value, which is only ever bound.
    #[must_use]
    pub fn param(mut self, name: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        self.0.params.push((name.into(), value.into()));
        self
    }
}

impl fmt::Debug for SqlFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlFilter")
    }
}

impl Filter {
    /// The filter as one operand in parentheses.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where its text can't be one.
    pub(crate) fn operand(&self, dialect: Dialect) -> Result<Expr, Error> {
        match &self.0 {
            Inner::Sql(sql) => sql.operand(Part::Filter, dialect),
            Inner::Condition(condition) => {
                let (sql, values) = render(&Expr::from(condition.clone()), dialect)?;
                params::rendered(&sql, values, Part::Filter, dialect)
            }
        }
    }

    /// Adds text and parameters to a fingerprint; `number` tells several filters of one source apart.
    pub(crate) fn describe(&self, number: usize, dialect: Dialect, fingerprint: Fingerprint) -> Fingerprint {
        let part = if number == 0 { "filter".to_owned() } else { format!("filter.{number}") };
        match &self.0 {
            Inner::Sql(sql) => describe_text(sql, &part, dialect, fingerprint),
            Inner::Condition(condition) => match render(&Expr::from(condition.clone()), dialect) {
                Ok((text, values)) => {
                    let fingerprint = fingerprint.part(&part, lex::canonical(&text, dialect));
                    describe_binds(&values, &part, fingerprint)
                }
                Err(_) => fingerprint,
            },
        }
    }
}

/// The operand that all filters together are, or `None` without any.
pub(crate) fn all(filters: &[Filter], dialect: Dialect) -> Result<Option<Expr>, Error> {
    let mut operands = filters.iter().map(|filter| filter.operand(dialect));
    let Some(first) = operands.next() else {
        return Ok(None);
    };
    operands.try_fold(first?, |all, next| Ok(all.and(next?))).map(Some)
}

/// The text of a condition alone, without a statement around it.
fn render(expr: &Expr, dialect: Dialect) -> Result<(String, sea_query::Values), Error> {
    let (sql, values) = dialect.render(Query::select().expr(expr.clone()))?;
    Ok((sql.strip_prefix("SELECT ").unwrap_or(&sql).to_owned(), values))
}

/// Adds SQL text in canonical form, and its parameters by their exact bytes.
pub(crate) fn describe_text(sql: &SqlText, part: &str, dialect: Dialect, fingerprint: Fingerprint) -> Fingerprint {
    let fingerprint = fingerprint.part(part, lex::canonical(&sql.text, dialect));
    sql.params.iter().fold(fingerprint, |fingerprint, (name, value)| {
        fingerprint.parameter(parameter_name(part, name), &exact_bytes(value))
    })
}

/// Adds the binds of a rendered statement, by their order.
pub(crate) fn describe_binds(values: &sea_query::Values, part: &str, fingerprint: Fingerprint) -> Fingerprint {
    values.0.iter().enumerate().fold(fingerprint, |fingerprint, (index, value)| {
        fingerprint.parameter(parameter_name(part, &(index + 1).to_string()), &bind_bytes(value))
    })
}

/// The name alone, unless the source has several texts in which it could stand.
fn parameter_name(part: &str, name: &str) -> String {
    match part.split_once('.') {
        Some((_, number)) => format!("{name}.{number}"),
        None => name.to_owned(),
    }
}

/// A class and the value's bytes.
fn exact_bytes(value: &Value) -> Vec<u8> {
    let (class, bytes) = match value {
        Value::Null => (b'n', Vec::new()),
        Value::Bool(truth) => (b'i', i64::from(*truth).to_be_bytes().to_vec()),
        Value::Integer(number) => (b'i', number.to_be_bytes().to_vec()),
        Value::Real(number) => (b'r', number.to_bits().to_be_bytes().to_vec()),
        Value::Text(text) => (b't', text.as_bytes().to_vec()),
        Value::Bytes(bytes) => (b'b', bytes.clone()),
        Value::Timestamp(time) => (b'd', time.to_rfc3339().into_bytes()),
    };
    std::iter::once(class).chain(bytes).collect()
}

/// The bytes of a bind of sea-query's: the same as those of the value that users give to SQL text.
#[expect(clippy::match_wildcard_for_single_variants, reason = "features of sea-query add variants")]
fn bind_bytes(value: &sea_query::Value) -> Vec<u8> {
    use sea_query::Value as Bind;
    let integer = |number: Option<i64>| Value::from(number);
    let value = match value {
        Bind::Bool(truth) => Value::from(*truth),
        Bind::TinyInt(number) => integer(number.map(Into::into)),
        Bind::SmallInt(number) => integer(number.map(Into::into)),
        Bind::Int(number) => integer(number.map(Into::into)),
        Bind::BigInt(number) => integer(*number),
        Bind::TinyUnsigned(number) => integer(number.map(Into::into)),
        Bind::SmallUnsigned(number) => integer(number.map(Into::into)),
        Bind::Unsigned(number) => integer(number.map(Into::into)),
        // Beyond 64 signed bits it was refused when it was rendered.
        Bind::BigUnsigned(number) => integer(number.and_then(|number| number.try_into().ok())),
        Bind::Float(number) => Value::from(*number),
        Bind::Double(number) => Value::from(*number),
        Bind::String(text) => Value::from(text.as_deref()),
        Bind::Char(letter) => Value::from(letter.map(String::from)),
        Bind::Bytes(bytes) => Value::from(bytes.as_deref()),
        // The types of other crates, which features of sea-query add.
        other => Value::from(format!("{other:?}")),
    };
    exact_bytes(&value)
}
