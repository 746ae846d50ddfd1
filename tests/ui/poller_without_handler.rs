use highwater::{Database, ObjectCheckpoints, Poller, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .build();
}

fn main() {}
