//! The table changes while it is read.

use std::time::Duration;

use highwater::Sqlite;
use highwater::sources::{WithCursor, WithKey};
use highwater::{ErrorKind, NullPolicy, TableSource};

use crate::support::{Shop, drain_after, fetch, ids, shown, through_json};

type Orders = TableSource<Sqlite, WithCursor, WithKey>;

async fn shop() -> (Shop, Orders) {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT NOT NULL, note TEXT);
         INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
    )
    .await;
    let source = shop.db.table("t").cursor("u").key(["id"]);
    (shop, source)
}

fn columns(record: &highwater::RawRecord) -> Vec<&str> {
    record.row.columns().iter().map(|name| &**name).collect()
}

#[tokio::test]
async fn an_added_column_appears_once_the_shape_is_read_again() {
    let (shop, source) = shop().await;
    let source = source.refresh_shape_every(Duration::ZERO);
    let first = fetch(&source, None, 1).await.unwrap().remove(0);
    shop.run("ALTER TABLE t ADD COLUMN total REAL DEFAULT 1.5").await;
    let next = fetch(&source, Some(&first.position), 1).await.unwrap().remove(0);
    assert_eq!(columns(&first), ["id", "u", "note"]);
    assert_eq!(columns(&next), ["id", "u", "note", "total"]);
}

#[tokio::test]
async fn queries_and_views_see_added_columns_too() {
    // One connection, so that a statement kept by it would be asked again.
    let db = highwater::Database::<Sqlite>::connect("sqlite::memory:").await.unwrap();
    let run = async |sql: &'static str| highwater::sqlx::raw_sql(sql).execute(db.pool()).await.unwrap();
    run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT); CREATE VIEW v AS SELECT * FROM t; INSERT INTO t VALUES (1, 1)",
    )
    .await;
    let query = db.query_sql("SELECT * FROM t").cursor("u").key(["id"]).refresh_shape_every(Duration::ZERO);
    let view = db.table("v").cursor("u").key(["id"]).refresh_shape_every(Duration::ZERO);
    for expected in [&["id", "u"][..], &["id", "u", "total"]] {
        for _ in 0..2 {
            assert_eq!(columns(&fetch(&query, None, 1).await.unwrap()[0]), expected);
            assert_eq!(columns(&fetch(&view, None, 1).await.unwrap()[0]), expected);
        }
        if expected.len() == 2 {
            run("ALTER TABLE t ADD COLUMN total REAL; DROP VIEW v; CREATE VIEW v AS SELECT * FROM t").await;
        }
    }
}

#[tokio::test]
async fn a_dropped_column_is_noticed_at_once() {
    let (shop, source) = shop().await;
    let first = fetch(&source, None, 1).await.unwrap().remove(0);
    shop.run("ALTER TABLE t DROP COLUMN note").await;
    let rest = drain_after(&source, Some(first.position), &[1]).await.unwrap();
    assert_eq!(ids(&rest), [2, 3]);
    assert_eq!(columns(&rest[0]), ["id", "u"]);
}

#[tokio::test]
async fn a_table_replaced_by_rename_goes_on() {
    let (shop, source) = shop().await;
    let first = fetch(&source, None, 1).await.unwrap().remove(0);
    shop.run(
        "CREATE TABLE new (note TEXT, id INTEGER PRIMARY KEY, u INT NOT NULL, extra TEXT);
         INSERT INTO new SELECT note, id, u, 'x' FROM t;
         ALTER TABLE t RENAME TO old; ALTER TABLE new RENAME TO t",
    )
    .await;
    let rest = drain_after(&source, Some(first.position), &[1]).await.unwrap();
    assert_eq!(ids(&rest), [2, 3]);
    assert_eq!(rest[0].row.get("note").unwrap().as_str(), Some("b"));
}

#[tokio::test]
async fn a_dropped_cursor_or_table_is_named() {
    let (shop, source) = shop().await;
    let first = fetch(&source, None, 1).await.unwrap().remove(0);
    shop.run("ALTER TABLE t DROP COLUMN u").await;
    let error = fetch(&source, Some(&first.position), 1).await.unwrap_err();
    assert_eq!((error.kind(), error.table(), error.column()), (ErrorKind::NotFound, Some("t"), Some("u")));
    assert!(error.message().contains("it has `id`, `note`"), "{error}");
    shop.run("DROP TABLE t; CREATE TABLE tt (id INT)").await;
    let error = fetch(&source, Some(&first.position), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", shown(&error));
    assert!(error.message().contains("did you mean `tt`?") || error.message().contains("it has `tt`"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_of_other_types_or_collations_is_refused() {
    let (shop, source) = shop().await;
    let first = through_json(&fetch(&source, None, 1).await.unwrap()[0].position);
    for (definition, part) in [
        ("id INTEGER PRIMARY KEY, u TEXT NOT NULL", "the type of `u` was `INT`, is `TEXT`"),
        ("id INTEGER PRIMARY KEY, u INT COLLATE NOCASE NOT NULL", "the collation of `u` was `BINARY`, is `NOCASE`"),
    ] {
        shop.run(&format!("DROP TABLE t; CREATE TABLE t ({definition}); INSERT INTO t VALUES (2, 9)")).await;
        let source = shop.db.table("t").cursor("u").key(["id"]).nulls(NullPolicy::Skip);
        let error = fetch(&source, Some(&first), 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().contains("adopt") && error.message().contains("reset"), "{error}");
    }
    let token = highwater::Position::Token("x".into());
    let error = fetch(&source, Some(&token), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
}
