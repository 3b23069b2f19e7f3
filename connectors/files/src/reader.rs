//! Readers of files, each of one format: they hand out pieces of deliveries and tell what they read.

use tidewater_contract::error::SourceError;
use tidewater_contract::source::Piece;

use super::delivery::KeptPart;

/// A piece, and the delivery that it is of.
pub struct FilePiece {
    /// Index among the deliveries that the reader was opened with.
    pub delivery: usize,
    /// Rows of it.
    pub piece: Box<dyn Piece>,
}

/// What was read of a delivery that was read from where it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDelivery {
    /// Index among the deliveries that the reader was opened with.
    pub delivery: usize,
    /// Bytes of the stored file, from its beginning, that were read: all of them, but for a file that is appended to and
    /// does not end with a whole row.
    pub bytes: u64,
    /// BLAKE3 of these bytes, in hex; empty when nothing is kept.
    pub hash: String,
    /// The content that was kept: one part, or none when nothing is kept or there was nothing to keep.
    pub parts: Vec<KeptPart>,
    /// Whether the file stayed as it was while it was read. Otherwise it was still being written, and what was read is
    /// neither its old nor its new content.
    pub settled: bool,
}

/// Hands out the pieces of deliveries, in their order. All workers of a process share it.
pub trait FileReader: Send + Sync {
    /// The next piece, or `None` after the last.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what the source declares.
    fn next_piece(&self) -> Result<Option<FilePiece>, SourceError>;

    /// What was read of each delivery that was not read from kept content, in their order. Complete once all pieces were
    /// handed out and decoded.
    ///
    /// # Errors
    /// When a piece was not decoded, or not kept as it should have been.
    fn read_deliveries(&self) -> Result<Vec<ReadDelivery>, SourceError>;

    /// Stored bytes of all deliveries, for progress.
    fn bytes_total(&self) -> u64;

    /// Messages for the user. Complete once all pieces were handed out.
    fn warnings(&self) -> Vec<String>;
}
