//! What a row's values are, by storage class and declared type.

use highwater::{ErrorKind, Operation, Row, Value};

use crate::support::{Shop, drain, exact, fetch, shown};

#[tokio::test]
async fn values_are_what_is_stored_and_declared_types_add_meaning() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b BOOLEAN, d DATETIME, ts TIMESTAMP(6), txt TEXT, r REAL, x BLOB, n);
         INSERT INTO t VALUES (1, 1, '2026-01-02 03:04:05', '2026-01-02T03:04:05.5+01:00', '007', 1, x'00ff', NULL),
                              (2, 2, 'soon', 1700000000, '', 0.1, '', 9007199254740993)",
    )
    .await;
    let records = drain(&shop.db.table("t").cursor("id").key(["id"]), &[10]).await.unwrap();
    let json: Vec<String> = records.iter().map(|record| serde_json::to_string(&record.row).unwrap()).collect();
    assert_eq!(
        json[0],
        r#"{"id":1,"b":true,"d":"2026-01-02T03:04:05Z","ts":"2026-01-02T02:04:05.500Z","txt":"007","r":1.0,"x":"AP8=","n":null}"#
    );
    assert_eq!(json[1], r#"{"id":2,"b":2,"d":"soon","ts":1700000000,"txt":"","r":0.1,"x":"","n":9007199254740993}"#);
    assert_eq!(records[1].row.get("x"), Some(&Value::Text(String::new())));
}

#[tokio::test]
async fn cursor_and_key_need_not_be_among_the_columns() {
    let shop = Shop::new(
        "CREATE TABLE t (a INT, b TEXT, u INT NOT NULL, status TEXT, gone INT, PRIMARY KEY (a, b));
         INSERT INTO t VALUES (1, 'x', 10, 'paid', NULL), (1, 'y', 10, 'new', 1), (2, 'x', 10, 'paid', 0)",
    )
    .await;
    let source = shop.db.table("t").columns(["status"]).cursor("u").key(["a", "b"]).deleted_when("gone").insert_only();
    let records = drain(&source, &[1]).await.unwrap();
    let rows: Vec<&Row> = records.iter().map(|record| &record.row).collect();
    assert_eq!(rows[1], &Row::from_iter([("status", Value::from("new"))]));
    assert_eq!(exact(&records[1]).len(), 3);
    let operations: Vec<Operation> = records.iter().map(|record| record.operation).collect();
    assert_eq!(operations, [Operation::Insert, Operation::Delete, Operation::Insert]);
}

#[tokio::test]
async fn a_mark_of_false_or_zero_deletes_nothing_in_any_class() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, gone);
         INSERT INTO t VALUES (1, NULL), (2, 0), (3, 0.0), (4, '0'), (5, 'false'), (6, 'FALSE'),
                              (7, 1), (8, '1'), (9, 'true'), (10, '2026-01-01'), (11, x'00')",
    )
    .await;
    let records = drain(&shop.db.table("t").cursor("id").key(["id"]).deleted_when("gone"), &[20]).await.unwrap();
    let deleted: Vec<bool> = records.iter().map(|record| record.operation == Operation::Delete).collect();
    assert_eq!(deleted, [[false; 6].as_slice(), &[true; 5]].concat());
}

#[tokio::test]
async fn generated_columns_and_odd_names_are_read() {
    let shop = Shop::new(
        "CREATE TABLE \"my \"\"table\" (\"the id\" INTEGER PRIMARY KEY, \"a.b\" TEXT DEFAULT 'x', \
             twice INT AS (\"the id\" * 2) STORED);
         INSERT INTO \"my \"\"table\" (\"the id\") VALUES (21)",
    )
    .await;
    let source = shop.db.table("my \"table").cursor("twice").key(["the id"]);
    let records = drain(&source, &[1]).await.unwrap();
    assert_eq!(serde_json::to_string(&records[0].row).unwrap(), r#"{"the id":21,"a.b":"x","twice":42}"#);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_error_and_no_panic() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, note TEXT);
         INSERT INTO t VALUES (1, CAST(x'ff' AS TEXT), 'a'), (2, 'b', CAST(x'c328' AS TEXT))",
    )
    .await;
    for (source, column) in [
        (shop.db.table("t").columns(["id"]).cursor("u").key(["id"]), "u"),
        (shop.db.table("t").cursor("id").key(["id"]), "u"),
    ] {
        let error = fetch(&source, None, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert_eq!(error.column(), Some(column), "{}", shown(&error));
    }
}

#[tokio::test]
async fn a_database_in_utf16_reads_like_any_other() {
    let shop = Shop::new(
        "PRAGMA encoding = 'UTF-16le';
         CREATE TABLE t (u TEXT PRIMARY KEY);
         INSERT INTO t VALUES ('a'), ('ä'), ('日本'), ('𝄞')",
    )
    .await;
    let records = drain(&shop.db.table("t").cursor("u").key(["u"]), &[1]).await.unwrap();
    let texts: Vec<&str> = records.iter().map(|record| record.row.get("u").unwrap().as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4);
    assert!(texts.contains(&"日本"));
}
