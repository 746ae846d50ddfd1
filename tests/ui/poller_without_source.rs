use highwater::{Batch, ObjectCheckpoints, Poller, Row};

fn main() {
    let _ = Poller::builder("orders")
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |_: Batch<Row>| Ok(()))
        .build();
}
