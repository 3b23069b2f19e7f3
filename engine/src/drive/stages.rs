//! How long each stage of a run took. The only clock of the engine: timing is for reports alone, no result depends on it.

use std::time::Instant;

use super::Progress;

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that owns the clock"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since it began.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Times the stages of a run.
pub struct Stages<'a> {
    progress: &'a Progress,
    run: Stopwatch,
    stage: Option<(&'static str, Stopwatch)>,
    seconds: Vec<(&'static str, f64)>,
}

impl<'a> Stages<'a> {
    /// Starts.
    pub fn start(progress: &'a Progress) -> Self {
        Self {
            progress,
            run: Stopwatch::start(),
            stage: None,
            seconds: Vec::new(),
        }
    }

    /// Seconds since it began.
    pub fn elapsed(&self) -> f64 {
        self.run.seconds()
    }

    /// Ends the current stage, and begins another.
    pub fn enter(&mut self, stage: &'static str) {
        self.leave();
        tracing::info!("{stage}");
        self.progress.enter(stage);
        self.stage = Some((stage, Stopwatch::start()));
    }

    fn leave(&mut self) {
        if let Some((stage, watch)) = self.stage.take() {
            let seconds = watch.seconds();
            tracing::info!("{stage} took {seconds:.3} s");
            self.seconds.push((stage, seconds));
        }
    }

    /// Seconds in total, and of each stage.
    pub fn finish(mut self) -> (f64, Vec<(&'static str, f64)>) {
        self.leave();
        self.progress.enter("done");
        (self.run.seconds(), self.seconds)
    }
}
