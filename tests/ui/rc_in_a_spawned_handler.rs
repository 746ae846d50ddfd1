use std::rc::Rc;
use highwater::{Batch, Database, ObjectCheckpoints, Poller, Row, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let poller = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .checkpoints(ObjectCheckpoints::memory())
        .handler(async |orders: Batch<Row>| {
            let count = Rc::new(orders.len());
            std::future::ready(()).await;
            println!("{count}");
            Ok(())
        })
        .build();
    tokio::spawn(async move { poller.tick().await });
}

fn main() {}
