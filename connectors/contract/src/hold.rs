//! Deliveries that are held: set aside as a whole because they break rules of the job.
//!
//! 1. Whether a delivery is held depends on its own rows, on the rules, and on what a person accepted. Other deliveries
//!    do not matter.

use serde::{Deserialize, Serialize};

/// Why a delivery is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReason {
    /// The fingerprint of all rules by which it was judged.
    pub rules: String,
    /// The rules that it breaks, without those that a person accepted.
    pub broken: Vec<BrokenRule>,
    /// The commit that holds its content first; `None` without a state.
    pub since: Option<HeldSince>,
}

/// A rule that a held delivery breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRule {
    /// Its name.
    pub rule: String,
    /// The rows that break it.
    pub broken: u64,
    /// The rows that it was checked on.
    pub rows: u64,
    /// The limit that is exceeded, as a phrase.
    pub limit: String,
}

/// The commit that began to hold a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSince {
    /// Its epoch.
    pub epoch: u64,
    /// When it was made, in seconds since 1970.
    pub at_s: u64,
}

/// A delivery that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldDelivery {
    /// Its name.
    pub name: String,
    /// Why.
    pub hold: HoldReason,
}

/// Judges deliveries by their rows.
pub trait JudgeDeliveries: Send + Sync {
    /// Why a delivery is held, once all its rows were decoded; `None` if it breaks no rule. It is given by its index
    /// among the reader's deliveries, and by its name.
    fn verdict(&self, delivery: usize, name: &str) -> Option<HoldReason>;
}

impl HoldReason {
    /// What it breaks, as a sentence. It does not depend on the runs in which the delivery was judged.
    pub fn reason(&self) -> String {
        let broken = self.broken.iter().map(|one| {
            let (breaks, limit) = (if one.broken == 1 { "breaks" } else { "break" }, &one.limit);
            format!(
                "assertion {}: {} of {} rows {breaks} it; the limit is {limit}",
                one.rule, one.broken, one.rows
            )
        });
        broken.collect::<Vec<_>>().join(", and ")
    }
}
