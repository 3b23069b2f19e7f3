//! Where a follower stands, for who looks on: a line that redraws itself, or one now and then.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidewater_engine::Progress;

use super::pace::{Follower, Told};
use crate::output;
use crate::progress::Mode;

const REDRAW: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(10);

/// Does `work` while another thread shows how far it is; at the end says what it came to.
pub fn watch<T>(
    mode: Mode,
    title: &str,
    follower: &Follower,
    progress: &Progress,
    work: impl FnOnce() -> T,
) -> T {
    if mode == Mode::Silent {
        return work();
    }
    let began = Instant::now();
    output::tell(&format!("{title}\n"));
    let result = std::thread::scope(|scope| {
        // Dropped when the work ends, by return or by panic: that is what ends the watcher.
        let (working, ended) = channel::<()>();
        scope.spawn(move || match mode {
            Mode::Bar => redraw(follower, progress, &ended),
            _ => lines(follower, progress, &ended),
        });
        let result = work();
        drop(working);
        result
    });
    output::tell(&format!("{}\n", summary(&follower.told(), began.elapsed())));
    result
}

fn redraw(follower: &Follower, progress: &Progress, ended: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    let mut speed = Speed::new();
    while still_working(ended, REDRAW) {
        bar.set_message(line(&follower.told(), speed.rows_a_second(progress)));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn lines(follower: &Follower, progress: &Progress, ended: &Receiver<()>) {
    let mut speed = Speed::new();
    let mut trouble = None;
    let mut told_at = Instant::now();
    while still_working(ended, REDRAW) {
        let told = follower.told();
        // Trouble is told when it begins and when it ends.
        if told.trouble != trouble || told_at.elapsed() >= LINE {
            told_at = Instant::now();
            trouble.clone_from(&told.trouble);
            output::tell(&format!("{}\n", line(&told, speed.rows_a_second(progress))));
        }
    }
}

/// False once the work has ended.
fn still_working(ended: &Receiver<()>, interval: Duration) -> bool {
    ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
}

/// Rows a second since it was asked last.
struct Speed {
    at: Instant,
    rows: u64,
}

impl Speed {
    fn new() -> Self {
        Self {
            at: Instant::now(),
            rows: 0,
        }
    }

    fn rows_a_second(&mut self, progress: &Progress) -> u64 {
        let rows = progress.rows_read.load(Ordering::Relaxed);
        let speed = per_second(rows - self.rows, self.at.elapsed());
        (self.at, self.rows) = (Instant::now(), rows);
        speed
    }
}

fn per_second(rows: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(rows) * 1000 / millis).unwrap_or(u64::MAX)
}

fn line(told: &Told, rows_a_second: u64) -> String {
    let mut line = format!(
        "epoch {} · {} rows · {} rows/s · lag {}",
        told.epoch,
        HumanCount(told.rows),
        HumanCount(rows_a_second),
        HumanCount(told.lag)
    );
    if told.quarantined > 0 {
        line += &format!(" · {} quarantined", HumanCount(told.quarantined));
    }
    if let (Some(median), Some(most)) = (told.percentile(0.5), told.percentile(0.99)) {
        line += &format!(" · commit {median:.2} s, p99 {most:.2} s");
    }
    if let Some(trouble) = &told.trouble {
        line += &format!(" · {trouble}");
    }
    line
}

fn summary(told: &Told, elapsed: Duration) -> String {
    format!(
        "stopped after epoch {}: {} epochs, {} rows in {:.1} s ({} rows/s), lag {}",
        told.epoch,
        HumanCount(told.epochs),
        HumanCount(told.rows),
        elapsed.as_secs_f64(),
        HumanCount(per_second(told.rows, elapsed)),
        HumanCount(told.lag)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_it_stands() {
        let told = Told {
            epoch: 7,
            rows: 1_234_567,
            lag: 42,
            quarantined: 3,
            seconds: vec![0.25],
            trouble: Some("no broker can be reached".to_owned()),
            ..Told::default()
        };
        assert_eq!(
            line(&told, 200_000),
            "epoch 7 · 1,234,567 rows · 200,000 rows/s · lag 42 · 3 quarantined · commit 0.25 s, p99 0.25 s · no broker can \
             be reached"
        );
        assert_eq!(
            line(&Told::default(), 0),
            "epoch 0 · 0 rows · 0 rows/s · lag 0"
        );
    }
}
