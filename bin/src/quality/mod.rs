//! `tidewater quality`: the results of the assertions at each commit, with a score.
//!
//! The score of a commit is the share of its assertions that hold, in percent, rounded down. An assertion of severity
//! `error` weighs three times as much as a warning; one that holds with a warning, or since files are held, counts half.

mod dbt;
mod openlineage;

use indicatif::HumanCount;
use serde_json::{Value, json};
use tidewater_engine::error::shown_path;
use tidewater_engine::job::{Assertion, Severity};
use tidewater_engine::state::{AssertionRecord, AssertionVerdict, EpochRecord};
use tidewater_engine::{Inspection, Job};

use crate::args::{QualityArgs, QualityFormat};
use crate::display::{count, iso, utc};
use crate::failure::Failure;
use crate::style::Style;
use crate::table::TextTable;
use crate::{job, output};

/// Runs the command.
pub fn run(args: &QualityArgs) -> Result<(), Failure> {
    let state = job::load_state(&args.state)?;
    let job = &state.job.job;
    if job.assertions.is_empty() {
        return Err(Failure::usage(
            "the job has no assertion; declare one: CREATE ASSERTION name ON table CHECK (condition)"
                .to_owned(),
        ));
    }
    let inspection = Inspection::open(job, &state.path)?;
    let mut epochs = inspection.epochs()?;
    epochs.retain(|epoch| !epoch.assertions.is_empty());
    epochs.drain(..epochs.len().saturating_sub(args.last));
    let quality = Quality {
        job,
        name: &inspection.state.job,
        epochs,
    };
    let format = if args.state.json {
        QualityFormat::Json
    } else {
        args.format
    };
    let printed = match format {
        QualityFormat::Text => return output::print(&quality.to_text(Style::stdout())),
        QualityFormat::Json => quality.to_json(),
        QualityFormat::Dbt => quality.to_dbt(),
        QualityFormat::Openlineage => quality.to_openlineage(),
    };
    output::print(&format!("{printed}\n"))
}

/// The results of a job's assertions at its last commits.
struct Quality<'a> {
    job: &'a Job,
    name: &'a str,
    /// In their order.
    epochs: Vec<EpochRecord>,
}

impl Quality<'_> {
    fn to_text(&self, style: Style) -> String {
        let Some(last) = self.epochs.last() else {
            return "No commit has judged an assertion yet.\n".to_owned();
        };
        let mut text = format!(
            "{}: {}, score {}, at epoch {}, committed {}\n\n",
            style.bold(self.name),
            status_in_style(worst(last), style),
            self.score(last),
            last.epoch,
            utc(last.committed_at)
        );
        text += &self.results(last).render(style, "");
        for one in &last.assertions {
            if let Some(because) = &one.because {
                text += &format!("{} was accepted: {because}\n", one.assertion);
            }
            for held in &one.held {
                text += &format!(
                    "{}: {} is held since epoch {}: {} of {} break the rule\n",
                    one.assertion,
                    shown_path(&held.delivery),
                    held.since,
                    HumanCount(held.broken),
                    count(held.rows, "row")
                );
            }
        }
        text += "\n";
        text + &self.trend().render(style, "")
    }

    /// A row for each assertion, with the broken rows at each of the commits.
    fn results(&self, last: &EpochRecord) -> TextTable {
        let names = [
            "assertion",
            "result",
            "broken<",
            "rows<",
            "broken at these commits",
        ];
        let mut table = TextTable::named(&names);
        for one in &last.assertions {
            let before = self.epochs.iter().map(|epoch| {
                let mut assertions = epoch.assertions.iter();
                let same = assertions.find(|other| other.assertion == one.assertion);
                same.map_or_else(
                    || "-".to_owned(),
                    |other| HumanCount(other.broken).to_string(),
                )
            });
            table.push(&[
                one.assertion.clone(),
                status(one.verdict).to_owned(),
                HumanCount(one.broken).to_string(),
                one.rows
                    .map_or_else(String::new, |rows| HumanCount(rows).to_string()),
                before.collect::<Vec<String>>().join(" "),
            ]);
        }
        table
    }

    /// A row for each commit.
    fn trend(&self) -> TextTable {
        let names = [
            "epoch<",
            "committed",
            "result",
            "score<",
            "pass<",
            "warn<",
            "held<",
            "accepted<",
            "fail<",
        ];
        let mut table = TextTable::named(&names);
        for epoch in &self.epochs {
            table.push(&[
                epoch.epoch.to_string(),
                utc(epoch.committed_at),
                status(worst(epoch)).to_owned(),
                self.score(epoch).to_string(),
                number(epoch, AssertionVerdict::Pass).to_string(),
                number(epoch, AssertionVerdict::Warn).to_string(),
                number(epoch, AssertionVerdict::Held).to_string(),
                number(epoch, AssertionVerdict::Accepted).to_string(),
                number(epoch, AssertionVerdict::Fail).to_string(),
            ]);
        }
        table
    }

    fn to_json(&self) -> Value {
        let trend = self.epochs.iter().map(|epoch| {
            json!({
                "epoch": epoch.epoch,
                "check_timestamp": iso(epoch.committed_at),
                "overall_status": status(worst(epoch)),
                "score": self.score(epoch),
                "pass": number(epoch, AssertionVerdict::Pass),
                "warn": number(epoch, AssertionVerdict::Warn),
                "held": number(epoch, AssertionVerdict::Held),
                "accepted": number(epoch, AssertionVerdict::Accepted),
                "fail": number(epoch, AssertionVerdict::Fail),
            })
        });
        let last = self.epochs.last();
        let checks = last.map(|last| last.assertions.iter().map(|one| self.check(one)));
        json!({
            "job": self.name,
            "epoch": last.map(|last| last.epoch),
            "check_timestamp": last.map(|last| iso(last.committed_at)),
            "overall_status": last.map(|last| status(worst(last))),
            "score": last.map(|last| self.score(last)),
            "total_records": last.and_then(|last| last.assertions.iter().filter_map(|one| one.rows).max()),
            "duration_ms": last.map(|last| (last.seconds * 1000.0).round()),
            "checks": checks.map(Iterator::collect::<Vec<Value>>),
            "trend": trend.collect::<Vec<Value>>(),
        })
    }

    fn check(&self, one: &AssertionRecord) -> Value {
        let declared = self.job.assertion(&one.assertion);
        let severity = declared.map(|declared| match declared.severity {
            Severity::Error => "error",
            Severity::Warn => "warn",
        });
        json!({
            "check_id": one.assertion,
            "check": declared.and_then(|declared| declared.describe.as_deref()).unwrap_or(&one.assertion),
            "status": status(one.verdict),
            "issue_count": one.broken,
            "issue_ratio": one.rows.map(|rows| percent(one.broken, rows)),
            "detail": declared.map(|declared| format!("CHECK ({})", declared.check)),
            "severity": severity,
            "scope": declared.map(|declared| if declared.by.is_some() { "delivery" } else { "all" }),
            "limit": declared.map(|declared| declared.limit.to_string()),
            "because": one.because,
            "held": one.held,
        })
    }

    fn score(&self, epoch: &EpochRecord) -> u64 {
        let weights = epoch.assertions.iter().map(|one| {
            let weight = weight(self.job.assertion(&one.assertion));
            let halves = match one.verdict {
                AssertionVerdict::Pass => 2,
                AssertionVerdict::Warn | AssertionVerdict::Held => 1,
                AssertionVerdict::Accepted | AssertionVerdict::Fail => 0,
            };
            (weight, weight * halves)
        });
        let (whole, halves) = weights.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (halves * 50).checked_div(whole).unwrap_or(100)
    }
}

fn weight(assertion: Option<&Assertion>) -> u64 {
    match assertion.map(|assertion| assertion.severity) {
        Some(Severity::Error) => 3,
        Some(Severity::Warn) | None => 1,
    }
}

fn worst(epoch: &EpochRecord) -> AssertionVerdict {
    let verdicts = epoch.assertions.iter().map(|one| one.verdict);
    verdicts.max().unwrap_or(AssertionVerdict::Pass)
}

fn number(epoch: &EpochRecord, verdict: AssertionVerdict) -> usize {
    let same = epoch.assertions.iter();
    same.filter(|one| one.verdict == verdict).count()
}

fn status(verdict: AssertionVerdict) -> &'static str {
    match verdict {
        AssertionVerdict::Pass => "PASS",
        AssertionVerdict::Warn => "WARN",
        AssertionVerdict::Held => "HELD",
        AssertionVerdict::Accepted => "ACCEPTED",
        AssertionVerdict::Fail => "FAIL",
    }
}

fn status_in_style(verdict: AssertionVerdict, style: Style) -> String {
    match verdict {
        AssertionVerdict::Pass => status(verdict).to_owned(),
        _ => style.yellow(status(verdict)),
    }
}

/// A share in percent, to four decimals. Counts are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 / whole as f64 * 1_000_000.0).round() / 10_000.0
    }
}
