//! Timely workers that end together: when they finish, on a fault, or on a panic, which becomes a fault.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tidewater_operators::Faults;
use timely::WorkerConfig;
use timely::communication::WorkerGuards;
use timely::worker::Worker;

use super::RunError;
use crate::state;

/// Starts `workers` threads, each of which runs `body`. Dataflows that remain when `body` returns are dropped, so a
/// worker never waits for one that has died.
///
/// # Errors
/// When threads cannot be started.
pub fn start<R: Send + 'static>(
    workers: usize,
    faults: &Faults,
    body: impl Fn(&mut Worker) -> R + Send + Sync + 'static,
) -> Result<WorkerGuards<Option<R>>, RunError> {
    let config = timely::Config {
        communication: timely::CommunicationConfig::Process(workers.max(1)),
        worker: WorkerConfig::default(),
    };
    let faults = faults.clone();
    let body = Arc::new(body);
    timely::execute(config, move |worker| {
        let result = catch_unwind(AssertUnwindSafe(|| body(worker)));
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        match result {
            Ok(result) => Some(result),
            Err(panic) => {
                let told = state::panic::damage();
                let told = told.map_or_else(|| describe(panic.as_ref()), |error| error.to_string());
                faults.raise(&format!("worker {}", worker.index()), told);
                None
            }
        }
    })
    .map_err(RunError::Workers)
}

/// Waits for all workers.
///
/// # Errors
/// The first fault, or an error that a worker ended without a result.
pub fn join<R: Send + 'static>(
    guards: WorkerGuards<Option<R>>,
    faults: &Faults,
) -> Result<Vec<R>, RunError> {
    let results: Vec<Result<Option<R>, String>> = guards.join().into_iter().collect();
    if let Some(fault) = faults.first() {
        return Err(RunError::Fault(fault));
    }
    let results = results.into_iter().map(|result| match result {
        Ok(Some(result)) => Ok(result),
        Ok(None) => Err(RunError::Workers("one ended early".into())),
        Err(panic) => Err(RunError::Workers(panic)),
    });
    results.collect()
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "panicked: {}; this is a bug in Tidewater, please report it",
        text.unwrap_or("without a message")
    )
}
