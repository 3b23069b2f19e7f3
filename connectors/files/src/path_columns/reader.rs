//! Reads files whose rows have columns from their paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::error::ArrowError;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Decoded, Format, SourceSpec, TextBlock, TextFormat};
use tidewater_formats::coded_text;
use tidewater_formats::csv::Csv;
use tidewater_formats::names::{is_same, is_same_in_any_case};

use super::{PathColumns, folders};
use crate::latch::Latch;
use crate::reader::{FilePiece, FileReader, ReadDelivery};

/// Parses the values of paths and makes columns of them.
pub(crate) struct PathDecoder {
    columns: PathColumns,
    /// The declared columns that are read.
    projected: Vec<FieldRef>,
    /// All path columns, checked whether they are read or not.
    fields: Vec<FieldRef>,
    format: Csv,
    /// Whether texts become dictionaries.
    dictionaries: bool,
}

impl PathDecoder {
    /// # Errors
    /// When a column's type cannot be parsed from text.
    pub(crate) fn new(spec: &SourceSpec, columns: &PathColumns) -> Result<Self, SourceError> {
        let fields = spec.schema.fields().iter();
        let fields: Vec<FieldRef> = fields
            .filter(|field| columns.contains(field.name()))
            .cloned()
            .collect();
        let projected = spec.projection.iter();
        let projected = projected.filter_map(|index| spec.schema.fields().get(*index));
        // Values are decoded as a line of CSV, since all formats parse texts alike.
        let line = SourceSpec {
            name: spec.name.clone(),
            location: spec.location.clone(),
            format: Format::Csv,
            schema: Arc::new(Schema::new(fields.clone())),
            projection: (0..fields.len()).collect(),
            options: BTreeMap::from([("has_header".to_owned(), "false".to_owned())]),
            ordinals: false,
            dictionaries: false,
            source: None,
        };
        Ok(Self {
            columns: columns.clone(),
            projected: projected.cloned().collect(),
            fields,
            format: Csv::new(&line)?,
            dictionaries: spec.dictionaries,
        })
    }

    /// The values of a path.
    ///
    /// # Errors
    /// When a folder is missing, or its value does not fit its column.
    pub(crate) fn values(&self, path: &Arc<str>) -> Result<PathValues, SourceError> {
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let text = self.columns.text(path, field.name());
            let text = text.ok_or_else(|| no_folder(path, field.name()))?;
            let quoted = text.map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
            fields.push(quoted.unwrap_or_default());
        }
        let line = format!("{}\n", fields.join(","));
        let head = self.format.begin(path, line.as_bytes())?;
        let decoded = head.decoder.decode(&TextBlock {
            file: Arc::clone(path),
            first_line: 1,
            byte_offset: 0,
            bytes: line.into_bytes(),
            stored_bytes: 0,
        });
        if let Some(rejected) = decoded.rejected.into_iter().next() {
            return Err(unfit(path, rejected.column, &rejected.reason));
        }
        let mut values = BTreeMap::new();
        for (field, value) in self.fields.iter().zip(decoded.batch.columns()) {
            let is_coded = self.dictionaries && *field.data_type() == DataType::Utf8;
            let value = if is_coded {
                cast(value, &coded_text())
            } else {
                Ok(Arc::clone(value))
            };
            let value = value.map_err(|error| SourceError::file(path, error.to_string()))?;
            values.insert(field.name().clone(), value);
        }
        Ok(PathValues {
            path: Arc::clone(path),
            columns: self
                .projected
                .iter()
                .map(|field| (Arc::clone(field), values.get(field.name()).cloned()))
                .collect(),
        })
    }
}

/// The error for a path without a column's folder.
fn no_folder(path: &Arc<str>, column: &str) -> SourceError {
    let found: Vec<&str> = folders(path).map(|(key, _)| key).collect();
    let alike = found.iter().find(|key| is_same_in_any_case(key, column));
    let message = match alike {
        Some(key) if is_same(key, column) => {
            "the name of its folder is not UTF-8; rename it".to_owned()
        }
        Some(key) => format!(
            "its folder is '{key}=…', in other letters; declare the column as \"{key}\" in double quotes"
        ),
        None => format!(
            "is in PARTITIONED BY, but no folder of the path is '{column}=…'; leave the file out of LOCATION, or take \
             the column out of PARTITIONED BY"
        ),
    };
    SourceError::column(path, column, message)
}

/// The error for a value that does not fit its column.
fn unfit(path: &Arc<str>, column: Option<Arc<str>>, reason: &str) -> SourceError {
    let message = format!(
        "the value of its folder cannot be read: {reason}; rename the folder, or declare the column as TEXT"
    );
    match column {
        Some(column) => SourceError::column(path, column, message),
        None => SourceError::file(path, message),
    }
}

/// The values from a path for all rows of its file.
#[derive(Debug)]
pub(crate) struct PathValues {
    path: Arc<str>,
    /// The columns that are read, in order. Those of the file have no value.
    pub(super) columns: Vec<(FieldRef, Option<ArrayRef>)>,
}

impl PathValues {
    /// Adds the columns of the path to rows of the file.
    pub(crate) fn add_to(&self, mut decoded: Decoded) -> Result<Decoded, SourceError> {
        let complete = self.complete(&decoded.batch);
        decoded.batch =
            complete.map_err(|error| SourceError::file(&self.path, error.to_string()))?;
        Ok(decoded)
    }

    pub(super) fn complete(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let number = rows.num_rows();
        // Every row gets the one value.
        let places = UInt32Array::from(vec![0; number]);
        let mut of_file = rows.schema_ref().fields().iter().zip(rows.columns());
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (field, value) in &self.columns {
            if let Some(value) = value {
                let field = field.as_ref().clone();
                fields.push(Arc::new(field.with_data_type(value.data_type().clone())));
                columns.push(take(value, &places, None)?);
            } else if let Some((field, column)) = of_file.next() {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(number));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
    }
}

/// A reader of files whose rows also have the columns of their paths.
pub(crate) struct PathColumnsReader {
    reader: Arc<dyn FileReader>,
    decoder: PathDecoder,
    /// The paths of the deliveries.
    paths: Vec<Arc<str>>,
    /// The delivery that is being handed out.
    current: Latch<Option<CurrentPath>>,
}

/// A delivery and the values of its path.
struct CurrentPath {
    delivery: usize,
    values: Arc<PathValues>,
}

impl PathColumnsReader {
    pub(crate) fn new(
        reader: Arc<dyn FileReader>,
        decoder: PathDecoder,
        paths: Vec<Arc<str>>,
    ) -> Self {
        Self {
            reader,
            decoder,
            paths,
            current: Latch::default(),
        }
    }

    fn values(
        &self,
        current: &mut Option<CurrentPath>,
        delivery: usize,
    ) -> Result<Arc<PathValues>, SourceError> {
        if let Some(current) = current.as_ref().filter(|is| is.delivery == delivery) {
            return Ok(Arc::clone(&current.values));
        }
        let path = self.paths.get(delivery).cloned().unwrap_or_default();
        let values = Arc::new(self.decoder.values(&path)?);
        *current = Some(CurrentPath {
            delivery,
            values: Arc::clone(&values),
        });
        Ok(values)
    }
}

impl FileReader for PathColumnsReader {
    fn next_piece(&self) -> Result<Option<FilePiece>, SourceError> {
        self.current.advance(|current| {
            let Some(FilePiece { delivery, piece }) = self.reader.next_piece()? else {
                return Ok(None);
            };
            let values = self.values(current, delivery)?;
            let piece =
                piece.map(move |decoded| decoded.and_then(|decoded| values.add_to(decoded)));
            Ok(Some(FilePiece {
                delivery,
                piece: Box::new(piece),
            }))
        })
    }

    fn read_deliveries(&self) -> Result<Vec<ReadDelivery>, SourceError> {
        self.reader.read_deliveries()
    }

    fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }

    fn warnings(&self) -> Vec<String> {
        self.reader.warnings()
    }
}
