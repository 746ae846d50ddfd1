//! Opening: clear errors, and never a file made by reading.

use highwater::sqlx;
use highwater::{Database, ErrorKind, Source, Sqlite, sql_filter};

use crate::support::{Shop, fetch, shown};

async fn refused(url: &str) -> highwater::Error {
    Database::<Sqlite>::connect(url).await.unwrap_err()
}

#[tokio::test]
async fn a_missing_file_is_an_error_and_stays_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no.db");
    let error = refused(&format!("sqlite://{}", path.display())).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("mode=rwc"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_name_that_sqlite_would_take_for_a_uri_is_a_file() {
    let file = format!("file:highwater-{}.db", std::process::id());
    let db = Database::<Sqlite>::connect(&format!("sqlite://{file}?mode=rwc")).await.unwrap();
    db.close().await;
    let there = std::path::Path::new(&file).exists();
    let _ = std::fs::remove_file(if there { &file } else { file.trim_start_matches("file:") });
    assert!(there);
}

#[tokio::test]
async fn a_folder_and_a_file_that_is_no_database_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&format!("sqlite://{}", folder.path().display())).await;
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.message().contains("is a folder"), "{error}");

    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "these are notes, and no database at all; ".repeat(50)).unwrap();
    let error = refused(&format!("sqlite://{}", path.display())).await;
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.message().contains("not a SQLite database"), "{}", shown(&error));
}

#[tokio::test]
async fn wrong_urls_say_what_is_right() {
    for (url, part) in [
        ("postgres://me:secret@host/db", "`postgres:` is no URL of SQLite"),
        ("shop.db", "starts with its scheme"),
        ("sqlite://", "names no file"),
        ("sqlite://x.db?cache=shared", "takes `mode`, `immutable` and `busy_timeout`"),
        ("sqlite://x.db?mode=readonly", "is not `ro`, `rw`"),
        ("sqlite::memory:?busy_timeout=99999999999", "is not a number of milliseconds up to 2147483647"),
        ("sqlite://%HIGHWATER_NO_SUCH_VARIABLE%/x.db", "`HIGHWATER_NO_SUCH_VARIABLE` is not set"),
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
        assert!(error.message().contains(part), "{url}: {error}");
        assert!(!shown(&error).contains("secret"));
    }
}

#[tokio::test]
async fn one_file_has_one_identity() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let folder = shop.folder.path();
    std::fs::create_dir(folder.join("sub")).unwrap();
    let around = folder.join("sub").join("..").join("shop.db");
    let again = Database::<Sqlite>::connect(&format!("sqlite://{}?mode=ro", around.display())).await.unwrap();
    let fingerprint = |db: &Database<Sqlite>| {
        let source = db.table("t").cursor("id").key(["id"]);
        source.descriptor().fingerprint().seal("salt").digest()
    };
    assert_eq!(fingerprint(&shop.db), fingerprint(&again));
    let pool = Database::<Sqlite>::from_pool(again.pool().clone());
    assert_eq!(fingerprint(&shop.db), fingerprint(&pool));
    assert_eq!(format!("{:?}", shop.db), "Database(\"SQLite\")");
    again.close().await;
}

#[tokio::test]
async fn a_lock_held_elsewhere_is_transient() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let url = format!("sqlite://{}?busy_timeout=50", shop.folder.path().join("shop.db").display());
    let db = Database::<Sqlite>::connect(&url).await.unwrap();
    let source = db.table("t").cursor("id").key(["id"]);
    let mut other = shop.db.pool().acquire().await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut *other).await.unwrap();
    let error = fetch(&source, None, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fetch);
    assert!(error.is_transient(), "{}", shown(&error));
    sqlx::raw_sql("COMMIT").execute(&mut *other).await.unwrap();
    assert_eq!(fetch(&source, None, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_value_shows_in_debug_or_errors() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT); INSERT INTO t VALUES (1, 's3cret')").await;
    let filter = sql_filter("nope = :s").param("s", "s3cret");
    let source = shop.db.table("t").cursor("u").key(["id"]).filter(filter.clone());
    let error = fetch(&source, None, 1).await.unwrap_err();
    let lagging = shop.db.table("t").cursor("u").key(["id"]).lag(std::time::Duration::from_secs(1));
    let no_time = fetch(&lagging, None, 1).await.unwrap_err();
    let row = fetch(&shop.db.table("t").cursor("u").key(["id"]), None, 1).await.unwrap();
    for text in [
        format!("{source:?} {filter:?} {:?} {row:?}", source.descriptor()),
        format!("{error:?} {}", shown(&error)),
        format!("{no_time:?} {}", shown(&no_time)),
    ] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}
