//! Draining yields each row once, in the database's own order, whatever is stored.

use highwater::sqlx;
use highwater::{Exact, sql_filter};
use proptest::prelude::*;

use crate::support::{Shop, drain, exact, ids};

/// A value in SQL.
fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        (-3_i64..3).prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "9007199254740993",
            "9007199254740992",
            "-9223372036854775808",
            "9223372036854775807",
            "0.1",
            "1.0",
            "-0.0",
            "9007199254740992.0",
            "9e999",
            "-9e999",
            "5e-324",
            "1.7976931348623157e308",
            "''",
            "'1'",
            "'01'",
            "'10'",
            "'9'",
            "'1e1'",
            "'9007199254740993'",
            "'a'",
            "'A'",
            "'ä'",
            "'it''s'",
            "'a '",
            "x''",
            "x'00ff'",
            "x'61'",
            "'2026-01-01 00:00:00'",
            "'2026-01-01T00:00:00Z'",
            "'2026-01-01T00:00:00.000+00:00'",
            "'a' || char(0) || 'b'",
            "CAST(x'31' AS TEXT)",
            "1700000000",
            "2460000.5",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9 ]{0,3}".prop_map(|text| format!("'{text}'")),
        any::<f64>().prop_filter("JSON-free", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<i64>().prop_map(|n| n.to_string()),
    ]
}

fn declared() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "INTEGER",
        "INT",
        "BIGINT",
        "REAL",
        "NUMERIC",
        "DECIMAL(10,2)",
        "TEXT",
        "VARCHAR(5)",
        "BLOB",
        "DATETIME",
        "TIMESTAMP",
        "BOOLEAN",
        "DATE",
        "TEXT COLLATE NOCASE",
        "COLLATE NOCASE",
        "TEXT COLLATE RTRIM",
    ])
}

#[derive(Clone, Debug)]
struct Table {
    types: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    keys: usize,
    primary_key: Key,
    indexed: bool,
    sizes: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Rowid,
    Declared,
    WithoutRowid,
    Undeclared,
}

fn table() -> impl Strategy<Value = Table> {
    let key = prop_oneof![Just(Key::Rowid), Just(Key::Declared), Just(Key::WithoutRowid), Just(Key::Undeclared)];
    let pool = prop::collection::vec(literal(), 1..6);
    (prop::collection::vec(declared(), 4), pool, 1..4_usize, key, any::<bool>()).prop_flat_map(
        |(types, pool, keys, primary_key, indexed)| {
            let cell = prop_oneof![3 => prop::sample::select(pool), 1 => literal()];
            let rows = prop::collection::vec(prop::collection::vec(cell, 4), 0..30);
            let sizes = prop::collection::vec(1..12_u32, 1..4);
            (rows, sizes).prop_map(move |(rows, sizes)| Table {
                types: types.clone(),
                rows,
                keys,
                primary_key,
                indexed,
                sizes,
            })
        },
    )
}

impl Table {
    /// The columns of the key: `id` alone where it is the rowid.
    fn key(&self) -> Vec<&'static str> {
        match self.primary_key {
            Key::Rowid => vec!["id"],
            _ => ["k1", "k2", "k3"][..self.keys].to_vec(),
        }
    }

    fn ddl(&self) -> String {
        let [u, k1, k2, k3] = &self.types[..] else { unreachable!() };
        let columns = format!("u {u} NOT NULL, k1 {k1} NOT NULL, k2 {k2} NOT NULL, k3 {k3} NOT NULL");
        let key = self.key().join(", ");
        let index = if self.indexed { format!("CREATE INDEX changes ON t (u, {key});") } else { String::new() };
        let table = match self.primary_key {
            Key::Rowid => format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {columns});"),
            Key::Declared => format!("CREATE TABLE t (id INT, {columns}, UNIQUE ({key}));"),
            Key::WithoutRowid => format!("CREATE TABLE t (id INT, {columns}, PRIMARY KEY ({key})) WITHOUT ROWID;"),
            Key::Undeclared => format!("CREATE TABLE t (id INT, {columns});"),
        };
        format!("{table} {index}")
    }

    async fn check(&self) {
        let shop = Shop::new(&self.ddl()).await;
        let unique = matches!(self.primary_key, Key::Rowid | Key::Declared | Key::WithoutRowid);
        for (index, row) in self.rows.iter().enumerate() {
            // What repeats the key is left out; undeclared keys are kept apart by hand.
            let values = row.join(", ");
            let insert = if unique {
                format!("INSERT OR IGNORE INTO t (id, u, k1, k2, k3) VALUES ({index}, {values})")
            } else {
                let same = self.key().iter().map(|key| format!("o.{key} = t.{key}")).collect::<Vec<_>>().join(" AND ");
                format!(
                    "INSERT INTO t (id, u, k1, k2, k3) VALUES ({index}, {values}); \
                     DELETE FROM t WHERE id = {index} AND EXISTS (SELECT 1 FROM t AS o WHERE o.id < {index} AND {same})"
                )
            };
            shop.run(&insert).await;
        }
        let key = self.key().join(", ");
        let expected = shop.integers(&format!("SELECT id FROM t ORDER BY u, {key}")).await;
        let query = || shop.db.query_sql("SELECT * FROM t");
        let table = || shop.db.table("t").columns(["id"]);
        let [whole, narrow, wrapped] = match self.key()[..] {
            [a] => [
                drain(&shop.db.table("t").cursor("u").key([a]), &self.sizes).await,
                drain(&table().cursor("u").key([a]), &self.sizes).await,
                drain(&query().cursor("u").key([a]), &self.sizes).await,
            ],
            [a, b] => [
                drain(&shop.db.table("t").cursor("u").key([a, b]), &self.sizes).await,
                drain(&table().cursor("u").key([a, b]), &self.sizes).await,
                drain(&query().cursor("u").key([a, b]), &self.sizes).await,
            ],
            [a, b, c] => [
                drain(&shop.db.table("t").cursor("u").key([a, b, c]), &self.sizes).await,
                drain(&table().cursor("u").key([a, b, c]), &self.sizes).await,
                drain(&query().cursor("u").key([a, b, c]), &self.sizes).await,
            ],
            _ => unreachable!(),
        };
        for records in [whole, narrow, wrapped] {
            assert_eq!(ids(&records.unwrap()), expected);
        }
    }
}

#[test]
fn every_row_comes_once_in_the_databases_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(table in table())| {
        runtime.block_on(table.check());
    });
}

#[tokio::test]
async fn positions_hold_the_stored_form_and_class() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u DATETIME NOT NULL);
         INSERT INTO t VALUES (1, '2026-01-01T00:00:00+00:00'), (2, 9007199254740993), (3, 0.1), (4, x'00')",
    )
    .await;
    let mut records = drain(&shop.db.table("t").cursor("u").key(["id"]), &[1]).await.unwrap();
    records.sort_by_key(|record| crate::support::integer(record, "id"));
    let cursors: Vec<&Exact> = records.iter().map(|record| &exact(record)[0]).collect();
    assert_eq!(
        cursors,
        [
            &Exact::Text("2026-01-01T00:00:00+00:00".into()),
            &Exact::Integer(9_007_199_254_740_993),
            &Exact::Real(0.1),
            &Exact::Blob(vec![0])
        ]
    );
    assert!(matches!(records[0].row.get("u"), Some(highwater::Value::Timestamp(_))));
}

#[tokio::test]
async fn two_steps_walk_ties_with_a_filter_and_an_idle_end() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, kind INT); CREATE INDEX i ON t (u)").await;
    sqlx::raw_sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN 'b' WHEN i % 7 = 0 THEN 'c' ELSE 'a' END, i % 2 FROM n",
    )
    .execute(shop.db.pool())
    .await
    .unwrap();
    let expected = shop.integers("SELECT id FROM t WHERE kind = 1 ORDER BY u, id").await;
    let source = shop.db.table("t").cursor("u").key(["id"]).filter(sql_filter("kind = :k").param("k", 1));
    let records = drain(&source, &[1, 100, 499]).await.unwrap();
    assert_eq!(ids(&records), expected);
    let end = records.last().unwrap().position.clone();
    assert!(crate::support::fetch(&source, Some(&end), 10).await.unwrap().is_empty());
}

/// Each SELECT of a compound has its own affinity, and SQLite compares by it what it sorts without.
#[tokio::test]
async fn several_selects_of_other_types_lose_no_row() {
    let shop = Shop::new(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, u INT); INSERT INTO a VALUES (1, 5), (2, 7);
         CREATE TABLE b (id INTEGER PRIMARY KEY, u TEXT); INSERT INTO b VALUES (3, '10'), (4, '9')",
    )
    .await;
    for (number, select) in [
        "SELECT id, u FROM a UNION ALL SELECT id, u FROM b",
        "SELECT id, u FROM b UNION SELECT id, u FROM a",
        "SELECT id, CAST(u AS TEXT) AS u FROM a UNION ALL SELECT id, u + 0 FROM b",
        "WITH c AS (SELECT id, u FROM b UNION ALL SELECT id, u FROM a) SELECT c.id, c.u FROM c JOIN (SELECT 1) WHERE 1",
        "SELECT a.id, (SELECT u FROM b WHERE b.id = a.id UNION ALL SELECT u FROM a AS i WHERE i.id = a.id) AS u FROM a \
         UNION ALL SELECT id, u FROM b",
        "WITH RECURSIVE c(id, u) AS (SELECT id, u FROM b UNION ALL SELECT id - 2, u + 0 FROM c WHERE id > 2) SELECT * FROM c",
    ]
    .into_iter()
    .enumerate()
    {
        shop.run(&format!("CREATE VIEW v{number} AS {select}")).await;
        let expected = shop.integers(&format!("SELECT id FROM v{number} ORDER BY u, id")).await;
        for size in [1, 2, 3] {
            let query = shop.db.query_sql(select).cursor("u").key(["id"]);
            assert_eq!(ids(&drain(&query, &[size]).await.unwrap()), expected, "{select}, {size}");
            let view = shop.db.table(format!("v{number}")).cursor("u").key(["id"]);
            assert_eq!(ids(&drain(&view, &[size]).await.unwrap()), expected, "view of {select}, {size}");
        }
    }
}
