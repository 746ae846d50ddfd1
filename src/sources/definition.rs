//! What a builder has gathered, and the fingerprint of it.

use std::time::Duration;

use sea_query::{Expr, SelectStatement};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::fingerprint::Fingerprint;
use crate::record::{Operation, SourceDescriptor};
use crate::sql::keyset::Relation;
use crate::sql::params::{self, Part, SqlText};
use crate::sql::{Dialect, Filter, filter, lex};

/// What to do about rows whose cursor is NULL: no position can stand on them.
///
/// NULL in a key column is refused in any case.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullPolicy {
    /// Deliver nothing while there is such a row: the error says how to find it.
    #[default]
    Error,
    /// Leave such rows out.
    Skip,
    /// Leave such rows out, and count them at the end of a drain; the count can cost a scan.
    SkipAndCount,
}

/// Where the rows come from, as the user said it.
#[derive(Clone)]
pub(super) enum Origin {
    Table { schema: Option<Box<str>>, name: Box<str> },
    Select(Box<SelectStatement>),
    Sql(SqlText),
}

/// Everything that a builder holds but cursor and key, which are in its type.
#[derive(Clone)]
pub(super) struct Definition {
    pub(super) name: Box<str>,
    pub(super) origin: Origin,
    pub(super) columns: Option<Vec<Box<str>>>,
    pub(super) filters: Vec<Filter>,
    pub(super) lag: Option<Duration>,
    pub(super) deleted_when: Option<Box<str>>,
    pub(super) operation: Operation,
    pub(super) nulls: NullPolicy,
    pub(super) refresh: Duration,
    /// A parameter that has no text to stand in.
    pub(super) unused_param: Option<Box<str>>,
}

impl Definition {
    pub(super) fn new(name: impl Into<Box<str>>, origin: Origin) -> Self {
        Self {
            name: name.into(),
            origin,
            columns: None,
            filters: Vec::new(),
            lag: None,
            deleted_when: None,
            operation: Operation::Upsert,
            nulls: NullPolicy::default(),
            refresh: Duration::from_secs(5),
            unused_param: None,
        }
    }

    /// The relation in SQL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where a query's text can't be a subquery.
    pub(super) fn relation(&self, dialect: Dialect) -> Result<Relation, Error> {
        if let Some(name) = &self.unused_param {
            let sentence = format!("parameter `{name}` is given, but a statement of sea-query's binds its own values");
            return Err(Error::new(ErrorKind::Configuration, sentence));
        }
        Ok(match &self.origin {
            Origin::Table { schema, name } => Relation::Table { schema: schema.clone(), name: name.clone() },
            Origin::Sql(sql) => Relation::Query(sql.operand(Part::Query, dialect)?),
            Origin::Select(select) => {
                dialect.refuse_locks(select)?;
                let (sql, values) = dialect.render(select)?;
                Relation::Query(params::rendered(&sql, values, Part::Query, dialect)?)
            }
        })
    }

    /// All filters, as one operand.
    pub(super) fn filter(&self, dialect: Dialect) -> Result<Option<Expr>, Error> {
        filter::all(&self.filters, dialect)
    }

    /// What errors and plans call the rows' origin: the table's name, or the source's.
    pub(super) fn table(&self) -> &str {
        match &self.origin {
            Origin::Table { name, .. } => name,
            _ => &self.name,
        }
    }

    /// Name, mode and fingerprint. What doesn't decide which rows come, in what order, is no part of it: lag, NULL
    /// policy, refreshing.
    pub(super) fn describe(
        &self,
        identity: &str,
        default_schema: &str,
        dialect: Dialect,
        cursor: &str,
        key: &[Box<str>],
    ) -> SourceDescriptor {
        let (mode, fingerprint) = self.describe_origin(default_schema, dialect);
        let mut fingerprint = fingerprint
            .part("database", identity)
            .part("mode", mode)
            .part("cursor", cursor)
            .part("key", list(key))
            .part("operation", self.operation.as_str());
        if let Some(columns) = &self.columns {
            fingerprint = fingerprint.part("columns", list(columns));
        }
        if let Some(column) = &self.deleted_when {
            fingerprint = fingerprint.part("deleted_when", &**column);
        }
        for (number, filter) in self.filters.iter().enumerate() {
            fingerprint = filter.describe(number, dialect, fingerprint);
        }
        SourceDescriptor::new(self.name.clone(), mode, fingerprint)
    }

    fn describe_origin(&self, default_schema: &str, dialect: Dialect) -> (&'static str, Fingerprint) {
        let fingerprint = Fingerprint::new();
        match &self.origin {
            Origin::Table { schema, name } => {
                let schema = schema.as_deref().unwrap_or(default_schema);
                ("table", fingerprint.part("schema", schema).part("table", &**name))
            }
            Origin::Sql(sql) => ("query", filter::describe_text(sql, "query", dialect, fingerprint)),
            Origin::Select(select) => match dialect.render(select) {
                Ok((text, values)) => {
                    let fingerprint = fingerprint.part("query", lex::canonical(&text, dialect));
                    ("query", filter::describe_binds(&values, "query", fingerprint))
                }
                Err(_) => ("query", fingerprint),
            },
        }
    }
}

/// Names in order; one that could be taken for two is quoted.
fn list(names: &[Box<str>]) -> String {
    let name = |name: &str| {
        if name.contains([',', '`']) { format!("`{}`", name.replace('`', "``")) } else { name.to_owned() }
    };
    names.iter().map(|each| name(each)).collect::<Vec<_>>().join(", ")
}

/// The steps that table and query have in common.
macro_rules! common_steps {
    ($source:ident) => {
        impl<B: Backend, C, K> $source<B, C, K> {
            /// Names the column that orders changes: a timestamp of the last change, a version, an id.
            pub fn cursor(self, column: impl Into<Box<str>>) -> $source<B, WithCursor, K>
            where
                C: WantsCursor,
            {
                let cursor = WithCursor(column.into());
                $source { db: self.db, definition: self.definition, cursor, key: self.key, cache: Cache::default() }
            }

            /// Names the columns of the primary key, which tell rows with the same cursor apart.
            ///
            /// From one to 32 columns; none at all doesn't compile.
            pub fn key<const N: usize>(self, columns: [&str; N]) -> $source<B, C, WithKey>
            where
                K: WantsKey,
                [(); N]: KeyLength,
            {
                let key = WithKey(columns.map(Into::into).into());
                $source { db: self.db, definition: self.definition, cursor: self.cursor, key, cache: Cache::default() }
            }

            /// Names cursor and key at run time, for definitions that are data. The caller sees to it that the key
            /// has a column.
            pub(crate) fn in_order_of<I>(self, cursor: &str, key: I) -> $source<B, WithCursor, WithKey>
            where
                I: IntoIterator,
                I::Item: Into<Box<str>>,
            {
                let (cursor, key) = (WithCursor(cursor.into()), WithKey(key.into_iter().map(Into::into).collect()));
                $source { db: self.db, definition: self.definition, cursor, key, cache: Cache::default() }
            }

            /// Reads only rows whose cursor is older than this, by the database's own clock.
            ///
            /// It covers transactions that are shorter and rows that share a tick of the clock: make it longer than
            /// both. A row that is too young holds back all rows after it. The cursor has to hold times: on SQLite
            /// text that begins with a date as `2026-01-31` (in UTC, unless it ends in an offset), Unix time as a number
            /// in seconds to nanoseconds since the year 2000, or julian days; another value is an error.
            pub fn lag(self, lag: std::time::Duration) -> Self {
                self.with(|definition| definition.lag = Some(lag))
            }

            /// Names the column that marks deleted rows: where it is not NULL, and neither false nor 0, be it as
            /// a value or as text, the change is a delete.
            pub fn deleted_when(self, column: impl Into<Box<str>>) -> Self {
                let column = column.into();
                self.with(|definition| definition.deleted_when = Some(column))
            }

            /// Says that rows are only ever added: changes are inserts instead of upserts.
            pub fn insert_only(self) -> Self {
                self.with(|definition| definition.operation = Operation::Insert)
            }

            /// Says what to do about rows whose cursor is NULL.
            pub fn nulls(self, policy: NullPolicy) -> Self {
                self.with(|definition| definition.nulls = policy)
            }

            /// Sets after how long columns and indexes are read again (5 s). A statement that fails reads them
            /// at once.
            pub fn refresh_shape_every(self, interval: std::time::Duration) -> Self {
                self.with(|definition| definition.refresh = interval)
            }

            /// Names the source, in changes and errors. It is not part of the fingerprint.
            pub fn named(self, name: impl Into<Box<str>>) -> Self {
                let name = name.into();
                self.with(|definition| definition.name = name)
            }

            fn with(mut self, change: impl FnOnce(&mut Definition)) -> Self {
                change(&mut self.definition);
                self.cache = Cache::default();
                self
            }
        }

        impl<B: Backend, C: HasCursor, K: HasKey> $source<B, C, K> {
            fn reader(&self) -> Reader<'_, B> {
                Reader {
                    db: &self.db,
                    definition: &self.definition,
                    cursor: self.cursor.cursor(),
                    key: self.key.key(),
                    cache: &self.cache,
                }
            }
        }

        impl<B: Backend, C: HasCursor, K: HasKey> Source for $source<B, C, K> {
            fn name(&self) -> &str {
                &self.definition.name
            }

            fn descriptor(&self) -> &Arc<SourceDescriptor> {
                self.reader().descriptor()
            }

            fn capabilities(&self) -> Capabilities {
                self.reader().capabilities()
            }

            async fn validate(&self) -> Result<Vec<Warning>, Error> {
                self.reader().validate().await
            }

            async fn open(&self) -> Result<(), Error> {
                self.reader().open().await
            }

            async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetch, Error> {
                self.reader().fetch(request).await
            }

            async fn close(&self) -> Result<(), Error> {
                Ok(())
            }
        }

        /// The name alone.
        impl<B: Backend, C, K> fmt::Debug for $source<B, C, K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($source)).field(&self.definition.name).finish()
            }
        }
    };
}

pub(super) use common_steps;
