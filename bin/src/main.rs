//! `tidewater`: the command line.

use std::process::ExitCode;

use clap::Parser;
use tidewater_cli::args::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tidewater_cli::exit_code(|| tidewater_cli::dispatch(&cli.command))
}
