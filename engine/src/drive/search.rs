//! Searches for rows by reading a source once more. Rows do not carry their place through the graph, so that only a run
//! that fails pays for the places.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::format::options::ON_ERROR;
use tidewater_connectors::source::{NextPiece, Reader, RowPlace, RowPlaces, SourceSpec};

use super::checked::RowCheck;
use crate::job::Source;
use crate::plan::row_checks::RowChecks;

/// Readers of a source, opened again to search for rows. New deliveries are read before those that stay.
pub type LookAgain<'a> = dyn Fn(&Source, &Arc<SourceSpec>) -> Vec<Arc<dyn Reader>> + 'a;

/// What to search for among the rows of a source.
pub struct Search {
    /// How the source is read, with the places of its rows. It is the same for all searches of a source.
    pub spec: Arc<SourceSpec>,
    /// Finds the rows.
    pub check: RowCheck,
}

impl Search {
    /// `None` if no row can be found.
    pub fn new(checks: RowChecks, source: &Source) -> Option<Self> {
        if checks.is_empty() {
            return None;
        }
        // Readers give the places of rows if rows may be rejected.
        let mut spec = source.spec.clone();
        spec.options
            .insert(ON_ERROR.to_owned(), "quarantine".to_owned());
        Some(Self {
            check: RowCheck::new(checks, source, &spec),
            spec: Arc::new(spec),
        })
    }
}

/// Reads until `visit` returns something.
///
/// # Errors
/// When the source cannot be read.
pub fn read_again<T>(
    reader: &dyn Reader,
    visit: &mut dyn FnMut(&RecordBatch, &RowPlaces) -> Option<T>,
) -> Result<Option<T>, SourceError> {
    loop {
        let dealt = match reader.next_piece()? {
            NextPiece::Dealt(dealt) if !dealt.is_correction => dealt,
            NextPiece::Dealt(_) | NextPiece::Wait | NextPiece::Done => return Ok(None),
        };
        for decoded in dealt.piece {
            let decoded = decoded?;
            if let Some(places) = &decoded.places
                && let Some(found) = visit(&decoded.batch, places)
            {
                return Ok(Some(found));
            }
        }
    }
}

/// A place for people.
pub fn spelled(place: &RowPlace) -> String {
    let RowPlace {
        file,
        line,
        byte_offset,
    } = place;
    if *line > 0 {
        format!("{file} line {line}")
    } else {
        format!("{file} offset {byte_offset}")
    }
}
