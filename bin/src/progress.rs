//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{
    DecimalBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

use crate::output;

/// Between two looks at the work while a bar shows.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A bar that redraws itself.
    Bar,
    /// One line at the start, one every ten seconds, one at the end.
    Lines,
    /// Nothing.
    Silent,
}

impl Mode {
    /// The mode for this process: a bar needs a terminal to itself, without logs running through it.
    pub fn choose(quiet: bool, logging: bool) -> Self {
        if quiet {
            Self::Silent
        } else if io::stderr().is_terminal() && !logging {
            Self::Bar
        } else {
            Self::Lines
        }
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// What is being done, in a word.
    pub stage: &'static str,
    /// Units done, of whatever unit `total` counts.
    pub done: u64,
    /// Units in all; 0 while unknown.
    pub total: u64,
    /// Bytes done and in all, where bytes are the unit.
    pub bytes: Option<(u64, u64)>,
    /// Rows done.
    pub rows: u64,
    /// Rows that went to the quarantine.
    pub rejected: u64,
}

impl Sample {
    /// Rows, bytes and speed in words.
    fn describe(&self, elapsed: Duration) -> String {
        let mut text = match self.bytes {
            Some((done, total)) if total > 0 => {
                format!(
                    "{} of {} · ",
                    DecimalBytes(done.min(total)),
                    DecimalBytes(total)
                )
            }
            _ => String::new(),
        };
        text += &format!("{} rows", HumanCount(self.rows));
        if self.rejected > 0 {
            text += &format!(" ({} quarantined)", HumanCount(self.rejected));
        }
        let millis = elapsed.as_millis().max(1);
        let rows_per_second =
            u64::try_from(u128::from(self.rows) * 1000 / millis).unwrap_or(u64::MAX);
        text += &format!(" · {} rows/s", HumanCount(rows_per_second));
        text
    }
}

/// Does `work` on this thread while another shows how far it is, as told by `sample`.
pub fn watch<T>(
    mode: Mode,
    title: &str,
    sample: impl Fn() -> Sample + Sync,
    work: impl FnOnce() -> T,
) -> T {
    if mode == Mode::Silent {
        return work();
    }
    std::thread::scope(|scope| {
        // Dropped when the work ends, by return or by panic: that is what ends the watcher.
        let (working, ended) = channel::<()>();
        let sample = &sample;
        scope.spawn(move || match mode {
            Mode::Bar => show_bar(title, sample, &ended),
            _ => show_lines(title, sample, &ended),
        });
        let result = work();
        drop(working);
        result
    })
}

/// Waits; false once the work has ended.
fn still_working(ended: &Receiver<()>, interval: Duration) -> bool {
    ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
}

fn show_bar(title: &str, sample: &dyn Fn() -> Sample, ended: &Receiver<()>) {
    let start = Instant::now();
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix:>9} {bar:30} {percent:>3}% · {msg}");
    bar.set_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ "),
    );
    bar.println(title);
    while still_working(ended, BAR_INTERVAL) {
        let now = sample();
        bar.set_length(now.total);
        bar.set_position(now.done.min(now.total));
        bar.set_prefix(now.stage);
        let eta = if now.done < now.total {
            format!(" · ETA {:#}", HumanDuration(bar.eta()))
        } else {
            String::new()
        };
        bar.set_message(now.describe(start.elapsed()) + &eta);
    }
    bar.finish_and_clear();
}

fn show_lines(title: &str, sample: &dyn Fn() -> Sample, ended: &Receiver<()>) {
    let start = Instant::now();
    output::tell(&format!("{title}\n"));
    while still_working(ended, LINE_INTERVAL) {
        let now = sample();
        output::tell(&format!(
            "{}: {}\n",
            now.stage,
            now.describe(start.elapsed())
        ));
    }
    let took = start.elapsed();
    let unit = if took < Duration::from_mins(2) {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        HumanDuration(took).to_string()
    };
    output::tell(&format!("{} in {unit}\n", sample().describe(took)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_read_like_sentences() {
        let second = Duration::from_secs(2);
        let rows = Sample {
            rows: 1_500_000,
            ..Sample::default()
        };
        assert_eq!(rows.describe(second), "1,500,000 rows · 750,000 rows/s");
        let bytes = Sample {
            bytes: Some((1_000_000, 4_000_000)),
            rejected: 3,
            ..rows
        };
        assert_eq!(
            bytes.describe(second),
            "1.00 MB of 4.00 MB · 1,500,000 rows (3 quarantined) · 750,000 rows/s"
        );
        assert_eq!(
            rows.describe(Duration::ZERO),
            "1,500,000 rows · 1,500,000,000 rows/s"
        );
    }

    #[test]
    fn work_is_done_in_every_mode() {
        for mode in [Mode::Silent, Mode::Lines] {
            assert_eq!(watch(mode, "test", Sample::default, || 7), 7);
        }
    }
}
