//! Replaces `${name}` and `${name:-default}` before the text is parsed.
//!
//! Within quotes, a value is text, and quotes in it are doubled. Elsewhere it is inserted as SQL, and must be
//! complete: it may not leave a quote open, and may not contain a comment or a semicolon. Comments of the job are not
//! changed. `$${` is a literal `${`. [`Substituted::original`] maps a place in the filled text to the user's text, so
//! that every message points at a line that exists there.

use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, Tokenizer, Whitespace};

use crate::diagnostic::{Diagnostic, Place};

/// A text with its variables filled in.
pub(super) struct Substituted {
    /// The filled text.
    pub text: String,
    /// Where unknown or malformed variables stand.
    pub errors: Vec<Diagnostic>,
    /// Parts of `text` in its order; the first begins at 1:1.
    parts: Vec<TemplatePart>,
}

/// A part of the filled text: copied from the original, or inserted for a variable.
struct TemplatePart {
    /// Where it begins in the filled text.
    filled: Location,
    /// Where it, or the variable that it replaces, begins in the original.
    original: Location,
    /// For a variable, where that ends in the original.
    replaces_until: Option<Location>,
}

impl Substituted {
    /// The original place of a span of the filled text. If an end is inside a value, the whole variable is included.
    pub fn original(&self, span: Span) -> Span {
        if span == Span::empty() {
            return span;
        }
        Span::new(self.original_start(span.start), self.original_end(span.end))
    }

    fn original_start(&self, at: Location) -> Location {
        let part = self.parts.iter().rev().find(|part| part.filled <= at);
        part.map_or(at, |part| {
            if part.replaces_until.is_some() {
                part.original
            } else {
                part.shift(at)
            }
        })
    }

    fn original_end(&self, at: Location) -> Location {
        let part = self.parts.iter().rev().find(|part| part.filled < at);
        part.map_or(at, |part| {
            part.replaces_until.unwrap_or_else(|| part.shift(at))
        })
    }
}

impl TemplatePart {
    /// Maps a place in a copied part to the original.
    fn shift(&self, at: Location) -> Location {
        if at.line == self.filled.line {
            Location::new(
                self.original.line,
                self.original.column + (at.column - self.filled.column),
            )
        } else {
            Location::new(self.original.line + (at.line - self.filled.line), at.column)
        }
    }
}

/// Replaces the variables of `sql`. An unknown variable is reported and replaced by its own name, so that the rest
/// parses.
pub(super) fn substitute(sql: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Substituted {
    let mut filler = Filler::new(sql);
    while let Some(c) = filler.peek(0) {
        let next = filler.peek(1);
        match (c, next) {
            ('-', Some('-')) => filler.copy_until("\n"),
            ('/', Some('*')) => filler.copy_until("*/"),
            ('\'' | '"', _) => filler.quoted(c, lookup),
            _ => filler.character(None, lookup),
        }
    }
    filler.out
}

struct Filler<'a> {
    rest: &'a str,
    at: Location,
    filled: Location,
    out: Substituted,
}

impl<'a> Filler<'a> {
    fn new(sql: &'a str) -> Self {
        let start = Location::new(1, 1);
        let first = TemplatePart {
            filled: start,
            original: start,
            replaces_until: None,
        };
        let out = Substituted {
            text: String::with_capacity(sql.len()),
            errors: Vec::new(),
            parts: vec![first],
        };
        Self {
            rest: sql,
            at: start,
            filled: start,
            out,
        }
    }

    fn peek(&self, n: usize) -> Option<char> {
        self.rest.chars().nth(n)
    }

    /// Copies one character, or replaces the variable that begins here, within quotes or outside.
    fn character(&mut self, quote: Option<char>, lookup: &dyn Fn(&str) -> Option<String>) {
        if self.rest.starts_with("$${") {
            self.replace("$${".len(), "${");
        } else if self.rest.starts_with("${") {
            self.variable(quote, lookup);
        } else {
            self.copy(self.rest.chars().next().map_or(0, char::len_utf8));
        }
    }

    /// A quoted literal or identifier, in which comments have no meaning. A doubled quote ends one and begins the
    /// next, which gives the same result.
    fn quoted(&mut self, quote: char, lookup: &dyn Fn(&str) -> Option<String>) {
        self.copy(quote.len_utf8());
        while let Some(c) = self.peek(0) {
            if c == quote {
                return self.copy(quote.len_utf8());
            }
            self.character(Some(quote), lookup);
        }
    }

    fn copy_until(&mut self, end: &str) {
        let length = self
            .rest
            .find(end)
            .map_or(self.rest.len(), |start| start + end.len());
        self.copy(length);
    }

    fn variable(&mut self, quote: Option<char>, lookup: &dyn Fn(&str) -> Option<String>) {
        let line = self.rest.split('\n').next().unwrap_or_default();
        let Some(close) = line.find('}') else {
            self.report(
                "${".len(),
                "this variable is not closed",
                "write ${name} or ${name:-default}; $${ is a plain ${",
            );
            return self.copy("${".len());
        };
        let length = close + 1;
        let (name, default) = match line["${".len()..close].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&line["${".len()..close], None),
        };
        match value(name, default, quote, lookup) {
            Ok(value) => self.replace(length, &value),
            Err(Unfilled {
                message,
                hint,
                instead,
            }) => {
                self.report(length, &message, &hint);
                self.replace(length, instead);
            }
        }
    }

    fn report(&mut self, length: usize, message: &str, hint: &str) {
        let length = self.rest[..length].chars().count();
        let place = Place {
            line: to_usize(self.at.line),
            column: to_usize(self.at.column),
            length,
        };
        self.out
            .errors
            .push(Diagnostic::new(place, message).with_hint(hint));
    }

    fn copy(&mut self, length: usize) {
        let (copied, rest) = self.rest.split_at(length);
        self.at = advance(self.at, copied);
        self.filled = advance(self.filled, copied);
        self.out.text.push_str(copied);
        self.rest = rest;
    }

    fn replace(&mut self, length: usize, value: &str) {
        let (variable, rest) = self.rest.split_at(length);
        let until = advance(self.at, variable);
        if !value.is_empty() {
            self.out.parts.push(TemplatePart {
                filled: self.filled,
                original: self.at,
                replaces_until: Some(until),
            });
        }
        self.out.text.push_str(value);
        self.filled = advance(self.filled, value);
        self.at = until;
        self.rest = rest;
        self.out.parts.push(TemplatePart {
            filled: self.filled,
            original: self.at,
            replaces_until: None,
        });
    }
}

/// Why a variable could not be replaced, and a placeholder so that the rest parses.
struct Unfilled<'a> {
    message: String,
    hint: String,
    instead: &'a str,
}

/// A variable's value, in the form that the surrounding SQL needs.
fn value<'a>(
    name: &'a str,
    default: Option<&str>,
    quote: Option<char>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Unfilled<'a>> {
    if !is_name(name) {
        return Err(Unfilled {
            message: format!("'{name}' is not a variable's name"),
            hint: "names are letters, digits and _; write ${name} or ${name:-default}".to_owned(),
            instead: "unnamed",
        });
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(Unfilled {
            message: format!("the default of '{name}' holds another variable"),
            hint: format!(
                "write a plain default, ${{{name}:-value}}, and give the other with --set"
            ),
            instead: name,
        });
    }
    let given = lookup(name);
    let text = match (&given, default) {
        (Some(given), _) => given.clone(),
        // A default is SQL already. Within quotes, its own quotes are doubled, or must be.
        (None, Some(default)) => quote.map_or_else(
            || default.to_owned(),
            |quote| default.replace(&doubled(quote), &quote.to_string()),
        ),
        (None, None) => {
            return Err(Unfilled {
                message: format!("variable '{name}' has no value"),
                hint: format!("give it with --set {name}=value, or a default: ${{{name}:-value}}"),
                instead: name,
            });
        }
    };
    match quote {
        Some(quote) => Ok(text.replace(quote, &doubled(quote))),
        None => match not_whole(&text) {
            Some(what) => Err(Unfilled {
                message: format!("the value of '{name}' {what}: {text}"),
                hint: format!(
                    "write '${{{name}}}', in quotes, for a text; else give SQL that is whole on its own"
                ),
                instead: name,
            }),
            None => Ok(text),
        },
    }
}

fn doubled(quote: char) -> String {
    format!("{quote}{quote}")
}

/// The mistake in a value that is inserted as SQL, if it is not complete.
fn not_whole(text: &str) -> Option<&'static str> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else {
        return Some("opens a quote that it does not close");
    };
    tokens.iter().find_map(|token| match token {
        Token::SemiColon => Some("holds a semicolon"),
        Token::Whitespace(
            Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_),
        ) => Some("holds a comment"),
        _ => None,
    })
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn advance(mut at: Location, text: &str) -> Location {
    for c in text.chars() {
        if c == '\n' {
            at = Location::new(at.line + 1, 1);
        } else {
            at.column += 1;
        }
    }
    at
}

/// A line or column as an index; they count characters of a text in memory.
pub(super) fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "input" => Some("data/in".to_owned()),
            "two_lines" => Some("a\nbb".to_owned()),
            "empty" => Some(String::new()),
            "apostrophe" => Some("it's".to_owned()),
            "quote" => Some("5\" pipe".to_owned()),
            "condition" => Some("name = 'x; -- y'".to_owned()),
            "statements" => Some("1; DROP TABLE t".to_owned()),
            "comment" => Some("1 -- one".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn text_is_filled() {
        let cases = [
            ("SELECT 1", "SELECT 1"),
            ("'${input}/*.csv'", "'data/in/*.csv'"),
            ("${input:-x}", "data/in"),
            ("${other:-x y}", "x y"),
            ("${other:-}", ""),
            ("a${empty}b", "ab"),
            ("$${input} $ $$ {}", "${input} $ $$ {}"),
            ("-- ${other}\n${input}", "-- ${other}\ndata/in"),
            ("/* ${other} */ ${input}", "/* ${other} */ data/in"),
            ("'-- ${input}' -- ${other}", "'-- data/in' -- ${other}"),
            ("'it''s ${input}'", "'it''s data/in'"),
            ("\"/* ${input}\"", "\"/* data/in\""),
            ("'${apostrophe}'", "'it''s'"),
            ("'${quote}'", "'5\" pipe'"),
            ("\"${quote}\"", "\"5\"\" pipe\""),
            ("\"${apostrophe}\"", "\"it's\""),
            ("'${other:-it''s}'", "'it''s'"),
            ("'${other:-it's}'", "'it''s'"),
            ("WHERE ${condition}", "WHERE name = 'x; -- y'"),
        ];
        for (sql, expected) in cases {
            let filled = substitute(sql, &lookup);
            assert_eq!(filled.text, expected, "{sql}");
            assert_eq!(filled.errors, [], "{sql}");
        }
    }

    #[test]
    fn mistakes_are_at_their_place() {
        let cases = [
            (
                "SELECT\n  '${other}'",
                (2, 4, 8),
                "'other' has no value",
                "--set other=value",
            ),
            (
                "'신용' ${other}",
                (1, 6, 8),
                "'other' has no value",
                "${other:-value}",
            ),
            ("${}", (1, 1, 3), "'' is not a variable's name", "${name}"),
            ("${a b}", (1, 1, 6), "'a b' is not", "letters"),
            ("x ${abc\n}", (1, 3, 2), "not closed", "$${"),
            (
                "x = ${apostrophe}",
                (1, 5, 13),
                "the value of 'apostrophe' opens a quote that it does not close: it's",
                "'${apostrophe}'",
            ),
            (
                "${statements}",
                (1, 1, 13),
                "holds a semicolon",
                "in quotes",
            ),
            ("${comment}", (1, 1, 10), "holds a comment", "in quotes"),
            ("'${a:-${b}}'", (1, 2, 9), "holds another variable", "--set"),
        ];
        for (sql, (line, column, length), message, hint) in cases {
            let errors = substitute(sql, &lookup).errors;
            assert_eq!(errors.len(), 1, "{sql}");
            let error = &errors[0];
            assert_eq!(
                (error.line, error.column, error.length),
                (line, column, length),
                "{sql}"
            );
            assert!(error.message.contains(message), "{sql}: {}", error.message);
            assert!(
                error.hint.as_deref().is_some_and(|h| h.contains(hint)),
                "{sql}: {:?}",
                error.hint
            );
        }
    }

    #[test]
    fn places_lead_back_to_the_original() {
        // (original, what to look for in the filled text, its span in the original)
        let cases = [
            ("a ${input} b", "b", ((1, 12), (1, 13))),
            ("a ${input} b", "data", ((1, 3), (1, 11))),
            ("a '${input}/x' b", "'data/in/x'", ((1, 3), (1, 15))),
            ("${two_lines} c\n d", "c", ((1, 14), (1, 15))),
            ("${two_lines} c\n d", "d", ((2, 2), (2, 3))),
            ("a${empty} b", "b", ((1, 11), (1, 12))),
            ("a${empty} b", "a", ((1, 1), (1, 2))),
            ("$${x} b", "b", ((1, 7), (1, 8))),
        ];
        for (sql, needle, (start, end)) in cases {
            let filled = substitute(sql, &lookup);
            let before = filled.text.find(needle).map(|at| &filled.text[..at]);
            let from = advance(Location::new(1, 1), before.expect(sql));
            let span = filled.original(Span::new(from, advance(from, needle)));
            assert_eq!(
                (span.start.line, span.start.column),
                start,
                "{sql}: {needle}"
            );
            assert_eq!((span.end.line, span.end.column), end, "{sql}: {needle}");
        }
        assert_eq!(
            substitute("${input}", &lookup).original(Span::empty()),
            Span::empty()
        );
    }
}
