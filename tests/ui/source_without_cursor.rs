use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn main() {
    let db: Database<Sqlite> = todo!();
    let _ = Poller::builder("orders")
        .source(db.table("orders").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |_: Batch<Row>| Ok(()))
        .build();
}
