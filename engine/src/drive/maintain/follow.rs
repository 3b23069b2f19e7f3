//! `follow` runs epoch after epoch, each of which is a commit, until it is stopped.
//!
//! ```text
//!   wait ─ something came ─ take in ──────────────────────────── compute ─ commit ─┐
//!    ^                      until the interval is over and little                  │
//!    │                      rows wait beside those that were read, or               │
//!    │                      so many rows were read                                 │
//!    └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! 1. An epoch ends at about `rows_max` rows, so memory does not depend on how many rows wait.
//! 2. An epoch continues while the follower is behind: many rows wait compared with those that the epoch has read
//!    ([`BEHIND`]). So a follower that is behind catches up in few large epochs, which cost less a row than small
//!    ones. Otherwise it commits at every interval.
//! 3. It ends after a whole epoch: rows that are being read when it is stopped are committed.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::time::Duration;

use tidewater_connectors::connector::SourceStream;

use super::MaintainOptions;
use super::inputs::SourceStreamOf;
use super::session::Session;
use crate::drive::ingest::Barrier;
use crate::drive::stages::Stages;
use crate::drive::{Progress, RunError, RunReport};
use crate::job::Job;
use crate::state::panic;

/// A follower is behind if the number of waiting rows is greater than the rows of the epoch divided by this number,
/// and greater than [`ON_THE_WAY`].
const BEHIND: u64 = 8;
/// A number of waiting rows that is normal for a fast stream.
const ON_THE_WAY: u64 = 100_000;

/// How to follow.
pub struct FollowOptions<'a> {
    /// The options of a run with a state.
    pub maintain: MaintainOptions<'a>,
    /// Approximate limit for the rows of an epoch.
    pub rows_max: u64,
}

/// The clock of a follower, and its observer.
pub trait Pace: Send + Sync {
    /// Called when an epoch begins to read.
    fn begin(&self);

    /// Whether the epoch's interval is over.
    fn is_over(&self) -> bool;

    /// Whether to stop.
    fn is_stopping(&self) -> bool;

    /// The interval of an epoch.
    fn every(&self) -> Duration;

    /// How long to wait for rows before checking again whether to stop.
    fn wait(&self) -> Duration;

    /// Whether it is time to ask the brokers for new partitions.
    fn is_time_to_ask(&self) -> bool;

    /// Reports the messages that wait at the brokers, and a stream's trouble.
    fn status(&self, lag: u64, trouble: Option<String>);

    /// Reports that a sink cannot be reached and is tried again.
    fn trouble(&self, what: &str);

    /// Called after an epoch was committed.
    fn committed(&self, report: &RunReport);
}

/// Keeps the tables of `job` up to date with its sources, until `pace` says to stop.
///
/// # Errors
/// When anything fails, as for [`maintain`](super::maintain). Brokers that are out of reach are waited for.
pub fn follow(
    job: &Job,
    options: &FollowOptions<'_>,
    pace: &Arc<dyn Pace>,
    progress: &Progress,
) -> Result<(), RunError> {
    panic::guarded(|| {
        let waiting = Arc::clone(pace);
        let keep_trying = move |trouble: &str| {
            waiting.trouble(trouble);
            !waiting.is_stopping()
        };
        let mut session = Session::open(job, &options.maintain, progress, Box::new(keep_trying))?;
        let streams: Vec<_> = session
            .streams()
            .into_iter()
            .map(|one| one.stream)
            .collect();
        // Brokers may take seconds to answer, so a separate thread asks them and no epoch waits.
        std::thread::scope(|scope| {
            let (following, ended) = mpsc::channel::<()>();
            let (streams, asked) = (&streams, pace.as_ref());
            scope.spawn(move || ask(streams, asked, &ended));
            let followed = epochs(&mut session, options.rows_max, pace, progress);
            drop(following);
            followed
        })?;
        session.close()
    })
}

fn epochs(
    session: &mut Session<'_>,
    rows_max: u64,
    pace: &Arc<dyn Pace>,
    progress: &Progress,
) -> Result<(), RunError> {
    while !pace.is_stopping() {
        let barrier = barrier(session, pace, rows_max);
        let report = session.epoch(Stages::start(progress), Some(&barrier))?;
        let deliveries = report.deliveries.as_ref();
        if deliveries.is_some_and(|deliveries| !deliveries.is_empty()) {
            pace.committed(&report);
        }
        await_more(session, pace.as_ref())?;
    }
    Ok(())
}

/// From time to time, asks the brokers for new partitions and for trouble, until `ended` is closed.
fn ask(streams: &[Arc<dyn SourceStream>], pace: &dyn Pace, ended: &Receiver<()>) {
    while ended.recv_timeout(pace.wait()) == Err(RecvTimeoutError::Timeout) {
        if pace.is_time_to_ask() {
            streams.iter().for_each(|stream| stream.watch());
        }
    }
}

fn barrier(session: &Session<'_>, pace: &Arc<dyn Pace>, rows_max: u64) -> Arc<Barrier> {
    let streams = session.streams();
    let pace = Arc::clone(pace);
    // Messages of a stream in trouble are not waited for.
    let is_behind = move |rows: u64| {
        let mut well = streams.iter().map(|one| one.stream.trouble().is_none());
        lag(&streams) > ON_THE_WAY.max(rows / BEHIND) && well.all(|is_well| is_well)
    };
    // The comparison before it takes no time from reading: an epoch too short for both would read nothing.
    let reading = Once::new();
    let is_over = move |rows| {
        reading.call_once(|| pace.begin());
        pace.is_stopping() || (pace.is_over() && !is_behind(rows))
    };
    Arc::new(Barrier {
        rows_max,
        rows: AtomicU64::new(0),
        is_over: Box::new(is_over),
    })
}

/// Waits until a stream has rows, files may have arrived, or it is time to stop.
fn await_more(session: &Session<'_>, pace: &dyn Pace) -> Result<(), RunError> {
    let streams = session.streams();
    let mut waited = Duration::ZERO;
    while !pace.is_stopping() && (waited < pace.every() || !session.polls()) {
        let mut has_more = false;
        for SourceStreamOf { source, stream } in &streams {
            let waited = stream.wait(pace.wait());
            has_more |= waited.map_err(RunError::of_source(source))?;
        }
        let lag = lag(&streams);
        // New partitions have a lag before anything of them is fetched.
        has_more |= lag > 0;
        pace.status(lag, streams.iter().find_map(|one| one.stream.trouble()));
        if has_more {
            break;
        }
        if streams.is_empty() {
            std::thread::sleep(pace.wait());
        }
        waited += pace.wait();
    }
    Ok(())
}

/// About how many rows wait in all streams.
fn lag(streams: &[SourceStreamOf]) -> u64 {
    streams.iter().map(|one| one.stream.lag()).sum()
}
