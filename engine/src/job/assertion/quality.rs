//! The view `_quality`: the result of each assertion, one row each, or one for each delivery.
//!
//! It is derived from the counts by SQL, so it is maintained, compared by `verify`, and the same after any history as
//! after a cold run. A verdict of `fail` is published only if the failure was accepted, or `'on_failure'` is `'publish'`.

use datafusion_sql::sqlparser::ast::{CreateView, Ident, Value};
use datafusion_sql::sqlparser::parser::ParserError;

use super::limits::{Declared, Limit, Severity, declared, delivery_column};
use super::query::parsed;
use super::{BROKEN_COLUMN, ParsedAssertion, ROWS_COLUMN};
use crate::job::site::Site;

/// The verdict of a rule of severity `error` that is broken beyond its limit.
pub const FAIL: &str = "fail";

/// The verdict of a rule that is broken beyond the limit of a warning.
pub const WARN: &str = "warn";

/// The name of the view and of its table.
pub const QUALITY_TABLE: &str = "_quality";

/// The view over the counts of `assertions`; `None` if there are none. Assertions with mistakes are left out, since
/// they are reported elsewhere.
pub(in super::super) fn quality_view<'a>(
    assertions: impl Iterator<Item = (&'a ParsedAssertion, Site<'a>)>,
) -> Result<Option<CreateView>, ParserError> {
    let results: Vec<String> = assertions
        .filter_map(|(parsed, site)| {
            let declared = declared(parsed, &site, &mut Vec::new())?;
            Some(result(site.name, parsed, &declared))
        })
        .collect();
    if results.is_empty() {
        return Ok(None);
    }
    let text = format!(
        "CREATE MATERIALIZED VIEW {QUALITY_TABLE} AS {}",
        united(&results)
    );
    parsed(&text).map(Some)
}

/// The union of queries, balanced: the planner's time grows with the square of the depth.
fn united(queries: &[String]) -> String {
    match queries {
        [query] => query.clone(),
        queries => {
            let (left, right) = queries.split_at(queries.len() / 2);
            format!("({}) UNION ALL ({})", united(left), united(right))
        }
    }
}

/// The query for the results of one assertion.
fn result(name: &str, parsed: &ParsedAssertion, declared: &Declared) -> String {
    let created = &parsed.created;
    let severity = match declared.severity {
        Severity::Error => "error",
        Severity::Warn => "warn",
    };
    let delivery =
        delivery_column(&created.options).map_or_else(|| "NULL".to_owned(), |by| quoted_name(&by));
    let rows = match &created.on {
        Some(_) => quoted_name(ROWS_COLUMN),
        None => "NULL".to_owned(),
    };
    let describe = declared.describe.as_deref();
    format!(
        "SELECT {} AS assertion, CAST({delivery} AS TEXT) AS delivery, \
         {} AS verdict, '{severity}' AS severity, \
         {BROKEN_COLUMN}, CAST({rows} AS BIGINT) AS \"{ROWS_COLUMN}\", {} AS rule, CAST({} AS TEXT) AS describe FROM {}",
        quoted(name),
        verdict(declared),
        quoted(&created.check.to_string()),
        describe.map_or_else(|| "NULL".to_owned(), quoted),
        quoted_name(name),
    )
}

/// The verdict by the limits. What fails a rule of severity `error` need not be compared with its limit of warnings.
fn verdict(declared: &Declared) -> String {
    let (limit, warn_limit) = (&declared.limit, &declared.warn_limit);
    let warns = format!("WHEN {} THEN '{WARN}'", exceeded(warn_limit));
    let fails = format!("WHEN {} THEN '{FAIL}'", exceeded(limit));
    let cases = match declared.severity {
        Severity::Warn => warns,
        Severity::Error if limit == warn_limit => fails,
        Severity::Error => format!("{fails} {warns}"),
    };
    format!("CASE {cases} ELSE 'pass' END")
}

/// The condition that a limit is exceeded. Shares are compared without division, so that exactly the limit is within it.
/// A share has at most 18 digits, and so do counts: the products fit.
fn exceeded(limit: &Limit) -> String {
    let rows = limit
        .rows
        .map(|most| format!("{BROKEN_COLUMN} > CAST('{most}' AS DECIMAL(20, 0))"));
    let ratio = limit.ratio.as_ref().map(|most| {
        let (part, whole) = most.fraction();
        format!(
            "CAST({BROKEN_COLUMN} AS DECIMAL(19, 0)) * CAST('{whole}' AS DECIMAL(19, 0)) \
             > CAST(\"{ROWS_COLUMN}\" AS DECIMAL(19, 0)) * CAST('{part}' AS DECIMAL(19, 0))"
        )
    });
    let both: Vec<String> = rows.into_iter().chain(ratio).collect();
    both.join(" OR ")
}

fn quoted(text: &str) -> String {
    Value::SingleQuotedString(text.to_owned()).to_string()
}

fn quoted_name(name: &str) -> String {
    Ident::with_quote('"', name).to_string()
}
