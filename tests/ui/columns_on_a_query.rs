use highwater::{Database, Sqlite};

fn main() {
    let db: Database<Sqlite> = todo!();
    let _ = db.query_sql("SELECT id, updated_at FROM orders").columns(["id"]);
}
