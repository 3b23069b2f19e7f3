//! The unit of change: a record batch and the sign with which it counts.

use arrow::array::RecordBatch;

/// A record batch and the sign with which its rows count: `+1` taken in, `-1` taken back.
///
/// One sign a delta keeps expressions vectorised: a correction runs the same code as an insertion. Deltas never
/// cross workers; what does is keyed rows.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The rows.
    pub batch: RecordBatch,
    /// `+1` or `-1`.
    pub sign: Sign,
}

/// The sign of a [`Delta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sign {
    /// Taken in.
    Plus,
    /// Taken back.
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

    /// The sign of a difference, `None` for zero.
    pub fn of(diff: i64) -> Option<Self> {
        match diff {
            0 => None,
            1.. => Some(Self::Plus),
            _ => Some(Self::Minus),
        }
    }
}

impl Delta {
    /// Rows taken in.
    pub fn plus(batch: RecordBatch) -> Self {
        Self {
            batch,
            sign: Sign::Plus,
        }
    }

    /// Rows taken back.
    pub fn minus(batch: RecordBatch) -> Self {
        Self {
            batch,
            sign: Sign::Minus,
        }
    }
}
