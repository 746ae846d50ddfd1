//! `tick()` and `run()` can be spawned, whatever form the handler has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::{
    Batch, Database, Handler, HandlerError, Invocation, ObjectCheckpoints, PollContext, Poller, Pollers, RawBatch, Row,
    Sqlite, blocking,
};

#[derive(serde::Deserialize)]
struct Order {
    id: i64,
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// Builds a poller with the handler, and asserts Send for everything that can be awaited on it.
macro_rules! check {
    ($db:expr, $handler:expr) => {{
        let poller = Poller::builder("orders")
            .source($db.table("orders").cursor("version").key(["id"]))
            .checkpoints(ObjectCheckpoints::memory())
            .handler($handler)
            .build();
        assert_send(&poller);
        drop(assert_send(poller.tick()));
        drop(assert_send(poller.validate()));
        drop(assert_send(poller.every(Duration::from_secs(1)).run()));
        drop(assert_send(poller.every(Duration::from_secs(1)).with_graceful_shutdown(std::future::pending()).run()));
        drop(assert_send(
            Pollers::new()
                .with(poller.every(Duration::from_secs(1)))
                .with(vec![poller.every(Duration::from_secs(2))])
                .run(),
        ));
        tokio::spawn(async move { poller.tick().await }).await.unwrap().unwrap();
    }};
}

async fn function(_: Batch<Order>) -> Result<(), HandlerError> {
    Ok(())
}

async fn function_with_context(orders: Batch<Order>, ctx: &PollContext) -> Result<(), HandlerError> {
    let ids: Vec<i64> = orders.iter().map(|order| order.id).collect();
    tokio::task::yield_now().await;
    if ids.is_empty() && ctx.attempt() > 1 {
        return Err("nothing".into());
    }
    Ok(())
}

struct Counting(AtomicUsize);

impl Handler for Counting {
    type Out = ();

    async fn handle(&self, batch: RawBatch, invocation: Invocation<'_>) -> Result<(), HandlerError> {
        self.0.fetch_add(batch.records().len(), Ordering::Relaxed);
        tokio::task::yield_now().await;
        assert_eq!(invocation.context().poller(), "orders");
        Ok(())
    }
}

async fn database() -> Database<Sqlite> {
    let db = Database::<Sqlite>::connect("sqlite::memory:").await.unwrap();
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)").await.unwrap();
    db.execute("INSERT INTO orders VALUES (1, 1)").await.unwrap();
    db
}

#[tokio::test]
async fn every_form_of_handler_can_be_spawned() {
    let db = database().await;
    let seen = Arc::new(AtomicUsize::new(0));

    check!(db, async |_: Batch| {});
    check!(db, async |_: Batch<Row>| Ok(()));
    check!(db, async |orders: Batch<Order>| {
        for order in orders {
            tokio::time::sleep(Duration::from_millis(order.id.unsigned_abs())).await;
        }
        Ok(())
    });
    let counter = Arc::clone(&seen);
    check!(db, async move |orders: Batch<Order>| {
        tokio::task::yield_now().await;
        counter.fetch_add(orders.len(), Ordering::Relaxed);
        Ok(())
    });
    let counter = Arc::clone(&seen);
    check!(db, async move |orders: Batch<Order>, ctx: &PollContext| {
        tokio::task::yield_now().await;
        counter.fetch_add(orders.len(), Ordering::Relaxed);
        let _: u32 = "1".parse()?;
        println!("{}", ctx.batch_id());
        Ok(())
    });
    check!(db, function);
    check!(db, function_with_context);
    check!(db, Counting(AtomicUsize::new(0)));
    let counter = Arc::clone(&seen);
    check!(
        db,
        blocking(move |orders: Batch<Order>, _: &PollContext| {
            counter.fetch_add(orders.len(), Ordering::Relaxed);
            Ok(())
        })
    );
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_pull_form_can_be_spawned() {
    let db = database().await;
    let rows = tokio::spawn(async move {
        let mut orders = Poller::builder("orders")
            .source(db.table("orders").cursor("version").key(["id"]))
            .checkpoints(ObjectCheckpoints::memory())
            .pull::<Order>();
        let mut rows = 0;
        while let Some(batch) = orders.next_batch().await.unwrap() {
            rows += batch.len();
            batch.acknowledge().await.unwrap();
        }
        orders.close().await.unwrap();
        rows
    });
    assert_eq!(rows.await.unwrap(), 1);
}
