//! `tidewater check` and `tidewater explain`: what a job says, without reading data.

use tidewater_engine::Explain;

use crate::args::{CheckArgs, ExplainArgs, GraphFormat};
use crate::failure::Failure;
use crate::{job, output};

/// Runs `check`: the job's errors are the failure.
pub fn check(args: &CheckArgs) -> Result<(), Failure> {
    job::load(&args.job)?;
    output::print(&format!("{}: no errors\n", args.job.job.display()))
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
