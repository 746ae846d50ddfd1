use highwater::{Database, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = db.table("orders").key(["id"]).key(["id"]);
}

fn main() {}
