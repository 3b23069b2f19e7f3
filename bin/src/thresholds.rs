//! The sizes from which on a state and its tables are kept in another way.

use tidewater_engine::Thresholds;

/// The thresholds of the release build. In a debug build, tests make them small by `TIDEWATER_TINY`: the value
/// `state` for the state only, any other value for tables too.
pub fn of_process() -> Thresholds {
    let tiny = std::env::var("TIDEWATER_TINY").ok();
    match tiny.as_deref().filter(|_| cfg!(debug_assertions)) {
        None => Thresholds::default(),
        Some("state") => Thresholds::SMALL_STATE,
        Some(_) => Thresholds::SMALL,
    }
}
