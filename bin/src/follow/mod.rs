//! `tidewater follow`: a job that keeps up with its sources until it is stopped.

mod pace;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tidewater_engine::{FollowOptions, MaintainOptions, Pace, Progress, RunOptions};

use self::pace::Follower;
use crate::args::FollowArgs;
use crate::failure::Failure;
use crate::progress::Mode;
use crate::{cores, job, log, output};

/// Runs the command.
pub fn run(args: &FollowArgs) -> Result<(), Failure> {
    let logging = log::start(args.verbose)?;
    let job = job::load(&args.job)?;
    let workers = cores::or_all(args.workers);
    let options = FollowOptions {
        maintain: MaintainOptions {
            run: RunOptions {
                workers,
                preview_rows: 0,
            },
            state: args.state.clone(),
            wait: args.wait,
            rebuild: false,
            settle: args.settle,
            now: &since_1970,
            notice: &|text| output::tell(&format!("{text}\n")),
        },
        rows_max: args.rows,
    };
    let follower = Arc::new(Follower::new(args.every, stopping()?, args.json));
    let pace: Arc<dyn Pace> = Arc::<Follower>::clone(&follower);
    let progress = Progress::default();
    let mode = Mode::choose(args.quiet, logging);
    let title = format!(
        "following {} with {workers} worker{}, a commit every {}; Ctrl-C stops after the epoch",
        args.job.job.display(),
        if workers == 1 { "" } else { "s" },
        shown(args.every)
    );
    watch::watch(mode, &title, &follower, &progress, || {
        tidewater_engine::follow(&job, &options, &pace, &progress)
    })
    .map_err(|error| Failure::run(&error))
}

/// The time since 1970.
pub fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Is set by Ctrl-C or SIGTERM. A second one ends the process at once; the next run finishes or undoes what it was at.
pub fn stopping() -> anyhow::Result<Arc<AtomicBool>> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))
            .and_then(|_| flag::register(signal, Arc::clone(&stopping)))
            .context("cannot listen to signals")?;
    }
    Ok(stopping)
}

fn shown(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
