//! The state of a reader that all workers share, until the first error.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidewater_contract::error::SourceError;

/// A state that one worker at a time advances. After an error, every worker gets that error.
#[derive(Debug, Default)]
pub(super) struct Latch<S>(Mutex<Latched<S>>);

#[derive(Debug, Default)]
struct Latched<S> {
    state: S,
    failed: Option<SourceError>,
}

impl<S> Latch<S> {
    pub(super) fn new(state: S) -> Self {
        Self(Mutex::new(Latched {
            state,
            failed: None,
        }))
    }

    /// Takes a step, unless an earlier one failed.
    pub(super) fn advance<T>(
        &self,
        step: impl FnOnce(&mut S) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut latched = self.lock();
        if let Some(error) = &latched.failed {
            return Err(error.clone());
        }
        step(&mut latched.state).inspect_err(|error| latched.failed = Some(error.clone()))
    }

    /// Reads the state after the last step.
    pub(super) fn look<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Latched<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn after_an_error_there_is_no_other_step() {
        let latch = Latch::new(0);
        let step = |n: &mut i32| {
            *n += 1;
            let failed = *n == 2;
            let error = || SourceError::file(&"f".into(), "is damaged");
            if failed { Err(error()) } else { Ok(*n) }
        };
        assert_eq!(latch.advance(step).unwrap(), 1);
        for _ in 0..3 {
            let message = latch.advance(step).unwrap_err().to_string();
            assert_eq!(message, "f: is damaged");
        }
        assert_eq!(latch.look(|n| *n), 2);
    }
}
