//! Follows a query: a join with parameters, in the order of a column that it selects.
//!
//! `cargo run --example query_mode`

use highwater::{Batch, Database, ObjectCheckpoints, Poller, Sqlite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::<Sqlite>::connect("sqlite::memory:").await?;
    db.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT NOT NULL)").await?;
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, version INTEGER NOT NULL)")
        .await?;
    db.execute("INSERT INTO customers VALUES (1, 'Ada', 'eu'), (2, 'Grace', 'us')").await?;
    db.execute("INSERT INTO orders VALUES (10, 1, 1), (11, 2, 2), (12, 1, 3)").await?;

    let orders = db
        .query_sql(
            "SELECT orders.id, orders.version, customers.name
             FROM orders JOIN customers ON customers.id = orders.customer_id
             WHERE customers.region = :region -- only bound, never spliced",
        )
        .param("region", "eu")
        .named("orders of a region")
        .cursor("version")
        .key(["id"]);

    let poller = Poller::builder("orders-eu")
        .source(orders)
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |orders: Batch<(i64, i64, String)>| {
            for (id, version, name) in orders {
                println!("order {id}, version {version}, of {name}");
            }
            Ok(())
        })
        .build();

    for warning in poller.validate().await? {
        println!("note: {warning}");
    }
    assert_eq!(poller.tick().await?.rows(), 2);
    Ok(())
}
