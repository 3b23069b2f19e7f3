//! Measurements. `compare/` races whole processes against other engines; `benches/` times single stages in this one.

use std::hint::black_box;
use std::time::Instant;

/// Times `work` `rounds` times after one round that does not count, and prints the median with the throughput that it
/// comes to for `bytes` bytes and `rows` rows.
pub fn measure<T>(name: &str, rounds: usize, bytes: u64, rows: u64, mut work: impl FnMut() -> T) {
    black_box(work());
    let mut seconds: Vec<f64> = (0..rounds.max(1))
        .map(|_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!(
        "{name:<32} {:>8.1} ms {:>8.0} MB/s {:>10.0} rows/s",
        median * 1e3,
        per_second(bytes, median) / 1e6,
        per_second(rows, median)
    );
}

/// Amounts of a benchmark are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn per_second(amount: u64, seconds: f64) -> f64 {
    amount as f64 / seconds
}
