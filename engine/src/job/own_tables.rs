//! The tables that a job has without declaring them: rows that cannot be read, rows of closed windows, and the results
//! of assertions. `COPY QUARANTINE TO 'path'`, `COPY LATE TO 'path'` and `COPY QUALITY TO 'path'` declare where they are
//! published.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidewater_connectors::file::sink::{QUARANTINE_TABLE, quarantine_schema};
use tidewater_connectors::sink::TableSpec;

use super::assertion::QUALITY_TABLE;
use super::{DirectorySpec, Sink};
use crate::diagnostic::{Diagnostic, Place};

/// The name of the table of late rows, among the tables and in the state.
pub const LATE_TABLE: &str = "_late";

/// A table that a job has without declaring it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnTable {
    /// Rows that cannot be read.
    Quarantine,
    /// Rows of closed windows.
    Late,
    /// The results of assertions.
    Quality,
}

impl OwnTable {
    const ALL: [Self; 3] = [Self::Quarantine, Self::Late, Self::Quality];

    /// The table for `COPY name TO`, if the job has no relation of that name.
    pub fn of_copy(name: &str, is_relation: bool) -> Option<Self> {
        let means = |own: &Self| name == own.name() || (name == own.word() && !is_relation);
        Self::ALL.into_iter().find(means)
    }

    /// Its name among the tables. No relation may have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quarantine => QUARANTINE_TABLE,
            Self::Late => LATE_TABLE,
            Self::Quality => QUALITY_TABLE,
        }
    }

    /// Its name in `COPY`.
    fn word(self) -> &'static str {
        self.name().trim_start_matches('_')
    }

    /// Its columns; `None` if they are those of a relation.
    pub fn schema(self) -> Option<SchemaRef> {
        match self {
            Self::Quarantine => Some(quarantine_schema()),
            Self::Late => Some(late_schema()),
            Self::Quality => None,
        }
    }
}

/// The columns of the table of late rows.
pub(crate) fn late_schema() -> SchemaRef {
    let names = ["view", "window", "change", "reason", "row"];
    let fields = names.map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// The table of late rows in a directory.
pub(crate) fn late_spec(place: DirectorySpec) -> TableSpec {
    TableSpec {
        name: LATE_TABLE.into(),
        path: place.path,
        schema: late_schema(),
        partition_by: place.partition_by,
        order_by: Vec::new(),
        encoding: place.encoding,
    }
}

/// The mistake of a relation with a reserved name.
pub(super) fn taken_name(name: &str, at: Place) -> Option<Diagnostic> {
    let own = OwnTable::ALL.into_iter().find(|own| own.name() == name)?;
    let message = format!("'{name}' is the name of a table that each job has");
    let hint = format!(
        "give it another name; COPY {} TO 'path' says where that table is published",
        own.word().to_uppercase()
    );
    Some(Diagnostic::new(at, message).with_hint(hint))
}

/// Removes the declared directory of a table from the sinks. A second one is a mistake, and so is a target that is
/// not a directory.
pub(super) fn take_place(
    own: OwnTable,
    sinks: &mut Vec<(Sink, Place)>,
    errors: &mut Vec<Diagnostic>,
) -> Option<DirectorySpec> {
    let mut place = None;
    for (sink, at) in sinks.extract_if(.., |(sink, _)| sink.view == own.name()) {
        let word = own.word().to_uppercase();
        let mistake = match (sink.directory(), &sink.retain) {
            (None, _) => Some((
                format!("{word} is published as files and nowhere else"),
                "write a directory: TO 'path'",
            )),
            (Some(_), Some(_)) => Some((format!("{word} has no windows"), "leave 'retain' out")),
            (Some(_), None) if place.is_some() => Some((
                format!("{word} is published twice"),
                "remove one of the two statements",
            )),
            (Some(directory), None) => {
                place = Some(directory.clone());
                None
            }
        };
        errors.extend(mistake.map(|(message, hint)| Diagnostic::new(at, message).with_hint(hint)));
    }
    place
}
