//! Decides when epochs end, and collects figures about the follower.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidewater_engine::{Pace, RunReport};

use crate::{assertion_notes, clock, memory, output, summary};

/// How long the engine waits before it checks whether to stop.
const WAIT: Duration = Duration::from_millis(20);
/// How often brokers are asked, which is when new partitions are noticed.
const ASK: Duration = Duration::from_secs(5);
/// How many of the last epochs percentiles cover.
const EPOCHS_MAX: usize = 1024;

/// The clock of `follow`.
pub struct FollowPace {
    every: Duration,
    stopping: Arc<AtomicBool>,
    json: bool,
    state: Mutex<FollowState>,
}

struct FollowState {
    deadline: Instant,
    /// When the last epoch ended.
    cut: Option<Instant>,
    /// When brokers were last asked.
    asked: Instant,
    figures: Figures,
}

/// Figures about the follower.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Commits of this process.
    pub commits: u64,
    /// The epoch of the last commit; `None` before the first.
    pub epoch: Option<u64>,
    /// Rows read, including rejected ones.
    pub rows: u64,
    /// Rows that this process put into the quarantine.
    pub quarantined: u64,
    /// Messages that waited at the brokers when they were last asked. `None` while they do not answer.
    pub lag: Option<u64>,
    /// Why a stream cannot be read.
    pub trouble: Option<String>,
    /// Seconds from the end of each epoch to its commit, for the last epochs.
    pub seconds: Vec<f64>,
}

impl Figures {
    /// The time within which this share of the epochs was committed after its end.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss
        )]
        // There are about a thousand at most.
        let at = (share * sorted.len() as f64) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied()
    }
}

impl FollowPace {
    /// A clock that ends an epoch at the interval `every`.
    pub fn new(every: Duration, stopping: Arc<AtomicBool>, json: bool) -> Self {
        Self {
            every,
            stopping,
            json,
            state: Mutex::new(FollowState {
                deadline: Instant::now(),
                cut: None,
                asked: Instant::now(),
                figures: Figures::default(),
            }),
        }
    }

    /// The current figures.
    pub fn figures(&self) -> Figures {
        self.lock().figures.clone()
    }

    fn lock(&self) -> MutexGuard<'_, FollowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace for FollowPace {
    /// Epochs end at intervals of `every`, however long commits take, but each epoch has some time to read rows.
    fn begin(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        let due = state.cut.take().map_or(now, |cut| cut + self.every);
        state.deadline = due.max(now + self.every / 10);
    }

    fn is_over(&self) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let over = now >= state.deadline;
        if over && state.cut.is_none() {
            state.cut = Some(now);
        }
        over
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn wait(&self) -> Duration {
        WAIT.min(self.every)
    }

    fn is_time_to_ask(&self) -> bool {
        let mut state = self.lock();
        let is_time = state.asked.elapsed() >= ASK;
        if is_time {
            state.asked = Instant::now();
        }
        is_time
    }

    fn status(&self, lag: u64, trouble: Option<String>) {
        let mut state = self.lock();
        state.figures.lag = trouble.is_none().then_some(lag);
        state.figures.trouble = trouble;
    }

    fn trouble(&self, what: &str) {
        self.lock().figures.trouble = Some(what.to_owned());
    }

    fn committed(&self, report: &RunReport) {
        let figures = {
            let mut state = self.lock();
            let since_cut = state
                .cut
                .map_or(report.seconds_total, |cut| cut.elapsed().as_secs_f64());
            let figures = &mut state.figures;
            figures.commits += 1;
            figures.trouble = None;
            figures.epoch = Some(report.epoch);
            figures.rows += report.rows_read;
            figures.quarantined += report.rows_rejected;
            if figures.seconds.len() == EPOCHS_MAX {
                figures.seconds.remove(0);
            }
            figures.seconds.push(since_cut);
            figures.clone()
        };
        let set_aside = summary::set_aside_note(report);
        let notes = assertion_notes::all(report);
        for warning in report.warnings.iter().chain(&set_aside).chain(&notes) {
            output::warn(warning);
        }
        if self.json {
            let mut line = summary::to_json(report, memory::peak_bytes());
            line["lag"] = figures.lag.into();
            line["committed_at_ms"] = u64::try_from(clock::since_1970().as_millis())
                .unwrap_or(u64::MAX)
                .into();
            // The reader of standard output may have gone.
            let _ = output::print(&format!("{line}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_cut_at_their_interval() {
        let every = Duration::from_millis(40);
        let follower = FollowPace::new(every, Arc::default(), false);
        follower.begin();
        assert!(!follower.is_over(), "an epoch takes something in");
        let began = Instant::now();
        while !follower.is_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // After an idle time, new rows are committed soon.
        assert!(began.elapsed() < every * 10);
        follower.begin();
        let next = follower.lock().deadline;
        assert!(next > Instant::now() && next <= Instant::now() + every);
    }

    #[test]
    fn percentiles_are_those_of_the_epochs() {
        let figures = Figures {
            seconds: (1..=100).rev().map(f64::from).collect(),
            ..Figures::default()
        };
        assert_eq!(figures.percentile(0.5), Some(51.0));
        assert_eq!(figures.percentile(0.99), Some(100.0));
        assert_eq!(Figures::default().percentile(0.5), None);
    }
}
