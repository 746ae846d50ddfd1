//! Rows as a struct of one's own: any `serde::Deserialize` type will do.
//!
//! `cargo run --example typed`

use highwater::{Batch, Database, ObjectCheckpoints, PollContext, Poller, Sqlite};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Order {
    id: i64,
    status: Status,
    total: f64,
    /// Text that holds JSON becomes a struct.
    address: Address,
    note: Option<String>,
    updated_at: chrono::DateTime<chrono::Utc>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    New,
    Paid,
}

#[derive(Debug, Deserialize)]
struct Address {
    city: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
    db.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT NOT NULL, total REAL NOT NULL, \
         address TEXT NOT NULL, note TEXT, updated_at TIMESTAMP NOT NULL)",
    )
    .await?;
    db.execute(
        r#"INSERT INTO orders VALUES
           (1, 'new',  9.5, '{"city": "Oslo"}',  NULL,       '2026-01-01 08:00:00'),
           (2, 'paid', 20,  '{"city": "Turin"}', 'fragile',  '2026-01-01 08:00:00')"#,
    )
    .await?;

    let poller = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |orders: Batch<Order>, ctx: &PollContext| {
            for Order { id, status, total, address, note, updated_at } in orders {
                let note = note.unwrap_or_default();
                println!("#{id} {status:?} {total:.2} to {} at {updated_at} {note}", address.city);
            }
            println!("batch {} under fencing token {}", ctx.batch_id(), ctx.fencing_token());
            Ok(())
        })
        .build();

    let report = poller.tick().await?;
    assert_eq!(report.rows(), 2);

    // A row that doesn't fit is an error that names the column, what was expected and what was found.
    db.execute(r#"INSERT INTO orders VALUES (3, 'lost', 1, '{"city": "Rome"}', NULL, '2026-01-02 08:00:00')"#).await?;
    let error = poller.tick().await.unwrap_err();
    println!("{error}");
    Ok(())
}
