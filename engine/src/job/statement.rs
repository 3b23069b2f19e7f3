//! Statements: cut apart at their semicolons, so that a mistake in one hides none of the others.

use datafusion_common::DataFusionError;
use datafusion_sql::parser::{
    CopyToSource, CopyToStatement, CreateExternalTable, DFParserBuilder, ParserInput,
    Statement as Parsed,
};
use datafusion_sql::sqlparser::ast::{
    CreateTableOptions, CreateView, Ident, ObjectName, Spanned, Statement as Sql,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::variables::{Substituted, to_usize};
use crate::diagnostic::{Diagnostic, Place};

/// One statement of a job.
pub(super) struct Statement {
    /// What it says.
    pub kind: Kind,
    /// The name it defines; the view it publishes, for `COPY`.
    pub name: String,
    /// Where that name stands.
    pub place: Place,
    /// Its text.
    pub tokens: Tokens,
}

/// What a statement says.
pub(super) enum Kind {
    /// `CREATE EXTERNAL TABLE`
    Source(CreateExternalTable),
    /// `CREATE [MATERIALIZED] VIEW`
    View(Box<CreateView>),
    /// `COPY name TO`
    Copy(CopyToStatement),
    /// One with a mistake that was reported; its name is known, so that nobody complains that it is missing.
    Broken,
}

/// The tokens of one statement, without blanks and comments, at their places in the user's text.
pub(super) struct Tokens(Vec<TokenWithSpan>);

/// How to find the place of what is wrong: the first of several that finds something is taken.
#[derive(Clone, Debug)]
pub(super) enum Find {
    /// A span that the planner knows.
    Span(datafusion_common::Span),
    /// A call of this function.
    Call(String),
    /// These words, one after the other.
    Words(&'static [&'static str]),
    /// A name, quoted or not.
    Name(String),
    /// A quoted text.
    Text(String),
    /// `$1` and the like.
    Placeholder(String),
    /// `(SELECT`, but where a table stands.
    Nested,
}

impl Tokens {
    /// The place of the first of `finds` that finds something.
    pub fn find(&self, finds: &[Find]) -> Option<Place> {
        finds.iter().find_map(|find| match find {
            Find::Span(span) => Some(place(Span::new(
                Location::new(span.start.line, span.start.column),
                Location::new(span.end.line, span.end.column),
            ))),
            Find::Call(name) => self.first(|here| {
                is_word(here, 0, name) && (here.get(1).is_some_and(|next| next.token == Token::LParen) || is_bare_call(name))
            }),
            Find::Words(words) => {
                let at = self.position(|here| words.iter().enumerate().all(|(i, word)| is_word(here, i, word)))?;
                let last = self.0.get(at + words.len().saturating_sub(1))?;
                Some(place(Span::new(self.0[at].span.start, last.span.end)))
            }
            Find::Name(name) => self.first(|here| is_word(here, 0, name)),
            Find::Placeholder(id) => self.first(|here| matches!(&here[0].token, Token::Placeholder(given) if given == id)),
            Find::Nested => {
                let nested = |at: &usize| {
                    let table = *at > 0 && ["FROM", "JOIN", "AS"].iter().any(|word| is_word(&self.0[at - 1..], 0, word));
                    self.0[*at].token == Token::LParen && is_word(&self.0[*at..], 1, "SELECT") && !table
                };
                (0..self.0.len()).find(nested).map(|at| place(self.0[at + 1].span))
            }
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

    /// The place of the first token.
    pub fn start(&self) -> Place {
        self.0
            .first()
            .map(|token| place(token.span))
            .unwrap_or_default()
    }

    /// The place after the last token, where something is missing.
    fn end(&self) -> Place {
        self.0
            .last()
            .map(|token| place(Span::new(token.span.end, token.span.end)))
            .unwrap_or_default()
    }

    fn position(&self, found: impl Fn(&[TokenWithSpan]) -> bool) -> Option<usize> {
        (0..self.0.len()).find(|at| found(&self.0[*at..]))
    }

    fn first(&self, found: impl Fn(&[TokenWithSpan]) -> bool) -> Option<Place> {
        self.position(found).map(|at| place(self.0[at].span))
    }
}

/// Functions that are called without parentheses.
fn is_bare_call(name: &str) -> bool {
    name.to_lowercase().starts_with("current_")
}

fn is_word(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(w)) if w.value.eq_ignore_ascii_case(word))
}

/// The place of a span; of its first line's part, where it has several.
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

/// Parses all statements; those with mistakes are reported and come back as [`Kind::Broken`] where they have a name.
pub(super) fn statements(filled: &Substituted, errors: &mut Vec<Diagnostic>) -> Vec<Statement> {
    let mut tokens = Vec::new();
    let original = |token: TokenWithSpan| TokenWithSpan {
        span: filled.original(token.span),
        ..token
    };
    let dialect = GenericDialect {};
    let end = Tokenizer::new(&dialect, &filled.text)
        .tokenize_with_location_into_buf_with_mapper(&mut tokens, original);
    let mut parts: Vec<&[TokenWithSpan]> = tokens
        .split(|token| token.token == Token::SemiColon)
        .collect();
    if let Err(error) = end {
        let at = filled.original(Span::new(error.location, error.location));
        errors.push(
            Diagnostic::new(place(at), lower_first(&error.message))
                .with_hint("close the quote or comment that begins here"),
        );
        // What comes after is lost: names in what comes before cannot be judged.
        parts.pop();
        for part in parts {
            drop(statement(part, errors));
        }
        return Vec::new();
    }
    parts
        .into_iter()
        .filter_map(|part| statement(part, errors))
        .collect()
}

fn statement(all: &[TokenWithSpan], errors: &mut Vec<Diagnostic>) -> Option<Statement> {
    let tokens: Vec<TokenWithSpan> = all
        .iter()
        .filter(|t| !matches!(t.token, Token::Whitespace(_)))
        .cloned()
        .collect();
    if tokens.is_empty() {
        return None;
    }
    let tokens = Tokens(tokens);
    let kind = parse(&tokens).unwrap_or_else(|error| {
        errors.push(error);
        Kind::Broken
    });
    match name_of(&kind, &tokens) {
        Ok((name, place)) => Some(Statement {
            kind,
            name,
            place,
            tokens,
        }),
        Err(error) => {
            errors.extend(error);
            None
        }
    }
}

/// The name that a statement defines or publishes.
fn name_of(kind: &Kind, tokens: &Tokens) -> Result<(String, Place), Option<Diagnostic>> {
    let object = match kind {
        Kind::Source(table) => &table.name,
        Kind::View(view) => &view.name,
        Kind::Copy(CopyToStatement {
            source: CopyToSource::Relation(name),
            ..
        }) => name,
        Kind::Copy(CopyToStatement {
            source: CopyToSource::Query(_),
            ..
        }) => {
            let hint = "name the query first: CREATE MATERIALIZED VIEW name AS SELECT …; then COPY name TO 'path'";
            return Err(Some(
                Diagnostic::new(tokens.start(), "COPY takes a name, not a query").with_hint(hint),
            ));
        }
        Kind::Broken => return broken_name(tokens).ok_or(None),
    };
    single_name(object).map_err(Some)
}

/// The one part of a name; jobs have no schemas.
fn single_name(object: &ObjectName) -> Result<(String, Place), Diagnostic> {
    let at = place(object.span());
    match object.0.as_slice() {
        [part] if part.as_ident().is_some() => {
            Ok((part.as_ident().map(normalize).unwrap_or_default(), at))
        }
        _ => Err(
            Diagnostic::new(at, format!("'{object}' has a schema, and jobs have none"))
                .with_hint("a job's tables and views have plain names"),
        ),
    }
}

/// The name in `CREATE … TABLE|VIEW name`, for a statement that does not parse.
fn broken_name(tokens: &Tokens) -> Option<(String, Place)> {
    if !is_word(&tokens.0, 0, "CREATE") {
        return None;
    }
    let at = tokens.position(|here| is_word(here, 0, "TABLE") || is_word(here, 0, "VIEW"))?;
    let token = tokens.0.get(at + 1)?;
    let Token::Word(word) = &token.token else {
        return None;
    };
    let ident = Ident {
        value: word.value.clone(),
        quote_style: word.quote_style,
        span: token.span,
    };
    Some((normalize(&ident), place(token.span)))
}

/// An identifier as SQL compares it: in lower case unless quoted.
pub(super) fn normalize(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_ascii_lowercase()
    }
}

fn parse(tokens: &Tokens) -> Result<Kind, Diagnostic> {
    let syntax = |error: DataFusionError| syntax_error(&error, tokens);
    let input = ParserInput::Tokens(with_known_brackets(tokens));
    let mut parser = DFParserBuilder::new(input).build().map_err(syntax)?;
    let parsed = parser.parse_statement().map_err(syntax)?;
    let next = parser.parser.peek_token();
    if next.token != Token::EOF {
        let message = format!("'{}' is not expected here", next.token);
        return Err(Diagnostic::new(place(next.span), message)
            .with_hint("is a semicolon missing before it?"));
    }
    match parsed {
        Parsed::CreateExternalTable(table) => Ok(Kind::Source(table)),
        Parsed::CopyTo(copy) => Ok(Kind::Copy(copy)),
        Parsed::Statement(sql) => match *sql {
            Sql::CreateView(view) => supported_view(view, tokens),
            other => Err(refuse(&other, tokens)),
        },
        Parsed::Explain(_) => Err(
            Diagnostic::new(tokens.start(), "EXPLAIN is no part of a job")
                .with_hint("remove it and run: tidewater explain <job>"),
        ),
        Parsed::Reset(_) => {
            Err(Diagnostic::new(tokens.start(), "RESET is no part of a job")
                .with_hint(WHAT_A_JOB_HAS))
        }
    }
}

/// The tokens with `STRUCT(a INT)` as `STRUCT<a INT>`, and `MAP<TEXT, INT>` as `MAP(TEXT, INT)`, in the columns of a
/// source: the parser's dialect knows the latter alone. In queries `struct(…)` and `map(…)` are functions, and stay.
fn with_known_brackets(tokens: &Tokens) -> Vec<TokenWithSpan> {
    let is_external = |token| is_word(std::slice::from_ref(token), 0, "EXTERNAL");
    if !is_word(&tokens.0, 0, "CREATE") || !tokens.0.iter().any(is_external) {
        return tokens.0.clone();
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.0.len());
    // What each bracket that is open is closed with.
    let mut open: Vec<Token> = Vec::new();
    for token in &tokens.0 {
        let follows = |word| {
            out.last()
                .is_some_and(|last| is_word(std::slice::from_ref(last), 0, word))
        };
        let with = |known: Token| TokenWithSpan {
            token: known,
            span: token.span,
        };
        let (known, closing) = match token.token {
            Token::LParen if follows("STRUCT") => (with(Token::Lt), Some(Token::Gt)),
            Token::LParen => (token.clone(), Some(Token::RParen)),
            Token::Lt if follows("MAP") => (with(Token::LParen), Some(Token::RParen)),
            Token::Lt => (token.clone(), Some(Token::Gt)),
            Token::RParen | Token::Gt => (open.pop().map_or_else(|| token.clone(), with), None),
            Token::ShiftRight => {
                out.push(with(open.pop().unwrap_or(Token::Gt)));
                (with(open.pop().unwrap_or(Token::Gt)), None)
            }
            _ => (token.clone(), None),
        };
        open.extend(closing);
        out.push(known);
    }
    out
}

/// Views with clauses that would say nothing here are refused rather than ignored.
fn supported_view(view: CreateView, tokens: &Tokens) -> Result<Kind, Diagnostic> {
    let clauses = [
        (view.or_alter, "OR ALTER"),
        (view.secure, "SECURE"),
        (view.temporary, "TEMPORARY"),
        (view.with_no_schema_binding, "WITH NO SCHEMA BINDING"),
        (view.copy_grants, "COPY GRANTS"),
        (view.to.is_some(), "TO"),
        (view.comment.is_some(), "COMMENT"),
        (!view.cluster_by.is_empty(), "CLUSTER BY"),
        (view.params.is_some(), "ALGORITHM, DEFINER or SECURITY"),
        (
            view.options != CreateTableOptions::None,
            "WITH (…) or OPTIONS (…)",
        ),
    ];
    match clauses.into_iter().find(|(present, _)| *present) {
        None => Ok(Kind::View(Box::new(view))),
        Some((_, clause)) => Err(Diagnostic::new(tokens.start(), format!("a view takes no {clause}"))
            .with_hint("write CREATE [MATERIALIZED] VIEW name AS SELECT …; options belong to COPY name TO … OPTIONS (…)")),
    }
}

const WHAT_A_JOB_HAS: &str =
    "a job has CREATE EXTERNAL TABLE, CREATE VIEW, CREATE MATERIALIZED VIEW and COPY … TO";

/// A statement that parses and is no part of a job.
fn refuse(statement: &Sql, tokens: &Tokens) -> Diagnostic {
    let (what, hint) = match statement {
        Sql::Query(_) => (
            "a SELECT on its own has nowhere to go",
            "write CREATE MATERIALIZED VIEW name AS SELECT …; and COPY name TO 'path' STORED AS PARQUET",
        ),
        Sql::Insert(_) => (
            "INSERT is no part of a job: tables hold what their sources say",
            "select the rows in a view and join them in with UNION ALL",
        ),
        Sql::CreateTable(table) if table.query.is_some() => (
            "CREATE TABLE … AS is no part of a job",
            "write CREATE MATERIALIZED VIEW name AS SELECT …",
        ),
        Sql::CreateTable(_) => (
            "CREATE TABLE is no part of a job: a table here is a source",
            "write CREATE EXTERNAL TABLE name (…) STORED AS CSV LOCATION 'path'",
        ),
        Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) => (
            "tables are maintained from their sources, not changed by statements",
            "change the source's files and run the job again",
        ),
        Sql::Drop { .. } => (
            "DROP is no part of a job",
            "remove the statement that creates it",
        ),
        Sql::Set(_) => (
            "SET is no part of a job",
            "a setting of one run is --set name=value, read as ${name}",
        ),
        _ => ("this statement is no part of a job", WHAT_A_JOB_HAS),
    };
    Diagnostic::new(tokens.start(), what).with_hint(hint)
}

fn syntax_error(error: &DataFusionError, tokens: &Tokens) -> Diagnostic {
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
    let (message, at) = match text.split_once(" at Line: ") {
        Some((message, rest)) => (message.to_owned(), location(rest)),
        None => (text, None),
    };
    let at = at
        .and_then(|at| tokens.position(|here| here[0].span.start == at))
        .map(|at| place(tokens.0[at].span));
    let diagnostic = Diagnostic::new(at.unwrap_or_else(|| tokens.end()), lower_first(&message));
    match syntax_hint(&message) {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

fn syntax_hint(message: &str) -> Option<&'static str> {
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
