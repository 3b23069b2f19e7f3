//! A job's SQL: a job, or errors with places, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewater_engine::job::Job;

/// Limits the text, since the time for planning is not linear in it.
const TEXT_BYTES_MAX: usize = 4 << 10;

const SOURCE: &str = "CREATE EXTERNAL TABLE s (a BIGINT, b TEXT, c DOUBLE, d DATE, e DECIMAL(10, 2), f TIMESTAMP, g INT[]) \
    STORED AS CSV LOCATION 'x'; CREATE MATERIALIZED VIEW v AS ";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let no_variables = |_: &str| None;
    for sql in [text.to_owned(), format!("{SOURCE}{text}; COPY v TO 'y'")] {
        if let Err(errors) = Job::parse("job", &sql, &no_variables) {
            assert!(!errors.to_string().is_empty(), "errors without words");
        }
    }
});
