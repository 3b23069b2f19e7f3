//! What a run says of assertions that do not simply hold.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidewater_engine::error::shown_path;
use tidewater_engine::hold::HeldSince;
use tidewater_engine::state::AssertionVerdict;
use tidewater_engine::{AssertionPart, AssertionReport, RunOutcome, RunReport};

use crate::command_line::quoted;
use crate::display::{count, iso, utc};
use crate::style::Style;

/// Deliveries that are listed for each assertion.
const SHOWN: usize = 5;

/// The results of assertions for programs.
pub fn to_json(results: &[AssertionReport]) -> Vec<Value> {
    let assertions = results.iter().map(|assertion| {
        let parts = assertion.parts.iter();
        let parts = parts.filter(|part| part.verdict != AssertionVerdict::Pass);
        let parts = parts.map(|part| {
            json!({
                "delivery": part.delivery,
                "verdict": part.verdict,
                "broken": part.broken,
                "rows": part.rows,
                "limit": part.limit,
                "because": part.because,
            })
        });
        json!({
            "name": assertion.name,
            "verdict": assertion.verdict,
            "broken": assertion.broken,
            "rows": assertion.rows,
            "not_passed": parts.collect::<Vec<Value>>(),
            "holds_without": assertion.blame.as_ref().map(|blame| &blame.deliveries),
        })
    });
    assertions.collect()
}

/// The files that are held, with the rules that each breaks.
pub fn files_held(results: &[AssertionReport]) -> Vec<Value> {
    let files = held(results).into_iter().map(|(path, broken)| {
        let since = broken.iter().find_map(|(_, part)| part.held_since);
        let assertions = broken.iter().map(|(name, part)| {
            json!({
                "name": name,
                "broken": part.broken,
                "rows": part.rows,
                "limit": part.limit,
            })
        });
        json!({
            "path": path,
            "assertions": assertions.collect::<Vec<Value>>(),
            "since_epoch": since.map(|since| since.epoch),
            "since": since.map(|since| iso(since.at_s)),
        })
    });
    files.collect()
}

/// The held files, with the names of the rules that each breaks.
fn held(results: &[AssertionReport]) -> BTreeMap<&str, Vec<(&str, &AssertionPart)>> {
    let mut files: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for assertion in results {
        for part in assertion.parts_with(AssertionVerdict::Held) {
            let path = part.delivery.as_deref().unwrap_or_default();
            let broken = files.entry(path).or_default();
            broken.push((assertion.name.as_str(), part));
        }
    }
    files
}

/// How many assertions hold, and what the others were found to be.
pub fn line(report: &RunReport, style: Style) -> String {
    let number = report.assertions.len() as u64;
    let notes = all(report);
    match number {
        0 => String::new(),
        1 if notes.is_empty() => "The assertion holds.\n".to_owned(),
        _ if notes.is_empty() => format!("All {number} assertions hold.\n"),
        _ => {
            let notes = notes.iter().map(|note| style.yellow(note) + "\n");
            notes.collect()
        }
    }
}

/// The failures that are published, the files that are held, and the warnings.
pub fn all(report: &RunReport) -> Vec<String> {
    let notes = [failures(report), held_files(report), warnings(report)];
    notes.into_iter().flatten().collect()
}

/// The assertions that fail and are published all the same, as they ask for.
fn failures(report: &RunReport) -> Option<String> {
    let lines = listed(report, &[AssertionVerdict::Fail]);
    let failed = report.assertions.iter();
    let failed = failed.filter(|one| one.verdict == AssertionVerdict::Fail);
    (!lines.is_empty()).then(|| {
        let fails = match failed.count() {
            1 => "1 assertion fails and is".to_owned(),
            many => format!("{many} assertions fail and are"),
        };
        format!("{fails} published all the same ('on_failure' 'publish'):{lines}")
    })
}

/// The files that are held, since when, and what to do.
fn held_files(report: &RunReport) -> Option<String> {
    /// Files that are listed one by one.
    const FILES_SHOWN: usize = 12;
    let files = held(&report.assertions);
    let (first, broken) = files.iter().next()?;
    let number = count(files.len() as u64, "file");
    let is_audit = report.outcome == RunOutcome::Audited;
    let (is_held, their) = match (files.len(), is_audit) {
        (1, false) => ("is held", "its"),
        (1, true) => ("would be held", "its"),
        (_, false) => ("are held", "their"),
        (_, true) => ("would be held", "their"),
    };
    let mut note = format!("{number} {is_held}, with none of {their} rows in the tables:");
    for (path, broken) in files.iter().take(FILES_SHOWN) {
        for (rule, part) in broken {
            let found = part.finding_without_delivery();
            let is_known = |since: &HeldSince| {
                since.epoch < report.epoch + u64::from(report.outcome != RunOutcome::Committed)
            };
            let since = part.held_since.filter(is_known);
            let since = since.map_or_else(String::new, |since| {
                format!(" (since epoch {}, {})", since.epoch, utc(since.at_s))
            });
            note += &format!("\n  {}: {rule}: {found}{since}", shown_path(path));
        }
    }
    if files.len() > FILES_SHOWN {
        note += &format!("\n  … and {} more", files.len() - FILES_SHOWN);
    }
    let them = if files.len() == 1 { "it" } else { "them" };
    let accept = broken.iter();
    let accept = accept.map(|(rule, _)| format!("--accept {}", quoted(&format!("{rule}={first}"))));
    let accept = accept.collect::<Vec<String>>().join(" ");
    note += &format!(
        "\nCorrect or withdraw {them}. To take {them} in all the same, run with {accept} --because 'why'"
    );
    Some(note)
}

/// The assertions that hold with a warning, or whose failures are accepted.
fn warnings(report: &RunReport) -> Option<String> {
    let verdicts = [AssertionVerdict::Accepted, AssertionVerdict::Warn];
    let open = report.assertions.iter().filter(|one| {
        let mut parts = one.parts.iter();
        parts.any(|part| verdicts.contains(&part.verdict))
    });
    let number = open.count() as u64;
    let of = report.assertions.len();
    (number > 0).then(|| {
        let lines = listed(report, &verdicts);
        format!("{} of {of} assertions:{lines}", count(number, "warning"))
    })
}

/// A line for each part of an assertion with one of these verdicts.
fn listed(report: &RunReport, verdicts: &[AssertionVerdict]) -> String {
    let mut note = String::new();
    for assertion in &report.assertions {
        let parts = verdicts.iter();
        let parts: Vec<_> = parts
            .flat_map(|verdict| assertion.parts_with(*verdict))
            .collect();
        for part in parts.iter().take(SHOWN) {
            note += &format!("\n  {}: {}", assertion.name, part.finding());
            if let Some(because) = &part.because {
                note += &format!(" (accepted: {because})");
            }
        }
        if parts.len() > SHOWN {
            note += &format!("\n  {}: … and {} more", assertion.name, parts.len() - SHOWN);
        }
    }
    note
}
