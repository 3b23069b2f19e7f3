//! The clock. Libraries read no clock; commands pass the time to them.

use std::time::{Duration, SystemTime};

/// The time since 1970.
pub fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}
