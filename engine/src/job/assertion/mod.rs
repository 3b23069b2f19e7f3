//! `CREATE ASSERTION name [ON table] CHECK (condition) [OPTIONS (…)]`: a rule that is checked before every commit.
//!
//! A rule is kept like a materialized view with one row, or one for each delivery, that counts what breaks it
//! ([`query`]); the rules on one relation have such a view together ([`shared`]). The numbers are retracted with the
//! rows that they count. As in SQL, a condition that is NULL holds.

mod hold;
mod limits;
mod quality;
mod query;
mod shared;
mod views;

use arrow::datatypes::DataType;
use datafusion_sql::parser::DFParser;
use datafusion_sql::sqlparser::ast::{CreateView, Expr, ObjectName, Query, Spanned, Value};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::Token;

pub(super) use self::hold::no_hold;
pub(super) use self::limits::{Declared, ON_FAILURE, declared};
pub use self::limits::{Limit, OnFailure, Ratio, Severity};
pub use self::quality::{FAIL, QUALITY_TABLE, WARN};
use self::query::Rule;
use self::shared::ALL_ROWS;
pub(super) use self::views::add_views;
use super::statement::normalize;
use super::tokens::{Tokens, is_word, place};
use crate::diagnostic::{Diagnostic, Place};
use crate::spelling::type_name;

/// The column with the number of rows that break a rule.
pub const BROKEN_COLUMN: &str = "broken";

/// The column with the number of rows that a rule was checked on.
pub const ROWS_COLUMN: &str = "rows";

/// A rule of a job.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// Its name.
    pub name: String,
    /// The view with its counts.
    pub counts: String,
    /// The column of that view with the number of rows that break the rule.
    pub broken_column: String,
    /// Its condition, as SQL.
    pub check: String,
    /// The relation whose rows it is about; `None` for a rule about queries.
    pub on: Option<String>,
    /// The column of that relation by whose values the rule is judged; `None` if it is judged as a whole.
    pub by: Option<String>,
    /// What a broken rule means.
    pub severity: Severity,
    /// What happens when it fails.
    pub on_failure: OnFailure,
    /// How much may break the rule.
    pub limit: Limit,
    /// How much may break the rule without a warning.
    pub warn_limit: Limit,
    /// A sentence for people.
    pub describe: Option<String>,
    /// Failures that are accepted in this run.
    pub accepted: Vec<Acceptance>,
}

/// The decision to publish although a rule fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The value of the rule's `by` column; `None` for all.
    pub delivery: Option<String>,
    /// Why.
    pub because: String,
}

/// `CREATE ASSERTION` as it is written.
pub(super) struct CreateAssertion {
    pub name: ObjectName,
    pub on: Option<ObjectName>,
    pub check: Expr,
    pub options: Vec<(String, Value)>,
}

/// A parsed assertion: what is declared, and the view that counts what breaks the rule.
pub(super) struct ParsedAssertion {
    pub created: CreateAssertion,
    pub view: CreateView,
    /// A query whose only column is the rule; `None` if that is a condition in any case.
    pub condition: Option<Box<Query>>,
    /// The view that counts it together with the other rules on its relation; `None` if it has a view of its own.
    pub shared: Option<String>,
}

/// Whether a statement creates an assertion.
pub(super) fn is_assertion(tokens: &Tokens) -> bool {
    is_word(&tokens.0, 0, "CREATE") && is_word(&tokens.0, 1, "ASSERTION")
}

/// Parses `CREATE ASSERTION`.
pub(super) fn parse(parser: &mut DFParser<'_>) -> Result<CreateAssertion, ParserError> {
    let parser = &mut parser.parser;
    parser.expect_keyword(Keyword::CREATE)?;
    parser.next_token();
    let name = parser.parse_object_name(false)?;
    let on = parser.parse_keyword(Keyword::ON);
    let on = on.then(|| parser.parse_object_name(false)).transpose()?;
    parser.expect_keyword(Keyword::CHECK)?;
    parser.expect_token(&Token::LParen)?;
    let check = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    let mut options = Vec::new();
    if parser.parse_keyword(Keyword::OPTIONS) {
        parser.expect_token(&Token::LParen)?;
        options = parser.parse_comma_separated(|parser| {
            Ok((parser.parse_literal_string()?, parser.parse_value()?.value))
        })?;
        parser.expect_token(&Token::RParen)?;
    }
    Ok(CreateAssertion {
        name,
        on,
        check,
        options,
    })
}

impl ParsedAssertion {
    /// Makes the view of an assertion. Limits are checked later, with the columns of the relations.
    pub fn of(created: CreateAssertion, tokens: &Tokens) -> Result<Self, Diagnostic> {
        let by = limits::delivery_column(&created.options);
        let rule = Rule::of(created.on.as_ref(), &created.check, by.as_deref());
        let rule = rule.map_err(|mistake| mistake.at(check_place(&created, tokens)))?;
        let uncountable = |error: ParserError| {
            let at = check_place(&created, tokens);
            Diagnostic::new(at, format!("this rule cannot be counted: {error}"))
        };
        let view = rule.view(&created.name).map_err(uncountable)?;
        let condition = rule.condition().map_err(uncountable)?;
        Ok(Self {
            created,
            view,
            condition,
            shared: None,
        })
    }

    /// The relation whose rows the rule is about, if they are judged as a whole.
    pub fn relation(&self) -> Option<String> {
        let on = self.created.on.as_ref()?;
        let is_whole = limits::delivery_column(&self.created.options).is_none();
        let relation = on.0.last()?.as_ident().map(normalize);
        relation.filter(|_| is_whole)
    }

    /// The view with the counts of the rule.
    fn counts(&self, name: &str) -> String {
        self.shared.clone().unwrap_or_else(|| name.to_owned())
    }

    /// The columns of that view with the number of rows that break the rule, and of all rows.
    fn count_columns<'a>(&self, name: &'a str) -> (&'a str, &'static str) {
        match &self.shared {
            Some(_) => (name, ALL_ROWS),
            None => (BROKEN_COLUMN, ROWS_COLUMN),
        }
    }

    /// The mistake of a rule of another type than `BOOLEAN`.
    pub fn no_condition(&self, found: &DataType, tokens: &Tokens) -> Option<Diagnostic> {
        if matches!(found, DataType::Boolean | DataType::Null) {
            return None;
        }
        let check = &self.created.check;
        let message = format!(
            "CHECK needs a condition, and {check} has the type {}",
            type_name(found)
        );
        let hint = if found.is_numeric() {
            format!("compare it, for example CHECK ({check} > 0)")
        } else {
            format!("compare it, for example CHECK ({check} IS NOT NULL)")
        };
        Some(Diagnostic::new(check_place(&self.created, tokens), message).with_hint(hint))
    }

    /// The assertion.
    pub fn assertion(&self, name: &str, declared: Declared) -> Assertion {
        Assertion {
            name: name.to_owned(),
            counts: self.counts(name),
            broken_column: self.count_columns(name).0.to_owned(),
            check: self.created.check.to_string(),
            on: self.created.on.as_ref().map(ToString::to_string),
            by: limits::delivery_column(&self.created.options),
            severity: declared.severity,
            on_failure: declared.on_failure,
            limit: declared.limit,
            warn_limit: declared.warn_limit,
            describe: declared.describe,
            accepted: Vec::new(),
        }
    }
}

fn check_place(created: &CreateAssertion, tokens: &Tokens) -> Place {
    let span = created.check.span();
    if span.start.line == 0 {
        tokens.start()
    } else {
        place(span)
    }
}
