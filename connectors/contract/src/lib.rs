//! What every source and sink speaks, and what they write files with. Knows no connector and no format.

pub mod disk;
pub mod error;
pub mod sink;
pub mod source;
