//! Notices before a run: what is rebuilt and why, and which tables have moved.

use super::standing::Standing;
use super::views::Views;
use crate::drive::RunError;
use crate::drive::tables::{PerTable, Table};
use crate::state::{StateRecord, StateSnapshot, TABLES, TableRecord};

/// Says what is about to happen to views of a job that changed.
pub fn announce(
    views: &Views,
    standing: &Standing,
    state: &StateRecord,
    rebuild: bool,
    notice: &dyn Fn(&str),
) {
    if state.epoch == 0 {
        return;
    }
    let list = |names: Vec<&String>| {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.join(", ")
    };
    standing.notices.values().for_each(|text| notice(text));
    let changed = views.rebuilt.keeps.difference(&views.only_lost);
    let changed: Vec<&String> = changed.collect();
    if rebuild || !changed.is_empty() {
        let names = list(if rebuild {
            views.rebuilt.keeps.iter().collect()
        } else {
            changed
        });
        let why = if rebuild {
            "--rebuild"
        } else if !views.reopened.is_empty() {
            "the rows that closed some windows were withdrawn, so these windows are open again"
        } else if views.other_format {
            "the job has changed, or this version of Tidewater plans it differently from the one that created the state"
        } else {
            "the job has changed"
        };
        notice(&format!("{why}: rebuilt from the stored inputs: {names}"));
    }
    if !views.gone.views.is_empty() {
        let names = list(views.gone.views.keys().collect());
        notice(&format!(
            "no longer in the job, their state is dropped: {names}"
        ));
    }
    for (name, table) in &views.gone.tables {
        notice(&format!(
            "table {name} is no longer in the job: its files stay in {} and are no longer maintained",
            table.path.display()
        ));
    }
}

/// Says which tables are published in another directory than before.
pub fn announce_moves(
    tables: &PerTable<Table>,
    snapshot: &StateSnapshot,
    notice: &dyn Fn(&str),
) -> Result<(), RunError> {
    for table in tables.sinks.iter().filter(|table| !table.is_copy) {
        let name = &table.spec.name;
        let record: Option<TableRecord> = snapshot.record(TABLES, name)?;
        let Some(before) = record.filter(|record| record.path != table.spec.path) else {
            continue;
        };
        notice(&format!(
            "table {name} is now published in {}: what is in {} stays and is no longer maintained",
            table.spec.path.display(),
            before.path.display()
        ));
    }
    Ok(())
}
