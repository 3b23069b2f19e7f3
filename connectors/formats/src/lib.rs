//! Formats of rows. Decoders turn bytes into batches and rejected rows; encoders do the reverse. Text formats do no
//! I/O. Parquet opens the file that it is given.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Schema, SchemaRef};

pub mod compression;
pub mod csv;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod json_lines;
pub mod layout;
pub mod lines;
pub mod names;
pub mod options;
pub mod parquet;
pub mod row_format;
pub mod row_json;
pub mod scalar;
pub(crate) mod shown;
pub mod texts;
pub mod trailer;
pub(crate) mod undeclared;

/// The type of text columns that are dictionaries.
pub fn coded_text() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// `declared`, with the types of the columns that are dictionaries.
pub fn schema_of(declared: &SchemaRef, columns: &[ArrayRef]) -> SchemaRef {
    let coded = coded_text();
    if columns.iter().all(|column| *column.data_type() != coded) {
        return Arc::clone(declared);
    }
    let fields = declared.fields().iter().zip(columns);
    let fields = fields.map(|(field, column)| {
        if *column.data_type() == coded {
            Arc::new(field.as_ref().clone().with_data_type(coded.clone()))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
