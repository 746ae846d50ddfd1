use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn main() {
    let _ = Poller::builder("orders")
        .checkpoints(ObjectCheckpoints::memory())
        .checkpoints(ObjectCheckpoints::memory());
}
