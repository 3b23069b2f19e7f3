//! `tidewater history`: the commits of a state and their changes.

use std::collections::BTreeMap;

use indicatif::HumanCount;
use serde_json::{Value, json};
use tidewater_engine::Inspection;
use tidewater_engine::error::shown_path;
use tidewater_engine::state::{
    AssertionVerdict, DeliveryRecord, EpochRecord, HeldRecord, TableChangeRecord,
};

use crate::args::HistoryArgs;
use crate::display::{count, iso, utc};
use crate::failure::Failure;
use crate::style::Style;
use crate::{job, output};

/// Runs the command.
pub fn run(args: &HistoryArgs) -> Result<(), Failure> {
    let (state, tables) = args.state.with_words(args.table.clone());
    if tables.len() > 1 {
        return Err(Failure::usage("give one table, or none".to_owned()));
    }
    let state = job::load_state(&state)?;
    let inspection = Inspection::open(&state.job.job, &state.path)?;
    let mut epochs = inspection.epochs()?;
    if let Some(table) = tables.first() {
        known_table(&inspection, &epochs, table)?;
        for epoch in &mut epochs {
            epoch.tables.retain(|change| change.table == *table);
        }
        epochs.retain(|epoch| !epoch.tables.is_empty());
    }
    if let Some(last) = args.last {
        epochs.drain(..epochs.len().saturating_sub(last));
    }
    if args.state.json {
        let epochs: Vec<Value> = epochs.iter().map(to_json).collect();
        return output::print(&format!("{}\n", json!({ "epochs": epochs })));
    }
    if epochs.is_empty() {
        return output::print("There is no commit yet.\n");
    }
    let style = Style::stdout();
    let text: String = epochs.iter().map(|epoch| to_text(epoch, style)).collect();
    output::print(&text)
}

/// Fails if neither the state nor its history has the table.
pub fn known_table(
    inspection: &Inspection,
    epochs: &[EpochRecord],
    table: &str,
) -> Result<(), Failure> {
    let mut names: Vec<String> = inspection.tables()?.into_keys().collect();
    let changed = epochs.iter().flat_map(|epoch| &epoch.tables);
    if names.iter().any(|name| name == table) || changed.into_iter().any(|c| c.table == table) {
        return Ok(());
    }
    names.sort();
    Err(Failure::usage(format!(
        "the state has no table {table}; it has {}.",
        names.join(", ")
    )))
}

/// The number of deliveries of each kind, such as `2 new, 1 replaced`.
pub fn kinds(deliveries: &[DeliveryRecord]) -> BTreeMap<&str, u64> {
    let mut kinds = BTreeMap::new();
    for delivery in deliveries {
        *kinds.entry(delivery.change.as_str()).or_default() += 1;
    }
    kinds
}

fn to_json(epoch: &EpochRecord) -> Value {
    let tables = epoch.tables.iter().map(|change| {
        json!({
            "table": change.table,
            "inserted": change.inserted,
            "deleted": change.deleted,
            "rebuilt": change.replaced,
        })
    });
    json!({
        "epoch": epoch.epoch,
        "committed_at": iso(epoch.committed_at),
        "seconds": epoch.seconds,
        "deliveries": kinds(&epoch.deliveries),
        "rows_in": epoch.rows_in,
        "rows_out": epoch.rows_out,
        "tables": tables.collect::<Vec<_>>(),
        "assertions": epoch.assertions,
    })
}

fn to_text(epoch: &EpochRecord, style: Style) -> String {
    let mut text = format!(
        "{}  {}  {:.2} s\n",
        style.bold(&format!("epoch {}", epoch.epoch)),
        utc(epoch.committed_at),
        epoch.seconds
    );
    let kinds = kinds(&epoch.deliveries);
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, number)| format!("{number} {kind}"))
        .collect();
    text += &if kinds.is_empty() {
        "  no deliveries: the job changed\n".to_owned()
    } else {
        format!(
            "  deliveries: {}; {} in, {} out\n",
            kinds.join(", "),
            count(epoch.rows_in, "row"),
            HumanCount(epoch.rows_out)
        )
    };
    let width = epoch.tables.iter().map(|change| change.table.len()).max();
    for change in &epoch.tables {
        text += &format!(
            "  {:width$}  {}\n",
            change.table,
            in_words(change),
            width = width.unwrap_or(0)
        );
    }
    if epoch.tables.is_empty() {
        text += "  no table changed\n";
    }
    text += &assertions(epoch, style);
    text
}

/// The assertions that did not simply hold.
fn assertions(epoch: &EpochRecord, style: Style) -> String {
    let open = epoch.assertions.iter();
    let open = open.filter(|one| one.verdict != AssertionVerdict::Pass);
    let lines = open.map(|one| {
        let held = one.held.iter().map(|held| {
            let HeldRecord {
                delivery,
                broken,
                rows,
                since,
            } = held;
            format!(
                "; held since epoch {since}: {} ({broken} of {})",
                shown_path(delivery),
                count(*rows, "row")
            )
        });
        let held: String = held.collect();
        let rows = match one.rows {
            Some(rows) => format!("{} of {}", HumanCount(one.broken), count(rows, "row")),
            None => count(one.broken, "row"),
        };
        let verb = if one.broken == 1 { "breaks" } else { "break" };
        let because = one.because.as_ref();
        let because = because.map_or_else(String::new, |why| format!(" (accepted: {why})"));
        let line = format!("{}: {rows} {verb} it{because}{held}", one.assertion);
        format!("  {}\n", style.yellow(&line))
    });
    lines.collect()
}

/// A change in short form: `+3 -1`, with `rebuilt` for a table that was rebuilt.
pub fn in_words(change: &TableChangeRecord) -> String {
    let (inserted, deleted) = (HumanCount(change.inserted), HumanCount(change.deleted));
    match (change.replaced, change.deleted) {
        (true, 0) => format!("+{inserted}, rebuilt"),
        (true, _) => format!("+{inserted} -{deleted}, rebuilt"),
        (false, _) => format!("+{inserted} -{deleted}"),
    }
}
