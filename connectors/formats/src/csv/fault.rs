//! Why a row of a CSV file is rejected.

use std::ops::Range;
use std::sync::Arc;

use super::split::MisfitReason;
use crate::scalar::BadValue;

/// A row that is left out.
pub(super) struct RowFault {
    /// Its place among the rows that were split; `None` for a record that is no row.
    pub row: Option<usize>,
    /// Its bytes in the text, line end excluded.
    pub bytes: Range<usize>,
    pub reason: FaultReason,
}

/// Why a row is left out. Words are made of it when the row is shown.
pub(super) enum FaultReason {
    Misfit(MisfitReason),
    /// A value of a declared column, at `field` of the text: `why` it is bad, or NULL where none may be.
    Value {
        column: usize,
        field: Range<usize>,
        why: Option<BadValue>,
    },
    /// Nothing of its block can be held.
    Block(Arc<str>),
}
