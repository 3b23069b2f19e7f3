//! Adds the deliveries that are held to the reports of the assertions that they break.

use tidewater_connectors::hold::HeldDelivery;

use super::assertions::{AssertionPart, AssertionReport};
use crate::state::AssertionVerdict;

/// The held deliveries of a source.
#[derive(Clone, Debug, Default)]
pub struct HeldOfSource {
    /// The source.
    pub source: String,
    /// The deliveries.
    pub held: Vec<HeldDelivery>,
    /// Whether all of its deliveries are set aside, so that it would have no rows.
    pub is_all: bool,
}

impl HeldOfSource {
    /// Whether nothing can be published, since nothing is left of the source.
    pub fn leaves_nothing(&self) -> bool {
        self.is_all && !self.held.is_empty()
    }
}

/// Adds held deliveries to the reports. They are failures if nothing is left of their source.
pub fn add_held(reports: &mut [AssertionReport], sources: &[HeldOfSource]) {
    for of_source in sources {
        let verdict = if of_source.leaves_nothing() {
            AssertionVerdict::Fail
        } else {
            AssertionVerdict::Held
        };
        for HeldDelivery { name, hold } in &of_source.held {
            for broken in &hold.broken {
                let mut reports = reports.iter_mut();
                let Some(report) = reports.find(|report| report.name == broken.rule) else {
                    continue;
                };
                report.verdict = report.verdict.max(verdict);
                report.parts.push(AssertionPart {
                    delivery: Some(name.clone()),
                    verdict,
                    broken: broken.broken,
                    rows: Some(broken.rows),
                    limit: Some(broken.limit.clone()),
                    because: None,
                    held_since: hold.since,
                });
            }
        }
    }
}
