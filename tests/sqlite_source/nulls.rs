//! Rows without a position.

use highwater::{ErrorKind, FetchRequest, NullPolicy, Source, sql_filter};

use crate::support::{Shop, drain, fetch, ids};

const NULLS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, kind TEXT);
    INSERT INTO t VALUES (1, NULL, 'a'), (2, '2026-01-01', 'b'), (3, NULL, 'a'), (4, '2026-01-02', 'b')";

#[tokio::test]
async fn a_null_cursor_stops_first_and_later_fetches_alike() {
    let shop = Shop::new(NULLS).await;
    let source = shop.db.table("t").cursor("u").key(["id"]);
    let error = fetch(&source, None, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NullPosition);
    assert_eq!(error.column(), Some("u"));
    assert!(error.message().contains("SELECT \"id\" FROM \"t\" WHERE \"u\" IS NULL"), "{error}");
    assert!(error.message().contains("NullPolicy::Skip"), "{error}");

    shop.run("DELETE FROM t WHERE u IS NULL").await;
    let position = fetch(&source, None, 1).await.unwrap().remove(0).position;
    shop.run("INSERT INTO t VALUES (9, NULL, 'a')").await;
    let error = fetch(&source, Some(&position), 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NullPosition);
}

#[tokio::test]
async fn the_filter_decides_which_nulls_count() {
    let shop = Shop::new(NULLS).await;
    let source = shop.db.table("t").cursor("u").key(["id"]).filter(sql_filter("kind = 'b'"));
    assert_eq!(ids(&drain(&source, &[1]).await.unwrap()), [2, 4]);
}

#[tokio::test]
async fn skipped_nulls_are_left_out_and_counted_when_asked() {
    let shop = Shop::new(NULLS).await;
    let skip = shop.db.table("t").cursor("u").key(["id"]).nulls(NullPolicy::Skip);
    assert_eq!(ids(&drain(&skip, &[1]).await.unwrap()), [2, 4]);

    let count = shop.db.table("t").cursor("u").key(["id"]).nulls(NullPolicy::SkipAndCount);
    let fetch = async |limit: u32| count.fetch(FetchRequest::new(None, limit.try_into().unwrap())).await.unwrap();
    assert_eq!(fetch(1).await.skipped_nulls(), None, "not drained yet");
    assert_eq!(fetch(10).await.skipped_nulls(), Some(2));
}

#[tokio::test]
async fn null_in_a_key_is_always_refused() {
    let shop = Shop::new(
        "CREATE TABLE t (id INT, k TEXT, u INT NOT NULL);
         INSERT INTO t VALUES (1, 'a', 1), (2, NULL, 2)",
    )
    .await;
    for policy in [NullPolicy::Error, NullPolicy::Skip] {
        let source = shop.db.table("t").cursor("u").key(["k"]).nulls(policy);
        let error = drain(&source, &[1]).await.unwrap_err();
        assert_eq!((error.kind(), error.column()), (ErrorKind::NullPosition, Some("k")));
    }
}
