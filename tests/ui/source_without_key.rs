use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn main() {
    let db: Database<Sqlite> = todo!();
    let _ = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at"))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |_: Batch<Row>| Ok(()))
        .build();
}
