use highwater::{Batch, Database, Poller, Row, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .handler(async |_: Batch<Row>| Ok(()))
        .build();
}

fn main() {}
