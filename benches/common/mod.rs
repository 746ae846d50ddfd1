//! A table to drain, and the two ways of draining it: highwater, and the loop that one would write by hand.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part")]

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use highwater::{
    Batch, Database, Ending, Exact, Fetch, FetchRequest, FromRow, Keyset, ObjectCheckpoints, Poller, Position, Source,
    Sqlite,
};
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row as _, SqlitePool};
use tempfile::TempDir;

/// The struct that both ways fill.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    pub id: i64,
    pub customer: String,
    pub status: String,
    pub total: f64,
    pub payload: String,
    pub updated_at: String,
}

pub const COLUMNS: [&str; 6] = ["id", "customer", "status", "total", "payload", "updated_at"];

/// A database file with `rows` orders, ten to a second, indexed by `(updated_at, id)`.
pub struct Shop {
    folder: TempDir,
}

impl Shop {
    pub async fn with_rows(rows: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("shop.db")).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        for statement in [
            "PRAGMA journal_mode = WAL",
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, \
             total REAL NOT NULL, payload TEXT NOT NULL, updated_at TEXT NOT NULL)",
        ] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        sqlx::query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
             INSERT INTO orders SELECT i, 'customer ' || (i % 1000), CASE i % 3 WHEN 0 THEN 'new' ELSE 'paid' END, \
             i * 1.25, '{\"note\":\"' || printf('%0100d', i) || '\"}', \
             strftime('%Y-%m-%d %H:%M:%S', 1767225600 + i / 10, 'unixepoch') FROM n",
        )
        .bind(i64::try_from(rows).unwrap())
        .execute(&pool)
        .await
        .unwrap();
        sqlx::query("CREATE INDEX orders_by_update ON orders (updated_at, id)").execute(&pool).await.unwrap();
        sqlx::query("ANALYZE").execute(&pool).await.unwrap();
        pool.close().await;
        Self { folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub async fn pool(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(self.file());
        SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
    }
}

/// Where the hand-written loop begins.
#[derive(Clone)]
pub struct Place {
    pub updated_at: String,
    pub id: i64,
}

impl Place {
    pub fn beginning() -> Self {
        Self { updated_at: String::new(), id: 0 }
    }
}

const SELECT: &str = "SELECT id, customer, status, total, payload, updated_at FROM orders \
                      WHERE (updated_at, id) > (?, ?) ORDER BY updated_at, id LIMIT ?";

/// One batch of the loop that one would write by hand: typed, streamed, no checkpoint.
pub async fn raw_batch(pool: &SqlitePool, after: &Place, limit: u32) -> Vec<Order> {
    let mut rows = sqlx::query(SELECT).bind(&after.updated_at).bind(after.id).bind(limit).fetch(pool);
    let mut batch = Vec::with_capacity(limit as usize);
    while let Some(row) = rows.try_next().await.unwrap() {
        batch.push(Order {
            id: row.get(0),
            customer: row.get(1),
            status: row.get(2),
            total: row.get(3),
            payload: row.get(4),
            updated_at: row.get(5),
        });
    }
    batch
}

/// The whole table, by hand; returns the number of rows.
pub async fn raw_drain(pool: &SqlitePool, batch_size: u32) -> u64 {
    let mut place = Place::beginning();
    let mut rows = 0;
    loop {
        let batch = raw_batch(pool, &place, batch_size).await;
        let Some(last) = batch.last() else { return rows };
        place = Place { updated_at: last.updated_at.clone(), id: last.id };
        rows += batch.len() as u64;
        std::hint::black_box(batch);
    }
}

fn source(pool: &SqlitePool) -> impl Source + use<> {
    Database::<Sqlite>::from_pool(pool.clone()).table("orders").columns(COLUMNS).cursor("updated_at").key(["id"])
}

/// The whole table as batches of `T`, local checkpoints with fsync included; returns the number of rows.
pub async fn drain<T: FromRow>(shop: &Shop, pool: &SqlitePool, batch_size: u32) -> u64 {
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let poller = Poller::builder("orders")
        .source(source(pool))
        .checkpoints(fresh_state(shop))
        .batch_size(batch_size)
        .max_batches_per_tick(u32::MAX)
        .handler(async move |orders: Batch<T>| {
            counter.fetch_add(orders.len() as u64, Ordering::Relaxed);
            std::hint::black_box(orders);
            Ok(())
        })
        .build();
    assert_eq!(poller.tick().await.unwrap().ending(), Ending::Drained);
    seen.load(Ordering::Relaxed)
}

fn fresh_state(shop: &Shop) -> ObjectCheckpoints {
    let folder = shop.path().join("state");
    let _ = std::fs::remove_dir_all(&folder);
    ObjectCheckpoints::local(folder).unwrap()
}

/// The place of a row; the beginning for row 0.
pub async fn place_of(pool: &SqlitePool, id: u64) -> Place {
    let row = sqlx::query("SELECT updated_at FROM orders WHERE id = ?").bind(i64::try_from(id).unwrap());
    let found = row.fetch_optional(pool).await.unwrap();
    found.map_or(Place::beginning(), |row| Place { updated_at: row.get(0), id: i64::try_from(id).unwrap() })
}

/// The source alone, resumed at a place.
pub struct Reader<S> {
    source: S,
    after: Option<Position>,
}

impl Reader<()> {
    pub async fn at(pool: &SqlitePool, place: &Place) -> Reader<impl Source> {
        let source = source(pool);
        source.open().await.unwrap();
        let first = source.fetch(FetchRequest::new(None, NonZeroU32::MIN)).await.unwrap();
        let shape = first.records()[0].position.as_keyset().unwrap().shape().clone();
        let values = [Exact::Text(place.updated_at.clone()), Exact::Integer(place.id)];
        let after = (place.id > 0).then(|| Position::Keyset(Keyset::new(shape, values)));
        Reader { source, after }
    }
}

impl<S: Source> Reader<S> {
    pub async fn batch(&self, limit: u32) -> Fetch {
        self.source.fetch(FetchRequest::new(self.after.as_ref(), limit.try_into().unwrap())).await.unwrap()
    }
}

pub fn rows_or(default: u64) -> u64 {
    number_or("HIGHWATER_BENCH_ROWS", default)
}

pub fn number_or(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// The most memory that this process has used so far, where the system tells.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
