//! A tick from a timer of one's own: the program decides when, the poller what.
//!
//! `cargo run --example own_schedule`

use std::time::Duration;

use highwater::{Batch, Database, Ending, ObjectCheckpoints, Poller, Sqlite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
    db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, title TEXT NOT NULL)").await?;

    let poller = Poller::builder("jobs")
        .source(db.table("jobs").cursor("id").key(["id"]).insert_only())
        .checkpoints(ObjectCheckpoints::memory())
        .batch_size(2)
        .max_batches_per_tick(10)
        .handler(async |jobs: Batch| {
            for job in jobs.changes() {
                println!("  {} {:?}", job.op(), job.row().get("title").and_then(|title| title.as_str()));
            }
            Ok(())
        })
        .build();

    let mut timer = tokio::time::interval(Duration::from_millis(20));
    for round in 1..=3 {
        timer.tick().await;
        db.execute(&format!("INSERT INTO jobs (title) SELECT 'job of round {round}' FROM (VALUES (1), (2), (3))"))
            .await?;
        let report = poller.tick().await?;
        println!("round {round}: {} rows in {} batches", report.rows(), report.batches());
        assert_eq!((report.rows(), report.ending()), (3, Ending::Drained));
    }
    Ok(())
}
