//! A text has the same value in a column, whichever format contains it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{TimeFormat, TimeFormats};
use crate::csv::Csv;
use crate::json_lines::JsonLinesFormat;
use tidewater_contract::source::{Decoded, Format, SourceSpec, TextBlock, TextFormat};

fn spec(format: Format, data_type: &DataType, options: &[(&str, &str)]) -> SourceSpec {
    let options = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    SourceSpec {
        name: "t".into(),
        location: "t".into(),
        format,
        schema: Arc::new(Schema::new(vec![Field::new("v", data_type.clone(), true)])),
        projection: vec![0],
        options: options.collect::<BTreeMap<_, _>>(),
        ordinals: false,
        dictionaries: false,
        source: None,
    }
}

fn decode(format: &dyn TextFormat, text: &str) -> Decoded {
    let file: Arc<str> = "t".into();
    let head = format.begin(&file, text.as_bytes()).unwrap();
    let rows = &text.as_bytes()[head.header_bytes..];
    head.decoder.decode(&TextBlock {
        file,
        first_line: 1,
        byte_offset: 0,
        bytes: rows.to_vec(),
        stored_bytes: 0,
    })
}

/// The value of a text in a column of each format; `None` where it is rejected.
fn values(text: &str, data_type: &DataType, options: &[(&str, &str)]) -> [Option<ArrayRef>; 2] {
    let csv = Csv::new(&spec(Format::Csv, data_type, options)).unwrap();
    let json = JsonLinesFormat::new(&spec(Format::JsonLines, data_type, options)).unwrap();
    let object = if data_type.is_temporal() {
        format!("{{\"v\":\"{text}\"}}\n")
    } else {
        format!("{{\"v\":{text}}}\n")
    };
    let decoded = [
        decode(&csv, &format!("v\n{text}\n")),
        decode(&json, &object),
    ];
    decoded.map(|decoded| {
        let rows = decoded.batch.num_rows();
        assert_eq!(rows + decoded.rejected.len(), 1, "{text} {data_type}");
        (rows == 1).then(|| Arc::clone(decoded.batch.column(0)))
    })
}

fn number(random: &mut ChaCha8Rng) -> String {
    let sign = ["", "", "-"][random.random_range(0..3)];
    let whole = match random.random_range(0..4) {
        0 => u128::from(random.random::<u8>()),
        1 => u128::from(random.random::<u32>()),
        2 => u128::from(random.random::<u64>()),
        _ => random.random::<u128>(),
    };
    let mut text = format!("{sign}{whole}");
    if random.random_range(0..2) == 0 {
        let digits = random.random_range(1..5);
        let shown = [0, random.random_range(0..10_u64.pow(digits))][random.random_range(0..2)];
        text += &format!(".{shown:0width$}", width = digits as usize);
    }
    if random.random_range(0..3) == 0 {
        text += &format!("e{}", random.random_range(-5..40_i32));
    }
    text
}

fn timestamp(random: &mut ChaCha8Rng) -> String {
    let mut text = format!(
        "{:04}-{:02}-{:02}",
        random.random_range(0..10_000_u32),
        random.random_range(0..14_u32),
        random.random_range(0..33_u32)
    );
    if random.random_range(0..8) > 0 {
        let separator = ['T', ' ', 't', '_'][random.random_range(0..4)];
        let (hour, minute) = (
            random.random_range(0..25_u32),
            random.random_range(0..61_u32),
        );
        text += &format!("{separator}{hour:02}:{minute:02}");
    }
    if random.random_range(0..4) > 0 {
        text += &format!(":{:02}", random.random_range(0..61_u32));
    }
    if random.random_range(0..3) == 0 {
        let digits = random.random_range(1..10);
        text += &format!(
            ".{:0width$}",
            random.random_range(0..10_u32),
            width = digits
        );
    }
    if random.random_range(0..3) == 0 {
        text +=
            ["Z", "+09:00", "-0530", "+01", " +02:00", "+25:00", "KST"][random.random_range(0..7)];
    }
    text
}

#[test]
fn formats_agree_on_random_values() {
    let numbers = [
        DataType::Int8,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(10, 2),
        DataType::Decimal128(38, 4),
        DataType::Decimal256(60, 20),
    ];
    let times = [
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("Asia/Seoul".into())),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..1500 {
        let (number, time) = (number(&mut random), timestamp(&mut random));
        let offsets = ["refuse", "convert"][random.random_range(0..2)];
        for data_type in &numbers {
            let [csv, json] = values(&number, data_type, &[]);
            assert_eq!(csv, json, "{number} {data_type}");
            *(if csv.is_some() {
                &mut taken
            } else {
                &mut refused
            }) += 1;
        }
        for data_type in &times {
            let [csv, json] = values(&time, data_type, &[("offsets", offsets)]);
            assert_eq!(csv, json, "{time} {data_type} {offsets}");
            *(if csv.is_some() {
                &mut taken
            } else {
                &mut refused
            }) += 1;
        }
    }
    assert!(taken > 3000 && refused > 3000, "{taken} {refused}");
}

#[test]
fn an_offset_in_a_column_without_a_zone_is_refused_unless_converted() {
    let zoneless = DataType::Timestamp(TimeUnit::Microsecond, None);
    let text = "2024-03-01T00:15:00+09:00";
    assert_eq!(values(text, &zoneless, &[]), [None, None]);
    let [csv, json] = values(text, &zoneless, &[("offsets", "convert")]);
    let [utc, _] = values("2024-02-29T15:15:00", &zoneless, &[]);
    assert!(csv.is_some() && csv == json && csv == utc);
}

#[test]
fn lists_of_formats_are_tried_in_order() {
    let zoneless = DataType::Timestamp(TimeUnit::Second, None);
    let options = [("timestamp_formats", "%d.%m.%Y %H:%M, iso, epoch_seconds")];
    let expected = values("2024-03-01T00:15:00", &zoneless, &[])[0].clone();
    for text in ["01.03.2024 00:15", "2024-03-01 00:15", "1709252100"] {
        let [csv, json] = values(text, &zoneless, &options);
        assert_eq!(csv, expected, "{text}");
        assert_eq!(json, expected, "{text}");
    }
    let formats = TimeFormats::from(vec![TimeFormat::Iso]);
    assert_eq!(formats, TimeFormats::default());
}
