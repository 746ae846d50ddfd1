use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn main() {
    let _ = Poller::builder("orders")
        .handler(async |_: Batch<Row>| Ok(()))
        .handler(async |_: Batch<Row>| Ok(()));
}
