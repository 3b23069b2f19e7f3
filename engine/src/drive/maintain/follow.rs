//! `follow`: epoch after epoch, each a commit, until it is stopped.
//!
//! ```text
//!   wait ─ something came ─ take in ──────────────────────────── compute ─ commit ─┐
//!    ^                      until the interval is over and little                  │
//!    │                      waits beside what was taken in, or                     │
//!    │                      so many rows were                                      │
//!    └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! 1. An epoch ends at `rows_max` rows, about; so memory does not depend on how much waits.
//! 2. While much waits beside what an epoch has taken in ([`BEHIND`]), it goes on: who is behind catches up in few and
//!    large epochs, which cost less a row than small ones; who is not commits at every interval.
//! 3. It ends with a whole epoch: what is being taken in when it is stopped is committed.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
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

/// Who has taken in fewer rows than so many times what waits is behind,
const BEHIND: u64 = 8;
/// unless no more than this waits: a stream that comes fast has always some on the way.
const ON_THE_WAY: u64 = 100_000;

/// How to follow.
pub struct FollowOptions<'a> {
    /// What a run has too.
    pub maintain: MaintainOptions<'a>,
    /// Rows of an epoch at most, about.
    pub rows_max: u64,
}

/// The clock of a follower, and who watches it.
pub trait Pace: Send + Sync {
    /// An epoch begins.
    fn begin(&self);

    /// Whether the epoch has lasted as long as it shall.
    fn is_over(&self) -> bool;

    /// Whether to stop.
    fn is_stopping(&self) -> bool;

    /// How long an epoch shall last.
    fn every(&self) -> Duration;

    /// How long to wait for something to come, before it is asked again whether to stop.
    fn wait(&self) -> Duration;

    /// Whether it is time to ask the brokers for partitions that were added.
    fn is_time_to_ask(&self) -> bool;

    /// What is going on: messages that wait at the brokers, and what is wrong with a stream.
    fn status(&self, lag: u64, trouble: Option<String>);

    /// What tables go to cannot be reached: it is tried again.
    fn trouble(&self, what: &str);

    /// An epoch was committed.
    fn committed(&self, report: &RunReport);
}

/// Keeps the tables of `job` up to date with what its sources hold, until `pace` says to stop.
///
/// # Errors
/// When anything fails, as [`maintain`](super::maintain) does. Brokers that are out of reach are waited for.
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
        // Brokers may take seconds to answer, and no epoch waits for that.
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
        pace.begin();
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

/// Asks the brokers now and then for partitions that were added, and whether all is as it was, until `ended` is.
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
    // What cannot be had now is not waited for.
    let is_behind = move |rows: u64| {
        let mut well = streams.iter().map(|one| one.stream.trouble().is_none());
        lag(&streams) > ON_THE_WAY.max(rows / BEHIND) && well.all(|is_well| is_well)
    };
    Arc::new(Barrier {
        rows_max,
        rows: AtomicU64::new(0),
        is_over: Box::new(move |rows| pace.is_stopping() || (pace.is_over() && !is_behind(rows))),
    })
}

/// Waits until a stream has something, files may have come, or it is time to stop.
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
        // Of partitions that were just learnt nothing is fetched yet.
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

/// Rows that wait in all streams, about.
fn lag(streams: &[SourceStreamOf]) -> u64 {
    streams.iter().map(|one| one.stream.lag()).sum()
}
