use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

/// A complete poller, in another order than usual: what the failing cases each lack a part of.
fn complete(db: Database<Sqlite>) {
    let _ = Poller::builder("orders")
        .handler(async |_: Batch<Row>| Ok(()))
        .batch_size(1000)
        .checkpoints(ObjectCheckpoints::memory())
        .source(db.table("orders").key(["tenant", "id"]).cursor("updated_at"))
        .build();
}

fn main() {
    let _ = complete;
}
