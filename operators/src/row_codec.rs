//! Encodes columns as rows and decodes them again.
//!
//! Invariants:
//! 1. The encoding of several columns is the concatenation of their encodings, each of which determines its own end. So a
//!    key's bytes followed by a value's are the bytes of the row, and equal bytes are equal rows.
//! 2. Dictionary columns are encoded by their values, and cast back when decoded.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, RowParser, Rows, SortField};

/// A column to order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderKey {
    /// The column's index.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// NULLs first.
    pub nulls_first: bool,
}

impl OrderKey {
    fn options(self) -> SortOptions {
        SortOptions {
            descending: self.descending,
            nulls_first: self.nulls_first,
        }
    }
}

/// Encodes and decodes rows of certain columns.
pub struct RowCodec {
    types: Vec<(DataType, SortOptions)>,
    /// `None` for rows without columns, which arrow's converter cannot count.
    converter: Option<(RowConverter, RowParser)>,
}

impl RowCodec {
    /// A codec for columns of these types, each with its order.
    ///
    /// # Errors
    /// When a type has no row encoding.
    pub fn new(types: Vec<(DataType, SortOptions)>) -> Result<Self, ArrowError> {
        let fields: Vec<_> = types
            .iter()
            .map(|(t, o)| SortField::new_with_options(t.clone(), *o))
            .collect();
        let converter = if fields.is_empty() {
            None
        } else {
            let converter = RowConverter::new(fields)?;
            let parser = converter.parser();
            Some((converter, parser))
        };
        Ok(Self { types, converter })
    }

    /// A codec for the columns of all these codecs, in turn.
    ///
    /// # Errors
    /// As [`RowCodec::new`].
    pub fn concat(codecs: &[&Self]) -> Result<Self, ArrowError> {
        Self::new(
            codecs
                .iter()
                .flat_map(|codec| codec.types.iter().cloned())
                .collect(),
        )
    }

    /// Whether equal rows of both codecs have equal bytes: their types are equal apart from dictionaries.
    pub fn encodes_like(&self, other: &Self) -> bool {
        let types = |codec: &Self| {
            codec
                .types
                .iter()
                .map(|(t, _)| value_type(t).clone())
                .collect::<Vec<_>>()
        };
        let (one, other) = (types(self), types(other));
        one.len() == other.len()
            && one
                .iter()
                .zip(&other)
                .all(|(one, other)| one.equals_datatype(other))
    }

    /// Encodes columns of equal length.
    ///
    /// # Errors
    /// When the columns do not have the codec's number and types.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<EncodedRows, ArrowError> {
        match &self.converter {
            Some((converter, _)) => converter
                .convert_columns(columns)
                .map(|rows| EncodedRows(Some(rows))),
            None => Ok(EncodedRows(None)),
        }
    }

    /// Decodes rows that this codec, or the codecs that it concatenates, have encoded. Dictionary columns are returned as
    /// plain columns.
    ///
    /// # Errors
    /// When bytes are not a row.
    pub fn decode<'a>(
        &'a self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        match &self.converter {
            Some((converter, parser)) => {
                converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))
            }
            None => Ok(Vec::new()),
        }
    }
}

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// Encoded rows, by index.
#[derive(Default)]
pub struct EncodedRows(Option<Rows>);

impl EncodedRows {
    /// The bytes of a row.
    pub fn get(&self, index: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(index).data())
    }
}

/// Splits the rows of a schema into a key and a value.
pub struct KeyedCodec {
    key_columns: Vec<usize>,
    value_columns: Vec<usize>,
    /// Codec of the keys.
    pub key: RowCodec,
    /// Codec of the values.
    pub value: RowCodec,
}

impl KeyedCodec {
    /// The key has the columns `key`; the value has the other columns, those in `order` first, the rest left to right.
    ///
    /// # Errors
    /// When there is no such column or a column's type has no row encoding.
    pub fn new(schema: &Schema, key: &[usize], order: &[OrderKey]) -> Result<Self, ArrowError> {
        let mut value: Vec<(usize, SortOptions)> = Vec::new();
        let rest = (0..schema.fields().len()).map(|column| (column, SortOptions::default()));
        for (column, options) in order.iter().map(|by| (by.column, by.options())).chain(rest) {
            if !key.contains(&column) && !value.iter().any(|(taken, _)| *taken == column) {
                value.push((column, options));
            }
        }
        let key: Vec<_> = key
            .iter()
            .map(|column| (*column, SortOptions::default()))
            .collect();
        Ok(Self {
            key: RowCodec::new(types_of(schema, &key)?)?,
            value: RowCodec::new(types_of(schema, &value)?)?,
            key_columns: key.into_iter().map(|(column, _)| column).collect(),
            value_columns: value.into_iter().map(|(column, _)| column).collect(),
        })
    }

    /// The key has the columns `key`, the value has all columns.
    ///
    /// # Errors
    /// As [`KeyedCodec::new`].
    pub fn with_whole_values(schema: &Schema, key: &[usize]) -> Result<Self, ArrowError> {
        let keyed = Self::new(schema, key, &[])?;
        let all = Self::new(schema, &[], &[])?;
        Ok(Self {
            value: all.value,
            value_columns: all.value_columns,
            ..keyed
        })
    }

    /// Encodes a batch's keys and values.
    ///
    /// # Errors
    /// When the batch does not have the schema.
    pub fn encode(&self, batch: &RecordBatch) -> Result<(EncodedRows, EncodedRows), ArrowError> {
        let key = self.key.encode(&pick(batch, &self.key_columns)?)?;
        let value = self.value.encode(&pick(batch, &self.value_columns)?)?;
        Ok((key, value))
    }

    /// The codec of rows of key and value.
    ///
    /// # Errors
    /// As [`RowCodec::new`].
    pub fn row_codec(&self) -> Result<RowCodec, ArrowError> {
        RowCodec::concat(&[&self.key, &self.value])
    }

    /// Number of columns in a row of key and value.
    pub fn width(&self) -> usize {
        self.key_columns.len() + self.value_columns.len()
    }

    /// The position of each column of the schema in a row of key and value.
    pub fn places(&self) -> Vec<usize> {
        let order: Vec<_> = self.key_columns.iter().chain(&self.value_columns).collect();
        (0..)
            .map_while(|column| order.iter().position(|&&at| at == column))
            .collect()
    }
}

/// The rows of a batch without NULL in these columns; `None` when all rows are.
///
/// # Errors
/// When there is no such column.
pub fn valid_rows(
    batch: &RecordBatch,
    columns: &[usize],
) -> Result<Option<NullBuffer>, ArrowError> {
    let columns = pick(batch, columns)?;
    let nulls = columns.iter().fold(None, |nulls, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    Ok(nulls.filter(|nulls| nulls.null_count() > 0))
}

fn types_of(
    schema: &Schema,
    columns: &[(usize, SortOptions)],
) -> Result<Vec<(DataType, SortOptions)>, ArrowError> {
    let type_of = |&(column, options): &(usize, SortOptions)| match schema.fields().get(column) {
        Some(field) => Ok((field.data_type().clone(), options)),
        None => Err(no_column(column, schema.fields().len())),
    };
    columns.iter().map(type_of).collect()
}

fn pick(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |&at: &usize| {
        batch
            .columns()
            .get(at)
            .cloned()
            .ok_or_else(|| no_column(at, batch.num_columns()))
    };
    columns.iter().map(column).collect()
}

fn no_column(column: usize, columns: usize) -> ArrowError {
    ArrowError::SchemaError(format!("there is no column {column} among {columns}"))
}

/// Decodes rows into batches of a schema.
pub struct RowDecoder {
    codec: RowCodec,
    places: Vec<usize>,
    schema: SchemaRef,
}

impl RowDecoder {
    /// Decodes rows of `codec`, whose column `places[i]` is column `i` of the schema.
    ///
    /// # Errors
    /// When the columns at these places do not have the schema's number and types.
    pub fn new(codec: RowCodec, places: Vec<usize>, schema: SchemaRef) -> Result<Self, ArrowError> {
        if places.len() != schema.fields().len() {
            let (have, want) = (places.len(), schema.fields().len());
            return Err(ArrowError::SchemaError(format!(
                "{have} columns are made, the schema has {want}"
            )));
        }
        for (field, &place) in schema.fields().iter().zip(&places) {
            let (made, _) = codec
                .types
                .get(place)
                .ok_or_else(|| no_column(place, codec.types.len()))?;
            if !made.equals_datatype(field.data_type()) {
                let (name, wanted) = (field.name(), field.data_type());
                return Err(ArrowError::SchemaError(format!(
                    "column {name} is {made}, the schema has {wanted}"
                )));
            }
        }
        Ok(Self {
            codec,
            places,
            schema,
        })
    }

    /// The rows as a batch.
    ///
    /// # Errors
    /// When the rows do not fit the schema, for example by NULL in a NOT NULL column.
    pub fn decode(&self, rows: &RowBuffer) -> Result<RecordBatch, ArrowError> {
        let decoded = self.codec.decode(rows.iter())?;
        let place = |(field, place): (&FieldRef, &usize)| match &decoded[*place] {
            column if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            column => cast(column, field.data_type()),
        };
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(&self.places)
            .map(place)
            .collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// Rows to decode. Copies of a row are stored once.
#[derive(Default)]
pub struct RowBuffer {
    bytes: Vec<u8>,
    rows: Vec<Range<usize>>,
}

impl RowBuffer {
    /// Appends `copies` of a row, whose bytes are the concatenation of `parts`.
    pub fn push(&mut self, parts: &[&[u8]], copies: usize) {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.rows
            .extend(std::iter::repeat_n(start..self.bytes.len(), copies));
    }

    /// Number of rows, including copies.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().map(|row| &self.bytes[row.clone()])
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float64Array, Int64Array};
    use arrow::datatypes::{Field, Int32Type};

    fn table() -> RecordBatch {
        let words: DictionaryArray<Int32Type> = [Some("b"), None, Some("a")].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "n",
                Arc::new(Int64Array::from(vec![Some(2), Some(1), None])),
            ),
            ("word", Arc::new(words)),
            (
                "x",
                Arc::new(Float64Array::from(vec![-0.5, 1.0, f64::INFINITY])),
            ),
        ];
        let fields = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        RecordBatch::try_new(
            schema,
            columns.into_iter().map(|(_, column)| column).collect(),
        )
        .unwrap()
    }

    fn roundtrip(batch: &RecordBatch, key: &[usize], order: &[OrderKey]) -> RecordBatch {
        let schema = batch.schema();
        let codec = KeyedCodec::new(&schema, key, order).unwrap();
        let (keys, values) = codec.encode(batch).unwrap();
        let rows = codec.row_codec().unwrap();
        let decoder = RowDecoder::new(rows, codec.places(), schema).unwrap();
        let mut buffer = RowBuffer::default();
        (0..batch.num_rows()).for_each(|row| buffer.push(&[keys.get(row), values.get(row)], 1));
        decoder.decode(&buffer).unwrap()
    }

    #[test]
    fn rows_round_trip() {
        let order = [OrderKey {
            column: 2,
            descending: true,
            nulls_first: false,
        }];
        let keys: [&[usize]; 5] = [&[], &[1], &[2, 0], &[1, 1, 0], &[0, 1, 2]];
        for key in keys {
            assert_eq!(roundtrip(&table(), key, &[]), table(), "{key:?}");
            assert_eq!(roundtrip(&table(), key, &order), table(), "{key:?}");
        }
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let none = table().project(&[]).unwrap();
        assert_eq!(roundtrip(&none, &[], &[]).num_rows(), 3);
    }

    #[test]
    fn rows_with_null_are_found() {
        let nulls = |columns: &[usize]| {
            let valid = valid_rows(&table(), columns).unwrap();
            (0..3)
                .map(|row| valid.as_ref().is_some_and(|valid| valid.is_null(row)))
                .collect::<Vec<_>>()
        };
        assert_eq!(nulls(&[]), [false, false, false]);
        assert_eq!(nulls(&[2]), [false, false, false]);
        assert_eq!(nulls(&[1, 2]), [false, true, false]);
        assert_eq!(nulls(&[0, 1]), [false, true, true]);
    }
}
