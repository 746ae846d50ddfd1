use highwater::{Batch, Poller, Row};

fn main() {
    let _ = Poller::builder("orders").handler(|orders: Batch<Row>| println!("{}", orders.len()));
}
