//! Follows a table from first row to last, is stopped in the middle, and goes on where it stopped.
//!
//! `cargo run --example quickstart` makes a database and a state folder in a temporary folder, writes orders, and
//! prints each change once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::{Batch, Database, Error, ObjectCheckpoints, Poller, RunReport, Sqlite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shop.db");
    create(&file).await?;
    let seen = Arc::new(AtomicUsize::new(0));

    println!("-- five orders are written; the poller is stopped after three");
    write(&file, 1..=5).await?;
    let first = follow(folder.path(), &seen, 3).await?;

    println!("-- two more are written while nobody is looking; a new poller goes on where the first stopped");
    write(&file, 6..=7).await?;
    let second = follow(folder.path(), &seen, 7).await?;

    println!("-- {} changes in the first run, {} in the second: seven orders, none twice", first.rows(), second.rows());
    assert_eq!((first.rows(), second.rows()), (3, 4));
    Ok(())
}

/// Follows the orders until `enough` of them were seen.
async fn follow(folder: &Path, seen: &Arc<AtomicUsize>, enough: usize) -> Result<RunReport, Error> {
    let db = Database::<Sqlite>::connect(&format!("sqlite://{}", folder.join("shop.db").display())).await?;
    let counter = Arc::clone(seen);
    let poller = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .checkpoints(ObjectCheckpoints::local(folder.join("state"))?)
        .batch_size(1)
        .handler(async move |orders: Batch| {
            for change in orders.changes() {
                println!("{} {}", change.op(), serde_json::to_string(change.row())?);
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
        .build();

    let seen = Arc::clone(seen);
    let stop = async move {
        while seen.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    poller.every(Duration::from_millis(50)).with_graceful_shutdown(stop).run().await
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
