//! A database file in a folder of its own, and draining a source.

use std::error::Error as _;

use highwater::sqlx::{self, AssertSqlSafe};
use highwater::{Database, Error, Exact, FetchRequest, Position, RawRecord, Remaining, Source, Sqlite, Value};
use tempfile::TempDir;

/// A database that lives as long as the test.
pub(crate) struct Shop {
    pub(crate) db: Database<Sqlite>,
    pub(crate) folder: TempDir,
}

impl Shop {
    /// A new file, with these statements run in it.
    pub(crate) async fn new(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("shop.db").display());
        let shop = Self { db: Database::connect(&url).await.unwrap(), folder };
        shop.run(sql).await;
        shop
    }

    pub(crate) async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self.db.pool()).await.unwrap();
    }

    pub(crate) async fn integers(&self, sql: &str) -> Vec<i64> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(self.db.pool()).await.unwrap()
    }
}

pub(crate) async fn fetch(source: &impl Source, after: Option<&Position>, limit: u32) -> Result<Vec<RawRecord>, Error> {
    let request = FetchRequest::new(after, limit.try_into().unwrap());
    source.fetch(request).await.map(highwater::Fetch::into_records)
}

/// Everything after a position, in batches of the sizes given, over and over; positions pass through JSON.
pub(crate) async fn drain_after(
    source: &impl Source,
    after: Option<Position>,
    sizes: &[u32],
) -> Result<Vec<RawRecord>, Error> {
    let (mut after, mut records) = (after, Vec::new());
    for size in sizes.iter().cycle() {
        let request = FetchRequest::new(after.as_ref(), (*size).try_into().unwrap());
        let fetch = source.fetch(request).await?;
        let remaining = fetch.remaining();
        assert!(fetch.records().len() <= *size as usize);
        assert!(remaining == Remaining::Nothing || fetch.records().len() == *size as usize);
        records.extend(fetch.into_records());
        after = records.last().map(|record| through_json(&record.position)).or(after);
        if remaining == Remaining::Nothing {
            return Ok(records);
        }
    }
    unreachable!("there are sizes")
}

pub(crate) async fn drain(source: &impl Source, sizes: &[u32]) -> Result<Vec<RawRecord>, Error> {
    drain_after(source, None, sizes).await
}

pub(crate) fn through_json(position: &Position) -> Position {
    let text = serde_json::to_string(position).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn integer(record: &RawRecord, column: &str) -> i64 {
    record.row.get(column).and_then(Value::as_i64).unwrap()
}

pub(crate) fn ids(records: &[RawRecord]) -> Vec<i64> {
    records.iter().map(|record| integer(record, "id")).collect()
}

pub(crate) fn exact(record: &RawRecord) -> &[Exact] {
    record.position.as_keyset().unwrap().values()
}

/// An error and its causes, as a user would see them.
pub(crate) fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
