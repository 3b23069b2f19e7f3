//! Logs to standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::style::Style;

/// Starts logging: warnings by default, the engine and its operators with `verbose`, or what `RUST_LOG` says if it is
/// set. Returns whether more than warnings will be logged, so that progress does not interfere.
pub fn start(verbose: bool) -> Result<bool, Failure> {
    let asked = std::env::var("RUST_LOG")
        .ok()
        .filter(|value| !value.is_empty());
    let default = if verbose {
        "info,tidewater=debug,tidewater_engine=debug,tidewater_operators=debug,tidewater_connectors=debug"
    } else {
        "warn"
    };
    let filter = EnvFilter::builder().parse(asked.as_deref().unwrap_or(default)).map_err(|error| {
        Failure::usage(format!("RUST_LOG is not a log filter: {error}.\nWrite for example RUST_LOG=info,tidewater_engine=debug."))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(Style::stderr().is_coloured())
        .init();
    Ok(verbose || asked.is_some())
}
