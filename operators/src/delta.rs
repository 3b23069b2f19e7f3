//! Deltas, the unit of change: a record batch and a sign.

use arrow::array::RecordBatch;
use timely::dataflow::Stream;

/// A stream of deltas. Its time is the epoch.
pub type DeltaStream<'scope> = Stream<'scope, u64, Vec<Delta>>;

/// Rows that are all inserted or all retracted.
///
/// With one sign for the whole batch, expressions stay vectorised: a retraction runs the same code as an insertion.
/// Deltas never cross workers; keyed rows and partial aggregates do.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The rows.
    pub batch: RecordBatch,
    /// Whether the rows are inserted or retracted.
    pub sign: Sign,
}

/// The sign of a [`Delta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sign {
    /// Inserted.
    Plus,
    /// Retracted.
    Minus,
}

impl Sign {
    /// `1` or `-1`.
    pub fn diff(self) -> i64 {
        match self {
            Self::Plus => 1,
            Self::Minus => -1,
        }
    }

    /// `-1` or `1`.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Plus => Self::Minus,
            Self::Minus => Self::Plus,
        }
    }

    /// The sign of a difference; `None` for zero.
    pub fn of(diff: i64) -> Option<Self> {
        match diff {
            0 => None,
            1.. => Some(Self::Plus),
            _ => Some(Self::Minus),
        }
    }
}

impl Delta {
    /// Inserted rows.
    pub fn plus(batch: RecordBatch) -> Self {
        Self {
            batch,
            sign: Sign::Plus,
        }
    }

    /// Retracted rows.
    pub fn minus(batch: RecordBatch) -> Self {
        Self {
            batch,
            sign: Sign::Minus,
        }
    }
}
