//! A source of changes, as data.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::duration;
use crate::db::{Backend, Database};
use crate::error::{Error, ErrorKind};
use crate::source::BoxSource;
use crate::sources::NullPolicy;
use crate::sql::sql_filter;
use crate::value::Value;

/// A table or a query to follow, as plain data.
///
/// Its fields are what the typed builder's steps are: see [`TableSource`](crate::TableSource) and
/// [`QuerySource`](crate::QuerySource). Fields that it doesn't know are refused when it is read. `Debug` shows neither
/// SQL nor parameters.
///
/// ```
/// use highwater::SourceSpec;
/// use std::time::Duration;
///
/// let mut orders = SourceSpec::table("orders", "updated_at", ["id"]);
/// orders.lag = Some(Duration::from_secs(2));
///
/// let read: SourceSpec = serde_json::from_str(
///     r#"{ "table": "orders", "cursor": "updated_at", "key": ["id"], "lag": "2s" }"#,
/// ).unwrap();
/// assert_eq!(read, orders);
/// assert!(serde_json::from_str::<SourceSpec>(r#"{ "tabel": "orders" }"#).is_err());
/// ```
#[non_exhaustive]
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSpec {
    /// What the source is called in changes and errors; by default the table's name, or `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The table or view; either this or [`query`](Self::query).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A query in SQL, with `:name` for values that [`params`](Self::params) gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The table's schema; on SQLite that of an attached database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The table's columns that rows have; without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The column that orders changes.
    pub cursor: String,
    /// The columns of the primary key, at least one.
    pub key: Vec<String>,
    /// Which of the table's rows are read: a condition in SQL, with `:name` for values that
    /// [`params`](Self::params) gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The values of the query's or the filter's `:name`s; they are only ever bound.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "params")]
    pub params: BTreeMap<String, Value>,
    /// How old a row's cursor has to be to be read, as in `2s`.
    #[serde(skip_serializing_if = "Option::is_none", with = "duration")]
    pub lag: Option<Duration>,
    /// The column that marks deleted rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_when: Option<String>,
    /// Whether rows are only ever added, so that changes are inserts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insert_only: bool,
    /// What to do about rows whose cursor is NULL: `error`, `skip` or `skip-and-count`.
    pub nulls: NullPolicy,
}

impl SourceSpec {
    /// A table, read in the order of `cursor` and `key`.
    #[must_use]
    pub fn table<K>(table: impl Into<String>, cursor: impl Into<String>, key: K) -> Self
    where
        K: IntoIterator,
        K::Item: Into<String>,
    {
        let key = key.into_iter().map(Into::into).collect();
        Self { table: Some(table.into()), cursor: cursor.into(), key, ..Self::default() }
    }

    /// A query, read in the order of its columns `cursor` and `key`.
    #[must_use]
    pub fn query<K>(sql: impl Into<String>, cursor: impl Into<String>, key: K) -> Self
    where
        K: IntoIterator,
        K::Item: Into<String>,
    {
        let key = key.into_iter().map(Into::into).collect();
        Self { query: Some(sql.into()), cursor: cursor.into(), key, ..Self::default() }
    }

    pub(super) fn build<B: Backend>(mut self, db: &Database<B>) -> Result<BoxSource, Error> {
        if self.cursor.is_empty() {
            return Err(wrong("it has no cursor; name the column that orders changes, like `updated_at`"));
        }
        if self.key.is_empty() {
            return Err(wrong("it has no key; name the columns of the primary key, like `id`"));
        }
        match (self.table.take(), self.query.take()) {
            (Some(table), None) => self.build_table(db, table),
            (None, Some(sql)) => self.build_query(db, sql),
            (Some(_), Some(_)) => Err(wrong("it has both a table and a query; give one of them")),
            (None, None) => Err(wrong("it has neither a table nor a query; give one of them")),
        }
    }

    fn build_table<B: Backend>(self, db: &Database<B>, table: String) -> Result<BoxSource, Error> {
        let mut source = db.table(table);
        if let Some(schema) = self.schema {
            source = source.schema(schema);
        }
        if let Some(columns) = self.columns {
            source = source.columns(columns);
        }
        match self.filter {
            Some(text) => {
                let params = self.params.into_iter();
                source =
                    source.filter(params.fold(sql_filter(text), |filter, (name, value)| filter.param(name, value)));
            }
            None if !self.params.is_empty() => {
                return Err(wrong("it has parameters, but neither a filter nor a query to use them"));
            }
            None => {}
        }
        Ok(common!(self, source))
    }

    fn build_query<B: Backend>(self, db: &Database<B>, sql: String) -> Result<BoxSource, Error> {
        let misplaced =
            [("schema", self.schema.is_some()), ("columns", self.columns.is_some()), ("filter", self.filter.is_some())];
        if let Some((what, _)) = misplaced.iter().find(|(_, given)| *given) {
            return Err(wrong(&format!("it has a query and `{what}` beside it; write that into the query's own SQL")));
        }
        let mut source = db.query_sql(sql);
        for (name, value) in self.params {
            source = source.param(name, value);
        }
        Ok(common!(self, source))
    }
}

/// The steps that both kinds of source have, to the end.
macro_rules! common {
    ($spec:ident, $source:ident) => {{
        let mut source = $source.in_order_of(&$spec.cursor, $spec.key).nulls($spec.nulls);
        if let Some(name) = $spec.name {
            source = source.named(name);
        }
        if let Some(lag) = $spec.lag {
            source = source.lag(lag);
        }
        if let Some(column) = $spec.deleted_when {
            source = source.deleted_when(column);
        }
        if $spec.insert_only {
            source = source.insert_only();
        }
        BoxSource::new(source)
    }};
}
use common;

fn wrong(problem: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("the source's specification can't be used: {problem}")).during("open")
}

/// Parameters are scalars: what TOML and JSON have in common.
fn params<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Bool(bool),
        Integer(i64),
        Real(f64),
        Text(String),
    }
    let given = BTreeMap::<String, Option<Scalar>>::deserialize(deserializer)
        .map_err(|_| D::Error::custom("a parameter is a text, a number, a truth value or null"))?;
    let value = |scalar| match scalar {
        None => Value::Null,
        Some(Scalar::Bool(truth)) => Value::Bool(truth),
        Some(Scalar::Integer(number)) => Value::Integer(number),
        Some(Scalar::Real(number)) => Value::Real(number),
        Some(Scalar::Text(text)) => Value::Text(text),
    };
    Ok(given.into_iter().map(|(name, scalar)| (name, value(scalar))).collect())
}

impl fmt::Debug for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceSpec")
            .field("name", &self.name)
            .field("table", &self.table)
            .field("schema", &self.schema)
            .field("columns", &self.columns)
            .field("cursor", &self.cursor)
            .field("key", &self.key)
            .field("lag", &self.lag)
            .field("deleted_when", &self.deleted_when)
            .field("insert_only", &self.insert_only)
            .field("nulls", &self.nulls)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::db::Sqlite;
    use crate::source::Source;

    async fn memory() -> Database<Sqlite> {
        Database::connect("sqlite::memory:").await.unwrap()
    }

    fn sealed(source: &impl Source) -> Vec<(String, String)> {
        let sealed = source.descriptor().fingerprint().seal("salt");
        sealed.parts().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[tokio::test]
    async fn the_same_source_has_the_same_fingerprint_however_it_was_described() {
        let db = memory().await;
        let typed = db
            .table("orders")
            .columns(["id", "status"])
            .cursor("updated_at")
            .key(["region", "id"])
            .filter(sql_filter("status = :status").param("status", "paid"))
            .deleted_when("deleted_at")
            .lag(Duration::from_secs(2));
        let toml = r#"
            table = "orders"
            columns = ["id", "status"]
            cursor = "updated_at"
            key = ["region", "id"]
            filter = "status = :status"
            params = { status = "paid" }
            deleted_when = "deleted_at"
            lag = "2s"
        "#;
        let spec: SourceSpec = toml::from_str(toml).unwrap();
        assert_eq!(toml::from_str::<SourceSpec>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
        assert_eq!(sealed(&spec.build(&db).unwrap()), sealed(&typed));

        let typed = db.query_sql("SELECT * FROM o WHERE n = :n").param("n", 5).cursor("v").key(["id"]).insert_only();
        let spec: SourceSpec = serde_json::from_str(
            r#"{"query":"SELECT * FROM o WHERE n = :n","params":{"n":5},"cursor":"v","key":["id"],"insert_only":true}"#,
        )
        .unwrap();
        assert_eq!(sealed(&spec.build(&db).unwrap()), sealed(&typed));
    }

    #[tokio::test]
    async fn what_the_compiler_refuses_in_the_typed_builder_is_refused_with_the_mend() {
        let db = memory().await;
        let table = || SourceSpec::table("orders", "updated_at", ["id"]);
        let query = || SourceSpec::query("SELECT 1", "updated_at", ["id"]);
        let text = || Some("x".to_owned());
        for (spec, mend) in [
            (SourceSpec::default(), "no cursor"),
            (SourceSpec::table("orders", "updated_at", [""; 0]), "no key"),
            (SourceSpec { table: None, ..table() }, "neither a table nor a query"),
            (SourceSpec { query: text(), ..table() }, "both a table and a query"),
            (SourceSpec { columns: Some(vec![]), ..query() }, "`columns`"),
            (SourceSpec { filter: text(), ..query() }, "`filter`"),
            (SourceSpec { schema: text(), ..query() }, "`schema`"),
            (SourceSpec { params: [("a".to_owned(), Value::Null)].into(), ..table() }, "neither a filter"),
        ] {
            let error = spec.build(&db).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.message().contains(mend), "{error}");
        }
    }

    #[test]
    fn parameters_are_scalars_and_never_shown() {
        let read = |params: &str| serde_json::from_str::<SourceSpec>(&format!(r#"{{"params":{params}}}"#));
        let spec = read(r#"{"a":1,"b":1.5,"c":"secret","d":null,"e":true}"#).unwrap();
        let types: Vec<&str> = spec.params.values().map(Value::type_name).collect();
        assert_eq!(types, ["integer", "real", "text", "NULL", "boolean"]);
        assert!(!format!("{spec:?}").contains("secret"));
        assert!(!read(r#"{"a":["secret"]}"#).unwrap_err().to_string().contains("secret"));
    }
}
