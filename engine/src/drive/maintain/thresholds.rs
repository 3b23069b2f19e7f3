//! Sizes from which on something is done in another way. Results do not depend on them; tests make them small, so that
//! a few rows take every way.

use tidewater_connectors::file::sink::AmendSizes;

use crate::state::LEVELLED_BLOCKS;

/// The thresholds of a run with a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Which partitions are amended rather than written anew.
    pub tables: AmendSizes,
    /// Parts of the state of so many blocks have levels.
    pub levelled_blocks: u64,
}

impl Thresholds {
    /// Small states are treated as large ones.
    pub const SMALL_STATE: Self = Self {
        tables: AmendSizes::RELEASE,
        levelled_blocks: 1,
    };

    /// Small tables are treated as large ones too.
    pub const SMALL: Self = Self {
        tables: AmendSizes::TINY,
        ..Self::SMALL_STATE
    };
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            tables: AmendSizes::RELEASE,
            levelled_blocks: LEVELLED_BLOCKS,
        }
    }
}
