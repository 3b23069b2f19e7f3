//! How a table's rows are stored, compared and split. Only this module defines the canonical order.
//!
//! Rows are ordered by the partition columns, then `ORDER BY`, then all remaining columns from the left; columns
//! outside `ORDER BY` are ascending with NULL first. Stored values that compare equal have the same bits (see
//! [`super::values`]), so a multiset of rows has one order. NaN is after every number.
//!
//! A row's key consists of two byte strings that compare as the values do: the *prefix* has `ORDER BY` and the first
//! column after it, the *rest* the other columns. The rest is only computed if prefixes are equal. A table whose
//! first column is unique never needs it.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use super::codes::{Codes, text};
use super::values::{stored_field, stored_type, to_stored};
use tidewater_contract::sink::{Encoding, SinkError, TableSpec};

/// The bytes of a key that are kept as a bound of a row group.
const BOUND_BYTES: usize = 64;

/// A table's columns as the sink stores them, and their order.
pub(super) struct Layout {
    /// The table.
    pub spec: Arc<TableSpec>,
    /// All columns in their stored types.
    pub stored: SchemaRef,
    /// The columns of a data file: `stored` without the partition columns.
    pub file: SchemaRef,
    /// Their indices into `stored`.
    pub file_columns: Vec<usize>,
    partition: Option<RowConverter>,
    prefix: KeyPart,
    rest: Option<KeyPart>,
}

/// Some columns of the file, and their conversion to bytes.
struct KeyPart {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl KeyPart {
    fn new(file: &Schema, terms: &[(usize, SortOptions)]) -> Result<Self, ArrowError> {
        let field = |&(column, options): &(usize, SortOptions)| {
            SortField::new_with_options(file.field(column).data_type().clone(), options)
        };
        let converter = RowConverter::new(terms.iter().map(field).collect())?;
        Ok(Self {
            columns: terms.iter().map(|(column, _)| *column).collect(),
            converter,
        })
    }

    fn convert(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|&column| text(batch.column(column)))
            .collect::<Result<_, _>>()?;
        self.converter.convert_columns(&columns)
    }
}

/// A batch of file columns with the keys of its rows.
pub(super) struct Keyed {
    /// The rows.
    pub batch: RecordBatch,
    prefix: Rows,
    rest: OnceCell<Rows>,
}

impl Keyed {
    /// The first part of the key of `row`. It determines the order if it differs.
    pub fn prefix(&self, row: usize) -> &[u8] {
        self.prefix.row(row).data()
    }
}

impl Layout {
    /// Checks the spec and derives its layout.
    pub fn new(spec: Arc<TableSpec>) -> Result<Self, SinkError> {
        check_columns(&spec)?;
        let fields = spec.schema.fields().iter();
        let stored = Arc::new(Schema::new(
            fields.map(|field| stored_field(field)).collect::<Vec<_>>(),
        ));
        check_types(&spec, &stored)?;
        let file_columns: Vec<usize> = (0..stored.fields().len())
            .filter(|column| !spec.partition_by.contains(column))
            .collect();
        let file = stored.project(&file_columns).map(Arc::new);
        let sort_error = |source| SinkError::Sort {
            table: spec.name.clone(),
            source,
        };
        let file = file.map_err(sort_error)?;

        let terms = canonical_terms(&spec, &file_columns);
        let ordered = spec
            .order_by
            .iter()
            .filter(|key| !spec.partition_by.contains(&key.column))
            .count();
        let (prefix, rest) = terms.split_at(terms.len().min(ordered + 1));
        let prefix = KeyPart::new(&file, prefix).map_err(sort_error)?;
        let rest = if rest.is_empty() {
            None
        } else {
            Some(KeyPart::new(&file, rest).map_err(sort_error)?)
        };
        let fields = spec
            .partition_by
            .iter()
            .map(|&column| SortField::new(stored.field(column).data_type().clone()));
        let partition = if spec.partition_by.is_empty() {
            None
        } else {
            Some(RowConverter::new(fields.collect()))
        };
        let partition = partition.transpose().map_err(sort_error)?;
        Ok(Self {
            spec,
            stored,
            file,
            file_columns,
            partition,
            prefix,
            rest,
        })
    }

    /// An Arrow error with this table's name.
    pub fn sort_error(&self, source: ArrowError) -> SinkError {
        SinkError::Sort {
            table: self.spec.name.clone(),
            source,
        }
    }

    /// Converts `batch`, which has the table's columns in order, to the stored types.
    pub fn to_stored(&self, batch: &RecordBatch) -> Result<RecordBatch, SinkError> {
        let columns = self.convert(batch, &mut |_, _| Ok(None))?;
        RecordBatch::try_new(Arc::clone(&self.stored), columns)
            .map_err(|source| self.sort_error(source))
    }

    /// Like [`to_stored`](Self::to_stored), but text columns of files become codes if `codes` has them as coded.
    pub fn to_codes(
        &self,
        batch: &RecordBatch,
        codes: &mut Codes,
    ) -> Result<RecordBatch, SinkError> {
        let columns = self.convert(batch, &mut |column, rows| {
            let of_file = self.file_columns.iter().position(|&other| other == column);
            let is_text = *self.stored.field(column).data_type() == DataType::Utf8;
            match of_file.filter(|_| is_text) {
                Some(column) => codes.encode(column, rows),
                None => Ok(None),
            }
        })?;
        let fields = self.stored.fields().iter().zip(&columns);
        let fields = fields.map(|(field, column)| {
            let kept = Field::clone(field).with_data_type(column.data_type().clone());
            Arc::new(kept)
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns).map_err(|source| self.sort_error(source))
    }

    /// The columns of `batch`: the results of `encode`, which gets a column's index, or else the columns in their
    /// stored types.
    fn convert(
        &self,
        batch: &RecordBatch,
        encode: &mut dyn FnMut(usize, &ArrayRef) -> Result<Option<ArrayRef>, ArrowError>,
    ) -> Result<Vec<ArrayRef>, SinkError> {
        let fields = self.stored.fields();
        let mismatch =
            |column: String, expected: String, found: String| SinkError::SchemaMismatch {
                table: self.spec.name.clone(),
                column,
                expected,
                found,
            };
        if batch.num_columns() != fields.len() {
            let count = fields.len().min(batch.num_columns()) + 1;
            let name = |schema: &Schema| {
                schema
                    .fields()
                    .get(count - 1)
                    .map_or("absent".into(), |f| f.name().clone())
            };
            return Err(mismatch(
                format!("number {count}"),
                name(&self.stored),
                name(&batch.schema()),
            ));
        }
        let convert = |(number, (field, column)): (usize, (&FieldRef, &ArrayRef))| {
            if stored_type(column.data_type()) != *field.data_type() {
                let found = column.data_type().to_string();
                return Err(mismatch(
                    field.name().clone(),
                    field.data_type().to_string(),
                    found,
                ));
            }
            let kept = match encode(number, column) {
                Ok(None) => to_stored(column, field.data_type()),
                Ok(Some(codes)) => Ok(codes),
                Err(error) => Err(error),
            };
            kept.map_err(|source| self.sort_error(source))
        };
        let columns = fields.iter().zip(batch.columns()).enumerate();
        columns.map(convert).collect()
    }

    /// Adds the counts of equal rows.
    pub fn sum(&self, left: i64, right: i64) -> Result<i64, SinkError> {
        let too_many = || {
            ArrowError::ArithmeticOverflow(
                "a row counts more than 9.2 quintillion times".to_owned(),
            )
        };
        left.checked_add(right)
            .ok_or_else(|| self.sort_error(too_many()))
    }

    /// Keys that order the rows of a stored batch by partition; `None` for a table without partition columns.
    pub fn partition_keys(&self, stored: &RecordBatch) -> Result<Option<Rows>, SinkError> {
        let Some(converter) = &self.partition else {
            return Ok(None);
        };
        let columns: Vec<ArrayRef> = self
            .spec
            .partition_by
            .iter()
            .map(|&c| Arc::clone(stored.column(c)))
            .collect();
        converter
            .convert_columns(&columns)
            .map(Some)
            .map_err(|source| self.sort_error(source))
    }

    /// The values of the partition columns for a key, one row of each.
    pub fn partition_values(&self, key: &[u8]) -> Result<Vec<ArrayRef>, SinkError> {
        let Some(converter) = &self.partition else {
            return Ok(Vec::new());
        };
        let parser = converter.parser();
        converter
            .convert_rows([parser.parse(key)])
            .map_err(|source| self.sort_error(source))
    }

    /// Computes the keys of a batch of file columns.
    pub fn key(&self, batch: RecordBatch) -> Result<Keyed, SinkError> {
        let prefix = self
            .prefix
            .convert(&batch)
            .map_err(|source| self.sort_error(source))?;
        Ok(Keyed {
            batch,
            prefix,
            rest: OnceCell::new(),
        })
    }

    /// Compares two rows of the same partition.
    pub fn compare(
        &self,
        left: (&Keyed, usize),
        right: (&Keyed, usize),
    ) -> Result<Ordering, SinkError> {
        match left.0.prefix(left.1).cmp(right.0.prefix(right.1)) {
            Ordering::Equal => self.compare_rest(left, right),
            decided => Ok(decided),
        }
    }

    /// Compares two rows of the same partition whose prefixes are equal.
    pub fn compare_rest(
        &self,
        left: (&Keyed, usize),
        right: (&Keyed, usize),
    ) -> Result<Ordering, SinkError> {
        let Some(part) = &self.rest else {
            return Ok(Ordering::Equal);
        };
        let left = (self.rest(part, left.0)?, left.1);
        let right = (self.rest(part, right.0)?, right.1);
        Ok(left.0.row(left.1).data().cmp(right.0.row(right.1).data()))
    }

    /// The key of a batch's first row, cut to [`BOUND_BYTES`]. Bounds compare as the rows do, except that rows whose
    /// keys differ only after the cut compare equal.
    pub fn bound(&self, batch: &RecordBatch) -> Result<Vec<u8>, SinkError> {
        let row = batch.slice(0, 1);
        let mut bound = Vec::new();
        for part in std::iter::once(&self.prefix).chain(&self.rest) {
            let key = part
                .convert(&row)
                .map_err(|source| self.sort_error(source))?;
            bound.extend_from_slice(key.row(0).data());
            if bound.len() >= BOUND_BYTES {
                bound.truncate(BOUND_BYTES);
                break;
            }
        }
        Ok(bound)
    }

    fn rest<'a>(&self, part: &KeyPart, keyed: &'a Keyed) -> Result<&'a Rows, SinkError> {
        if let Some(rest) = keyed.rest.get() {
            return Ok(rest);
        }
        let rest = part
            .convert(&keyed.batch)
            .map_err(|source| self.sort_error(source))?;
        Ok(keyed.rest.get_or_init(|| rest))
    }
}

/// `ORDER BY`, then the remaining file columns from the left, as indices into the file's columns.
fn canonical_terms(spec: &TableSpec, file_columns: &[usize]) -> Vec<(usize, SortOptions)> {
    let mut terms: Vec<(usize, SortOptions)> = Vec::with_capacity(file_columns.len());
    let ordered = spec.order_by.iter().map(|key| {
        (
            key.column,
            SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            },
        )
    });
    let canonical = SortOptions {
        descending: false,
        nulls_first: true,
    };
    for (column, options) in ordered.chain(file_columns.iter().map(|&column| (column, canonical))) {
        let Some(position) = file_columns.iter().position(|&c| c == column) else {
            continue;
        };
        if !terms.iter().any(|(known, _)| *known == position) {
            terms.push((position, options));
        }
    }
    terms
}

fn check_columns(spec: &TableSpec) -> Result<(), SinkError> {
    let columns = spec.schema.fields().len();
    let invalid = |clause, column, fault| SinkError::InvalidColumn {
        table: spec.name.clone(),
        clause,
        column,
        fault,
    };
    for (index, &column) in spec.partition_by.iter().enumerate() {
        if column >= columns {
            return Err(invalid("PARTITIONED BY", column, "the table does not have"));
        }
        if spec.partition_by[..index].contains(&column) {
            return Err(invalid("PARTITIONED BY", column, "it already names"));
        }
    }
    if let Some(key) = spec.order_by.iter().find(|key| key.column >= columns) {
        return Err(invalid("ORDER BY", key.column, "the table does not have"));
    }
    if spec.partition_by.len() >= columns {
        return Err(SinkError::NoFileColumns {
            table: spec.name.clone(),
        });
    }
    Ok(())
}

/// Whether each value of `data_type` has exactly one text, from which readers get the same value.
pub fn can_partition_by(data_type: &DataType) -> bool {
    use DataType::{
        Boolean, Date32, Decimal32, Decimal64, Decimal128, Decimal256, LargeUtf8, Timestamp, Utf8,
    };
    data_type.is_integer()
        || matches!(
            data_type,
            Boolean | Date32 | Utf8 | LargeUtf8 | Timestamp(_, _)
        )
        || matches!(
            data_type,
            Decimal32(_, _) | Decimal64(_, _) | Decimal128(_, _) | Decimal256(_, _)
        )
}

fn check_types(spec: &TableSpec, stored: &Schema) -> Result<(), SinkError> {
    for (index, field) in stored.fields().iter().enumerate() {
        let unsupported = |place, remedy| SinkError::UnsupportedColumn {
            table: spec.name.clone(),
            place,
            column: field.name().clone(),
            data_type: field.data_type().clone(),
            remedy,
        };
        if spec.partition_by.contains(&index) {
            if !can_partition_by(field.data_type()) {
                return Err(unsupported(
                    "PARTITIONED BY",
                    "use a whole number, a text, a date, a time or a decimal",
                ));
            }
        } else if spec.encoding.holds(field.data_type()).is_none() {
            let remedy = match spec.encoding {
                Encoding::Csv { .. } if field.data_type().is_nested() => {
                    "store the table as PARQUET or JSON"
                }
                _ => "cast it to a number, a text or a time",
            };
            return Err(unsupported(spec.encoding.name(), remedy));
        }
    }
    Ok(())
}
