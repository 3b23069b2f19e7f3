//! Readers of files, each for one format. They hand out the pieces of deliveries and record what they read.

use tidewater_contract::error::SourceError;
use tidewater_contract::source::Piece;

use super::delivery::KeptPart;

/// A piece of a delivery.
pub struct FilePiece {
    /// The index among the deliveries that the reader was opened with.
    pub delivery: usize,
    /// The piece.
    pub piece: Box<dyn Piece>,
}

/// The record of a delivery that was read from its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDelivery {
    /// The index among the deliveries that the reader was opened with.
    pub delivery: usize,
    /// The number of bytes of the stored file that were read, from its beginning: all of them, except for an appended
    /// file whose last row is incomplete.
    pub bytes: u64,
    /// BLAKE3 of these bytes, in hex; empty without a content store.
    pub hash: String,
    /// The stored content: one part, or none if nothing was stored.
    pub parts: Vec<KeptPart>,
    /// Whether the file was unchanged while it was read. Otherwise it was still being written, and the bytes that
    /// were read are neither its old nor its new content.
    pub settled: bool,
}

/// Hands out the pieces of deliveries, in order. All workers of a process share it.
pub trait FileReader: Send + Sync {
    /// The next piece, or `None` after the last.
    ///
    /// # Errors
    /// When a file cannot be read, or does not match the declaration.
    fn next_piece(&self) -> Result<Option<FilePiece>, SourceError>;

    /// The records of the deliveries that were read from files, in order. Complete after all pieces were handed out
    /// and decoded.
    ///
    /// # Errors
    /// When a piece was not decoded or not stored.
    fn read_deliveries(&self) -> Result<Vec<ReadDelivery>, SourceError>;

    /// The stored bytes of all deliveries, for progress.
    fn bytes_total(&self) -> u64;

    /// Messages for the user. Complete after all pieces were handed out.
    fn warnings(&self) -> Vec<String>;
}
