//! The options of an assertion: what a broken rule means, and how much may break it.

use std::fmt::{self, Display};

use datafusion_sql::sqlparser::ast::Value;

use super::super::options::{Options, option_finds, options};
use super::super::site::Site;
use super::super::suggest::nearest;
use super::ParsedAssertion;
use crate::diagnostic::Diagnostic;

/// What a broken rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is published.
    Error,
    /// The tables are published with a warning.
    Warn,
}

/// What a run does when a rule of severity `error` is broken beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It publishes nothing.
    Stop,
    /// It sets the failing delivery aside and publishes the rest.
    Hold,
    /// It publishes all the same, and reports the failure.
    Publish,
}

/// How many rows, and what share of the rows, may break a rule. Both hold if both are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// The greatest number of rows.
    pub rows: Option<u64>,
    /// The greatest share of all rows.
    pub ratio: Option<Ratio>,
}

/// A decimal share from 0 to 1, kept exactly, so that a share of exactly the limit is within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: u64,
    denominator: u64,
    text: String,
}

impl Limit {
    /// Whether `broken` of `rows` rows are more than the limit allows.
    pub fn is_exceeded(&self, broken: u64, rows: u64) -> bool {
        self.rows.is_some_and(|most| broken > most) || self.excess(broken, rows) > 0
    }

    /// How far `broken` of `rows` rows exceed the share, in a unit of its own; 0 or less if they do not.
    pub fn excess(&self, broken: u64, rows: u64) -> i128 {
        self.ratio.as_ref().map_or(0, |ratio| {
            let (part, whole) = ratio.fraction();
            i128::from(broken) * i128::from(whole) - i128::from(rows) * i128::from(part)
        })
    }

    /// A limit of rows, and of a share.
    #[cfg(test)]
    pub fn of(rows: Option<u64>, ratio: Option<&str>) -> Self {
        Self {
            rows,
            ratio: ratio.and_then(Ratio::parse),
        }
    }

    fn is_given(&self) -> bool {
        self.rows.is_some() || self.ratio.is_some()
    }

    /// No rows.
    fn none() -> Self {
        Self {
            rows: Some(0),
            ratio: None,
        }
    }
}

impl Ratio {
    /// The share as a fraction of whole numbers.
    pub(super) fn fraction(&self) -> (u64, u64) {
        (self.numerator, self.denominator)
    }

    /// Reads a decimal such as `0.01`.
    fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, ""));
        let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0
            || fraction.len() > 18
            || !are_digits(whole)
            || !are_digits(fraction)
        {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let numerator: u64 = digits.parse().ok()?;
        let denominator = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        (numerator <= denominator).then(|| Self {
            numerator,
            denominator,
            text: trimmed.to_owned(),
        })
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.map(|rows| match rows {
            1 => "1 row".to_owned(),
            rows => format!("{rows} rows"),
        });
        let ratio = self.ratio.as_ref();
        let ratio = ratio.map(|ratio| format!("a share of {}", ratio.text));
        let both: Vec<String> = rows.into_iter().chain(ratio).collect();
        f.write_str(&both.join(" and "))
    }
}

/// The options of an assertion.
pub(in super::super) struct Declared {
    pub severity: Severity,
    pub on_failure: OnFailure,
    pub limit: Limit,
    pub warn_limit: Limit,
    pub describe: Option<String>,
}

const KNOWN: [&str; 9] = [
    "severity",
    ON_FAILURE,
    "max_rows",
    "max_ratio",
    "warn_rows",
    "warn_ratio",
    "scope",
    "delivery",
    "describe",
];

/// The option [`OnFailure`].
pub(in super::super) const ON_FAILURE: &str = "on_failure";

/// The column by whose values a rule is judged, if `'scope'` is `'delivery'`. Mistakes are reported by [`declared`].
pub(super) fn delivery_column(given: &[(String, Value)]) -> Option<String> {
    let value = |name: &str| {
        let mut named = given.iter();
        let (_, value) = named.find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        value.clone().into_string()
    };
    let scope = value("scope")?;
    scope
        .eq_ignore_ascii_case("delivery")
        .then(|| value("delivery"))?
}

/// Reads the options of an assertion, and reports all mistakes.
pub(in super::super) fn declared(
    parsed: &ParsedAssertion,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Declared> {
    let before = errors.len();
    let mut given = Given {
        options: options(&parsed.created.options, site, errors),
        site,
        errors,
    };
    let severity = given.severity();
    let on_failure = given.on_failure(severity, delivery_column(&parsed.created.options).is_some());
    let limit = given.limit("max_rows", "max_ratio");
    let warn_limit = given.limit("warn_rows", "warn_ratio");
    given.scope();
    let describe = given.options.remove("describe");
    given.unknown();
    let counts_rows = parsed.created.on.is_some();
    if !counts_rows && (limit.ratio.is_some() || warn_limit.ratio.is_some()) {
        given.report(
            "max_ratio",
            "a share is of the rows of a table, and this rule is ON no table".to_owned(),
            "write 'max_rows'",
        );
    }
    if severity == Severity::Warn && warn_limit.is_given() {
        given.report(
            "warn_rows",
            "a rule of severity 'warn' has one limit".to_owned(),
            "write 'max_rows' or 'max_ratio'",
        );
    }
    let or_none = |limit: Limit| {
        if limit.is_given() {
            limit
        } else {
            Limit::none()
        }
    };
    let limit = or_none(limit);
    let warn_limit = match severity {
        Severity::Error => or_none(warn_limit),
        Severity::Warn => limit.clone(),
    };
    (errors.len() == before).then_some(Declared {
        severity,
        on_failure,
        limit,
        warn_limit,
        describe,
    })
}

/// The options that are not read yet.
struct Given<'a> {
    options: Options,
    site: &'a Site<'a>,
    errors: &'a mut Vec<Diagnostic>,
}

impl Given<'_> {
    fn report(&mut self, option: &str, message: String, hint: impl Into<String>) {
        let found = self.site.diagnostic(&option_finds(option), message);
        self.errors.push(found.with_hint(hint));
    }

    fn severity(&mut self) -> Severity {
        let Some(text) = self.options.remove("severity") else {
            return Severity::Error;
        };
        match text.to_ascii_lowercase().as_str() {
            "error" => Severity::Error,
            "warn" => Severity::Warn,
            _ => {
                let message = format!("'{text}' is no severity");
                self.report(
                    "severity",
                    message,
                    "write 'error' (nothing is published) or 'warn' (published with a warning)",
                );
                Severity::Error
            }
        }
    }

    fn on_failure(&mut self, severity: Severity, is_by_delivery: bool) -> OnFailure {
        let Some(text) = self.options.remove(ON_FAILURE) else {
            return OnFailure::Stop;
        };
        let on_failure = match text.to_ascii_lowercase().as_str() {
            "stop" => OnFailure::Stop,
            "hold" => OnFailure::Hold,
            "publish" => OnFailure::Publish,
            _ => {
                let message = format!("'{text}' is nothing that a run does when a rule fails");
                let hint = "write 'stop' (nothing is published), 'hold' (the delivery is set aside and the rest published) \
                            or 'publish' (everything is published, and the failure reported)";
                self.report(ON_FAILURE, message, hint);
                return OnFailure::Stop;
            }
        };
        if severity == Severity::Warn {
            self.report(
                ON_FAILURE,
                "a rule of severity 'warn' never fails: its tables are published with a warning"
                    .to_owned(),
                "leave 'on_failure' out, or write 'severity' 'error'",
            );
        } else if on_failure == OnFailure::Hold && !is_by_delivery {
            self.report(
                ON_FAILURE,
                "only a rule that is judged by delivery can hold one".to_owned(),
                "declare the path of the file as a column of the source, OPTIONS ('column.file' 'path'), and add 'scope' \
                 'delivery', 'delivery' 'file'",
            );
        }
        on_failure
    }

    fn limit(&mut self, rows_option: &str, ratio_option: &str) -> Limit {
        let rows = self.options.remove(rows_option).and_then(|text| {
            let rows = text.trim().parse().ok();
            if rows.is_none() {
                let message = format!("'{text}' is no number of rows");
                self.report(rows_option, message, "write a whole number from 0 on");
            }
            rows
        });
        let ratio = self.options.remove(ratio_option).and_then(|text| {
            let ratio = Ratio::parse(&text);
            if ratio.is_none() {
                let message = format!("'{text}' is no share");
                self.report(
                    ratio_option,
                    message,
                    "write a decimal from 0 to 1, such as '0.01' for one of a hundred rows",
                );
            }
            ratio
        });
        Limit { rows, ratio }
    }

    fn scope(&mut self) {
        let column = self.options.remove("delivery");
        let scope = self.options.remove("scope");
        match scope.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("all") if column.is_none() => {}
            None | Some("all") => self.report(
                "delivery",
                "'delivery' names the column of a rule that is judged by delivery".to_owned(),
                "add 'scope' 'delivery', or leave 'delivery' out",
            ),
            Some("delivery") if column.is_some() => {}
            Some("delivery") => self.report(
                "scope",
                "'scope' 'delivery' needs the column that holds the delivery".to_owned(),
                "declare one on the source, OPTIONS ('column.file' 'path'), and name it: 'delivery' 'file'",
            ),
            Some(_) => {
                let message = format!("'{}' is no scope", scope.unwrap_or_default());
                self.report("scope", message, "write 'all' or 'delivery'");
            }
        }
    }

    fn unknown(&mut self) {
        let unknown: Vec<String> = self.options.keys().cloned().collect();
        for option in unknown {
            let message = format!("an assertion has no option '{option}'");
            let hint = match nearest(&option, KNOWN) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("it has {}", KNOWN.join(", ")),
            };
            self.report(&option, message, hint);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_are_decimals_from_0_to_1() {
        for good in [
            "0",
            "1",
            "0.5",
            "1.0",
            ".25",
            " 0.1 ",
            "0.000000000000000001",
        ] {
            assert!(Ratio::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            ".",
            "-0.1",
            "1.1",
            "10 %",
            "1e-3",
            "0.0000000000000000001",
            "a",
        ] {
            assert!(Ratio::parse(bad).is_none(), "{bad}");
        }
    }
}
