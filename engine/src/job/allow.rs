//! Problems that a run refuses by default and can be told to accept once.

use tidewater_connectors::format::options::{MAX_WITHDRAWN_RATIO, ON_BAD_FILE};

use super::suggest::nearest;
use super::{Acceptance, Job};

/// A problem that a run refuses by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Bad files, which are set aside, and topics without a readable message.
    BadFiles,
    /// Sources that lose most of their files.
    Withdrawn,
}

/// A failure that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The job has no such assertion.
    #[error("the job has no assertion {name}; {hint}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// Which ones it has.
        hint: String,
    },
    /// The assertion is judged as a whole.
    #[error(
        "assertion {0} is judged as a whole and not by delivery: accept it without one, --accept {0}"
    )]
    Whole(String),
}

impl Job {
    /// Lets runs of the job publish although an assertion fails.
    ///
    /// # Errors
    /// When the job has no such assertion, or it is judged as a whole and a delivery is given.
    pub fn accept(&mut self, name: &str, acceptance: Acceptance) -> Result<(), AcceptError> {
        let names: Vec<String> = self.assertions.iter().map(|one| one.name.clone()).collect();
        let mut assertions = self.assertions.iter_mut();
        let Some(assertion) = assertions.find(|assertion| assertion.name == name) else {
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None if names.is_empty() => "it has none".to_owned(),
                None => format!("it has {}", names.join(", ")),
            };
            let name = name.to_owned();
            return Err(AcceptError::Unknown { name, hint });
        };
        if acceptance.delivery.is_some() && assertion.by.is_none() {
            return Err(AcceptError::Whole(name.to_owned()));
        }
        assertion.accepted.push(acceptance);
        Ok(())
    }

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
