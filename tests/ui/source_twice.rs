use highwater::{Database, Poller, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = Poller::builder("orders")
        .source(db.table("orders").cursor("updated_at").key(["id"]))
        .source(db.table("users").cursor("updated_at").key(["id"]));
}

fn main() {}
