//! The tokens of a statement, and places in them.

use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::variables::to_usize;
use crate::diagnostic::Place;

/// The tokens of one statement, without blanks and comments, at their places in the user's text.
#[derive(Clone)]
pub(super) struct Tokens(pub Vec<TokenWithSpan>);

/// How to find the place of a mistake. The first of several that finds something is used.
#[derive(Clone, Debug)]
pub(super) enum Find {
    /// A span that the planner knows.
    Span(datafusion_common::Span),
    /// A call of this function.
    Call(String),
    /// These words in sequence.
    Words(&'static [&'static str]),
    /// A name, quoted or not.
    Name(String),
    /// A string literal.
    Text(String),
    /// `$1` and the like.
    Placeholder(String),
}

impl Tokens {
    /// The place of the first of `finds` that is found.
    pub fn find(&self, finds: &[Find]) -> Option<Place> {
        finds.iter().find_map(|find| match find {
            Find::Span(span) => Some(place(Span::new(
                Location::new(span.start.line, span.start.column),
                Location::new(span.end.line, span.end.column),
            ))),
            Find::Call(name) => self.first(|here| {
                is_word(here, 0, name) && (here.get(1).is_some_and(|next| next.token == Token::LParen) || is_bare_call(name))
            }),
            Find::Words(words) => self.words_from(Location::new(0, 0), words),
            Find::Name(name) => self.first(|here| is_word(here, 0, name)),
            Find::Placeholder(id) => self.first(|here| matches!(&here[0].token, Token::Placeholder(given) if given == id)),
            Find::Text(text) => {
                self.first(|here| matches!(&here[0].token, Token::SingleQuotedString(s) | Token::DoubleQuotedString(s) if s == text))
            }
        })
    }

    /// The place of `name` after the keyword `after`.
    pub fn find_after(&self, after: &str, name: &str) -> Option<Place> {
        let from = self.position(|here| is_word(here, 0, after))?;
        let named = self.0[from..]
            .iter()
            .find(|t| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case(name)));
        named.map(|token| place(token.span))
    }

    /// The place of these words in sequence, at or after `from`.
    pub fn words_from(&self, from: Location, words: &[&str]) -> Option<Place> {
        let at = self.position(|here| here[0].span.start >= from && are_words(here, words))?;
        let last = self.0.get(at + words.len().saturating_sub(1))?;
        Some(place(Span::new(self.0[at].span.start, last.span.end)))
    }

    /// The text of a span, as written except for blanks.
    pub fn written(&self, span: datafusion_common::Span) -> Option<String> {
        let start = Location::new(span.start.line, span.start.column);
        let end = Location::new(span.end.line, span.end.column);
        let within = self
            .0
            .iter()
            .filter(|token| token.span.start >= start && token.span.end <= end);
        let text: String = within.map(|token| token.token.to_string()).collect();
        (!text.is_empty()).then_some(text)
    }

    /// Whether a function of this name is called at `at`.
    pub fn is_call(&self, name: &str, at: Place) -> bool {
        let called = |here: &[TokenWithSpan]| {
            place(here[0].span) == at
                && is_word(here, 0, name)
                && here.get(1).is_some_and(|next| next.token == Token::LParen)
        };
        self.position(called).is_some()
    }

    /// The place of the first token.
    pub fn start(&self) -> Place {
        self.0
            .first()
            .map(|token| place(token.span))
            .unwrap_or_default()
    }

    /// The place after the last token, where something is missing.
    pub fn end(&self) -> Place {
        self.0
            .last()
            .map(|token| place(Span::new(token.span.end, token.span.end)))
            .unwrap_or_default()
    }

    pub fn position(&self, found: impl Fn(&[TokenWithSpan]) -> bool) -> Option<usize> {
        (0..self.0.len()).find(|at| found(&self.0[*at..]))
    }

    fn first(&self, found: impl Fn(&[TokenWithSpan]) -> bool) -> Option<Place> {
        self.position(found).map(|at| place(self.0[at].span))
    }
}

fn are_words(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    words
        .iter()
        .enumerate()
        .all(|(at, word)| is_word(tokens, at, word))
}

/// Functions that are called without parentheses.
fn is_bare_call(name: &str) -> bool {
    name.to_lowercase().starts_with("current_")
}

/// Whether the token at `at` is this word, in any case.
pub(super) fn is_word(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(w)) if w.value.eq_ignore_ascii_case(word))
}

/// The place of a span. If it has several lines, the part on the first one.
pub(super) fn place(span: Span) -> Place {
    let one_line = span.start.line == span.end.line;
    let length = if one_line {
        span.end.column.saturating_sub(span.start.column)
    } else {
        1
    };
    Place {
        line: to_usize(span.start.line),
        column: to_usize(span.start.column),
        length: to_usize(length).max(1),
    }
}
