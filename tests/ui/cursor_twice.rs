use highwater::{Database, Sqlite};

fn main() {
    let db: Database<Sqlite> = todo!();
    let _ = db.table("orders").cursor("updated_at").cursor("version");
}
