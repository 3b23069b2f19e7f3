//! Encodes rows as Parquet that DuckDB, pandas, Spark, Trino and Athena read.
//!
//! 1. The bytes depend only on the schema, the rows and the options. The metadata has no clock, host or path;
//!    `created_by` is the version of this program. Row groups end after a fixed number of rows. The writer gets rows
//!    in fixed numbers, since it ends pages where its input ends.
//! 2. Files have format version 1, with dictionaries and statistics. They have no embedded Arrow schema, since
//!    readers agree on Parquet's own types but not on Arrow's.
//! 3. Timestamps are in microseconds. A finer timestamp is an error; it is never truncated.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use tidewater_contract::sink::{EncodeError, EncodeRows};

mod compress;
mod groups;
mod hybrid;
mod options;
mod read_back;
mod row_group;
mod text;

use self::row_group::RowGroup;
pub use groups::GroupWriter;
pub use options::{DEFAULT_ROW_GROUP_ROWS, ParquetWriteOptions};
pub use read_back::{RowGroups, read_all, read_back};

/// Writes batches as one Parquet file. Text may be dictionary-encoded with 32-bit keys.
pub struct ParquetEncoder<W: Write + Send> {
    groups: GroupWriter<W>,
    /// The open row group.
    group: Option<RowGroup>,
    /// Rows that wait until they fill a chunk.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
}

impl<W: Write + Send> ParquetEncoder<W> {
    /// An encoder that writes batches of `schema` to `writer`.
    ///
    /// # Errors
    /// When `schema` has a type that Parquet does not have.
    pub fn new(
        writer: W,
        schema: &SchemaRef,
        options: ParquetWriteOptions,
    ) -> Result<Self, EncodeError> {
        Ok(Self {
            groups: GroupWriter::new(writer, schema, options)?,
            group: None,
            waiting: Vec::new(),
            waiting_rows: 0,
        })
    }

    fn write_waiting(&mut self) -> Result<(), EncodeError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_rows = 0;
        let Some(group) = &mut self.group else {
            return Ok(());
        };
        match waiting.as_slice() {
            [] => Ok(()),
            [one] => group.write(one),
            [first, ..] => group.write(&concat_batches(first.schema_ref(), &waiting)?),
        }
    }

    fn end_group(&mut self) -> Result<(), EncodeError> {
        self.write_waiting()?;
        self.group
            .take()
            .map_or(Ok(()), |group| self.groups.end(group))
    }
}

impl<W: Write + Send> EncodeRows<W> for ParquetEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let mut start = 0;
        while start < batch.num_rows() {
            let group = match &mut self.group {
                Some(group) => group,
                none => none.insert(self.groups.begin()?),
            };
            let missing = group.chunk_rows() - self.waiting_rows;
            let rows = (batch.num_rows() - start).min(missing);
            self.waiting.push(batch.slice(start, rows));
            self.waiting_rows += rows;
            start += rows;
            if rows == missing {
                self.write_waiting()?;
            }
            if self.group.as_ref().is_some_and(RowGroup::is_full) {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<W, EncodeError> {
        self.end_group()?;
        self.groups.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, StructArray,
        TimestampNanosecondArray,
    };
    use arrow::array::{TimestampMicrosecondArray, TimestampSecondArray};
    use arrow::datatypes::{Field, Int32Type, TimestampMicrosecondType};
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::basic::Compression;
    use parquet::file::metadata::RowGroupMetaData;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    fn encode(batches: &[RecordBatch], row_group_rows: usize) -> Result<Vec<u8>, EncodeError> {
        let schema = batches[0].schema();
        let mut encoder = Box::new(ParquetEncoder::new(
            Vec::new(),
            &schema,
            ParquetWriteOptions {
                compression: Compression::SNAPPY,
                row_group_rows,
                exact: false,
            },
        )?);
        for batch in batches {
            encoder.write(batch)?;
        }
        encoder.finish()
    }

    fn batch(name: &str, column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap()
    }

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read(bytes: &[u8]) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file(bytes))
            .unwrap()
            .build()
            .unwrap();
        let schema = parquet::arrow::arrow_reader::ArrowReaderMetadata::load(
            &file(bytes),
            ArrowReaderOptions::default(),
        )
        .unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        concat_batches(schema.schema(), &batches).unwrap()
    }

    #[test]
    fn bytes_do_not_depend_on_how_rows_were_cut_into_batches() {
        let text = (0..60_000).map(|at| format!("{}", at * 7919 % 60_000));
        let numbers = batch("n", Arc::new(StringArray::from_iter_values(text)));
        let whole = encode(std::slice::from_ref(&numbers), 25_000).unwrap();
        for rows in [100, 777, 8_192] {
            let cut = |start| numbers.slice(start, rows.min(60_000 - start));
            let cut: Vec<_> = (0..60_000).step_by(rows).map(cut).collect();
            assert!(whole == encode(&cut, 25_000).unwrap(), "batches of {rows}");
        }
        let metadata = SerializedFileReader::new(file(&whole)).unwrap();
        let rows: Vec<_> = metadata
            .metadata()
            .row_groups()
            .iter()
            .map(RowGroupMetaData::num_rows)
            .collect();
        assert_eq!(rows, [25_000, 25_000, 10_000]);
        assert!(
            metadata
                .metadata()
                .file_metadata()
                .created_by()
                .unwrap()
                .starts_with("tidewater ")
        );
        assert!(
            metadata
                .metadata()
                .file_metadata()
                .key_value_metadata()
                .is_none()
        );
        assert_eq!(read(&whole).columns(), numbers.columns());
    }

    #[test]
    fn times_become_microseconds_or_are_refused() {
        let seconds = batch(
            "t",
            Arc::new(TimestampSecondArray::from(vec![Some(1_710_055_392), None])),
        );
        let column = read(&encode(&[seconds], 10).unwrap()).column(0).clone();
        assert_eq!(
            column.as_primitive::<TimestampMicrosecondType>().value(0),
            1_710_055_392_000_000
        );
        assert!(column.is_null(1));

        let exact = batch(
            "t",
            Arc::new(TimestampNanosecondArray::from(vec![Some(-1_000), None])),
        );
        let column = read(&encode(&[exact], 10).unwrap()).column(0).clone();
        assert_eq!(
            column.as_primitive::<TimestampMicrosecondType>().value(0),
            -1
        );

        let finer = batch(
            "t",
            Arc::new(TimestampNanosecondArray::from(vec![Some(1_001)])),
        );
        let error = encode(&[finer], 10).unwrap_err();
        assert!(
            error.to_string().contains("date_trunc('microsecond', t)"),
            "{error}"
        );
    }

    #[test]
    fn nested_times_too() {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000, 3_000]));
        let field = Arc::new(Field::new("at", times.data_type().clone(), true));
        let structs = StructArray::new(vec![field].into(), vec![times], None);
        let item = Arc::new(Field::new("element", structs.data_type().clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 2, 2, 3].into());
        let list = ListArray::new(item, offsets, Arc::new(structs), None);
        let back = read(&encode(&[batch("l", Arc::new(list))], 10).unwrap())
            .column(0)
            .clone();
        let inner = back.as_list::<i32>().values().as_struct().column(0).clone();
        assert_eq!(
            inner.as_ref(),
            &TimestampMicrosecondArray::from(vec![1, 2, 3]) as &dyn Array
        );
    }

    #[test]
    fn dictionaries_read_back_as_text() {
        let dictionary = arrow::array::DictionaryArray::<Int32Type>::from_iter([
            Some("신용"),
            None,
            Some("체크"),
        ]);
        let back = read(&encode(&[batch("d", Arc::new(dictionary))], 10).unwrap());
        let expected = StringArray::from(vec![Some("신용"), None, Some("체크")]);
        assert_eq!(back.column(0).as_ref(), &expected as &dyn Array);
    }

    #[test]
    fn a_table_without_rows_keeps_its_columns() {
        let empty = batch("n", Arc::new(Int64Array::from(Vec::<i64>::new())));
        let back = read(&encode(std::slice::from_ref(&empty), 10).unwrap());
        assert_eq!(
            (back.num_rows(), back.schema().field(0).name().as_str()),
            (0, "n")
        );
    }
}
