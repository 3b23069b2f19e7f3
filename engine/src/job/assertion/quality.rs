//! The view `_quality`: the result of each assertion, one row each, or one for each delivery.
//!
//! It is derived from the counts by SQL, so it is maintained, compared by `verify`, and the same after any history as
//! after a cold run. A verdict of `fail` is published only if the failure was accepted, or `'on_failure'` is `'publish'`.

use std::collections::BTreeMap;

use datafusion_sql::sqlparser::ast::{CreateView, Ident, Value};
use datafusion_sql::sqlparser::parser::ParserError;

use super::limits::{Declared, Limit, Ratio, Severity, declared, delivery_column};
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
pub(super) fn quality_view<'a>(
    assertions: impl Iterator<Item = (&'a ParsedAssertion, Site<'a>)>,
) -> Result<Option<CreateView>, ParserError> {
    let mut by_view: BTreeMap<String, Vec<Counted<'_>>> = BTreeMap::new();
    for (parsed, site) in assertions {
        if let Some(declared) = declared(parsed, &site, &mut Vec::new()) {
            let (view, name) = (parsed.counts(site.name), site.name.to_owned());
            by_view.entry(view).or_default().push(Counted {
                name,
                parsed,
                declared,
            });
        }
    }
    if by_view.is_empty() {
        return Ok(None);
    }
    let counts: Vec<String> = by_view
        .iter()
        .map(|(view, rules)| counts_of(view, rules))
        .collect();
    let text = format!(
        "CREATE MATERIALIZED VIEW {QUALITY_TABLE} AS \
         SELECT assertion, delivery, {VERDICT} AS verdict, severity, {BROKEN_COLUMN}, \"{ROWS_COLUMN}\", rule, describe \
         FROM ({}) AS counted",
        united(&counts)
    );
    parsed(&text).map(Some)
}

/// The verdict by the limits, which are NULL where there is none. Shares are compared without division, so that exactly
/// the limit is within it. A share has at most 18 digits, and so do counts: the products fit.
const VERDICT: &str = "CASE \
    WHEN broken > most OR CAST(broken AS DECIMAL(19, 0)) * CAST(whole AS DECIMAL(19, 0)) \
      > CAST(\"rows\" AS DECIMAL(19, 0)) * CAST(part AS DECIMAL(19, 0)) THEN 'fail' \
    WHEN broken > warn_most OR CAST(broken AS DECIMAL(19, 0)) * CAST(warn_whole AS DECIMAL(19, 0)) \
      > CAST(\"rows\" AS DECIMAL(19, 0)) * CAST(warn_part AS DECIMAL(19, 0)) THEN 'warn' \
    ELSE 'pass' END";

/// A rule whose numbers are in a view of counts.
struct Counted<'a> {
    name: String,
    parsed: &'a ParsedAssertion,
    declared: Declared,
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

/// The query for the numbers and limits of the rules that a view counts: a row for each rule and each row of the view.
fn counts_of(view: &str, rules: &[Counted<'_>]) -> String {
    let columns: Vec<[(&'static str, String); 13]> = rules.iter().map(Counted::columns).collect();
    let names = columns.first().into_iter().flatten().map(|(name, _)| *name);
    let select: Vec<String> = names
        .enumerate()
        .map(|(at, name)| {
            let values: Vec<&str> = columns.iter().map(|rule| rule[at].1.as_str()).collect();
            match values.as_slice() {
                [value] => format!("{value} AS \"{name}\""),
                values => format!("UNNEST([{}]) AS \"{name}\"", values.join(", ")),
            }
        })
        .collect();
    format!("SELECT {} FROM {}", select.join(", "), quoted_name(view))
}

impl Counted<'_> {
    /// What is known of the rule, as expressions over the view of its counts.
    fn columns(&self) -> [(&'static str, String); 13] {
        let created = &self.parsed.created;
        let (broken, rows) = self.parsed.count_columns(&self.name);
        let Declared {
            severity,
            limit,
            warn_limit,
            describe,
        } = &self.declared;
        // A rule of severity `warn` never fails.
        let fails = (*severity == Severity::Error).then_some(limit);
        let (part, whole) = share(fails);
        let (warn_part, warn_whole) = share(Some(warn_limit));
        [
            ("assertion", quoted(&self.name)),
            (
                "delivery",
                as_type(
                    delivery_column(&created.options).map(|by| quoted_name(&by)),
                    "TEXT",
                ),
            ),
            (
                "severity",
                quoted(match severity {
                    Severity::Error => "error",
                    Severity::Warn => "warn",
                }),
            ),
            (BROKEN_COLUMN, quoted_name(broken)),
            (
                ROWS_COLUMN,
                as_type(created.on.as_ref().map(|_| quoted_name(rows)), "BIGINT"),
            ),
            ("most", most(fails)),
            ("part", part),
            ("whole", whole),
            ("warn_most", most(Some(warn_limit))),
            ("warn_part", warn_part),
            ("warn_whole", warn_whole),
            ("rule", quoted(&created.check.to_string())),
            ("describe", as_type(describe.as_deref().map(quoted), "TEXT")),
        ]
    }
}

/// An expression of a type, or NULL of it.
fn as_type(expression: Option<String>, data_type: &str) -> String {
    let expression = expression.unwrap_or_else(|| "NULL".to_owned());
    format!("CAST({expression} AS {data_type})")
}

/// The greatest number of rows. No table has more than a `BIGINT` counts.
fn most(limit: Option<&Limit>) -> String {
    let rows = limit.and_then(|limit| limit.rows);
    number(rows.map(|rows| rows.min(i64::MAX.unsigned_abs())))
}

/// The greatest share, as a fraction.
fn share(limit: Option<&Limit>) -> (String, String) {
    let share = limit
        .and_then(|limit| limit.ratio.as_ref())
        .map(Ratio::fraction);
    (
        number(share.map(|(part, _)| part)),
        number(share.map(|(_, whole)| whole)),
    )
}

fn number(number: Option<u64>) -> String {
    as_type(number.map(|number| number.to_string()), "BIGINT")
}

fn quoted(text: &str) -> String {
    Value::SingleQuotedString(text.to_owned()).to_string()
}

fn quoted_name(name: &str) -> String {
    Ident::with_quote('"', name).to_string()
}
