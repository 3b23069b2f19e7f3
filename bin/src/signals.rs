//! Signals that ask the process to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

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

/// How long a run that was asked to end is waited for: one that is stuck is ended as it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a process ends when a signal comes.
pub enum Ending {
    /// At once, with this message.
    Now(&'static str),
    /// By itself, soon: what it staged is removed first.
    Soon,
}

/// The signal that ended a process, or is about to.
#[derive(Clone, Default)]
pub struct Signalled(Arc<AtomicI32>);

impl Signalled {
    /// The exit code of a process that ended because of it.
    pub fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.0.load(Ordering::Relaxed)).unwrap_or(u8::MAX)
    }
}

/// Ends the process when Ctrl-C or SIGTERM comes, as `ending` says at that moment; at once when a second one comes.
///
/// # Errors
/// When the system refuses to register the handlers.
pub fn end_with(ending: impl Fn() -> Ending + Send + 'static) -> anyhow::Result<Signalled> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    let signalled = Signalled::default();
    let told = signalled.clone();
    thread::spawn(move || {
        let mut signals = signals.forever();
        let Some(signal) = signals.next() else {
            return;
        };
        told.0.store(signal, Ordering::Relaxed);
        match ending() {
            Ending::Now(message) => end(signal, message),
            Ending::Soon => {
                thread::spawn(move || {
                    thread::sleep(PATIENCE);
                    end(signal, STUCK);
                });
                if let Some(signal) = signals.next() {
                    end(signal, STUCK);
                }
            }
        }
    });
    Ok(signalled)
}

const STUCK: &str = "interrupted: nothing was published; the next run removes what was staged";

fn end(signal: i32, message: &str) {
    output::tell(&format!("\n{message}\n"));
    std::process::exit(128 + signal);
}
