//! Thresholds at which the engine changes its method. Results do not depend on them. Tests make them small, so that a
//! few rows exercise every method.

use tidewater_connectors::file::sink::AmendSizes;

use crate::state::LEVELLED_BLOCKS;

/// The thresholds of a run with a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// The sizes from which on partitions are amended instead of rewritten.
    pub tables: AmendSizes,
    /// Parts of the state with at least this many blocks have levels.
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
