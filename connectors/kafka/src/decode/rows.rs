//! Decoded rows, their columns, and messages that are rejected.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;

use crate::Metadata;

/// A projected column.
pub(super) struct DecodedColumn {
    pub field: FieldRef,
    pub origin: ColumnOrigin,
    /// Whether the column belongs to the primary key.
    pub is_key: bool,
}

/// Where a column comes from.
pub(super) enum ColumnOrigin {
    /// The payload: the column's index in it and, for a column of the primary key, its index among the key's columns.
    Payload { at: usize, in_key: Option<usize> },
    /// The message itself.
    Message(Metadata),
}

/// Rows under construction, each with the index of its message.
pub(super) struct DecodedRows {
    pub columns: Vec<ArrayRef>,
    pub messages: Vec<usize>,
}

/// A rejected message: its index, the column at fault if it is a single one, and the reason.
pub(super) struct Refused {
    pub message: usize,
    pub column: Option<Arc<str>>,
    pub reason: String,
}

impl DecodedRows {
    /// The rows for which `keep` is true.
    pub fn retain(self, keep: Vec<bool>) -> Result<Self, ArrowError> {
        let mut kept = keep.iter();
        let mut messages = self.messages;
        messages.retain(|_| kept.next().is_some_and(|kept| *kept));
        let keep = BooleanArray::from(keep);
        let columns = self.columns.iter().map(|column| filter(column, &keep));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            messages,
        })
    }

    /// The rows whose message is not `refused`. Both are in ascending order.
    pub fn without(self, refused: &[Refused]) -> Result<Self, ArrowError> {
        let is_refused = |message: &usize| {
            let found = refused.binary_search_by_key(message, |refused| refused.message);
            found.is_ok()
        };
        if refused.is_empty() || !self.messages.iter().any(is_refused) {
            return Ok(self);
        }
        let keep = self.messages.iter().map(|message| !is_refused(message));
        let keep = keep.collect();
        self.retain(keep)
    }
}
