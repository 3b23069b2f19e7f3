//! Colour, where a person reads: on a terminal, unless `NO_COLOR` is set.

use std::io::IsTerminal;

/// Whether to colour a stream.
#[derive(Clone, Copy, Debug)]
pub struct Style(bool);

impl Style {
    /// Never coloured.
    #[cfg(test)]
    pub const PLAIN: Self = Self(false);

    /// For a stream: `NO_COLOR` (not empty) and dumb terminals are honoured.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self(!refused && stream.is_terminal())
    }

    /// Whether colours are on.
    pub fn is_coloured(self) -> bool {
        self.0
    }

    /// Errors.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Warnings.
    pub fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Asides.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
