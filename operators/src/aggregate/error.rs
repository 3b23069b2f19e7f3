//! Errors of an aggregation.

use arrow::error::ArrowError;

use super::spec::UnsupportedAggregate;
use crate::dictionary::DictionaryFull;
use crate::interner::InternError;
use crate::state::StateError;

/// Why rows cannot be aggregated.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// A call that is not supported.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedAggregate),
    /// Too many keys.
    #[error(transparent)]
    Full(#[from] DictionaryFull),
    /// A column whose values have no codes.
    #[error(transparent)]
    Intern(#[from] InternError),
    /// From Arrow.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// More calls than can be numbered in keys.
    #[error("more than 65,535 aggregates in one GROUP BY; spread them over several views")]
    TooManyCalls,
    /// A value whose bytes are not those of its type.
    #[error("a value of {0} bytes does not fit its type: a defect of the engine")]
    ValueBytes(usize),
    /// A sum or an average beyond its type.
    #[error(
        "{column}{group} is beyond {data_type}: its values add up to {sum}; cast the argument to a wider type, \
         DECIMAL(38, s) with fewer decimal places, or DOUBLE"
    )]
    Beyond {
        /// The column.
        column: String,
        /// ` in the group k = v`, or nothing.
        group: String,
        /// The exact sum.
        sum: String,
        /// The type.
        data_type: String,
    },
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A stored group that does not belong to this aggregation.
    #[error(
        "a stored group does not have the accumulators of this aggregation: the state is damaged"
    )]
    StoredGroup,
    /// A retraction without its insertion.
    #[error("more rows were retracted than inserted: a group is left with {0} rows")]
    NegativeRows(i128),
    /// A retraction of a value without its insertion.
    #[error("a value was retracted more often than it was inserted: its count is {0}")]
    NegativePair(i64),
}
