//! Signals that ask the process to end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::output;

/// A flag that Ctrl-C or SIGTERM sets. A second signal ends the process at once, and the next run finishes or undoes
/// the interrupted commit.
///
/// # Errors
/// When the system refuses to register the handlers.
pub fn stopping() -> anyhow::Result<Arc<AtomicBool>> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))
            .and_then(|_| flag::register(signal, Arc::clone(&stopping)))
            .context("cannot listen to signals")?;
    }
    Ok(stopping)
}

/// Ends the process on Ctrl-C or SIGTERM, with a message that is made at that moment.
///
/// # Errors
/// When the system refuses to register the handlers.
pub fn end_with(message: impl Fn() -> &'static str + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            output::tell(&format!("\n{}\n", message()));
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
