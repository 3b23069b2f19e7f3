//! Diagnostics: all mistakes in a job at once, each with its place in the SQL and what to write instead.

use std::fmt;

/// A place in the job's text. Lines and columns count from 1; columns and lengths are in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1; 0 where there is no text (a job built in Rust).
    pub line: usize,
    /// Column of the first character, from 1.
    pub column: usize,
    /// Characters on that line.
    pub length: usize,
}

/// One mistake, or one thing worth knowing, in a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line, from 1; 0 where there is no text (a job built in Rust).
    pub line: usize,
    /// Column of the first character, from 1, in characters.
    pub column: usize,
    /// Number of characters on the line.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A diagnostic at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            line: place.line,
            column: place.column,
            length: place.length,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn sort_key(&self) -> (usize, usize, &str) {
        (self.line, self.column, &self.message)
    }
}

/// `line:column: message (hint)`, for one-line logs.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a job, in the order of the text. Displays each with its line of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    job: String,
    sql: String,
    errors: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(crate) fn new(job: &str, sql: &str, mut errors: Vec<Diagnostic>) -> Self {
        errors.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        errors.dedup();
        Self {
            job: job.to_owned(),
            sql: sql.to_owned(),
            errors,
        }
    }

    /// The errors, in the order of the text.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            f.write_str(&render(error, "error", &self.job, &self.sql))?;
            f.write_str("\n")?;
        }
        let plural = if self.errors.len() == 1 { "" } else { "s" };
        write!(f, "{} error{plural} in {}", self.errors.len(), self.job)
    }
}

/// One diagnostic with its line of `sql` and carets under the place, ending in a newline. `level` is `error` or
/// `warning`.
pub fn render(diagnostic: &Diagnostic, level: &str, job: &str, sql: &str) -> String {
    let mut out = format!("{level}: {}\n", diagnostic.message);
    let margin = diagnostic.line.to_string();
    let indent = " ".repeat(margin.len());
    if diagnostic.line == 0 {
        out.push_str(&format!("{indent}--> {job}\n"));
    } else {
        out.push_str(&format!(
            "{indent}--> {job}:{}:{}\n",
            diagnostic.line, diagnostic.column
        ));
    }
    if let Some(line) = diagnostic
        .line
        .checked_sub(1)
        .and_then(|index| sql.lines().nth(index))
    {
        let (padding, carets) = underline(line, diagnostic.column, diagnostic.length);
        out.push_str(&format!(
            "{indent} |\n{margin} | {line}\n{indent} | {padding}{carets}\n"
        ));
    }
    if let Some(hint) = &diagnostic.hint {
        let mut lines = hint.lines();
        out.push_str(&format!(
            "{indent} = hint: {}\n",
            lines.next().unwrap_or_default()
        ));
        lines.for_each(|line| out.push_str(&format!("{indent}         {line}\n")));
    }
    out
}

/// Blanks up to `column` and carets under `length` characters, as wide as a terminal shows them.
fn underline(line: &str, column: usize, length: usize) -> (String, String) {
    let before = column.saturating_sub(1);
    let padding = line
        .chars()
        .take(before)
        .map(|c| if c == '\t' { "\t" } else { &"  "[..width(c)] })
        .collect();
    let width: usize = line.chars().skip(before).take(length).map(width).sum();
    (padding, "^".repeat(width.max(1)))
}

/// Columns of a character on a terminal: two for East Asian wide characters and emoji.
fn width(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str, line: usize, column: usize, length: usize) -> String {
        let place = Place {
            line,
            column,
            length,
        };
        render(
            &Diagnostic::new(place, "wrong").with_hint("right\nor so"),
            "error",
            "job.sql",
            sql,
        )
    }

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        let expected = "error: wrong\n --> job.sql:2:8\n  |\n2 | SELECT amout\n  |        ^^^^^\n  = hint: right\n          or so\n";
        assert_eq!(shown("-- a job\nSELECT amout\n", 2, 8, 5), expected);
    }

    #[test]
    fn wide_characters_and_tabs_keep_the_caret_in_place() {
        assert!(
            shown("SELECT '신용' x", 1, 13, 1).contains("\n  |               ^\n"),
            "two wide characters before"
        );
        assert!(
            shown("SELECT '신용'", 1, 9, 2).contains("\n  |         ^^^^\n"),
            "wide characters themselves"
        );
        assert!(
            shown("\tx", 1, 2, 1).contains("\n  | \t^\n"),
            "a tab stays a tab"
        );
    }

    #[test]
    fn a_place_beyond_the_text_is_no_reason_to_fail() {
        assert!(shown("", 9, 9, 9).starts_with("error: wrong\n"));
        assert!(shown("x", 1, 80, 3).contains('^'));
        assert!(shown("x", 0, 0, 0).contains("--> job.sql\n"));
    }

    #[test]
    fn errors_are_in_the_order_of_the_text_and_counted() {
        let at = |line, column| {
            Diagnostic::new(
                Place {
                    line,
                    column,
                    length: 1,
                },
                format!("{line}:{column}"),
            )
        };
        let all = Diagnostics::new(
            "job.sql",
            "a\nb",
            vec![at(2, 1), at(1, 7), at(1, 2), at(1, 2)],
        );
        let order: Vec<&str> = all.errors().iter().map(|e| e.message.as_str()).collect();
        assert_eq!(order, ["1:2", "1:7", "2:1"]);
        assert!(all.to_string().ends_with("3 errors in job.sql"));
    }
}
