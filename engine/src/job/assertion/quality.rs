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
    let mut by_view: BTreeMap<String, Vec<CountedRule<'_>>> = BTreeMap::new();
    for (parsed, site) in assertions {
        if let Some(declared) = declared(parsed, &site, &mut Vec::new()) {
            let (view, name) = (parsed.counts(site.name), site.name.to_owned());
            by_view.entry(view).or_default().push(CountedRule {
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
struct CountedRule<'a> {
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
fn counts_of(view: &str, rules: &[CountedRule<'_>]) -> String {
    let rules: Vec<[Option<String>; COLUMNS.len()]> =
        rules.iter().map(CountedRule::values).collect();
    let columns = COLUMNS.iter().enumerate().map(|(at, (name, data_type))| {
        let values: Vec<Option<&str>> = rules.iter().map(|rule| rule[at].as_deref()).collect();
        format!("CAST({} AS {data_type}) AS \"{name}\"", one_each(&values))
    });
    let columns: Vec<String> = columns.collect();
    format!("SELECT {} FROM {}", columns.join(", "), quoted_name(view))
}

/// An expression with a value for each rule. `None` is NULL. What all rules share is written once, since the planner
/// takes its time for each element of a list.
fn one_each(values: &[Option<&str>]) -> String {
    let spelled = |value: Option<&str>| value.unwrap_or("NULL").to_owned();
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => spelled(*first),
        values => {
            let values: Vec<String> = values.iter().copied().map(spelled).collect();
            format!("UNNEST([{}])", values.join(", "))
        }
    }
}

/// The columns of [`CountedRule::values`] with their types.
const COLUMNS: [(&str, &str); 13] = [
    ("assertion", "TEXT"),
    ("delivery", "TEXT"),
    ("severity", "TEXT"),
    (BROKEN_COLUMN, "BIGINT"),
    (ROWS_COLUMN, "BIGINT"),
    ("most", "BIGINT"),
    ("part", "BIGINT"),
    ("whole", "BIGINT"),
    ("warn_most", "BIGINT"),
    ("warn_part", "BIGINT"),
    ("warn_whole", "BIGINT"),
    ("rule", "TEXT"),
    ("describe", "TEXT"),
];

impl CountedRule<'_> {
    /// What is known of the rule, as expressions over the view of its counts.
    fn values(&self) -> [Option<String>; COLUMNS.len()] {
        let created = &self.parsed.created;
        let (broken, rows) = self.parsed.count_columns(&self.name);
        let (limit, warn_limit) = (&self.declared.limit, &self.declared.warn_limit);
        // A rule of severity `warn` never fails.
        let (severity, fails) = match self.declared.severity {
            Severity::Error => ("error", Some(limit)),
            Severity::Warn => ("warn", None),
        };
        let share = |limit: &Limit| limit.ratio.as_ref().map(Ratio::fraction);
        let (share, warn_share) = (fails.and_then(share), share(warn_limit));
        [
            Some(quoted(&self.name)),
            delivery_column(&created.options).map(|by| quoted_name(&by)),
            Some(quoted(severity)),
            Some(quoted_name(broken)),
            created.on.as_ref().map(|_| quoted_name(rows)),
            fails.and_then(most),
            share.map(|(part, _)| part.to_string()),
            share.map(|(_, whole)| whole.to_string()),
            most(warn_limit),
            warn_share.map(|(part, _)| part.to_string()),
            warn_share.map(|(_, whole)| whole.to_string()),
            Some(quoted(&created.check.to_string())),
            self.declared.describe.as_deref().map(quoted),
        ]
    }
}

/// The greatest number of rows. No table has more than a `BIGINT` counts.
fn most(limit: &Limit) -> Option<String> {
    let rows = limit.rows?;
    Some(rows.min(i64::MAX.unsigned_abs()).to_string())
}

fn quoted(text: &str) -> String {
    Value::SingleQuotedString(text.to_owned()).to_string()
}

fn quoted_name(name: &str) -> String {
    Ident::with_quote('"', name).to_string()
}
