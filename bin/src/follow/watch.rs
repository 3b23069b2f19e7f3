//! Shows the progress of a follower, as a line that redraws itself or as a line from time to time.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidewater_engine::Progress;

use super::pace::{Figures, FollowPace};
use crate::display::count;
use crate::output;
use crate::progress::ProgressMode;

const REDRAW: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(10);

/// Does `work` while another thread shows its progress. Prints a summary at the end.
pub fn watch<T>(
    mode: ProgressMode,
    title: &str,
    follower: &FollowPace,
    progress: &Progress,
    work: impl FnOnce() -> T,
) -> T {
    if mode == ProgressMode::Silent {
        return work();
    }
    let began = Instant::now();
    output::tell(&format!("{title}\n"));
    let result = std::thread::scope(|scope| {
        // Dropped when the work ends, by return or by panic, which ends the watcher.
        let (working, ended) = channel::<()>();
        scope.spawn(move || match mode {
            ProgressMode::Bar => redraw(follower, progress, &ended),
            _ => lines(follower, progress, &ended),
        });
        let result = work();
        drop(working);
        result
    });
    output::tell(&format!(
        "{}\n",
        summary(&follower.figures(), began.elapsed())
    ));
    result
}

fn redraw(follower: &FollowPace, progress: &Progress, ended: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    let mut speed = Speed::new();
    while still_working(ended, REDRAW) {
        bar.set_message(line(&follower.figures(), speed.rows_a_second(progress)));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn lines(follower: &FollowPace, progress: &Progress, ended: &Receiver<()>) {
    let mut speed = Speed::new();
    let mut trouble = None;
    let mut written_at = Instant::now();
    while still_working(ended, REDRAW) {
        let figures = follower.figures();
        // The beginning and the end of trouble are always shown.
        if figures.trouble != trouble || written_at.elapsed() >= LINE {
            written_at = Instant::now();
            trouble.clone_from(&figures.trouble);
            output::tell(&format!(
                "{}\n",
                line(&figures, speed.rows_a_second(progress))
            ));
        }
    }
}

/// False once the work has ended.
fn still_working(ended: &Receiver<()>, interval: Duration) -> bool {
    ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
}

/// Rows a second since the previous call.
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

fn line(figures: &Figures, rows_a_second: u64) -> String {
    let epoch = figures.epoch.map_or_else(
        || "no commit yet".to_owned(),
        |epoch| format!("epoch {epoch}"),
    );
    let lag = figures.lag.map_or_else(
        || "lag unknown".to_owned(),
        |lag| format!("lag {}", HumanCount(lag)),
    );
    let mut line = format!(
        "{epoch} · {} · {} rows/s · {lag}",
        count(figures.rows, "row"),
        HumanCount(rows_a_second)
    );
    if figures.quarantined > 0 {
        line += &format!(" · {} quarantined", HumanCount(figures.quarantined));
    }
    if let (Some(median), Some(most)) = (figures.percentile(0.5), figures.percentile(0.99)) {
        line += &format!(" · commit {median:.2} s, p99 {most:.2} s");
    }
    if let Some(trouble) = &figures.trouble {
        line += &format!(" · {trouble}");
    }
    line
}

/// The last line. It does not show the lag, because brokers were asked before the last commit.
fn summary(figures: &Figures, elapsed: Duration) -> String {
    let Some(epoch) = figures.epoch else {
        let seconds = elapsed.as_secs_f64();
        return format!("stopped after {seconds:.1} s without a commit");
    };
    format!(
        "stopped after epoch {epoch}: {}, {} in {:.1} s ({} rows/s)",
        count(figures.commits, "commit"),
        count(figures.rows, "row"),
        elapsed.as_secs_f64(),
        HumanCount(per_second(figures.rows, elapsed)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_it_stands() {
        let figures = Figures {
            epoch: Some(7),
            rows: 1_234_567,
            lag: Some(42),
            quarantined: 3,
            seconds: vec![0.25],
            trouble: Some("no broker can be reached".to_owned()),
            ..Figures::default()
        };
        assert_eq!(
            line(&figures, 200_000),
            "epoch 7 · 1,234,567 rows · 200,000 rows/s · lag 42 · 3 quarantined · commit 0.25 s, p99 0.25 s · no broker can \
             be reached"
        );
        assert_eq!(
            line(&Figures::default(), 0),
            "no commit yet · 0 rows · 0 rows/s · lag unknown"
        );
    }

    #[test]
    fn the_last_line_counts_commits_and_rows() {
        let second = Duration::from_secs(1);
        let figures = Figures {
            epoch: Some(12),
            commits: 1,
            rows: 1,
            ..Figures::default()
        };
        assert_eq!(
            summary(&figures, second),
            "stopped after epoch 12: 1 commit, 1 row in 1.0 s (1 rows/s)"
        );
        assert_eq!(
            summary(&Figures::default(), second),
            "stopped after 1.0 s without a commit"
        );
    }
}
