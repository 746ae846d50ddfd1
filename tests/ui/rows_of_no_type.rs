use highwater::{Batch, Poller};

struct Order;

fn main() {
    let _ = Poller::builder("orders").handler(async |_: Batch<Order>| Ok(()));
}
