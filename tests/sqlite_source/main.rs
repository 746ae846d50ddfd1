//! Tables and queries as sources, against real SQLite files.

mod connect;
mod drift;
mod duplicates;
mod filters;
mod lag;
mod nulls;
mod roundtrip;
mod support;
mod validate;
mod values;

/// Whatever the backend, a source can be read in a spawned task.
#[test]
fn reading_is_send_for_every_backend() {
    fn assert_send<T: Send>(_: T) {}
    fn table<B: highwater::Backend>(db: &highwater::Database<B>) {
        use highwater::{FetchRequest, Source as _};
        let source = db.table("orders").cursor("updated_at").key(["id"]);
        assert_send(source.validate());
        assert_send(source.open());
        assert_send(source.fetch(FetchRequest::new(None, 1.try_into().unwrap())));
        assert_send(source);
    }
    let _ = table::<highwater::Sqlite>;
}
