use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

struct Order;

fn main() {
    let _ = Poller::builder("orders").handler(async |_: Batch<Order>| Ok(()));
}
