//! Parquet: an error, or as many rows as the footer says, and never a panic.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::Format;
use tidewater_formats::parquet::{ParquetFile, ParquetInput, ReadPlan, RowGroupPiece};
use tidewater_fuzz::spec;

/// Files with more rows are not read, since the footer's number is trusted.
const ROWS_MAX: u64 = 1 << 20;

struct Memory(Bytes);

impl ParquetInput for Memory {
    type Bytes = Bytes;

    fn open(&self) -> Result<Bytes, SourceError> {
        Ok(self.0.clone())
    }
}

fn read(data: &[u8]) -> Result<(), SourceError> {
    let element = Arc::new(Field::new("element", DataType::Int32, true));
    let fields = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("d", DataType::Decimal128(38, 10), true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("l", DataType::List(element), true),
    ];
    let options = &[("unknown_columns", "ignore"), ("missing_columns", "null")];
    let plan = ReadPlan::new(&spec(Format::Parquet, fields, options))?;
    let bytes = Bytes::copy_from_slice(data);
    let file = ParquetFile::open(&plan, "fuzz".into(), Memory(bytes), data.len() as u64)?;
    if file.rows > ROWS_MAX {
        return Ok(());
    }
    let file = Arc::new(file);
    let mut first_row = 0;
    for group in 0.. {
        let Some(rows) = file.row_group_rows(group) else {
            break;
        };
        let mut read = 0;
        for step in RowGroupPiece::new(Arc::clone(&file), group, first_row, rows) {
            let step = step?;
            read += step.batch.num_rows() + step.rejected.len();
        }
        assert_eq!(read as u64, rows, "rows of row group {group}");
        first_row += rows;
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    // Panics of the crates must not end the process, since the reader turns them into errors.
    std::panic::set_hook(Box::new(|info| {
        if !tidewater_formats::parquet::is_guarded() {
            eprintln!("{info}");
            std::process::abort();
        }
    }));
    if let Err(error) = read(data) {
        assert!(error.to_string().contains("fuzz"), "the file is not named: {error}");
    }
});
