//! Rows too young to be read.

use std::time::Duration;

use highwater::{Batch, ErrorKind, FetchRequest, ObjectCheckpoints, Poller, Remaining, Source};

use crate::support::{Shop, drain_after, fetch, ids};

const LAG: Duration = Duration::from_mins(1);

/// Every form in which SQLite's users store time, as a function of a number of seconds from now.
const FORMS: [(&str, &str); 9] = [
    ("TEXT", "datetime('now', OFFSET)"),
    ("TEXT", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', OFFSET)"),
    ("TEXT", "strftime('%Y-%m-%d %H:%M:%f', 'now', OFFSET) || '+00:00'"),
    ("INTEGER", "unixepoch('now', OFFSET)"),
    ("INTEGER", "unixepoch('now', OFFSET) * 1000"),
    ("INTEGER", "unixepoch('now', OFFSET) * 1000000"),
    ("INTEGER", "unixepoch('now', OFFSET) * 1000000000"),
    ("REAL", "julianday('now', OFFSET)"),
    ("REAL", "unixepoch('now', OFFSET) + 0.5"),
];

#[tokio::test]
async fn rows_wait_until_they_are_old_enough_in_every_form_of_time() {
    for (declared, form) in FORMS {
        let shop = Shop::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, u {declared} NOT NULL)")).await;
        for (id, offset) in [(1, "-1 day"), (2, "-70 seconds"), (3, "-40 seconds"), (4, "+10 seconds")] {
            let time = form.replace("OFFSET", &format!("'{offset}'"));
            shop.run(&format!("INSERT INTO t VALUES ({id}, {time})")).await;
        }
        let source = shop.db.table("t").cursor("u").key(["id"]).lag(LAG);
        for limit in [2, 3, 10] {
            let fetch = source.fetch(FetchRequest::new(None, limit.try_into().unwrap())).await.unwrap();
            assert_eq!(ids(fetch.records()), [1, 2], "{form}, limit {limit}");
            assert_eq!(fetch.remaining(), Remaining::Nothing, "{form}, limit {limit}");
        }
        let first = fetch(&source, None, 1).await.unwrap().remove(0);
        let rest = fetch(&source, Some(&first.position), 10).await.unwrap();
        assert_eq!(ids(&rest), [2], "{form}");
    }
}

#[tokio::test]
async fn a_young_row_holds_back_what_sorts_after_it() {
    // The offset makes the second row the younger one, though it sorts first.
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT NOT NULL);
         INSERT INTO t VALUES
             (1, strftime('%Y-%m-%dT%H:%M:%f', 'now', '-1 day') || 'Z'),
             (2, strftime('%Y-%m-%dT%H:%M:%f', 'now', '-5 hours') || '-05:00'),
             (3, strftime('%Y-%m-%dT%H:%M:%f', 'now', '-4 hours') || 'Z')",
    )
    .await;
    let source = shop.db.table("t").cursor("u").key(["id"]).lag(LAG);
    assert_eq!(ids(&fetch(&source, None, 10).await.unwrap()), [1]);
}

#[tokio::test]
async fn a_cursor_that_holds_no_time_is_refused() {
    for value in ["'soon'", "'now'", "'12:00'", "42", "1.5", "x'00'"] {
        let shop = Shop::new(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u NOT NULL); INSERT INTO t VALUES (1, {value})"
        ))
        .await;
        let error = fetch(&shop.db.table("t").cursor("u").key(["id"]).lag(LAG), None, 1).await.unwrap_err();
        assert_eq!((error.kind(), error.column()), (ErrorKind::Configuration, Some("u")), "{value}");
    }
}

/// An update within the checkpoint's own second, with a lower key.
#[tokio::test]
async fn without_a_lag_a_row_of_the_same_second_is_lost_and_with_one_it_comes() {
    for (lag, expected) in [(None, &[5][..]), (Some(Duration::from_millis(1500)), &[3, 5])] {
        let shop = Shop::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT NOT NULL);
             INSERT INTO t VALUES (3, '2026-01-01 00:00:00'), (5, '2026-01-01 00:00:00')",
        )
        .await;
        let source = shop.db.table("t").cursor("u").key(["id"]);
        let source = match lag {
            Some(lag) => source.lag(lag),
            None => source,
        };
        let before = fetch(&source, None, 10).await.unwrap().pop().unwrap().position;
        // A second begins; 5 is written in it, read, and then 3.
        let now = shop.integers("SELECT unixepoch('now')").await[0];
        while shop.integers("SELECT unixepoch('now')").await[0] == now {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut seen = Vec::new();
        shop.run("UPDATE t SET u = datetime('now') WHERE id = 5").await;
        let early = fetch(&source, Some(&before), 10).await.unwrap();
        let after = early.last().map_or(before, |record| record.position.clone());
        seen.extend(ids(&early));
        shop.run("UPDATE t SET u = (SELECT u FROM t WHERE id = 5) WHERE id = 3").await;
        tokio::time::sleep(Duration::from_millis(2600)).await;
        seen.extend(ids(&drain_after(&source, Some(after), &[10]).await.unwrap()));
        assert_eq!(seen, expected, "lag {lag:?}");
    }
}

/// Above the checkpoint, but below a row that the handler has in hand: the commit to come passes over it.
#[tokio::test]
async fn a_row_that_appears_among_rows_being_handled_is_lost() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (3)").await;
    let db = shop.db.clone();
    let poller = Poller::builder("t")
        .source(shop.db.table("t").cursor("id").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async move |_: Batch| {
            db.execute("INSERT INTO t VALUES (2)").await?;
            Ok(())
        })
        .build();
    assert_eq!(poller.tick().await.unwrap().rows(), 2);
    assert_eq!(poller.tick().await.unwrap().rows(), 0);
}
