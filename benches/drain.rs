//! Draining a table against the loop that one would write by hand, each at batch sizes 100, 1000 and 5000.
//!
//! `cargo bench --bench drain` (`HIGHWATER_BENCH_ROWS` sets the rows, 500,000 by default). For ratios that a drifting
//! machine doesn't distort, see `cargo bench --bench ratio`.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

mod common;

use common::{Order, Shop};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater::Row;
use tokio::runtime::Runtime;

fn drain(criterion: &mut Criterion) {
    let rows = common::rows_or(500_000);
    let runtime = Runtime::new().unwrap();
    let shop = runtime.block_on(Shop::with_rows(rows));
    let pool = runtime.block_on(shop.pool());
    let mut group = criterion.benchmark_group("drain");
    group.throughput(Throughput::Elements(rows)).sample_size(10);
    for size in [100, 1000, 5000] {
        group.bench_function(BenchmarkId::new("raw sqlx", size), |bencher| {
            bencher.to_async(&runtime).iter(|| common::raw_drain(&pool, size));
        });
        group.bench_function(BenchmarkId::new("dynamic rows", size), |bencher| {
            bencher.to_async(&runtime).iter(|| common::drain::<Row>(&shop, &pool, size));
        });
        group.bench_function(BenchmarkId::new("structs", size), |bencher| {
            bencher.to_async(&runtime).iter(|| common::drain::<Order>(&shop, &pool, size));
        });
    }
    group.finish();
}

criterion_group!(benches, drain);
criterion_main!(benches);
