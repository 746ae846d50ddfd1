//! Opening: clear errors, and never a file made by reading.

use highwater::{Database, ErrorKind, Source, Sqlite};

use crate::support::{Shop, shown};

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
