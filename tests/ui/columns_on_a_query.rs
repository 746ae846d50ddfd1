use highwater::{Database, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = db.query_sql("SELECT id, updated_at FROM orders").columns(["id"]);
}

fn main() {}
