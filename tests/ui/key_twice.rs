use highwater::{Database, Sqlite};

fn main() {
    let db: Database<Sqlite> = todo!();
    let _ = db.table("orders").key(["id"]).key(["id"]);
}
