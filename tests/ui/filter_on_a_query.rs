use highwater::{Database, Sqlite, sql_filter};

fn main() {
    let db: Database<Sqlite> = todo!();
    let _ = db.query_sql("SELECT id, updated_at FROM orders").filter(sql_filter("id > 3"));
}
