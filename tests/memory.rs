//! A drain's memory doesn't grow with the table: a process that drains twenty times the rows peaks no higher.

#![cfg(target_os = "linux")]

use std::process::Command;

use highwater::{Batch, Database, Ending, ObjectCheckpoints, Poller, Sqlite};

/// Names the number of rows to a child process.
const ROWS: &str = "HIGHWATER_TEST_MEMORY_ROWS";

#[test]
fn draining_a_larger_table_takes_no_more_memory() {
    let (small, large) = (peak(10_000), peak(200_000));
    println!("peak memory: {small} kB for 10,000 rows, {large} kB for 200,000");
    // The larger table alone is some 30 MB; what allocator and page cache differ by is far less.
    assert!(large < small + 8 * 1024, "{small} kB for 10,000 rows, {large} kB for 200,000");
}

/// The peak memory of a process that drains so many rows, in kB.
fn peak(rows: u64) -> u64 {
    let itself = std::env::current_exe().unwrap();
    let mut child = Command::new(itself);
    child.args(["--exact", "drains_and_tells_its_peak", "--ignored", "--nocapture"]).env(ROWS, rows.to_string());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("peak ")).expect("a line with the peak");
    line.1.trim().parse().unwrap()
}

#[test]
#[ignore = "run as a child process by the test above"]
fn drains_and_tells_its_peak() {
    let rows: u64 = std::env::var(ROWS).expect("the number of rows").parse().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(drain(rows));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    println!("peak {}", line.split_whitespace().nth(1).unwrap());
}

async fn drain(rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("shop.db").display());
    let db = Database::<Sqlite>::connect(&url).await.unwrap();
    for statement in [
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, payload TEXT NOT NULL)".to_owned(),
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             INSERT INTO orders SELECT i, i / 10, printf('%0120d', i) FROM n"
        ),
        "CREATE INDEX orders_changes ON orders (version, id)".to_owned(),
    ] {
        db.execute(&statement).await.unwrap();
    }
    let poller = Poller::builder("orders")
        .source(db.table("orders").cursor("version").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .batch_size(1000)
        .max_batches_per_tick(u32::MAX)
        .handler(async |_: Batch| Ok(()))
        .build();
    let report = poller.tick().await.unwrap();
    assert_eq!((report.rows(), report.ending()), (rows, Ending::Drained));
}
