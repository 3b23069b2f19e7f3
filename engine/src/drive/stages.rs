//! How long each stage of a run took.

use std::time::Instant;

use super::Progress;

/// Times the stages of a run. Timing is for the report alone: no result depends on the clock.
pub struct Stages<'a> {
    progress: &'a Progress,
    began: Instant,
    stage: Option<(&'static str, Instant)>,
    seconds: Vec<(&'static str, f64)>,
}

impl<'a> Stages<'a> {
    /// Begins.
    pub fn start(progress: &'a Progress) -> Self {
        Self {
            progress,
            began: Instant::now(),
            stage: None,
            seconds: Vec::new(),
        }
    }

    /// Seconds since it began.
    pub fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Ends the stage before, and begins one.
    pub fn enter(&mut self, stage: &'static str) {
        self.leave();
        tracing::info!("{stage}");
        self.progress.enter(stage);
        self.stage = Some((stage, Instant::now()));
    }

    fn leave(&mut self) {
        if let Some((stage, since)) = self.stage.take() {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!("{stage} took {seconds:.3} s");
            self.seconds.push((stage, seconds));
        }
    }

    /// Seconds of all, and of each stage.
    pub fn finish(mut self) -> (f64, Vec<(&'static str, f64)>) {
        self.leave();
        self.progress.enter("done");
        (self.began.elapsed().as_secs_f64(), self.seconds)
    }
}
