//! Real processes over one folder of checkpoints: races for the lease, crashes under it, kills at any instant.
//!
//! The processes are this very test program, run again with a role and a folder in its environment.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use highwater::checkpoint::{Acquired, Commit, HeldLease, LeaseSettings, Leases};
use highwater::checkpoint::{CheckpointStore as _, ObjectCheckpoints, Operator, PollerName, StateDocument};
use highwater::clock::SystemClock;
use highwater::{Fingerprint, Position, SourceDescriptor};

const FOLDER: &str = "HIGHWATER_RACE_FOLDER";
const ROLE: &str = "HIGHWATER_RACE_ROLE";
const PROCESSES: u64 = 8;
const ROUNDS: u64 = 25;
const TTL: Duration = Duration::from_secs(3);
const MARGIN: Duration = Duration::from_secs(2);

fn orders() -> PollerName {
    PollerName::new("orders").unwrap()
}

fn table() -> SourceDescriptor {
    SourceDescriptor::new("orders", "table", Fingerprint::new().part("table", "orders"))
}

fn store(folder: &Path) -> Arc<ObjectCheckpoints> {
    Arc::new(ObjectCheckpoints::local(folder).unwrap())
}

fn leases(folder: &Path, ttl: Duration) -> Leases<ObjectCheckpoints> {
    let settings = LeaseSettings::default().ttl(ttl);
    Leases::new(store(folder), Arc::new(SystemClock::new()), orders(), settings)
}

fn count(lease: &HeldLease<ObjectCheckpoints>) -> u64 {
    lease.checkpoint().and_then(Position::as_token).map_or(0, |count| count.parse().unwrap())
}

fn spawn(role: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a spawned process does; nothing when the tests run as such.
#[test]
fn process() {
    let (Ok(role), Some(folder)) = (std::env::var(ROLE), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "compete" => compete(folder).await,
            "crash" => crash(folder).await,
            "commit" => commit_for_ever(folder).await,
            role => panic!("no role {role}"),
        }
    });
}

/// Takes the lease, adds one to the checkpoint, lets go; notes each token. A file that can be created only once
/// stands there for as long as somebody believes to be the holder.
async fn compete(folder: &Path) {
    let (leases, inside) = (leases(&folder.join("state"), Duration::from_mins(2)), folder.join("inside"));
    let mut tokens = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(folder.join(format!("tokens-{}", std::process::id())))
        .unwrap();
    let mut won = 0;
    while won < ROUNDS {
        let Acquired::Held(mut lease) = leases.acquire(&table()).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        won += 1;
        fs::File::create_new(&inside).expect("two holders at once");
        writeln!(tokens, "{}", lease.fencing_token()).unwrap();
        let next = Position::Token((count(&lease) + 1).to_string());
        let batch = format!("batch {}", lease.fencing_token());
        let commit = Commit { position: &next, batch_id: &batch, row_count: 1 };
        fs::remove_file(&inside).unwrap();
        if won % 2 == 0 {
            lease.commit_and_release(commit).await.unwrap();
        } else {
            lease.commit(commit).await.unwrap();
            lease.release().await.unwrap();
        }
    }
}

/// Takes the lease and dies with it.
async fn crash(folder: &Path) {
    let Acquired::Held(_lease) = leases(folder, TTL).acquire(&table()).await.unwrap() else { panic!("held") };
    std::process::exit(0);
}

/// Commits until it is killed, and notes what was acknowledged.
async fn commit_for_ever(folder: &Path) {
    let Acquired::Held(mut lease) = leases(&folder.join("state"), TTL).acquire(&table()).await.unwrap() else {
        panic!("held")
    };
    let acknowledged = folder.join("acknowledged");
    loop {
        let next = count(&lease) + 1;
        let (position, batch) = (Position::Token(next.to_string()), format!("batch {next}"));
        lease.commit(Commit { position: &position, batch_id: &batch, row_count: 1 }).await.unwrap();
        fs::write(folder.join("next"), next.to_string()).unwrap();
        fs::rename(folder.join("next"), &acknowledged).unwrap();
    }
}

fn document(folder: &Path) -> StateDocument {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stored = runtime.block_on(store(folder).load(&orders())).unwrap().unwrap();
    StateDocument::from_json(&stored.bytes).unwrap()
}

fn position(document: &StateDocument) -> u64 {
    document.position().and_then(Position::as_token).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn eight_processes_never_hold_it_at_once_and_lose_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let processes: Vec<Child> = (0..PROCESSES).map(|_| spawn("compete", folder.path())).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "a process failed; its message is above");
    }
    let mut tokens: Vec<u64> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("tokens-"))
        .flat_map(|path| {
            fs::read_to_string(path).unwrap().lines().map(|line| line.parse().unwrap()).collect::<Vec<_>>()
        })
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=PROCESSES * ROUNDS).collect::<Vec<u64>>(), "each token once");
    let document = document(&folder.path().join("state"));
    assert_eq!(position(&document), PROCESSES * ROUNDS, "every commit survived");
    assert_eq!(document.lease(), None);
}

#[test]
fn a_crashed_holder_is_replaced_within_ttl_and_margin() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    assert!(spawn("crash", folder.path()).wait().unwrap().success());
    let died = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let leases = leases(folder.path(), TTL);
    let token = runtime.block_on(async {
        loop {
            match leases.acquire(&table()).await.unwrap() {
                Acquired::Held(lease) => return lease.fencing_token(),
                Acquired::HeldElsewhere(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    assert_eq!(token, 2);
    assert!(begun.elapsed() >= TTL + MARGIN, "no sooner than it may: {:?}", begun.elapsed());
    assert!(died.elapsed() <= TTL + MARGIN + Duration::from_secs(1), "and no later: {:?}", died.elapsed());
}

#[test]
fn a_kill_at_any_instant_leaves_a_whole_document_and_every_acknowledged_commit() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let acknowledged = folder.path().join("acknowledged");
    for round in 0..20_u64 {
        let mut process = spawn("commit", folder.path());
        while fs::metadata(&acknowledged).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(round * 1_777));
        process.kill().unwrap();
        process.wait().unwrap();
        let last: u64 = fs::read_to_string(&acknowledged).unwrap().parse().unwrap();
        fs::remove_file(&acknowledged).unwrap();
        let stands = position(&document(&state));
        assert!(stands == last || stands == last + 1, "{stands} stands, {last} was acknowledged");
        let operator = Operator::new(store(&state), Arc::new(SystemClock::new()));
        runtime.block_on(operator.unlock(&orders())).unwrap();
    }
    assert!(position(&document(&state)) > 20, "it got somewhere between the kills");
    let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the document and its lock, no leftovers: {left:?}");
}
