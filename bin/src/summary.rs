//! The summary of a run: a page for a person, or one JSON object for a program.

use std::collections::BTreeMap;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Value, json};
use tidewater_engine::error::shown_path;
use tidewater_engine::state::DeliveryRecord;
use tidewater_engine::{LATE_TABLE, Publication, RunError, RunOutcome, RunReport, TableReport};

use crate::assertion_notes;
use crate::display::count;
use crate::style::Style;
use crate::table::{Align, TextTable};

/// A run's report, with what is needed to show the rows that it left out.
#[derive(Clone, Copy)]
pub struct Summary<'a> {
    /// The engine's report.
    pub report: &'a RunReport,
    /// The command that shows the quarantine.
    pub quarantine_command: &'a str,
}

/// The summary as one JSON object; `peak_memory_bytes` is null where the system does not report it.
pub fn to_json(report: &RunReport, peak_memory: Option<u64>) -> Value {
    let tables: serde_json::Map<String, Value> = report
        .tables
        .iter()
        .map(|table| {
            let numbers = json!({
                "rows": table.rows,
                "rows_inserted": table.rows_inserted,
                "rows_deleted": table.rows_deleted,
                "files_written": table.files_written,
            });
            (table.name.clone(), numbers)
        })
        .collect();
    let stages = report
        .stages
        .iter()
        .map(|(stage, seconds)| ((*stage).to_owned(), json!(seconds)));
    let seconds: serde_json::Map<String, Value> =
        std::iter::once(("total".to_owned(), json!(report.seconds_total)))
            .chain(stages)
            .collect();
    let deliveries = report.deliveries.as_ref().map(|deliveries| {
        let deliveries = deliveries.iter().map(|delivery| {
            json!({
                "source": delivery.source,
                "path": delivery.path,
                "change": delivery.change,
                "rows_in": delivery.rows_in,
                "rows_out": delivery.rows_out,
            })
        });
        deliveries.collect::<Vec<Value>>()
    });
    json!({
        "outcome": match report.outcome {
            RunOutcome::Committed => "committed",
            RunOutcome::NothingNew => "nothing new",
            RunOutcome::Audited => "audited",
        },
        "epoch": report.epoch,
        "deliveries": deliveries,
        "rows_read": report.rows_read,
        "rows_quarantined": report.rows_rejected,
        "rows_in_quarantine": report.rows_quarantined,
        "files_set_aside": files_set_aside(report),
        "rows_late": report.rows_late(),
        "tables": tables,
        "files_held": assertion_notes::files_held(&report.assertions),
        "assertions": assertion_notes::to_json(&report.assertions),
        "seconds": seconds,
        "peak_memory_bytes": peak_memory,
    })
}

fn files_set_aside(report: &RunReport) -> Vec<Value> {
    let files = report.set_aside.iter().map(|file| {
        json!({
            "source": file.source,
            "path": file.path,
            "reason": file.reason,
        })
    });
    files.collect()
}

/// The report of an audit as a page.
pub fn audit_to_text(report: &RunReport) -> String {
    let style = Style::stdout();
    let deliveries = report.deliveries.as_deref().unwrap_or_default();
    let mut page = match deliveries {
        [] => format!("The job changed since epoch {}.\n", report.epoch),
        deliveries => format!("Waiting after epoch {}{}", report.epoch, listed(deliveries)),
    };
    page += &format!("\nRead {}", count(report.rows_read, "row"));
    if report.rows_rejected > 0 {
        let rejected = format!("{} would be quarantined", HumanCount(report.rows_rejected));
        page += &format!(": {}", style.yellow(&rejected));
    }
    page += ".\n";
    if let Some(note) = set_aside_note(report) {
        page += &format!("{}\n", style.yellow(&note));
    }
    page += &assertion_notes::line(report, style);
    page + &format!(
        "A run would publish this. The audit published nothing. Took {}.\n",
        stages(report)
    )
}

/// A refused run as one JSON object.
pub fn refusal_to_json(error: &RunError) -> Value {
    let results = match error {
        RunError::Refused {
            assertions: results,
            ..
        } => assertion_notes::to_json(results),
        _ => Vec::new(),
    };
    json!({
        "outcome": "refused",
        "message": error.to_string(),
        "assertions": results,
    })
}

/// The report as a page: tables with a few rows each, the numbers of rows read, and the costs.
pub fn to_text(summary: Summary<'_>, peak_memory: Option<u64>) -> anyhow::Result<String> {
    let report = summary.report;
    let style = Style::stdout();
    let mut page = String::new();
    if let Some(deliveries) = &report.deliveries {
        page += &changes(report, deliveries);
        if deliveries.is_empty() && !any_changed(report) {
            if report.rows_quarantined > 0 {
                page += &format!("{}.\n", in_quarantine(report));
            }
            for note in assertion_notes::all(report) {
                page += &format!("{}\n", style.yellow(&note));
            }
            page += &format!("Took {}.\n", stages(report));
            return Ok(page);
        }
    }
    page += &tables(&report.tables).render(style, "");
    let whole = |table: &&TableReport| table.published == Publication::Whole;
    for table in report.tables.iter().filter(whole) {
        page += &format!("\n{}", style.bold(&table.name));
        let shown = table.preview.num_rows() as u64;
        page += &style.dim(&match (shown, table.rows) {
            (_, 0) => " · no rows".to_owned(),
            (shown, rows) if shown == rows => format!(" · {}", count(rows, "row")),
            (shown, rows) => format!(" · first {shown} of {} rows", HumanCount(rows)),
        });
        page.push('\n');
        if shown > 0 {
            page += &preview(&table.preview)
                .with_context(|| format!("cannot show rows of {}", table.name))?
                .render(style, "  ");
        }
    }
    page.push('\n');
    page += &rows_read(summary, style);
    if let Some(note) = set_aside_note(report) {
        page += &format!("{}\n", style.yellow(&note));
    }
    if let Some(note) = late_note(report) {
        page += &format!("{}\n", style.yellow(&note));
    }
    page += &assertion_notes::line(report, style);
    page += &format!("Took {}", stages(report));
    if let Some(bytes) = peak_memory {
        page += &format!("; peak memory {}", DecimalBytes(bytes));
    }
    page += ".\n";
    Ok(page)
}

/// Whether any table changed.
fn any_changed(report: &RunReport) -> bool {
    let mut tables = report.tables.iter();
    tables.any(|table| table.published != Publication::Unchanged)
}

/// The number of deliveries of each kind in the epoch, and the names of the first ones.
fn changes(report: &RunReport, deliveries: &[DeliveryRecord]) -> String {
    if deliveries.is_empty() && !any_changed(report) {
        return format!(
            "Nothing changed since epoch {}: the tables are up to date.\n",
            report.epoch
        );
    }
    format!("Epoch {}{}\n", report.epoch, listed(deliveries))
}

/// The number of deliveries of each kind, and the names of the first ones.
fn listed(deliveries: &[DeliveryRecord]) -> String {
    /// The most deliveries that are listed.
    const SHOWN: usize = 12;
    let mut text = String::new();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for delivery in deliveries {
        *kinds.entry(&delivery.change).or_default() += 1;
    }
    for (at, (kind, number)) in kinds.iter().enumerate() {
        text += if at == 0 { ": " } else { ", " };
        text += &format!("{} {kind}", count(*number, "delivery"));
    }
    text += ".\n";
    for delivery in deliveries
        .iter()
        .take(if deliveries.len() > SHOWN { 3 } else { SHOWN })
    {
        text += &format!("  {:<9} {}", delivery.change, shown_path(&delivery.path));
        match (delivery.rows_in, delivery.rows_out) {
            (0, 0) => {}
            (rows, 0) => text += &format!(", {} in", count(rows, "row")),
            (0, rows) => text += &format!(", {} out", count(rows, "row")),
            (rows, out) => text += &format!(", {} in, {} out", count(rows, "row"), HumanCount(out)),
        }
        text.push('\n');
    }
    if deliveries.len() > SHOWN {
        text += &format!("  … and {} more\n", deliveries.len() - 3);
    }
    text
}

/// How many rows were read, accepted and quarantined.
fn rows_read(summary: Summary<'_>, style: Style) -> String {
    let report = summary.report;
    let read = count(report.rows_read, "row");
    if report.rows_rejected > 0 {
        let accepted = report.rows_read.saturating_sub(report.rows_rejected);
        let rejected = HumanCount(report.rows_rejected).to_string();
        let note = style.yellow(&quarantined(summary, &rejected));
        return format!("Read {read}: {} accepted, {note}\n", HumanCount(accepted));
    }
    match report.rows_quarantined {
        0 => format!("Read {read}; none quarantined.\n"),
        _ => format!(
            "Read {read}; none quarantined. {}.\n",
            in_quarantine(report)
        ),
    }
}

/// A warning about the rows that this run quarantined; `None` if there are none.
pub fn quarantine_note(summary: Summary<'_>) -> Option<String> {
    let rows = summary.report.rows_rejected;
    (rows > 0).then(|| quarantined(summary, &count(rows, "row")))
}

/// The files that this run set aside, with the reasons; `None` if there are none.
pub fn set_aside_note(report: &RunReport) -> Option<String> {
    /// Files that are listed one by one.
    const SHOWN: usize = 12;
    let files = &report.set_aside;
    if files.is_empty() {
        return None;
    }
    let mut note = format!("{} set aside:", count(files.len() as u64, "file"));
    for file in files.iter().take(SHOWN) {
        note += &format!("\n  {}: {}", shown_path(&file.path), file.reason);
    }
    if files.len() > SHOWN {
        note += &format!("\n  … and {} more", files.len() - SHOWN);
    }
    Some(note)
}

/// Says that `rows` of this run are in the quarantine, where it is, and how to look at it.
fn quarantined(summary: Summary<'_>, rows: &str) -> String {
    let report = summary.report;
    let mut note = format!("{rows} quarantined");
    if let Some(path) = &report.quarantine_path {
        let path = path.display();
        let place = if report.rows_quarantined == report.rows_rejected {
            format!("in {path}")
        } else {
            format!("({} in all in {path})", HumanCount(report.rows_quarantined))
        };
        note += &format!(" {place}.\nTo see why: {}", summary.quarantine_command);
    }
    note
}

/// The number of rows that earlier runs quarantined, and where they are.
fn in_quarantine(report: &RunReport) -> String {
    let rows = count(report.rows_quarantined, "row");
    match &report.quarantine_path {
        Some(path) => format!("{rows} of earlier runs in {}", path.display()),
        None => format!("{rows} of earlier runs in the quarantine"),
    }
}

/// Says where late rows are; `None` if this run had none.
pub fn late_note(report: &RunReport) -> Option<String> {
    let late = report
        .tables
        .iter()
        .find(|table| table.name == LATE_TABLE)?;
    (report.rows_late() > 0).then(|| {
        format!(
            "{} late, for closed windows: in {}.",
            count(report.rows_late(), "row"),
            late.path.display()
        )
    })
}

/// One line for each table.
fn tables(reports: &[TableReport]) -> TextTable {
    let mut table = TextTable::new(vec![
        ("table".to_owned(), Align::Left),
        ("rows".to_owned(), Align::Right),
        ("inserted".to_owned(), Align::Right),
        ("deleted".to_owned(), Align::Right),
        ("files".to_owned(), Align::Right),
        ("path".to_owned(), Align::Left),
    ]);
    for report in reports {
        let numbers = [
            report.rows,
            report.rows_inserted,
            report.rows_deleted,
            report.files_written,
        ];
        let mut row = vec![report.name.clone()];
        row.extend(numbers.map(|number| HumanCount(number).to_string()));
        row.push(report.path.display().to_string());
        table.push(&row);
    }
    table
}

/// The rows of a batch, with numbers aligned to the right.
fn preview(batch: &RecordBatch) -> anyhow::Result<TextTable> {
    let schema = batch.schema();
    let columns = schema.fields().iter().map(|field| {
        let align = if field.data_type().is_numeric() {
            Align::Right
        } else {
            Align::Left
        };
        (field.name().clone(), align)
    });
    let mut table = TextTable::new(columns.collect());
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let cells: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<_, _>>()?;
    for row in 0..batch.num_rows() {
        let texts: Vec<String> = cells
            .iter()
            .map(|column| column.value(row).to_string())
            .collect();
        table.push(&texts);
    }
    Ok(table)
}

/// Total seconds, and those of each stage.
fn stages(report: &RunReport) -> String {
    let total = report.seconds_total;
    let stages: Vec<String> = report
        .stages
        .iter()
        .map(|(stage, seconds)| format!("{stage} {seconds:.2} s"))
        .collect();
    if stages.is_empty() {
        format!("{total:.2} s")
    } else {
        format!("{total:.2} s ({})", stages.join(", "))
    }
}
