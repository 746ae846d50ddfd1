use highwater::{Batch, Poller, Row};

fn main() {
    let _ = Poller::builder("orders")
        .handler(async |_: Batch<Row>| Ok(()))
        .handler(async |_: Batch<Row>| Ok(()));
}
