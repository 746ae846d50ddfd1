use highwater::{Database, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = db.table("orders").cursor("updated_at").cursor("version");
}

fn main() {}
