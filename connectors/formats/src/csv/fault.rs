//! Why a row of a CSV file is rejected.

use std::ops::Range;
use std::sync::Arc;

use super::split::MisfitReason;
use crate::scalar::BadValue;

/// A rejected row.
pub(super) struct RowFault {
    /// Its index among the rows that were split; `None` for a record that is not among them.
    pub row: Option<usize>,
    /// Its bytes in the text, without the line end.
    pub bytes: Range<usize>,
    pub reason: FaultReason,
}

/// Why a row is rejected. The message is made only when the row is shown.
pub(super) enum FaultReason {
    Misfit(MisfitReason),
    /// A value of a declared column, at `field` of the text, is bad for the reason `why`, or is NULL in a `NOT NULL`
    /// column.
    Value {
        column: usize,
        field: Range<usize>,
        why: Option<BadValue>,
    },
    /// Arrow cannot hold the rows of its block.
    Block(Arc<str>),
}
