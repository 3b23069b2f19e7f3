//! Where a message about a view belongs.

use super::tokens::{Find, Tokens};
use crate::diagnostic::{Diagnostic, Place};

/// The view, source or sink that is being looked at.
pub(super) struct Site<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is named, should nothing nearer be found.
    pub place: Place,
    /// Its text; none for a job built in Rust.
    pub tokens: Option<&'a Tokens>,
}

impl Site<'_> {
    /// What the user wrote at a span.
    pub fn written(&self, span: Option<datafusion_common::Span>) -> Option<String> {
        self.tokens?.written(span?)
    }

    /// A diagnostic at the first of `finds` that finds something. Without a text, the name is said instead.
    pub fn diagnostic(&self, finds: &[Find], message: impl AsRef<str>) -> Diagnostic {
        match self.tokens {
            Some(tokens) => {
                Diagnostic::new(tokens.find(finds).unwrap_or(self.place), message.as_ref())
            }
            None => Diagnostic::new(
                Place::default(),
                format!("{}: {}", self.name, message.as_ref()),
            ),
        }
    }
}
