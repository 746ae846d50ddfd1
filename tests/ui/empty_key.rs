use highwater::{Database, Sqlite};

fn wrong(db: Database<Sqlite>) {
    let _ = db.table("orders").cursor("updated_at").key([]);
}

fn main() {
    // An array's length is looked at when the call is compiled to the end.
    let _: fn(_) = wrong;
}
