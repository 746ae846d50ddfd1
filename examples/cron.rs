//! One tick a process: what a cron job or a serverless timer runs.
//!
//! `cargo run --example cron -- target/cron` may be started as often as one likes, also several at once: each run
//! goes on after the last, and one that finds the lease held elsewhere ends at once.

use std::path::PathBuf;

use highwater::{Batch, Database, Ending, ObjectCheckpoints, Poller, Sqlite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/cron".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let db = Database::<Sqlite>::connect(&format!("sqlite://{}?mode=rwc", folder.join("shop.db").display())).await?;
    db.execute("CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY, at TEXT NOT NULL)").await?;
    db.execute("INSERT INTO visits (at) VALUES (CURRENT_TIMESTAMP)").await?;

    let poller = Poller::builder("visits")
        .source(db.table("visits").cursor("id").key(["id"]).insert_only())
        .checkpoints(ObjectCheckpoints::local(folder.join("state"))?)
        .handler(async |visits: Batch<(i64, String)>| {
            for (id, at) in visits {
                println!("visit {id} at {at}");
            }
            Ok(())
        })
        .build();

    match poller.tick().await?.ending() {
        Ending::Drained => println!("done"),
        Ending::More => println!("more is left for the next run"),
        Ending::HeldElsewhere => println!("another run is at it"),
        _ => {}
    }
    Ok(())
}
