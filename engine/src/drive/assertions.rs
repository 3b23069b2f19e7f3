//! Judges a job's assertions by the numbers that a commit would leave, before anything is published.
//!
//! 1. A run commits only if no assertion fails. A failure that is accepted is none, and a rule with `'on_failure'
//!    'publish'` stops no run.
//! 2. A failure stays accepted as long as no more rows break the rule than at the last commit.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use tidewater_connectors::hold::HeldSince;

use super::RunError;
use super::blame::{Blame, blame};
use super::broken_rows::{BrokenRow, FailedRule, FileCounts, broken_rows};
use super::held_reports::{HeldOfSource, add_held};
use super::hold::holds;
use super::search::LookAgain;
use super::tables::{PerTable, Table};
use crate::job::{Assertion, BROKEN_COLUMN, FAIL, Job, OnFailure, ROWS_COLUMN, WARN};
use crate::state::{AcceptedFailure, AssertionRecord, AssertionVerdict, HeldRecord};

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
    /// For a failure, the deliveries whose withdrawal would make the rule hold, if that is known.
    pub blame: Option<Blame>,
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
    /// The commit that began to hold the delivery, if it is held in a state.
    pub held_since: Option<HeldSince>,
}

/// Judges the assertions of a job. `rows` returns the rows of a table after the commit, and `accepted` lists the
/// failures that earlier runs accepted.
///
/// # Errors
/// When the results cannot be read.
pub fn judge(
    job: &Job,
    tables: &PerTable<Table>,
    accepted: &[AcceptedFailure],
    rows: &dyn Fn(usize, &Table) -> Result<RecordBatch, RunError>,
) -> Result<Vec<AssertionReport>, RunError> {
    let mut sinks = tables.sinks.iter().enumerate();
    let Some((at, table)) = sinks.find(|(_, table)| table.is_quality()) else {
        return Ok(Vec::new());
    };
    let mut by_name: BTreeMap<String, Vec<AssertionResult>> = BTreeMap::new();
    for result in results(&rows(at, table)?).map_err(RunError::Quality)? {
        by_name.entry(result.name.clone()).or_default().push(result);
    }
    let reports = job.assertions.iter().map(|assertion| {
        let own = by_name.get(&assertion.name).into_iter().flatten();
        let parts = own.map(|result| result.judged(assertion, accepted));
        report(assertion, parts.collect())
    });
    Ok(reports.collect())
}

/// Adds the deliveries that are `held` to the reports. Fails if an assertion fails. `look_again` opens the sources again, to show rows that break a rule, and to find the
/// deliveries that they came with.
///
/// # Errors
/// [`RunError::Refused`].
pub fn refuse_failures(
    job: &Job,
    mut reports: Vec<AssertionReport>,
    held: &[HeldOfSource],
    look_again: &LookAgain<'_>,
) -> Result<Vec<AssertionReport>, RunError> {
    add_held(&mut reports, held);
    let publishes = |name: &str| {
        let assertion = job.assertion(name);
        assertion.is_some_and(|one| one.on_failure == OnFailure::Publish)
    };
    let is_failed = |report: &AssertionReport| {
        report.verdict == AssertionVerdict::Fail && !publishes(&report.name)
    };
    let failed = reports.iter().filter(|report| is_failed(report));
    let rules: Vec<FailedRule<'_>> = failed.filter_map(|report| report.rule(job)).collect();
    let Some(first) = rules.first() else {
        return Ok(reports);
    };
    let first = first.assertion.name.clone();
    let broken = broken_rows(job, &rules, held, look_again);
    let mut found = Vec::new();
    let failed = reports.iter_mut().filter(|report| is_failed(report));
    for (report, (rule, broken)) in failed.zip(rules.iter().zip(broken)) {
        let all = report.rows.map(|rows| FileCounts {
            rows,
            broken: report.broken,
        });
        let known = all.zip(broken.by_file);
        report.blame = known.and_then(|(all, by_file)| blame(&rule.assertion.limit, all, by_file));
        found.push(report.failure(&broken.shown));
    }
    let (number, them) = match found.len() {
        1 => ("1 assertion fails".to_owned(), "it"),
        many => (format!("{many} assertions fail"), "them"),
    };
    let message = format!(
        "{}{}\n{number} of {}; nothing was published. Correct or withdraw the rows that break {them}. To publish all the \
         same, run with --accept {first} --because 'why'",
        found.join("\n"),
        nothing_left(held),
        reports.len(),
    );
    Err(RunError::Refused {
        message,
        assertions: reports,
    })
}

/// Says of which sources nothing would be left without what is held.
fn nothing_left(held: &[HeldOfSource]) -> String {
    let emptied = held.iter().filter(|held| held.leaves_nothing());
    let lines = emptied.map(|held| {
        let files = match held.held.len() {
            1 => "the one file that breaks a rule was held".to_owned(),
            files => format!("the {files} files that break a rule were held"),
        };
        format!("\nIf {files}, source {} would have no rows", held.source)
    });
    lines.collect()
}

/// The failures that are accepted after a commit with these results. Those of rules that hold deliveries are recorded
/// where deliveries are judged.
pub fn accepted_failures(
    job: &Job,
    reports: &[AssertionReport],
    before: &[AcceptedFailure],
    epoch: u64,
) -> Vec<AcceptedFailure> {
    let mut accepted = Vec::new();
    let is_here = |report: &&AssertionReport| !job.assertion(&report.name).is_some_and(holds);
    for report in reports.iter().filter(is_here) {
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
        let held = self.parts_with(AssertionVerdict::Held).into_iter();
        let held = held.filter_map(|part| {
            Some(HeldRecord {
                delivery: part.delivery.clone()?,
                broken: part.broken,
                rows: part.rows?,
                since: part.held_since?.epoch,
            })
        });
        AssertionRecord {
            assertion: self.name.clone(),
            verdict: self.verdict,
            broken: self.broken,
            rows: self.rows,
            because,
            held: held.collect(),
        }
    }

    /// The rule, if the job still has it, with the deliveries that break it.
    fn rule<'a>(&self, job: &'a Job) -> Option<FailedRule<'a>> {
        let failed = self.parts_with(AssertionVerdict::Fail).into_iter();
        Some(FailedRule {
            assertion: job.assertion(&self.name)?,
            deliveries: failed.filter_map(|part| part.delivery.clone()).collect(),
        })
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
        // Without any rows, every rule holds.
        if let Some(blame) = self.blame.as_ref().filter(|blame| blame.left.rows > 0) {
            text += &format!("\n  {}", withdrawal(blame));
        }
        text
    }
}

/// What withdrawing deliveries would leave, as a sentence.
fn withdrawal(blame: &Blame) -> String {
    let named = blame.deliveries.iter().take(PARTS_SHOWN);
    let named: Vec<&str> = named.map(String::as_str).collect();
    let more = match blame.deliveries.len().saturating_sub(PARTS_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let FileCounts { rows, broken } = blame.left;
    format!(
        "without {}{more}, it would hold: {broken} of {rows} rows would break it",
        named.join(", ")
    )
}

/// The number of deliveries that a message lists.
const PARTS_SHOWN: usize = 5;

impl AssertionPart {
    /// What was found, as a sentence.
    pub fn finding(&self) -> String {
        let of = self.delivery.as_ref();
        let of = of.map_or_else(String::new, |delivery| format!("{delivery}: "));
        format!("{of}{}", self.finding_without_delivery())
    }

    /// What was found, as a sentence without the delivery's name.
    pub fn finding_without_delivery(&self) -> String {
        let limit = self.limit.as_ref();
        let limit = limit.map_or_else(String::new, |limit| format!("; the limit is {limit}"));
        match (self.rows, self.broken) {
            (Some(rows), 1) => format!("1 of {rows} rows breaks it{limit}"),
            (Some(rows), broken) => format!("{broken} of {rows} rows break it{limit}"),
            (None, 1) => format!("1 row breaks it{limit}"),
            (None, broken) => format!("{broken} rows break it{limit}"),
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
        blame: None,
    }
}

/// A row of the table of results.
struct AssertionResult {
    name: String,
    delivery: Option<String>,
    verdict: String,
    broken: u64,
    rows: Option<u64>,
}

impl AssertionResult {
    fn judged(&self, assertion: &Assertion, accepted: &[AcceptedFailure]) -> AssertionPart {
        // A row without a delivery is one in a rule by deliveries.
        let by = assertion.by.as_ref();
        let delivery = by.map(|_| self.delivery.clone().unwrap_or_else(|| "NULL".to_owned()));
        let is_failed = self.verdict == FAIL;
        let because = is_failed
            .then(|| acceptance(assertion, delivery.as_deref(), self.broken, accepted))
            .flatten();
        let (verdict, limit) = match (is_failed, &because) {
            (true, None) => (AssertionVerdict::Fail, Some(&assertion.limit)),
            (true, Some(_)) => (AssertionVerdict::Accepted, Some(&assertion.limit)),
            (false, _) if self.verdict == WARN => {
                (AssertionVerdict::Warn, Some(&assertion.warn_limit))
            }
            (false, _) => (AssertionVerdict::Pass, None),
        };
        AssertionPart {
            delivery,
            verdict,
            broken: self.broken,
            rows: self.rows,
            limit: limit.map(ToString::to_string),
            because,
            held_since: None,
        }
    }
}

/// Why a failure is accepted, now or by an earlier run that met at least as many broken rows.
pub(super) fn acceptance(
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

/// The rows of the table of results.
fn results(table: &RecordBatch) -> Result<Vec<AssertionResult>, ArrowError> {
    let names = texts(table, "assertion")?;
    let deliveries = texts(table, "delivery")?;
    let verdicts = texts(table, "verdict")?;
    let broken = numbers(table, BROKEN_COLUMN)?;
    let rows = numbers(table, ROWS_COLUMN)?;
    let results = (0..table.num_rows()).map(|at| {
        let text = |column: &StringArray| column.is_valid(at).then(|| column.value(at).to_owned());
        let count = |column: &Int64Array| {
            let value = column.is_valid(at).then(|| column.value(at))?;
            u64::try_from(value).ok()
        };
        Some(AssertionResult {
            name: text(names)?,
            delivery: text(deliveries),
            verdict: text(verdicts)?,
            broken: count(broken)?,
            rows: count(rows),
        })
    });
    let results: Option<Vec<AssertionResult>> = results.collect();
    results.ok_or_else(|| ArrowError::SchemaError("a name or a number is missing".to_owned()))
}

fn numbers<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, ArrowError> {
    let values = column(table, name)?.as_primitive_opt::<Int64Type>();
    values.ok_or_else(|| ArrowError::SchemaError(format!("{name} does not hold numbers")))
}

fn texts<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a StringArray, ArrowError> {
    let values = column(table, name)?.as_string_opt::<i32>();
    values.ok_or_else(|| ArrowError::SchemaError(format!("{name} does not hold text")))
}

fn column<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let column = table.column_by_name(name);
    column.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))
}
