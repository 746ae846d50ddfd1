//! Positions that repeat.

use highwater::ErrorKind;

use crate::support::{Shop, drain, fetch, ids};

#[tokio::test]
async fn repeated_positions_are_refused_wherever_the_border_falls() {
    let shop = Shop::new(
        "CREATE TABLE t (id INT, k INT, u INT);
         INSERT INTO t VALUES (1, 1, 1), (2, 2, 1), (3, 2, 1), (4, 3, 1)",
    )
    .await;
    let source = shop.db.table("t").cursor("u").key(["k"]);
    for limit in [2, 3, 4, 10] {
        let error = fetch(&source, None, limit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DuplicatePosition, "limit {limit}");
        assert!(error.message().contains("GROUP BY \"u\", \"k\""), "{error}");
    }
    assert_eq!(ids(&fetch(&source, None, 1).await.unwrap()), [1]);
}

#[tokio::test]
async fn the_database_says_what_is_equal() {
    let shop = Shop::new(
        "CREATE TABLE t (id INT, k TEXT COLLATE NOCASE, u REAL);
         INSERT INTO t VALUES (1, 'a', 1), (2, 'A', 1.0)",
    )
    .await;
    let source = shop.db.table("t").cursor("u").key(["k"]);
    assert_eq!(fetch(&source, None, 10).await.unwrap_err().kind(), ErrorKind::DuplicatePosition);

    // An index that compares otherwise does not make them differ.
    shop.run("CREATE UNIQUE INDEX i ON t (k COLLATE BINARY)").await;
    let source = shop.db.table("t").cursor("u").key(["k"]);
    assert_eq!(fetch(&source, None, 10).await.unwrap_err().kind(), ErrorKind::DuplicatePosition);
}

#[tokio::test]
async fn unchecked_tables_keep_their_order() {
    let shop = Shop::new("CREATE TABLE t (id INT, k TEXT, u TEXT)").await;
    shop.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO t SELECT i, (i * 37) % 500, (i * 7) % 11 FROM n",
    )
    .await;
    let expected = shop.integers("SELECT id FROM t ORDER BY u, k").await;
    for source in [shop.db.table("t"), shop.db.table("t").columns(["id"])] {
        let records = drain(&source.cursor("u").key(["k"]), &[1, 7, 100]).await.unwrap();
        assert_eq!(ids(&records), expected);
    }
    let query = shop.db.query_sql("SELECT * FROM t").cursor("u").key(["k"]);
    assert_eq!(ids(&drain(&query, &[13]).await.unwrap()), expected);
}

#[tokio::test]
async fn a_query_that_compares_in_two_ways_is_stopped_instead_of_looping() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY, u INT); INSERT INTO t VALUES (1, 5)").await;
    let source = shop.db.query_sql("SELECT id, u FROM t UNION ALL SELECT 2 AS id, '9' AS u").cursor("u").key(["id"]);
    let first = fetch(&source, None, 1).await.unwrap().remove(0).position;
    let second = fetch(&source, Some(&first), 1).await.unwrap().remove(0).position;
    match fetch(&source, Some(&second), 1).await {
        Ok(records) => assert!(records.is_empty()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::DuplicatePosition),
    }
}
