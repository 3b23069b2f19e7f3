//! Shadows: the Parquet copies, in the state, of tables that are published as text.

use std::path::PathBuf;

use tidewater_connectors::sink::{Encoding, TableSpec};

use crate::drive::tables::{PerTable, Table};
use crate::state::directory::StateLayout;

/// The directory of the Parquet copy of a table that is published as text.
pub fn shadow(layout: &StateLayout, spec: &TableSpec) -> Option<PathBuf> {
    match spec.encoding {
        Encoding::Parquet { .. } => None,
        Encoding::Csv { .. } | Encoding::JsonLines => Some(layout.table_copy(&spec.name)),
    }
}

/// The directories of the tables and of their shadows.
pub fn paths(layout: &StateLayout, tables: &PerTable<Table>) -> Vec<PathBuf> {
    let of_table = |table: &Table| {
        let shadow = shadow(layout, &table.spec);
        std::iter::once(table.spec.path.clone()).chain(shadow)
    };
    tables.iter().flat_map(of_table).collect()
}
