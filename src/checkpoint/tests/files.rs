//! Local files: locks, leftovers, races, and folders that won't do.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::checkpoint::local::LocalFiles;
use crate::clock::SystemClock;
use crate::error::RetryStatus;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn create(store: &ObjectCheckpoints) -> Version {
    match store.write_if(&orders(), b"one", &WriteCondition::Absent).await.unwrap() {
        WriteOutcome::Written(version) => version,
        WriteOutcome::Refused => panic!("there was one"),
    }
}

#[tokio::test]
async fn leftovers_of_a_kill_are_swept_by_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectCheckpoints::local(folder.path()).unwrap();
    let version = create(&store).await;
    for leftover in ["orders.json#1", "orders.json#2", "other.json#1"] {
        fs::write(folder.path().join(leftover), "torn").unwrap();
    }
    assert_eq!(store.load(&orders()).await.unwrap().unwrap().bytes, b"one", "leftovers are nobody's document");
    assert_eq!(store.list(None).await.unwrap().names, [orders()]);
    let _ = store.write_if(&orders(), b"two", &WriteCondition::Unchanged(version)).await.unwrap();
    assert_eq!(names(folder.path()), ["orders.json", "orders.json.lock", "other.json#1"]);
}

#[tokio::test]
async fn a_lock_that_is_held_is_waited_for_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = LocalFiles::open(folder.path()).unwrap();
    let store = ObjectCheckpoints::local(folder.path()).unwrap();
    let version = create(&store).await;
    let lock = fs::File::open(folder.path().join("orders.json.lock")).unwrap();
    lock.lock().unwrap();

    files.set_lock_wait(Duration::from_millis(100));
    let unchanged = WriteCondition::Unchanged(version);
    let error = files.write_if(&orders(), b"two", &unchanged).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::Checkpoint, RetryStatus::Transient));
    assert!(error.message().contains("orders.json.lock"), "{error}");
    assert!(error.message().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(store.load(&orders()).await.unwrap().unwrap().bytes, b"one", "reading needs no lock");

    let waiting = tokio::spawn(async move { store.write_if(&orders(), b"two", &unchanged).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    lock.unlock().unwrap();
    assert!(matches!(waiting.await.unwrap().unwrap(), WriteOutcome::Written(_)));
}

#[tokio::test]
async fn a_writer_that_nobody_waits_for_gives_up_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectCheckpoints::local(folder.path()).unwrap();
    let unchanged = WriteCondition::Unchanged(create(&store).await);
    let lock = fs::File::open(folder.path().join("orders.json.lock")).unwrap();
    lock.lock().unwrap();
    let name = orders();
    let write = store.write_if(&name, b"two", &unchanged);
    assert!(tokio::time::timeout(Duration::from_millis(50), write).await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    lock.unlock().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(store.load(&orders()).await.unwrap().unwrap().bytes, b"one");
}

#[test]
fn a_write_goes_on_to_its_end_when_the_runtime_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectCheckpoints::local(folder.path()).unwrap();
    for round in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let found = store.load(&orders()).await.unwrap();
            let condition = found.map_or(WriteCondition::Absent, |found| WriteCondition::Unchanged(found.version));
            let (name, text) = (orders(), format!("round {round}"));
            let mut write = pin!(store.write_if(&name, text.as_bytes(), &condition));
            assert!(poll(&mut write).is_pending());
        });
        drop(runtime);
    }
    // Whatever landed is whole, and the lock is free again.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        std::thread::sleep(Duration::from_millis(200));
        let found = store.load(&orders()).await.unwrap();
        if let Some(found) = &found {
            assert!(found.bytes.starts_with(b"round "));
        }
        let condition = found.map_or(WriteCondition::Absent, |found| WriteCondition::Unchanged(found.version));
        let outcome = store.write_if(&orders(), b"last", &condition).await.unwrap();
        assert!(matches!(outcome, WriteOutcome::Written(_)));
    });
    assert_eq!(names(folder.path()), ["orders.json", "orders.json.lock"]);
}

#[tokio::test]
async fn folders_are_created_and_what_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    create(&ObjectCheckpoints::local(&deep).unwrap()).await;
    assert!(deep.join("orders.json").is_file());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = ObjectCheckpoints::local(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("is a file, or lies below one"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_that_vanishes_is_an_error_and_not_created_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectCheckpoints::local(folder.path().join("state")).unwrap();
    let version = create(&store).await;
    fs::remove_dir_all(folder.path().join("state")).unwrap();
    let error = store.write_if(&orders(), b"two", &WriteCondition::Unchanged(version)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::Configuration, RetryStatus::Permanent));
    assert!(!folder.path().join("state").exists());
    store.load(&orders()).await.unwrap_err();
}

#[tokio::test]
async fn a_folder_in_place_of_a_document_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectCheckpoints::local(folder.path()).unwrap();
    fs::create_dir(folder.path().join("orders.json")).unwrap();
    let error = store.load(&orders()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("orders.json"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_without_write_permission_is_named_before_anything_is_lost() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let store = ObjectCheckpoints::local(folder.path()).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        return; // root may write everywhere
    }
    let error = store.write_if(&orders(), b"one", &WriteCondition::Absent).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_status()), (ErrorKind::Configuration, RetryStatus::Permanent));
    assert!(error.message().contains("no permission"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_owners_in_one_process_never_hold_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let inside = Arc::new(AtomicBool::new(false));
    let owners: Vec<_> = (0..8)
        .map(|_| tokio::spawn(compete(ObjectCheckpoints::local(folder.path()).unwrap(), Arc::clone(&inside), 5)))
        .collect();
    let mut tokens = Vec::new();
    for owner in owners {
        tokens.extend(owner.await.unwrap());
    }
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=40).collect::<Vec<u64>>());
    let document = ObjectCheckpoints::local(folder.path()).unwrap().load(&orders()).await.unwrap().unwrap();
    let document = StateDocument::from_json(&document.bytes).unwrap();
    assert_eq!(document.position(), Some(&token(40)), "every commit survived");
}

/// Takes the lease so often, adds one to the checkpoint each time, and returns the tokens.
async fn compete(store: ObjectCheckpoints, inside: Arc<AtomicBool>, rounds: usize) -> Vec<u64> {
    let leases = Leases::new(Arc::new(store), Arc::new(SystemClock::new()), orders(), LeaseSettings::default());
    let mut tokens = Vec::new();
    while tokens.len() < rounds {
        let Acquired::Held(lease) = leases.acquire(&table()).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        assert!(!inside.swap(true, Ordering::SeqCst), "two holders at once");
        tokens.push(lease.fencing_token());
        let count: u64 = lease.checkpoint().and_then(Position::as_token).map_or(0, |count| count.parse().unwrap());
        let (next, batch) = (token(count + 1), format!("batch {}", lease.fencing_token()));
        inside.store(false, Ordering::SeqCst);
        lease.commit_and_release(to(&next, &batch)).await.unwrap();
    }
    tokens
}
