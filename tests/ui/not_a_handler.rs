use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn main() {
    let _ = Poller::builder("orders").handler(|orders: Batch<Row>| println!("{}", orders.len()));
}
