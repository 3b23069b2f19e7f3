//! `tidewater check` and `tidewater explain`, which read a job but no data.

use tidewater_engine::Explain;

use crate::args::{CheckArgs, ExplainArgs, GraphFormat};
use crate::failure::Failure;
use crate::{job, output};

/// Runs `check`, which fails with the job's errors.
pub fn check(args: &CheckArgs) -> Result<(), Failure> {
    let job = job::load(&args.job)?;
    Explain::new(&job).map_err(|error| Failure::run(&error))?;
    let mut text = format!("{}: no errors\n", args.job.job.display());
    if let Some(sink) = job.sinks.iter().find(|sink| sink.external().is_some()) {
        text.push_str(&format!(
            "{} goes to another system, which needs a state: run the job with --state DIR\n",
            sink.name
        ));
    }
    output::print(&text)
}

/// Runs `explain`.
pub fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let explain = Explain::new(&job::load(&args.job)?).map_err(|error| Failure::run(&error))?;
    let graph = match args.format {
        GraphFormat::Text => explain.to_string(),
        GraphFormat::Dot => explain.to_dot(),
        GraphFormat::Mermaid => explain.to_mermaid(),
    };
    output::print(&format!("{}\n", graph.trim_end()))
}
