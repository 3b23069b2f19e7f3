//! Judges a job's assertions by the numbers that a commit would leave, before anything is published.
//!
//! 1. A run commits only if no assertion fails. A failure that is accepted is none.
//! 2. A failure stays accepted as long as no more rows break the rule than at the last commit.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::RunError;
use super::locate::{BrokenRow, LookAgain, broken_rows};
use super::tables::{Origin, PerTable, Table};
use crate::job::{Assertion, BROKEN_COLUMN, Job, Limit, ROWS_COLUMN, Severity};
use crate::state::{AcceptedFailure, AssertionRecord, AssertionVerdict};

/// The result of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionReport {
    /// The assertion.
    pub name: String,
    /// Its condition, as SQL.
    pub check: String,
    /// A sentence for people.
    pub describe: Option<String>,
    /// The worst verdict of its parts.
    pub verdict: AssertionVerdict,
    /// The rows that break the rule.
    pub broken: u64,
    /// The rows that the rule was checked on; `None` for a rule about queries.
    pub rows: Option<u64>,
    /// What each delivery was found to be, or all rows together.
    pub parts: Vec<AssertionPart>,
}

/// The result of an assertion for a delivery, or for all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionPart {
    /// The delivery; `None` if the rule is judged as a whole.
    pub delivery: Option<String>,
    /// The verdict.
    pub verdict: AssertionVerdict,
    /// The rows that break the rule.
    pub broken: u64,
    /// The rows that the rule was checked on.
    pub rows: Option<u64>,
    /// The limit that is exceeded, as a phrase.
    pub limit: Option<String>,
    /// Why the failure is accepted.
    pub because: Option<String>,
}

/// Judges the assertions of a job. `rows` returns the rows of a table after the commit, and `accepted` lists the
/// failures that earlier runs accepted.
///
/// # Errors
/// When the numbers cannot be read.
pub fn judge(
    job: &Job,
    tables: &PerTable<Table>,
    accepted: &[AcceptedFailure],
    rows: &dyn Fn(usize, &Table) -> Result<RecordBatch, RunError>,
) -> Result<Vec<AssertionReport>, RunError> {
    let mut reports = Vec::new();
    for (at, table) in tables.sinks.iter().enumerate() {
        let Origin::Relation { name, .. } = &table.origin else {
            continue;
        };
        let Some(assertion) = job.assertion(name) else {
            continue;
        };
        let counts = rows(at, table)?;
        let parts = parts(assertion, &counts, accepted).map_err(|error| RunError::Assertion {
            assertion: name.clone(),
            error,
        })?;
        reports.push(report(assertion, parts));
    }
    Ok(reports)
}

/// Fails if an assertion fails. `look_again` opens the sources again, to show rows that break a rule.
///
/// # Errors
/// [`RunError::Gate`].
pub fn refuse_failures(
    job: &Job,
    reports: &[AssertionReport],
    look_again: &LookAgain<'_>,
) -> Result<(), RunError> {
    let failed: Vec<&AssertionReport> = reports
        .iter()
        .filter(|report| report.verdict == AssertionVerdict::Fail)
        .collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    let found = failed.iter().map(|report| {
        let most = usize::try_from(report.broken).unwrap_or(ROWS_SHOWN);
        let rows = broken_rows(job, &report.name, most.min(ROWS_SHOWN), look_again);
        report.failure(&rows)
    });
    let found: Vec<String> = found.collect();
    let (number, them) = match failed.len() {
        1 => ("1 assertion fails".to_owned(), "it"),
        many => (format!("{many} assertions fail"), "them"),
    };
    Err(RunError::Gate(format!(
        "{}\n{number} of {}; nothing was published. Correct or withdraw the rows that break {them}. To publish all the \
         same, run with --accept {} --because 'why'",
        found.join("\n"),
        reports.len(),
        first.name
    )))
}

/// The failures that are accepted after a commit with these results.
pub fn accepted_failures(
    reports: &[AssertionReport],
    before: &[AcceptedFailure],
    epoch: u64,
) -> Vec<AcceptedFailure> {
    let mut accepted = Vec::new();
    for report in reports {
        for part in &report.parts {
            let Some(because) = &part.because else {
                continue;
            };
            let known = before.iter().find(|known| {
                known.assertion == report.name
                    && known.delivery == part.delivery
                    && known.because == *because
            });
            accepted.push(AcceptedFailure {
                assertion: report.name.clone(),
                delivery: part.delivery.clone(),
                broken: part.broken,
                because: because.clone(),
                epoch: known.map_or(epoch, |known| known.epoch),
            });
        }
    }
    accepted
}

impl AssertionReport {
    /// The record of the result in the state.
    pub fn record(&self) -> AssertionRecord {
        let because = self.parts.iter().find_map(|part| part.because.clone());
        AssertionRecord {
            assertion: self.name.clone(),
            verdict: self.verdict,
            broken: self.broken,
            rows: self.rows,
            because,
        }
    }

    /// The parts with a verdict, most broken rows first.
    pub fn parts_with(&self, verdict: AssertionVerdict) -> Vec<&AssertionPart> {
        let parts = self.parts.iter();
        let mut parts: Vec<_> = parts.filter(|part| part.verdict == verdict).collect();
        parts.sort_by(|a, b| b.broken.cmp(&a.broken).then(a.delivery.cmp(&b.delivery)));
        parts
    }

    /// The failure as lines for people.
    fn failure(&self, rows: &[BrokenRow]) -> String {
        let mut text = format!("assertion {} fails: CHECK ({})", self.name, self.check);
        if let Some(describe) = &self.describe {
            text += &format!("\n  {describe}");
        }
        let parts = self.parts_with(AssertionVerdict::Fail);
        for part in parts.iter().take(PARTS_SHOWN) {
            text += &format!("\n  {}", part.finding());
        }
        if parts.len() > PARTS_SHOWN {
            text += &format!("\n  and {} more", parts.len() - PARTS_SHOWN);
        }
        for row in rows {
            text += &format!("\n    {}: {}", row.place, row.row);
        }
        text
    }
}

/// The number of deliveries that a message lists.
const PARTS_SHOWN: usize = 5;

/// The number of rows that a message shows for each assertion.
const ROWS_SHOWN: usize = 5;

impl AssertionPart {
    /// What was found, as a sentence.
    pub fn finding(&self) -> String {
        let of = self.delivery.as_ref();
        let of = of.map_or_else(String::new, |delivery| format!("{delivery}: "));
        let limit = self.limit.as_ref();
        let limit = limit.map_or_else(String::new, |limit| format!("; the limit is {limit}"));
        match (self.rows, self.broken) {
            (Some(rows), 1) => format!("{of}1 of {rows} rows breaks it{limit}"),
            (Some(rows), broken) => format!("{of}{broken} of {rows} rows break it{limit}"),
            (None, 1) => format!("{of}1 row breaks it{limit}"),
            (None, broken) => format!("{of}{broken} rows break it{limit}"),
        }
    }
}

fn report(assertion: &Assertion, parts: Vec<AssertionPart>) -> AssertionReport {
    let rows = parts.iter().map(|part| part.rows);
    AssertionReport {
        name: assertion.name.clone(),
        check: assertion.check.clone(),
        describe: assertion.describe.clone(),
        verdict: parts
            .iter()
            .map(|part| part.verdict)
            .max()
            .unwrap_or(AssertionVerdict::Pass),
        broken: parts.iter().map(|part| part.broken).sum(),
        rows: assertion.on.as_ref().map(|_| rows.flatten().sum()),
        parts,
    }
}

fn parts(
    assertion: &Assertion,
    counts: &RecordBatch,
    accepted: &[AcceptedFailure],
) -> Result<Vec<AssertionPart>, ArrowError> {
    let broken = numbers(counts, BROKEN_COLUMN)?;
    let rows = match &assertion.on {
        Some(_) => Some(numbers(counts, ROWS_COLUMN)?),
        None => None,
    };
    let deliveries = match &assertion.by {
        Some(by) => texts(counts, by)?.into_iter().map(Some).collect(),
        None => vec![None; counts.num_rows()],
    };
    let parts = deliveries.into_iter().zip(broken).enumerate();
    let parts = parts.map(|(at, (delivery, broken))| {
        let rows = rows.as_ref().and_then(|rows| rows.get(at).copied());
        part(assertion, delivery, broken, rows, accepted)
    });
    Ok(parts.collect())
}

fn part(
    assertion: &Assertion,
    delivery: Option<String>,
    broken: u64,
    rows: Option<u64>,
    accepted: &[AcceptedFailure],
) -> AssertionPart {
    let exceeds = |limit: &Limit| limit.is_exceeded(broken, rows.unwrap_or(broken));
    let is_failed = assertion.severity == Severity::Error && exceeds(&assertion.limit);
    let because = is_failed
        .then(|| acceptance(assertion, delivery.as_deref(), broken, accepted))
        .flatten();
    let (verdict, limit) = match (is_failed, &because) {
        (true, None) => (AssertionVerdict::Fail, Some(&assertion.limit)),
        (true, Some(_)) => (AssertionVerdict::Accepted, Some(&assertion.limit)),
        (false, _) if exceeds(&assertion.warn_limit) => {
            (AssertionVerdict::Warn, Some(&assertion.warn_limit))
        }
        (false, _) => (AssertionVerdict::Pass, None),
    };
    AssertionPart {
        delivery,
        verdict,
        broken,
        rows,
        limit: limit.map(ToString::to_string),
        because,
    }
}

/// Why a failure is accepted, now or by an earlier run that met at least as many broken rows.
fn acceptance(
    assertion: &Assertion,
    delivery: Option<&str>,
    broken: u64,
    accepted: &[AcceptedFailure],
) -> Option<String> {
    let now = assertion.accepted.iter().find(|acceptance| {
        let given = acceptance.delivery.as_deref();
        given.is_none() || given == delivery
    });
    if let Some(now) = now {
        return Some(now.because.clone());
    }
    let before = accepted.iter().find(|failure| {
        failure.assertion == assertion.name
            && failure.delivery.as_deref() == delivery
            && broken <= failure.broken
    });
    before.map(|failure| failure.because.clone())
}

/// The values of a column of counts.
fn numbers(counts: &RecordBatch, name: &str) -> Result<Vec<u64>, ArrowError> {
    let values = column(counts, name)?.as_primitive_opt::<Int64Type>();
    let count = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let counts: Option<Vec<u64>> = values.and_then(|values| values.iter().map(count).collect());
    counts.ok_or_else(|| ArrowError::SchemaError(format!("{name} does not hold counts")))
}

fn texts(counts: &RecordBatch, name: &str) -> Result<Vec<String>, ArrowError> {
    let column = column(counts, name)?;
    let options = FormatOptions::new().with_null("NULL");
    let texts = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len()).map(|row| texts.value(row).try_to_string());
    texts.collect()
}

fn column<'a>(counts: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let column = counts.column_by_name(name);
    column.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
}
