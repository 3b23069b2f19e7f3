//! Splits a text into statements at semicolons, so that a mistake in one statement does not hide others.

use datafusion_common::DataFusionError;
use datafusion_sql::parser::{
    CopyToSource, CopyToStatement, CreateExternalTable, DFParser, DFParserBuilder, ParserInput,
    Statement as Parsed,
};
use datafusion_sql::sqlparser::ast::{
    CreateTableOptions, CreateView, Ident, ObjectName, Spanned, Statement as Sql,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

use super::adapt::adapted;
use super::assertion::{self, ParsedAssertion, add_views, is_assertion};
use super::phrasebook::WHAT_A_JOB_HAS;
use super::site::Site;
use super::syntax_error::{lower_first, syntax_error, trailing};
use super::tokens::{Tokens, is_word, place};
use super::variables::Substituted;
use crate::diagnostic::{Diagnostic, Place};

/// One statement of a job.
pub(super) struct Statement {
    /// Its parsed form.
    pub kind: StatementKind,
    /// The name that it defines, or for `COPY` the view that it publishes.
    pub name: String,
    /// The place of that name.
    pub place: Place,
    /// Its text.
    pub tokens: Tokens,
}

impl Statement {
    /// The place of messages about it.
    pub fn site(&self) -> Site<'_> {
        Site {
            name: &self.name,
            place: self.place,
            tokens: Some(&self.tokens),
        }
    }
}

/// The parsed form of a statement.
pub(super) enum StatementKind {
    /// `CREATE EXTERNAL TABLE`
    Source(CreateExternalTable),
    /// `CREATE [MATERIALIZED] VIEW`
    View(Box<CreateView>),
    /// `CREATE ASSERTION`
    Assertion(Box<ParsedAssertion>),
    /// The view that counts the rules on one relation together, if there are several.
    Shared(Box<CreateView>),
    /// The view of all assertions' results, which a job with assertions has without declaring it.
    Quality(Box<CreateView>),
    /// `COPY name TO`
    Copy(CopyToStatement),
    /// A statement with a reported mistake. Its name is known, so that readers of it are not reported.
    Broken,
}

impl StatementKind {
    /// The view that the statement defines. That of an assertion counts what breaks the rule. Assertions that share a
    /// view define none.
    pub fn view(&self) -> Option<&CreateView> {
        match self {
            Self::View(view) | Self::Shared(view) | Self::Quality(view) => Some(view),
            Self::Assertion(assertion) => {
                Some(&assertion.view).filter(|_| assertion.shared.is_none())
            }
            Self::Source(_) | Self::Copy(_) | Self::Broken => None,
        }
    }

    /// The assertion that the statement creates.
    pub fn assertion(&self) -> Option<&ParsedAssertion> {
        match self {
            Self::Assertion(assertion) => Some(assertion),
            _ => None,
        }
    }
}

/// Parses all statements. Statements with mistakes are reported, and returned as [`StatementKind::Broken`] if they have a
/// name.
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
        // The rest of the text is lost, so unknown names before it cannot be judged.
        parts.pop();
        for part in parts {
            drop(statement(part, errors));
        }
        return Vec::new();
    }
    let statements = parts.into_iter().filter_map(|part| statement(part, errors));
    let mut statements: Vec<Statement> = statements.collect();
    add_views(&mut statements);
    statements
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
        StatementKind::Broken
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
fn name_of(kind: &StatementKind, tokens: &Tokens) -> Result<(String, Place), Option<Diagnostic>> {
    let object = match kind {
        StatementKind::Source(table) => &table.name,
        StatementKind::View(view) | StatementKind::Shared(view) | StatementKind::Quality(view) => {
            &view.name
        }
        StatementKind::Assertion(assertion) => &assertion.created.name,
        StatementKind::Copy(CopyToStatement {
            source: CopyToSource::Relation(name),
            ..
        }) => name,
        StatementKind::Copy(CopyToStatement {
            source: CopyToSource::Query(_),
            ..
        }) => {
            let hint = "name the query first: CREATE MATERIALIZED VIEW name AS SELECT …; then COPY name TO 'path'";
            return Err(Some(
                Diagnostic::new(tokens.start(), "COPY takes a name, not a query").with_hint(hint),
            ));
        }
        StatementKind::Broken => return broken_name(tokens).ok_or(None),
    };
    single_name(object).map_err(Some)
}

/// The only part of a name, since jobs have no schemas.
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

/// The name in `CREATE … TABLE|VIEW|ASSERTION name`, for a statement that does not parse.
fn broken_name(tokens: &Tokens) -> Option<(String, Place)> {
    if !is_word(&tokens.0, 0, "CREATE") {
        return None;
    }
    let kinds = ["TABLE", "VIEW", "ASSERTION"];
    let at = tokens.position(|here| kinds.iter().any(|kind| is_word(here, 0, kind)))?;
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

/// An identifier by SQL's rule: in lower case unless quoted.
pub(super) fn normalize(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_ascii_lowercase()
    }
}

fn parse(tokens: &Tokens) -> Result<StatementKind, Diagnostic> {
    let syntax = |error: DataFusionError| syntax_error(&error, tokens);
    let input = ParserInput::Tokens(adapted(tokens));
    let mut parser = DFParserBuilder::new(input).build().map_err(syntax)?;
    if is_assertion(tokens) {
        let created = assertion::parse(&mut parser).map_err(|error| syntax(error.into()))?;
        no_trailing(&mut parser, tokens)?;
        let assertion = ParsedAssertion::of(created, tokens)?;
        return Ok(StatementKind::Assertion(Box::new(assertion)));
    }
    let parsed = parser.parse_statement().map_err(syntax)?;
    no_trailing(&mut parser, tokens)?;
    match parsed {
        Parsed::CreateExternalTable(table) => Ok(StatementKind::Source(table)),
        Parsed::CopyTo(copy) => Ok(StatementKind::Copy(copy)),
        Parsed::Statement(sql) => match *sql {
            Sql::CreateView(view) => supported_view(view, tokens),
            other => Err(refuse(&other, tokens)),
        },
        Parsed::Explain(_) => Err(Diagnostic::new(
            tokens.start(),
            "EXPLAIN is not allowed in a job",
        )
        .with_hint("remove it and run: tidewater explain <job>")),
        Parsed::Reset(_) => Err(
            Diagnostic::new(tokens.start(), "RESET is not allowed in a job")
                .with_hint(WHAT_A_JOB_HAS),
        ),
    }
}

fn no_trailing(parser: &mut DFParser<'_>, tokens: &Tokens) -> Result<(), Diagnostic> {
    let next = parser.parser.peek_token();
    match next.token {
        Token::EOF => Ok(()),
        _ => Err(trailing(&next, tokens)),
    }
}

/// Clauses of views without a meaning here are refused rather than ignored.
fn supported_view(view: CreateView, tokens: &Tokens) -> Result<StatementKind, Diagnostic> {
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
        None => Ok(StatementKind::View(Box::new(view))),
        Some((_, clause)) => Err(Diagnostic::new(tokens.start(), format!("a view takes no {clause}"))
            .with_hint("write CREATE [MATERIALIZED] VIEW name AS SELECT …; options belong to COPY name TO … OPTIONS (…)")),
    }
}

/// The error about a statement that parses but is not allowed in a job.
fn refuse(statement: &Sql, tokens: &Tokens) -> Diagnostic {
    let (what, hint) = match statement {
        Sql::Query(_) => (
            "a SELECT on its own has nowhere to go",
            "write CREATE MATERIALIZED VIEW name AS SELECT …; and COPY name TO 'path' STORED AS PARQUET",
        ),
        Sql::Insert(_) => (
            "INSERT is not allowed in a job: tables hold what their sources say",
            "select the rows in a view and join them in with UNION ALL",
        ),
        Sql::CreateTable(table) if table.query.is_some() => (
            "CREATE TABLE … AS is not allowed in a job",
            "write CREATE MATERIALIZED VIEW name AS SELECT …",
        ),
        Sql::CreateTable(_) => (
            "CREATE TABLE is not allowed in a job: a table here is a source",
            "write CREATE EXTERNAL TABLE name (…) STORED AS CSV LOCATION 'path'",
        ),
        Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) => (
            "tables are maintained from their sources, not changed by statements",
            "change the source's files and run the job again",
        ),
        Sql::Drop { .. } => (
            "DROP is not allowed in a job",
            "remove the statement that creates it",
        ),
        Sql::Set(_) => (
            "SET is not allowed in a job",
            "a setting of one run is --set name=value, read as ${name}",
        ),
        _ => ("this statement is not allowed in a job", WHAT_A_JOB_HAS),
    };
    Diagnostic::new(tokens.start(), what).with_hint(hint)
}
