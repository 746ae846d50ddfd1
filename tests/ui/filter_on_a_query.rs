use highwater::{Database, Sqlite, sql_filter};

fn wrong(db: Database<Sqlite>) {
    let _ = db.query_sql("SELECT id, updated_at FROM orders").filter(sql_filter("id > 3"));
}

fn main() {}
