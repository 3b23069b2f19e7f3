//! CSV: rows do not depend on blocks, and rows and rejected rows have distinct places.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewater_contract::source::Format;
use tidewater_formats::csv::Csv;
use tidewater_fuzz::{check_text_format, choose, scalar_fields, spec};

const OPTIONS: &[&[(&str, &str)]] = &[
    &[],
    &[("has_header", "false")],
    &[("has_header", "false"), ("delimiter", ";"), ("quote", "")],
    &[("has_header", "false"), ("null_value", "NA"), ("delimiter", "\\t")],
    &[("has_header", "false"), ("decimal_separator", ","), ("delimiter", "|")],
    &[("unknown_columns", "ignore"), ("missing_columns", "null")],
];

fuzz_target!(|data: &[u8]| {
    let Some((options, text)) = choose(data, OPTIONS) else {
        return;
    };
    if let Ok(format) = Csv::new(&spec(Format::Csv, scalar_fields(), options)) {
        check_text_format(&format, text, &[1, 16, 100]);
    }
});
