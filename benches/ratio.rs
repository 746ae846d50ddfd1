//! The same drains in turn, round by round, as ratios: medians that hold on a machine whose speed drifts.
//!
//! `cargo bench --bench ratio` prints, for each batch size, rows a second of the raw loop and how much of it
//! highwater reaches (local checkpoints with fsync included); then what a batch costs at the start, the middle and the end of
//! the table, and the peak memory. `HIGHWATER_BENCH_ROWS` sets the rows (500,000), `HIGHWATER_BENCH_ROUNDS` the rounds (7).

mod common;

use std::future::Future;
use std::time::{Duration, Instant};

use common::{Order, Shop};
use highwater::Row;
use tokio::runtime::Runtime;

fn main() {
    let rows = common::rows_or(500_000);
    let rounds = common::number_or("HIGHWATER_BENCH_ROUNDS", 7);
    let runtime = Runtime::new().unwrap();
    let shop = runtime.block_on(Shop::with_rows(rows));
    let pool = runtime.block_on(shop.pool());

    println!("{rows} rows, {rounds} rounds, medians");
    println!("{:>6} {:>14} {:>14} {:>14}", "batch", "raw rows/s", "rows / raw", "structs / raw");
    for size in [100, 1000, 5000] {
        let (mut raw, mut dynamic, mut typed) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            let one = timed(&runtime, rows, common::raw_drain(&pool, size));
            let two = timed(&runtime, rows, common::drain::<Row>(&shop, &pool, size));
            let three = timed(&runtime, rows, common::drain::<Order>(&shop, &pool, size));
            // The first round only warms the caches.
            if round > 0 {
                raw.push(one.as_secs_f64());
                dynamic.push(one.as_secs_f64() / two.as_secs_f64());
                typed.push(one.as_secs_f64() / three.as_secs_f64());
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "printed to three digits")]
        let rate = rows as f64 / median(raw);
        println!("{size:>6} {rate:>14.0} {:>14.3} {:>14.3}", median(dynamic), median(typed));
    }

    println!("\none batch of 1000, microseconds");
    println!("{:>6} {:>10} {:>12}", "at", "raw", "highwater");
    for percent in [0, 50, 99] {
        let (raw, ours) = runtime.block_on(depth(&shop, rows * percent / 100));
        println!("{percent:>5}% {:>10} {:>12}", raw.as_micros(), ours.as_micros());
    }
    if let Some(kilobytes) = common::peak_memory() {
        println!("\npeak memory {kilobytes} kB");
    }
}

fn timed(runtime: &Runtime, rows: u64, drain: impl Future<Output = u64>) -> Duration {
    let start = Instant::now();
    assert_eq!(runtime.block_on(drain), rows);
    start.elapsed()
}

/// The median cost of one batch after a row.
async fn depth(shop: &Shop, id: u64) -> (Duration, Duration) {
    let pool = shop.pool().await;
    let place = common::place_of(&pool, id).await;
    let reader = common::Reader::at(&pool, &place).await;
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let start = Instant::now();
        std::hint::black_box(common::raw_batch(&pool, &place, 1000).await);
        raw.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        std::hint::black_box(reader.batch(1000).await);
        ours.push(start.elapsed().as_secs_f64());
    }
    (Duration::from_secs_f64(median(raw)), Duration::from_secs_f64(median(ours)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
