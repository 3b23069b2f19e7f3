//! `tidewater verify` checks that the published tables hold the rows that one cold run over the present inputs would
//! give.
//!
//! ```text
//! stored inputs ─ decode ─ DataFusion: parse, plan, execute ┐
//!                                                          ├─ sums of row hashes, by bucket ─ rows of those that differ
//! published files ─ partition columns put back ────────────┘
//! ```
//!
//! 1. Between the decoder and the comparison, everything is DataFusion's, except functions, sums and arithmetic that
//!    DataFusion does not have or defines differently (`engine::job::functions`), and the order of ties ([`ties`]).
//! 2. Neither side is held in memory. It is read twice: once for the hashes and, if those differ, once for the rows.
//! 3. Nothing is changed.

mod compare;
mod datafusion_job;
mod inputs;

mod pair;
mod report;
mod settled;
mod ties;
mod work;

use std::process::ExitCode;

use clap::Parser;
use tidewater_cli::args::VerifyArgs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Recompute the tables of a job's state with another engine, and compare every row
#[derive(Debug, Parser)]
#[command(name = "tidewater-verify", bin_name = "tidewater verify")]
struct VerifyCli {
    #[command(flatten)]
    args: VerifyArgs,
}

fn main() -> ExitCode {
    let cli = VerifyCli::parse();
    tidewater_cli::exit_code(|| work::run(&cli.args))
}
