//! The place of messages about a view, source or sink.

use super::tokens::{Find, Tokens};
use crate::diagnostic::{Diagnostic, Place};

/// The view, source or sink that is being checked.
pub(super) struct Site<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is named, if no closer place is found.
    pub place: Place,
    /// Its text; `None` for a job built in Rust.
    pub tokens: Option<&'a Tokens>,
}

impl Site<'_> {
    /// The user's text at a span.
    pub fn written(&self, span: Option<datafusion_common::Span>) -> Option<String> {
        self.tokens?.written(span?)
    }

    /// A diagnostic at the first of `finds` that is found. Without a text, the message has the name instead.
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
