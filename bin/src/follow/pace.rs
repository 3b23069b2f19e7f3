//! When epochs are cut, and what became of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidewater_engine::{Pace, RunReport};

use crate::{memory, output, summary};

/// How long the engine waits at a time before it looks whether to stop.
const WAIT: Duration = Duration::from_millis(20);
/// How long partitions that were added go unnoticed, about.
const ASK: Duration = Duration::from_secs(5);
/// Epochs of which percentiles are taken.
const EPOCHS_MAX: usize = 1024;

/// The clock of `follow`.
pub struct Follower {
    every: Duration,
    stopping: Arc<AtomicBool>,
    json: bool,
    state: Mutex<State>,
}

struct State {
    deadline: Instant,
    /// When the last epoch was cut.
    cut: Option<Instant>,
    /// When brokers were asked last.
    asked: Instant,
    told: Told,
}

/// What there is to tell of.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Epochs committed.
    pub epochs: u64,
    /// The last one.
    pub epoch: u64,
    /// Rows taken in, rejected ones among them.
    pub rows: u64,
    /// Rows in the quarantine.
    pub quarantined: u64,
    /// Messages that wait at the brokers.
    pub lag: u64,
    /// What is wrong with a stream.
    pub trouble: Option<String>,
    /// Seconds from the cut of each epoch to its commit, the last ones.
    pub seconds: Vec<f64>,
}

impl Told {
    /// The time within which this share of the epochs was committed after its cut.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss
        )]
        // A thousand at most.
        let at = (share * sorted.len() as f64) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied()
    }
}

impl Follower {
    /// A clock that cuts an epoch `every` so often.
    pub fn new(every: Duration, stopping: Arc<AtomicBool>, json: bool) -> Self {
        Self {
            every,
            stopping,
            json,
            state: Mutex::new(State {
                deadline: Instant::now(),
                cut: None,
                asked: Instant::now(),
                told: Told::default(),
            }),
        }
    }

    /// What there is to tell of.
    pub fn told(&self) -> Told {
        self.lock().told.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace for Follower {
    /// Cuts lie `every` apart, whatever the commits between them take, but each epoch has some time to take something in.
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
        state.told.lag = lag;
        state.told.trouble = trouble;
    }

    fn trouble(&self, what: &str) {
        self.lock().told.trouble = Some(what.to_owned());
    }

    fn committed(&self, report: &RunReport) {
        let told = {
            let mut state = self.lock();
            let since_cut = state
                .cut
                .map_or(report.seconds_total, |cut| cut.elapsed().as_secs_f64());
            let told = &mut state.told;
            told.epochs += 1;
            told.trouble = None;
            told.epoch = report.epoch;
            told.rows += report.rows_read;
            told.quarantined = report.rows_quarantined;
            if told.seconds.len() == EPOCHS_MAX {
                told.seconds.remove(0);
            }
            told.seconds.push(since_cut);
            told.clone()
        };
        for warning in &report.warnings {
            output::warn(warning);
        }
        if self.json {
            let mut line = summary::to_json(report, memory::peak_bytes());
            line["lag"] = told.lag.into();
            line["committed_at_ms"] = u64::try_from(super::since_1970().as_millis())
                .unwrap_or(u64::MAX)
                .into();
            // Who reads it may have gone.
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
        let follower = Follower::new(every, Arc::default(), false);
        follower.begin();
        assert!(!follower.is_over(), "an epoch takes something in");
        let began = Instant::now();
        while !follower.is_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // After idleness what came is committed soon.
        assert!(began.elapsed() < every * 10);
        follower.begin();
        let next = follower.lock().deadline;
        assert!(next > Instant::now() && next <= Instant::now() + every);
    }

    #[test]
    fn percentiles_are_those_of_the_epochs() {
        let told = Told {
            seconds: (1..=100).rev().map(f64::from).collect(),
            ..Told::default()
        };
        assert_eq!(told.percentile(0.5), Some(51.0));
        assert_eq!(told.percentile(0.99), Some(100.0));
        assert_eq!(Told::default().percentile(0.5), None);
    }
}
