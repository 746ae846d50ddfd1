//! What is checked before the first fetch.

use std::time::Duration;

use highwater::{ErrorKind, Source, sql_filter};

use crate::support::{Shop, drain, exact, ids, shown};

async fn warnings(source: &impl Source) -> Vec<String> {
    source.validate().await.unwrap().iter().map(ToString::to_string).collect()
}

async fn shop() -> Shop {
    Shop::new(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TEXT NOT NULL, total INT);
         CREATE TABLE lines (order_id INT, line INT, updated_at TEXT NOT NULL);
         CREATE VIEW paid AS SELECT id AS order_id, updated_at FROM orders",
    )
    .await
}

#[tokio::test]
async fn a_failure_that_passes_is_not_kept() {
    let shop = shop().await;
    let late = shop.db.table("late").cursor("version").key(["id"]);
    assert_eq!(late.validate().await.unwrap_err().kind(), ErrorKind::NotFound);
    shop.db.execute("CREATE TABLE late (id INTEGER PRIMARY KEY, version INT NOT NULL)").await.unwrap();
    late.validate().await.unwrap();
    shop.db.execute("DROP TABLE late").await.unwrap();
    assert_eq!(late.validate().await.unwrap_err().kind(), ErrorKind::NotFound, "nor is a success");
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_is_there() {
    let shop = shop().await;
    let db = &shop.db;
    let error = db.table("order").cursor("u").key(["id"]).validate().await.unwrap_err();
    assert_eq!((error.kind(), error.table(), error.operation()), (ErrorKind::NotFound, Some("order"), "validate"));
    assert!(error.message().contains("did you mean `orders`?"), "{error}");

    let error = db.table("orders").cursor("update_at").key(["id"]).validate().await.unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::NotFound, Some("update_at")));
    assert!(error.message().contains("did you mean `updated_at`?"), "{error}");

    let error = db.table("orders").cursor("id").key(["nr"]).validate().await.unwrap_err();
    assert!(error.message().contains("it has `id`, `updated_at`, `total`"), "{error}");

    let error = db.table("orders").schema("nope").cursor("id").key(["id"]).validate().await.unwrap_err();
    assert!(error.message().contains("no schema `nope`"), "{error}");

    let error = db.query_sql("SELECT id FROM orders").cursor("id").key(["nr"]).validate().await.unwrap_err();
    assert!(error.message().contains("the query's result has no such column"), "{error}");

    let filtered = db.table("orders").cursor("id").key(["id"]).filter(sql_filter("stat = 1"));
    let error = filtered.validate().await.unwrap_err();
    assert!(shown(&error).contains("no such column: stat"), "{}", shown(&error));
}

#[tokio::test]
async fn columns_are_named_once_and_at_all() {
    let shop = shop().await;
    for columns in [vec![], vec!["id", "total", "ID"]] {
        let error = shop.db.table("orders").columns(columns).cursor("id").key(["id"]).validate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[tokio::test]
async fn each_warning_goes_away_by_the_mend_it_names() {
    let shop = shop().await;
    let orders = || shop.db.table("orders").cursor("updated_at").key(["id"]);
    let found = warnings(&orders()).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("CREATE INDEX \"orders_changes\" ON \"orders\" (\"updated_at\", \"id\")"), "{found:#?}");
    assert!(found[1].contains(".lag(..)"), "{found:#?}");
    shop.run("CREATE INDEX \"orders_changes\" ON \"orders\" (\"updated_at\", \"id\")").await;
    assert!(warnings(&orders().lag(Duration::from_secs(2))).await.is_empty());

    // The rowid ends every index by itself.
    shop.run("DROP INDEX orders_changes; CREATE INDEX one ON orders (updated_at)").await;
    assert!(warnings(&orders().lag(Duration::from_secs(2))).await.is_empty());

    let lines = || shop.db.table("lines").cursor("updated_at").key(["order_id", "line"]);
    let found = warnings(&lines()).await;
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("CREATE UNIQUE INDEX \"lines_key\" ON \"lines\" (\"order_id\", \"line\")"), "{found:#?}");
    shop.run(
        "CREATE UNIQUE INDEX lines_key ON lines (order_id, line); CREATE INDEX c ON lines (updated_at, order_id, line)",
    )
    .await;
    assert!(warnings(&lines().lag(Duration::from_secs(2))).await.is_empty());
}

#[tokio::test]
async fn the_warning_of_an_index_says_what_is_read_without_it() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE NOT NULL, u INT, v INT UNIQUE)").await;
    let index = async |cursor: &str| {
        let found = warnings(&shop.db.table("t").cursor(cursor).key(["k"])).await;
        found.into_iter().find(|warning| warning.contains("CREATE INDEX"))
    };
    assert!(index("u").await.unwrap().contains("every poll reads the whole table"));
    shop.run("CREATE INDEX i ON t (u)").await;
    let found = index("u").await.unwrap();
    assert!(found.contains("every poll reads all rows with the checkpoint's `u` again"), "{found}");
    // No two rows share these.
    assert_eq!((index("id").await, index("v").await), (None, None));
}

#[tokio::test]
async fn mends_run_in_other_schemas_and_with_odd_names() {
    let options = highwater::sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let db = highwater::Database::<highwater::Sqlite>::from_pool(options.connect("sqlite::memory:").await.unwrap());
    db.execute("ATTACH ':memory:' AS \"o\"\"ther\"").await.unwrap();
    db.execute("CREATE TABLE \"o\"\"ther\".\"li\"\"nes\" (id INT, u TEXT NOT NULL)").await.unwrap();
    let lines = || db.table("li\"nes").schema("o\"ther").cursor("u").key(["id"]).lag(Duration::from_secs(2));
    for left in [2, 1] {
        let found = warnings(&lines()).await;
        assert_eq!(found.len(), left, "{found:#?}");
        db.execute(found[0].split("Mend it: ").nth(1).unwrap()).await.unwrap();
    }
    assert!(warnings(&lines()).await.is_empty());
}

#[tokio::test]
async fn a_number_that_counts_up_needs_neither_lag_nor_index() {
    let shop = shop().await;
    assert!(warnings(&shop.db.table("orders").cursor("id").key(["id"])).await.is_empty());
    // A number that repeats can be a time.
    let found = warnings(&shop.db.table("orders").cursor("total").key(["id"])).await;
    assert!(found.iter().any(|warning| warning.contains(".lag(..)")), "{found:#?}");
}

#[tokio::test]
async fn views_and_queries_are_trusted_with_a_warning() {
    let shop = shop().await;
    shop.run("INSERT INTO orders VALUES (1, '2026-01-01', 5), (2, '2026-01-02', 6)").await;
    let view = shop.db.table("paid").cursor("updated_at").key(["order_id"]);
    let found = warnings(&view).await;
    assert!(found[0].contains("it is trusted"), "{found:#?}");
    let records = drain(&view, &[1]).await.unwrap();
    assert_eq!(records.len(), 2);
    let shape = records[0].position.as_keyset().unwrap().shape();
    assert_eq!((&*shape[1].type_name, shape[0].collation.as_deref()), ("INTEGER", Some("BINARY")));
    assert_eq!(exact(&records[0]).len(), 2);

    let query = shop.db.query_sql("SELECT id, updated_at FROM orders").cursor("updated_at").key(["id"]);
    assert_eq!(ids(&drain(&query, &[1]).await.unwrap()), [1, 2]);
    assert!(warnings(&query).await[0].contains("it is trusted"));
}

#[tokio::test]
async fn names_differ_in_case_only_as_sqlite_lets_them() {
    let shop = shop().await;
    shop.run("INSERT INTO orders VALUES (1, '2026-01-01', 5)").await;
    let source = shop.db.table("Orders").cursor("UPDATED_AT").key(["ID"]);
    assert_eq!(ids(&drain(&source, &[1]).await.unwrap()), [1]);
}

#[tokio::test]
async fn attached_databases_are_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let shop = Shop::new("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await;
    // An attachment belongs to one connection: a pool of one.
    let options = highwater::sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let pool = options.connect_with((*shop.db.pool().connect_options()).clone()).await.unwrap();
    let db = highwater::Database::<highwater::Sqlite>::from_pool(pool);
    let attach = format!(
        "ATTACH 'file:{}?mode=rwc' AS other; CREATE TABLE other.orders (id INTEGER PRIMARY KEY, u INT);
         INSERT INTO other.orders VALUES (7, 1)",
        path.display()
    );
    highwater::sqlx::raw_sql(highwater::sqlx::AssertSqlSafe(attach)).execute(db.pool()).await.unwrap();
    let source = db.table("orders").schema("other").cursor("u").key(["id"]);
    assert_eq!(ids(&drain(&source, &[1]).await.unwrap()), [7]);
}
