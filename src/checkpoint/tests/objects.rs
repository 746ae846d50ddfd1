//! Stores by value and by URL.

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::*;

async fn write(store: &impl CheckpointStore, name: &str, text: &str, condition: &WriteCondition) -> WriteOutcome {
    store.write_if(&PollerName::new(name).unwrap(), text.as_bytes(), condition).await.unwrap()
}

/// What every store must do.
async fn conforms(store: &impl CheckpointStore) {
    assert!(store.load(&orders()).await.unwrap().is_none());
    let WriteOutcome::Written(first) = write(store, "orders", "1", &WriteCondition::Absent).await else {
        panic!("absent")
    };
    let unchanged = WriteCondition::Unchanged(first.clone());
    assert_eq!(write(store, "orders", "x", &WriteCondition::Absent).await, WriteOutcome::Refused);
    assert_eq!(store.load(&orders()).await.unwrap().unwrap(), Stored { bytes: b"1".into(), version: first });
    let WriteOutcome::Written(second) = write(store, "orders", "2", &unchanged).await else { panic!("unchanged") };
    assert_eq!(write(store, "orders", "x", &unchanged).await, WriteOutcome::Refused, "a stale write");
    assert_eq!(write(store, "other", "x", &unchanged).await, WriteOutcome::Refused, "there is none to update");
    assert_eq!(store.load(&orders()).await.unwrap().unwrap(), Stored { bytes: b"2".into(), version: second });

    assert!(matches!(write(store, "invoices", "1", &WriteCondition::Absent).await, WriteOutcome::Written(_)));
    let page = store.list(None).await.unwrap();
    assert_eq!(page.names, ["invoices", "orders"].map(|name| PollerName::new(name).unwrap()));
    assert_eq!(page.next, None);
    store.purge(&orders()).await.unwrap();
    store.purge(&orders()).await.unwrap();
    assert!(store.load(&orders()).await.unwrap().is_none());
    assert!(matches!(write(store, "orders", "3", &WriteCondition::Absent).await, WriteOutcome::Written(_)));
}

#[tokio::test]
async fn stores_conform_in_memory_in_files_and_boxed() {
    conforms(&ObjectCheckpoints::memory()).await;
    conforms(&ObjectCheckpoints::new(Arc::new(InMemory::new()), "shop/state")).await;
    let folder = tempfile::tempdir().unwrap();
    conforms(&ObjectCheckpoints::local(folder.path()).unwrap()).await;
    conforms(&BoxCheckpoints::new(Arc::new(ObjectCheckpoints::memory()))).await;
}

#[tokio::test]
async fn prefixes_keep_applications_apart() {
    let objects = Arc::new(InMemory::new());
    let shop = ObjectCheckpoints::new(objects.clone(), "shop");
    let deeper = ObjectCheckpoints::new(objects, "shop/state");
    assert!(matches!(write(&shop, "orders", "1", &WriteCondition::Absent).await, WriteOutcome::Written(_)));
    assert!(matches!(write(&deeper, "invoices", "1", &WriteCondition::Absent).await, WriteOutcome::Written(_)));
    assert_eq!(shop.list(None).await.unwrap().names, [orders()]);
    assert!(shop.load(&PollerName::new("invoices").unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_plain_local_file_system_is_refused_with_the_way_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store = ObjectCheckpoints::new(Arc::new(files), "");
    let WriteOutcome::Written(version) = write(&store, "orders", "1", &WriteCondition::Absent).await else {
        panic!("absent")
    };
    let error = store.write_if(&orders(), b"2", &WriteCondition::Unchanged(version)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("ObjectCheckpoints::local"), "{error}");
}

#[tokio::test]
async fn urls_name_stores() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("with space, 50% and #1");
    let encoded = odd.to_str().unwrap().replace('%', "%25").replace(' ', "%20").replace('#', "%23");
    for prefix in ["file://", "FILE://", "file://localhost", "file:"] {
        let store = ObjectCheckpoints::from_url(&format!("{prefix}{encoded}")).unwrap();
        let _ = write(&store, "orders", "1", &WriteCondition::Absent).await;
        assert_eq!(store.list(None).await.unwrap().names, [orders()], "{prefix}");
    }
    assert!(odd.join("orders.json").is_file());
    ObjectCheckpoints::from_url("memory://").unwrap();
}

#[test]
fn urls_that_name_none_say_what_is_right() {
    for (url, mend) in [
        ("", "file:///var/lib/shop/state"),
        ("state", "file:///var/lib/shop/state"),
        ("/var/lib", "file:///var/lib/shop/state"),
        ("file://state/shop", "absolute path"),
        ("file://./state", "absolute path"),
        ("file:state", "absolute path"),
        ("file://", "absolute path"),
        ("file:////host/share", "absolute path"),
        ("file:///tmp/x?fsync=off", "takes no options"),
        ("file:///tmp/x#1", "%23"),
        ("file:///tmp/%00", "NUL"),
        ("file:///tmp/%ff", "UTF-8"),
        ("memory://x", "memory://"),
        ("s3://bucket/secret", "no checkpoint store has the scheme \"s3\""),
    ] {
        let error = ObjectCheckpoints::from_url(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
        assert!(error.message().contains(mend), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
}
