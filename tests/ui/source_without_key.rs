use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at"))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |_: Batch<Row>| Ok(()))
        .build();
}

fn main() {}
