//! JSON lines, arrays and objects: rows do not depend on blocks.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use libfuzzer_sys::fuzz_target;
use tidewater_contract::source::Format;
use tidewater_formats::json_lines::JsonLinesFormat;
use tidewater_fuzz::{check_text_format, choose, scalar_fields, spec};

const OPTIONS: &[&[(&str, &str)]] = &[
    &[],
    &[("scalars", "convert"), ("column_names", "any_case")],
    &[("check", "read_columns"), ("offsets", "convert")],
    &[("unknown_columns", "error"), ("missing_columns", "error")],
];

fuzz_target!(|data: &[u8]| {
    let Some((options, text)) = choose(data, OPTIONS) else {
        return;
    };
    let mut fields = scalar_fields();
    let element = Arc::new(Field::new("item", DataType::Int64, true));
    fields.push(Field::new("l", DataType::List(element), true));
    fields.push(Field::new("s", DataType::Struct(scalar_fields().into()), true));
    fields.push(Field::new("y", DataType::Binary, true));
    if let Ok(format) = JsonLinesFormat::new(&spec(Format::JsonLines, fields, options)) {
        check_text_format(&format, text, &[1, 16, 100]);
    }
});
