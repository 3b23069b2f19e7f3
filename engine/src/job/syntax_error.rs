//! The parser's errors, with what to write instead.

use datafusion_common::DataFusionError;
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::phrasebook;
use super::phrasebook::WHAT_A_JOB_HAS;
use super::tokens::{Tokens, is_word, place};
use crate::diagnostic::{Diagnostic, Place};

/// The diagnostic of a statement that does not parse.
pub(super) fn syntax_error(error: &DataFusionError, tokens: &Tokens) -> Diagnostic {
    let ParserMessage { text, at } = ParserMessage::of(error, tokens);
    if text.contains("recursion limit") || text.contains("RecursionLimitExceeded") {
        return Diagnostic::new(tokens.start(), "this statement is nested too deep").with_hint(
            "give inner parts views of their own, or write long chains of OR as IN (…)",
        );
    }
    if let Some(foreign) = foreign_clause(tokens) {
        return foreign;
    }
    let diagnostic = Diagnostic::new(at.unwrap_or_else(|| tokens.end()), lower_first(&text));
    match hint(&text) {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

/// The error about text after the end of a statement.
pub(super) fn trailing(next: &TokenWithSpan, tokens: &Tokens) -> Diagnostic {
    if let Some(foreign) = foreign_clause(tokens) {
        return foreign;
    }
    let is_copy = is_word(&tokens.0, 0, "COPY");
    let (message, hint) = match &next.token {
        Token::LParen | Token::Word(_) if is_copy => (
            format!("'{}' is not expected here", next.token),
            "COPY is written COPY name TO 'path' STORED AS PARQUET PARTITIONED BY (day) OPTIONS ('compression' 'zstd')",
        ),
        _ => (
            format!("'{}' is not expected here", next.token),
            "is a semicolon missing before it?",
        ),
    };
    Diagnostic::new(place(next.span), message).with_hint(hint)
}

/// The error about a clause of another system, if that is why the statement does not parse.
fn foreign_clause(tokens: &Tokens) -> Option<Diagnostic> {
    tokens.0.iter().enumerate().find_map(|(at, token)| {
        let Token::Word(word) = &token.token else {
            return None;
        };
        let name = word.value.to_ascii_uppercase();
        let (message, hint) = phrasebook::instead_of_clause(&name)?;
        let next = tokens.0.get(at + 1).map(|next| &next.token);
        let fits = match name.as_str() {
            "ASOF" | "EMIT" | "WATERMARK" => matches!(next, Some(Token::Word(_))),
            _ => next == Some(&Token::LParen),
        };
        (word.quote_style.is_none() && fits)
            .then(|| Diagnostic::new(place(token.span), message).with_hint(hint))
    })
}

/// The parser's message and place.
struct ParserMessage {
    text: String,
    at: Option<Place>,
}

impl ParserMessage {
    fn of(error: &DataFusionError, tokens: &Tokens) -> Self {
        let text = error.strip_backtrace();
        let text = ["SQL error: ", "ParserError(\"", "TokenizerError(\""]
            .iter()
            .fold(text.as_str(), |text, prefix| {
                text.strip_prefix(prefix).unwrap_or(text)
            });
        let text = text
            .strip_suffix("\")")
            .unwrap_or(text)
            .replace("\\\"", "\"")
            .replace("\\'", "'");
        let Some((message, rest)) = text.split_once(" at Line: ") else {
            return Self { text, at: None };
        };
        let begins = location(rest).and_then(|at| tokens.position(|here| here[0].span.start == at));
        Self {
            text: message.to_owned(),
            at: begins.map(|at| place(tokens.0[at].span)),
        }
    }
}

fn hint(message: &str) -> Option<&'static str> {
    let hints = [
        ("Missing STORED AS", "add STORED AS CSV, JSON or PARQUET"),
        (
            "Missing LOCATION",
            "add LOCATION 'path', a file, a directory or a glob",
        ),
        ("Missing TO", "write COPY name TO 'path' STORED AS PARQUET"),
        ("an SQL statement", WHAT_A_JOB_HAS),
        (
            "found: EOF",
            "the statement ends too early: is something missing before the semicolon?",
        ),
    ];
    hints
        .into_iter()
        .find(|(part, _)| message.contains(part))
        .map(|(_, hint)| hint)
}

/// Reads `12, Column: 7…`.
fn location(text: &str) -> Option<Location> {
    let (line, rest) = text.split_once(", Column: ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(Location::new(
        line.trim().parse().ok()?,
        column.parse().ok()?,
    ))
}

/// A message as the middle of a sentence.
pub(super) fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first
            .to_lowercase()
            .chain(message.chars().skip(1))
            .collect(),
        _ => message.to_owned(),
    }
}
