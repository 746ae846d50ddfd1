//! Follows a table from first row to last, is stopped in the middle, and goes on where it stopped.
//!
//! `cargo run --example quickstart` makes a database and a state folder in a temporary folder, writes orders, and
//! prints each change once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater::{Batch, Database, Error, ObjectCheckpoints, Poller, RunReport, Sqlite, Value};
use tokio::sync::Notify;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shop.db");
    create(&file).await?;

    println!("-- five orders are written; the poller is stopped at the third");
    write(&file, 1..=5).await?;
    let first = follow(folder.path(), 3).await?;

    println!("-- two more are written while nobody is looking; a new poller goes on where the first stopped");
    write(&file, 6..=7).await?;
    let second = follow(folder.path(), 7).await?;

    println!("-- {} changes in the first run, {} in the second: seven orders, none twice", first.rows(), second.rows());
    assert_eq!(first.rows() + second.rows(), 7);
    Ok(())
}

/// Follows the orders until the one with the id `last` was seen.
async fn follow(folder: &Path, last: i64) -> Result<RunReport, Error> {
    let db = Database::<Sqlite>::connect(&format!("sqlite://{}", folder.join("shop.db").display())).await?;
    let stop = Arc::new(Notify::new());
    let signal = Arc::clone(&stop);
    let poller = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .checkpoints(ObjectCheckpoints::local(folder.join("state"))?)
        .batch_size(1)
        .handler(async move |orders: Batch| {
            for change in orders.changes() {
                println!("{} {}", change.op(), serde_json::to_string(change.row())?);
                if change.row().get("id").and_then(Value::as_i64) == Some(last) {
                    signal.notify_one();
                }
            }
            Ok(())
        })
        .build();
    poller.every(Duration::from_millis(50)).with_graceful_shutdown(stop.notified()).run().await
}

async fn create(file: &Path) -> Result<(), Error> {
    let db = Database::<Sqlite>::connect(&format!("sqlite://{}?mode=rwc", file.display())).await?;
    db.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, \
         updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )
    .await?;
    db.execute("CREATE INDEX orders_by_update ON orders (updated_at, id)").await?;
    Ok(())
}

async fn write(file: &Path, ids: std::ops::RangeInclusive<u32>) -> Result<(), Error> {
    let db = Database::<Sqlite>::connect(&format!("sqlite://{}", file.display())).await?;
    for id in ids {
        db.execute(&format!("INSERT INTO orders (id, customer, status) VALUES ({id}, 'customer {id}', 'new')")).await?;
    }
    Ok(())
}
