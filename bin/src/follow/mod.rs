//! `tidewater follow` keeps a job up to date with its sources until it is stopped.

mod pace;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tidewater_engine::{FollowOptions, MaintainOptions, Pace, Progress, RunOptions};

use self::pace::FollowPace;
use crate::args::FollowArgs;
use crate::display::count;
use crate::failure::Failure;
use crate::job::LoadedJob;
use crate::progress::ProgressMode;
use crate::signals::stopping;
use crate::{clock, cores, job, log, output, thresholds};

/// Runs the command.
pub fn run(args: &FollowArgs) -> Result<(), Failure> {
    let logging = log::start(args.common.process.verbose)?;
    let LoadedJob { job, declared } = job::load_to_run(&args.common)?;
    let common = &args.common;
    let workers = cores::or_all(common.process.workers);
    let options = FollowOptions {
        maintain: MaintainOptions {
            run: RunOptions {
                workers,
                preview_rows: 0,
                take_over: common.intake.take_over,
            },
            state: args.state.clone(),
            wait: common.intake.lock_wait(),
            declared: Some(declared),
            rebuild: false,
            audit: false,
            candidate: None,
            rehash: common.intake.rehash,
            settle: common.intake.settle,
            thresholds: thresholds::of_process(),
            now: &clock::since_1970,
            notice: &|text| output::tell(&format!("{text}\n")),
        },
        rows_max: args.rows,
    };
    let progress = Progress::default();
    let follower = FollowPace::new(args.every, stopping()?, common.process.json);
    let follower = Arc::new(follower);
    let pace: Arc<dyn Pace> = Arc::<FollowPace>::clone(&follower);
    let mode = ProgressMode::choose(common.process.quiet, logging);
    let title = format!(
        "following {} with {}, a commit every {}; Ctrl-C stops after the epoch",
        common.job.job.display(),
        count(workers as u64, "worker"),
        shown(args.every)
    );
    watch::watch(mode, &title, &follower, &progress, || {
        tidewater_engine::follow(&job, &options, &pace, &progress)
    })
    .map_err(|error| Failure::run(&error))
}

fn shown(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
