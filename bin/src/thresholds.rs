//! The sizes from which on a state is kept in another way.

use tidewater_engine::Thresholds;

/// What users run with. In a debug build, tests make them small by `TIDEWATER_TINY`: `state` for the state's own,
/// anything else for those of tables too.
pub fn of_process() -> Thresholds {
    let tiny = std::env::var("TIDEWATER_TINY").ok();
    match tiny.as_deref().filter(|_| cfg!(debug_assertions)) {
        None => Thresholds::default(),
        Some("state") => Thresholds::SMALL_STATE,
        Some(_) => Thresholds::SMALL,
    }
}
