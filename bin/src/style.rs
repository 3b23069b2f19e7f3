//! The style of text on a stream: in colour on a terminal, and no wider than the terminal.

use std::io::IsTerminal;

use console::Term;

/// The width of text without a terminal.
const WIDTH: usize = 120;

/// The least width that text is fitted to.
const WIDTH_MIN: usize = 40;

/// The style of text on a stream.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    coloured: bool,
    width: usize,
}

impl Style {
    /// Without colour, as in a file.
    #[cfg(test)]
    pub const PLAIN: Self = Self {
        coloured: false,
        width: WIDTH,
    };

    /// For standard output.
    pub fn stdout() -> Self {
        Self::new(&std::io::stdout(), &Term::stdout())
    }

    /// For standard error.
    pub fn stderr() -> Self {
        Self::new(&std::io::stderr(), &Term::stderr())
    }

    /// `NO_COLOR` (not empty) and dumb terminals are honoured.
    fn new(stream: &impl IsTerminal, term: &Term) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let is_terminal = stream.is_terminal();
        let columns = is_terminal.then(|| term.size_checked()).flatten();
        Self {
            coloured: !refused && is_terminal,
            width: columns.map_or(WIDTH, |(_, columns)| usize::from(columns).max(WIDTH_MIN)),
        }
    }

    /// The same colours at another width.
    #[cfg(test)]
    #[must_use]
    pub fn with_width(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// Whether colours are on.
    pub fn is_coloured(self) -> bool {
        self.coloured
    }

    /// Display columns of a line.
    pub fn width(self) -> usize {
        self.width
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

    /// Colours the words `error` and `warning` at the beginning of diagnostics.
    pub fn diagnostics(self, text: &str) -> String {
        let line = |line: &str| match line.split_once(':') {
            Some(("error", rest)) => format!("{}{rest}", self.red("error:")),
            Some(("warning", rest)) => format!("{}{rest}", self.yellow("warning:")),
            _ => line.to_owned(),
        };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_are_coloured_where_they_begin() {
        let text = "error: no such column\n  --> job.sql:1:8\n   = hint: error: is no column\n\nwarning: w\n";
        assert_eq!(Style::PLAIN.diagnostics(text), text);
        let coloured = Style {
            coloured: true,
            ..Style::PLAIN
        };
        assert_eq!(
            coloured.diagnostics(text),
            "\x1b[1;31merror:\x1b[0m no such column\n  --> job.sql:1:8\n   = hint: error: is no column\n\n\
             \x1b[1;33mwarning:\x1b[0m w\n"
        );
    }
}
