//! Codes of columns, and the spaces that they belong to.

use std::rc::Rc;

use arrow::error::ArrowError;

use crate::dictionary::DictionaryFull;

/// Why a column cannot be interned.
#[derive(Debug, thiserror::Error)]
pub enum InternError {
    /// From Arrow.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// Too many values.
    #[error(transparent)]
    Full(#[from] DictionaryFull),
}

/// Identifies what codes stand for, within one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceId {
    /// The values of a column.
    Values(usize),
    /// The tuples of several columns.
    Tuples(usize),
}

/// The codes of a batch's rows.
#[derive(Clone, Debug)]
pub struct ColumnCodes {
    /// What the codes stand for.
    pub space: SpaceId,
    /// The code of each row.
    pub rows: Rc<[u32]>,
    /// An upper bound: all codes are less than this.
    pub known: usize,
}
