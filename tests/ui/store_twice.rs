use highwater::{ObjectCheckpoints, Poller};

fn main() {
    let _ = Poller::builder("orders")
        .checkpoints(ObjectCheckpoints::memory())
        .checkpoints(ObjectCheckpoints::memory());
}
