//! `tidewater quarantine`: the rows of a job that could not be read, the most common reasons first.

use std::collections::BTreeMap;

use indicatif::HumanCount;
use serde_json::{Value, json};
use tidewater_engine::{Inspection, Quarantine, QuarantinedRow};

use crate::args::{QuarantineArgs, QuarantineGroup};
use crate::display::count;
use crate::failure::Failure;
use crate::style::Style;
use crate::table::{Align, TextTable};
use crate::{job, output};

/// The most characters of a row's text in a table.
const RAW_SHOWN: usize = 60;

/// Rows that have something in common.
struct Group {
    key: String,
    rows: u64,
    /// The first ones.
    examples: Vec<QuarantinedRow>,
}

/// Runs the command.
pub fn run(args: &QuarantineArgs) -> Result<(), Failure> {
    let job = job::load(&args.job)?;
    let quarantine = match &args.state {
        None => Quarantine::of_job(&job)?,
        Some(state) => {
            let inspection = Inspection::open(&job, state)?;
            Quarantine::of_state(&job, &inspection)
                .ok_or_else(|| Failure::failed("the state has no quarantine".to_owned()))?
        }
    };
    let place = quarantine.path().display().to_string();
    if !quarantine.path().is_dir() {
        let hint = match &args.state {
            None => "run the job first, or give the --state that it keeps",
            Some(_) => "run the job first",
        };
        return Err(Failure::failed(format!(
            "there is no quarantine in {place}: {hint}"
        )));
    }
    let examples = args.by.map_or(args.limit, |_| 0);
    let by = args.by.unwrap_or(QuarantineGroup::Reason);
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    quarantine.rows(&mut |row| {
        let key = key(by, &row);
        let group = groups.entry(key.clone()).or_insert(Group {
            key,
            rows: 0,
            examples: Vec::new(),
        });
        group.rows += 1;
        if group.examples.len() < examples {
            group.examples.push(row);
        }
    })?;
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|one, other| {
        other
            .rows
            .cmp(&one.rows)
            .then_with(|| one.key.cmp(&other.key))
    });
    if args.json {
        return output::print(&format!("{}\n", to_json(&place, by, &groups)));
    }
    let style = Style::stdout();
    output::print(&match args.by {
        Some(by) => counts(&place, by, &groups, style),
        None => reasons(&place, &groups, style),
    })
}

/// The key by which a row is grouped.
fn key(by: QuarantineGroup, row: &QuarantinedRow) -> String {
    match by {
        QuarantineGroup::Reason => kind(&row.reason),
        QuarantineGroup::Column => row
            .column
            .clone()
            .unwrap_or_else(|| "(no column)".to_owned()),
        QuarantineGroup::File => row.file.clone(),
        QuarantineGroup::Source => row.source.clone(),
    }
}

/// A reason without the value that it quotes.
fn kind(reason: &str) -> String {
    let quoted = reason.strip_prefix('\'');
    match quoted.and_then(|quoted| quoted.split_once("' cannot be read")) {
        Some((_, rest)) => format!("cannot be read{rest}"),
        None => match reason.split_once(" does not fit ") {
            Some((_, sql_type)) => format!("does not fit {sql_type}"),
            None => reason.to_owned(),
        },
    }
}

fn heading(place: &str, groups: &[Group]) -> String {
    match groups.iter().map(|group| group.rows).sum::<u64>() {
        0 => format!("No row is quarantined in {place}.\n"),
        1 => format!("1 row is quarantined in {place}.\n"),
        rows => format!("{} are quarantined in {place}.\n", count(rows, "row")),
    }
}

/// The reasons, each with its first rows.
fn reasons(place: &str, groups: &[Group], style: Style) -> String {
    let mut text = heading(place, groups);
    for group in groups {
        text += &format!(
            "\n{}: {}\n",
            style.bold(&count(group.rows, "row")),
            group.key
        );
        if group.examples.is_empty() {
            continue;
        }
        let mut table = TextTable::new(vec![
            ("file".to_owned(), Align::Left),
            ("line".to_owned(), Align::Right),
            ("column".to_owned(), Align::Left),
            ("reason".to_owned(), Align::Left),
            ("raw".to_owned(), Align::Left),
        ]);
        for row in &group.examples {
            table.push(&[
                row.file.clone(),
                row.line.to_string(),
                row.column.clone().unwrap_or_default(),
                row.reason.clone(),
                shown(&row.raw),
            ]);
        }
        text += &table.render(style, "  ");
        let more = group.rows - group.examples.len() as u64;
        if more > 0 {
            text += &format!(
                "  … and {} more; --limit shows more of them\n",
                HumanCount(more)
            );
        }
    }
    text
}

/// One line a group.
fn counts(place: &str, by: QuarantineGroup, groups: &[Group], style: Style) -> String {
    let mut table = TextTable::new(vec![
        ("rows".to_owned(), Align::Right),
        (by.name().to_owned(), Align::Left),
    ]);
    for group in groups {
        table.push(&[HumanCount(group.rows).to_string(), group.key.clone()]);
    }
    let heading = heading(place, groups);
    if groups.is_empty() {
        return heading;
    }
    format!("{heading}\n{}", table.render(style, ""))
}

/// A row's text on one line, shortened.
fn shown(raw: &str) -> String {
    let end = raw.char_indices().nth(RAW_SHOWN).map(|(at, _)| at);
    let cut = raw.get(..end.unwrap_or(raw.len())).unwrap_or_default();
    let plain = cut.chars().map(|c| if c.is_control() { '␤' } else { c });
    let mut text: String = plain.collect();
    if end.is_some() {
        text.push('…');
    }
    text
}

fn to_json(place: &str, by: QuarantineGroup, groups: &[Group]) -> Value {
    let list = groups.iter().map(|group| {
        let rows = group.examples.iter().map(|row| {
            json!({
                "source": row.source,
                "file": row.file,
                "line": row.line,
                "byte_offset": row.byte_offset,
                "column": row.column,
                "reason": row.reason,
                "raw": row.raw,
            })
        });
        json!({ by.name(): group.key, "rows": group.rows, "examples": rows.collect::<Value>() })
    });
    json!({
        "path": place,
        "rows": groups.iter().map(|group| group.rows).sum::<u64>(),
        "groups": list.collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_alike_whatever_the_value() {
        for (reason, expected) in [
            (
                "'x' cannot be read as BIGINT: it is not a whole number",
                "cannot be read as BIGINT: it is not a whole number",
            ),
            (
                "'it's' cannot be read as DATE: no",
                "cannot be read as DATE: no",
            ),
            (
                "3 fields where the header has 4",
                "3 fields where the header has 4",
            ),
        ] {
            assert_eq!(kind(reason), expected);
        }
    }

    #[test]
    fn text_of_rows_is_cut_and_on_one_line() {
        assert_eq!(shown("a,b\nc"), "a,b␤c");
        assert_eq!(shown(&"가".repeat(61)), format!("{}…", "가".repeat(60)));
    }
}
