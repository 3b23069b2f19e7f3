//! Tracks which declared columns occurred in any row. A column that never occurred is all NULL, and its name may be
//! misspelt.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::datatypes::Fields;

use super::objects::FieldUse;

/// The columns that occurred so far, shared by all decoders of a source.
pub(super) struct MetColumns {
    state: Mutex<MetState>,
    /// Whether the source does not set `missing_columns`.
    warns_of_unmet: bool,
}

struct MetState {
    rows: usize,
    /// Columns that no row had.
    unmet: BTreeMap<String, OtherNames>,
}

/// Possible intended names, which differ only in case.
#[derive(Default)]
struct OtherNames {
    other_case: Option<String>,
}

/// The occurrence of one column in a block.
pub(super) struct MetColumn<'a> {
    pub name: &'a str,
    pub is_met: bool,
    /// A field whose name differs only in case.
    pub other_case: Option<&'a str>,
}

impl MetColumns {
    pub(super) fn new(declared: &Fields, uses: &[FieldUse], warns_of_unmet: bool) -> Self {
        let read = declared.iter().zip(uses);
        let read = read.filter(|(_, used)| **used == FieldUse::Read);
        let unmet = read.map(|(field, _)| (field.name().clone(), OtherNames::default()));
        Self {
            state: Mutex::new(MetState {
                rows: 0,
                unmet: unmet.collect(),
            }),
            warns_of_unmet,
        }
    }

    /// Records which columns occurred in some rows.
    pub(super) fn note<'a>(&self, rows: usize, columns: impl Iterator<Item = MetColumn<'a>>) {
        let mut state = self.lock();
        state.rows += rows;
        if state.unmet.is_empty() {
            return;
        }
        for column in columns {
            if column.is_met {
                state.unmet.remove(column.name);
            } else if let (Some(other), Some(unmet)) =
                (column.other_case, state.unmet.get_mut(column.name))
            {
                unmet.other_case.get_or_insert_with(|| other.to_owned());
            }
        }
    }

    /// Warnings about columns that no row had.
    pub(super) fn warnings(&self, source: &str) -> Vec<String> {
        let state = self.lock();
        if state.rows == 0 {
            return Vec::new();
        }
        let tell = |(name, unmet): (&String, &OtherNames)| {
            match &unmet.other_case {
            Some(other) => Some(format!(
                "{source}: no row has a field '{name}', but rows have '{other}': rename the column, or set column_names \
                 to 'any_case'"
            )),
            None => self.warns_of_unmet.then(|| {
                format!(
                    "{source}: no row has a field '{name}', which is NULL in all of them; if that is right, set \
                     missing_columns to 'null'"
                )
            }),
        }
        };
        state.unmet.iter().filter_map(tell).collect()
    }

    fn lock(&self) -> MutexGuard<'_, MetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
