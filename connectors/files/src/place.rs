//! Where rows of files come from: the place columns of a source with a primary key.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Decoded, RowPlaces};

/// The columns that say where a row of a file comes from.
pub(super) fn place_fields() -> [FieldRef; 3] {
    [
        Field::new("modified", DataType::Int64, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("ordinal", DataType::UInt64, false),
    ]
    .map(Arc::new)
}

/// Where rows of a piece come from.
pub(super) struct FilePlace {
    /// When the file was modified.
    pub(super) modified_ns: i64,
    /// Its path.
    pub(super) path: Arc<str>,
    /// Whether rows carry their place as columns.
    pub(super) is_column: bool,
}

impl FilePlace {
    /// Decoded rows with their places, where they have ordinals.
    pub(super) fn of(&self, mut decoded: Decoded) -> Result<Decoded, SourceError> {
        let Some(ordinals) = decoded.ordinals.take() else {
            return Ok(decoded);
        };
        if decoded.places.is_none() {
            // What has no lines has rows, counted from 1.
            decoded.places = Some(RowPlaces {
                file: Arc::clone(&self.path),
                lines: ordinals.iter().map(|row| row + 1).collect(),
                byte_offsets: Vec::new(),
            });
        }
        if self.is_column {
            let placed = self.columns(&decoded.batch, ordinals);
            decoded.batch =
                placed.map_err(|error| SourceError::file(&self.path, error.to_string()))?;
        }
        Ok(decoded)
    }

    /// The rows with their places. Texts stay dictionaries where they are.
    fn columns(&self, rows: &RecordBatch, ordinals: Vec<u64>) -> Result<RecordBatch, ArrowError> {
        let number = rows.num_rows();
        let paths = std::iter::repeat_n(&self.path, number);
        let places: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![self.modified_ns; number])),
            Arc::new(StringArray::from_iter_values(paths)),
            Arc::new(UInt64Array::from(ordinals)),
        ];
        let mut columns = rows.columns().to_vec();
        columns.extend(places);
        let fields = rows.schema_ref().fields().iter().cloned();
        let fields: Vec<FieldRef> = fields.chain(place_fields()).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}
