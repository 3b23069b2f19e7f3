//! Random rows of any type.
//!
//! Domains are small, so that groups, joins and ties occur. They contain difficult values: NULL in every nullable
//! column, empty text and lists, Hangul, quotes, both sides of 1970 and of two changes of daylight-saving time.
//! Floats are multiples of 0.25, whose sums are exact in any order. Some columns have a domain by their name: see
//! [`TEXTS`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The domains of text columns by column name. Other names have the last domain.
pub const TEXTS: [(&str, &[&str]); 5] = [
    ("digits", &["0", "7", "42", "-3", "1000000"]),
    ("numbers", &["0.5", "1e3", "-2.25", "17"]),
    (
        "stamp",
        &[
            "2024-03-10 01:59:59",
            "2024-11-03 01:30:00",
            "1969-12-31 23:59:59.999999",
            "2024-02-29 12:00:00",
        ],
    ),
    (
        "contact",
        &[
            "kim@example.com",
            "박@example.co.kr",
            "nobody",
            "a.b+c@x.org",
            "",
        ],
    ),
    (
        "",
        &[
            "", "a", "b", "B", "ab", "서울", "부산", "it's", "a,\"b\"", " pad ", "%_",
        ],
    ),
];

/// The domain of a column `wild`.
const WILD: [f64; 8] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -0.0,
    0.0,
    1.5,
    -1.5,
    1e300,
];

/// Days since 1970: around leap days, year ends, and before the epoch.
const DAYS: [i32; 8] = [-1, 0, 19_722, 19_723, 19_781, 19_782, 19_792, 20_088];

/// Seconds since 1970 near which times are drawn: 1970 itself, a leap day, midnight of New Year in Seoul, and the
/// spring and autumn changes in New York (2024-03-10 07:00 and 2024-11-03 06:00 UTC).
const INSTANTS: [i64; 5] = [
    0,
    1_709_164_800,
    1_704_034_800,
    1_710_054_000,
    1_730_613_600,
];

/// `rows` random rows of these columns. A column `id` counts from 0.
pub fn rows(rng: &mut ChaCha8Rng, schema: &Arc<Schema>, rows: usize) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| {
        if field.name() == "id" {
            return Arc::new((0..).take(rows).collect::<Int64Array>()) as ArrayRef;
        }
        column(rng, field, rows)
    });
    let columns = columns.collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn column(rng: &mut ChaCha8Rng, field: &Field, rows: usize) -> ArrayRef {
    let nulls: f64 = if field.is_nullable() { 0.15 } else { 0.0 };
    let mut present = Vec::with_capacity(rows);
    present.extend((0..rows).map(|_| !rng.random_bool(nulls)));
    macro_rules! values {
        ($array:ty, $draw:expr) => {
            Arc::new(
                present
                    .iter()
                    .map(|present| present.then(|| $draw))
                    .collect::<$array>(),
            )
        };
    }
    match field.data_type() {
        DataType::Boolean => values!(BooleanArray, rng.random_bool(0.5)),
        DataType::Int16 => values!(Int16Array, rng.random_range(-2..=3)),
        DataType::Int32 => values!(Int32Array, rng.random_range(-2..=3)),
        DataType::Int64 => values!(Int64Array, rng.random_range(-5..=9)),
        DataType::Float32 => values!(
            Float32Array,
            f32::from(rng.random_range(-6..=6_i8)) / 4.0 + 0.0
        ),
        DataType::Float64 if field.name() == "wild" => {
            values!(Float64Array, WILD[rng.random_range(0..WILD.len())])
        }
        DataType::Float64 => values!(
            Float64Array,
            f64::from(rng.random_range(-8..=8)) / 4.0 + 0.0
        ),
        DataType::Decimal128(precision, scale) => {
            let values = present
                .iter()
                .map(|present| present.then(|| rng.random_range(-250_i128..=250)))
                .collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Utf8 => {
            let texts = TEXTS
                .iter()
                .find(|(name, _)| name.is_empty() || field.name() == name)
                .map_or(&[][..], |(_, texts)| texts);
            values!(StringArray, texts[rng.random_range(0..texts.len())])
        }
        DataType::Date32 => values!(Date32Array, DAYS[rng.random_range(0..DAYS.len())]),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = values!(TimestampMicrosecondArray, instant_us(rng));
            Arc::new(Arc::unwrap_or_clone(values).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let values = values!(
                TimestampNanosecondArray,
                instant_us(rng) * 1_000 + rng.random_range(0..2)
            );
            Arc::new(Arc::unwrap_or_clone(values).with_timezone_opt(zone.clone()))
        }
        DataType::List(item) => {
            let lengths: Vec<usize> = present
                .iter()
                .map(|present| if *present { rng.random_range(0..=3) } else { 0 })
                .collect();
            let items = column(rng, item, lengths.iter().sum());
            Arc::new(ListArray::new(
                Arc::clone(item),
                OffsetBuffer::from_lengths(lengths),
                items,
                Some(NullBuffer::from(present)),
            ))
        }
        DataType::Struct(fields) => {
            // Fields of a NULL struct are NULL too, since DataFusion's UNNEST of structs shows hidden values.
            let absent = BooleanArray::from_iter(present.iter().map(|present| Some(!present)));
            let children = fields
                .iter()
                .map(|field| nullif(&column(rng, field, rows), &absent).unwrap());
            Arc::new(StructArray::new(
                fields.clone(),
                children.collect(),
                Some(NullBuffer::from(present)),
            ))
        }
        other => panic!("no domain for {other}"),
    }
}

/// A time within three hours of one of [`INSTANTS`], on a quarter hour or next to it.
fn instant_us(rng: &mut ChaCha8Rng) -> i64 {
    let near = INSTANTS[rng.random_range(0..INSTANTS.len())];
    let beside = [0, 0, 0, -1, 1_500_000][rng.random_range(0..5)];
    (near + 900 * rng.random_range(-12..=12)) * 1_000_000 + beside
}
