//! Shows progress on standard error: a bar on a terminal, and elsewhere a line from time to time.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{
    DecimalBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

use unicode_width::UnicodeWidthStr;

use crate::display::count;
use crate::output;
use crate::style::Style;

/// Interval at which the bar is updated.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Interval between two lines without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar that redraws itself.
    Bar,
    /// One line at the start, one every ten seconds, one at the end.
    Lines,
    /// Nothing.
    Silent,
}

impl ProgressMode {
    /// The mode for this process. A bar needs a terminal without logs on it.
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

/// The progress of the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// The stage of the work, in a word.
    pub stage: &'static str,
    /// Units done, of whatever unit `total` counts.
    pub done: u64,
    /// Units in all; 0 while unknown.
    pub total: u64,
    /// The unit of `done` and `total`.
    pub unit: Unit,
    /// Rows done.
    pub rows: u64,
    /// Rows that went to the quarantine.
    pub rejected: u64,
}

/// A unit of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Rows.
    #[default]
    Rows,
    /// Bytes of files.
    Bytes,
    /// Whole tables.
    Tables,
}

impl Sample {
    /// The progress as text that fits `room` display columns. If necessary, the speed is dropped first, then the
    /// bytes.
    fn describe(&self, elapsed: Duration, room: usize) -> String {
        let total = self.total;
        let done = self.done.min(total);
        if self.unit == Unit::Tables {
            return format!("{done} of {}", count(total, "table"));
        }
        let mut rows = count(self.rows, "row");
        if self.rejected > 0 {
            rows += &format!(" ({} quarantined)", HumanCount(self.rejected));
        }
        let bytes = (self.unit == Unit::Bytes && total > 0)
            .then(|| format!("{} of {}", DecimalBytes(done), DecimalBytes(total)));
        let millis = elapsed.as_millis().max(1);
        let rows_per_second =
            u64::try_from(u128::from(self.rows) * 1000 / millis).unwrap_or(u64::MAX);
        let speed = format!("{} rows/s", HumanCount(rows_per_second));
        let (bytes, speed) = (bytes.as_deref(), Some(speed.as_str()));
        let candidates = [[bytes, Some(&rows), speed], [bytes, Some(&rows), None]];
        let texts = candidates.map(|parts| {
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            parts.join(" · ")
        });
        let fitting = texts.into_iter().find(|text| text.width() <= room);
        fitting.unwrap_or(rows)
    }
}

/// Does `work` on this thread while another shows the progress that `sample` reports.
pub fn watch<T>(
    mode: ProgressMode,
    title: &str,
    sample: impl Fn() -> Sample + Sync,
    work: impl FnOnce() -> T,
) -> T {
    if mode == ProgressMode::Silent {
        return work();
    }
    std::thread::scope(|scope| {
        // Dropped when the work ends, by return or by panic, which ends the watcher.
        let (working, ended) = channel::<()>();
        let sample = &sample;
        scope.spawn(move || match mode {
            ProgressMode::Bar => show_bar(title, sample, &ended),
            _ => show_lines(title, sample, &ended),
        });
        let result = work();
        drop(working);
        result
    })
}

/// Waits. False once the work has ended.
fn still_working(ended: &Receiver<()>, interval: Duration) -> bool {
    ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
}

/// Display columns of the bar between stage and percentage.
const BAR_WIDTH: usize = 20;

/// Display columns of a line without its message: stage, bar and percentage.
const BESIDE_MESSAGE: usize = 9 + 1 + BAR_WIDTH + 1 + 4 + 3;

/// Width of the longest estimate of the remaining time.
const ETA_WIDTH: usize = " · ETA 59s".len();

fn show_bar(title: &str, sample: &dyn Fn() -> Sample, ended: &Receiver<()>) {
    let start = Instant::now();
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = |template: &str| {
        let style = ProgressStyle::with_template(template);
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ ")
    };
    let known = style(&format!(
        "{{prefix:>9}} {{bar:{BAR_WIDTH}}} {{percent:>3}}% · {{wide_msg}}"
    ));
    let unknown = style("{prefix:>9} {spinner} {wide_msg}");
    bar.println(title);
    while still_working(ended, BAR_INTERVAL) {
        let now = sample();
        bar.set_style(if now.total > 0 {
            known.clone()
        } else {
            unknown.clone()
        });
        bar.set_length(now.total);
        bar.set_position(now.done.min(now.total));
        bar.set_prefix(now.stage);
        let eta = if now.done < now.total {
            format!(" · ETA {:#}", HumanDuration(bar.eta()))
        } else {
            String::new()
        };
        let room = Style::stderr()
            .width()
            .saturating_sub(BESIDE_MESSAGE + ETA_WIDTH);
        bar.set_message(now.describe(start.elapsed(), room) + &eta);
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
            now.describe(start.elapsed(), usize::MAX)
        ));
    }
    let took = start.elapsed();
    let unit = if took < Duration::from_mins(2) {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        HumanDuration(took).to_string()
    };
    output::tell(&format!(
        "{} in {unit}\n",
        sample().describe(took, usize::MAX)
    ));
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
        let wide = |sample: &Sample, elapsed| sample.describe(elapsed, usize::MAX);
        assert_eq!(wide(&rows, second), "1,500,000 rows · 750,000 rows/s");
        assert_eq!(
            wide(&rows, Duration::ZERO),
            "1,500,000 rows · 1,500,000,000 rows/s"
        );
        let one = Sample { rows: 1, ..rows };
        assert_eq!(wide(&one, second), "1 row · 0 rows/s");
        let tables = Sample {
            done: 3,
            total: 13,
            unit: Unit::Tables,
            ..rows
        };
        assert_eq!(wide(&tables, second), "3 of 13 tables");
    }

    #[test]
    fn what_matters_less_goes_where_there_is_no_room() {
        let sample = Sample {
            done: 1_000_000,
            total: 4_000_000,
            unit: Unit::Bytes,
            rows: 1_500_000,
            rejected: 3,
            ..Sample::default()
        };
        for (room, expected) in [
            (
                120,
                "1.00 MB of 4.00 MB · 1,500,000 rows (3 quarantined) · 750,000 rows/s",
            ),
            (60, "1.00 MB of 4.00 MB · 1,500,000 rows (3 quarantined)"),
            (40, "1,500,000 rows (3 quarantined)"),
            (10, "1,500,000 rows (3 quarantined)"),
        ] {
            assert_eq!(sample.describe(Duration::from_secs(2), room), expected);
        }
    }

    #[test]
    fn work_is_done_in_every_mode() {
        for mode in [ProgressMode::Silent, ProgressMode::Lines] {
            assert_eq!(watch(mode, "test", Sample::default, || 7), 7);
        }
    }
}
