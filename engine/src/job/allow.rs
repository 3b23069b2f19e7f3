//! Problems that a run refuses by default and can be told to accept once.

use tidewater_connectors::format::options::{MAX_WITHDRAWN_RATIO, ON_BAD_FILE};

use super::Job;

/// A problem that a run refuses by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Bad files, which are set aside, and topics without a readable message.
    BadFiles,
    /// Sources that lose most of their files.
    Withdrawn,
}

impl Job {
    /// Accepts a problem in runs of the job, as an option of each source would. The state does not depend on it.
    pub fn allow(&mut self, allowance: Allowance) {
        let (option, value) = match allowance {
            Allowance::BadFiles => (ON_BAD_FILE, "quarantine"),
            Allowance::Withdrawn => (MAX_WITHDRAWN_RATIO, "1"),
        };
        for source in &mut self.sources {
            let options = &mut source.spec.options;
            options.remove(&format!("format.{option}"));
            options.insert(option.to_owned(), value.to_owned());
        }
    }
}
