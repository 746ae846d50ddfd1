use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |orders: Batch<Row>| Ok(orders.len()))
        .build();
}

fn main() {}
