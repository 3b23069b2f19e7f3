#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{TimestampMicrosecondArray, TimestampSecondArray};
use arrow::util::display::array_value_to_string;
use datafusion_common::config::ConfigOptions;

use super::*;

const MINUTE: i64 = 60;

/// Starts of each time, all in seconds.
fn starts(slide: i64, size: i64, origin: i64, times: &[i64]) -> Vec<Vec<i64>> {
    let array: ArrayRef = Arc::new(TimestampSecondArray::from(times.to_vec()));
    let list = Windows {
        slide,
        size,
        origin,
    }
    .starts(&array)
    .unwrap();
    let list = list.as_any().downcast_ref::<ListArray>().unwrap();
    (0..list.len())
        .map(|row| {
            as_int64_array(&cast(&list.value(row), &DataType::Int64).unwrap())
                .unwrap()
                .values()
                .to_vec()
        })
        .collect()
}

#[test]
fn every_window_holds_its_row_and_none_is_missing() {
    for slide in 1..=7 {
        for size in 1..=20 {
            for origin in [-3, 0, 2] {
                let times: Vec<i64> = (-40..40).collect();
                for (time, found) in times.iter().zip(starts(slide, size, origin, &times)) {
                    let expected: Vec<i64> = (-80..80)
                        .filter(|s| {
                            (s - origin).rem_euclid(slide) == 0 && *s <= *time && *time < s + size
                        })
                        .collect();
                    assert_eq!(
                        found, expected,
                        "time {time}, slide {slide}, size {size}, origin {origin}"
                    );
                    if size % slide == 0 {
                        assert_eq!(
                            i64::try_from(found.len()).unwrap(),
                            size / slide,
                            "each row lands in size / slide windows"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn windows_tumble_where_slide_is_size() {
    assert_eq!(
        starts(MINUTE, MINUTE, 0, &[0, 59, 60, -1]),
        [[0], [0], [60], [-60]]
    );
}

fn invoke(time: ColumnarValue, slide: ScalarValue, size: ScalarValue) -> Result<ColumnarValue> {
    let fields = [time.data_type(), slide.data_type(), size.data_type()];
    let rows = if let ColumnarValue::Array(times) = &time {
        times.len()
    } else {
        1
    };
    let return_type = Hop::new().return_type(&fields).unwrap();
    let args = ScalarFunctionArgs {
        args: vec![
            time,
            ColumnarValue::Scalar(slide),
            ColumnarValue::Scalar(size),
        ],
        arg_fields: fields
            .iter()
            .map(|t| Arc::new(Field::new("x", t.clone(), true)))
            .collect(),
        number_rows: rows,
        return_field: Arc::new(Field::new("x", return_type, true)),
        config_options: Arc::new(ConfigOptions::default()),
    };
    Hop::new().invoke_with_args(args)
}

fn interval(months: i32, days: i32, nanoseconds: i64) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    }))
}

const QUARTER: i64 = 15 * 60 * 1_000_000_000;

#[test]
fn nulls_slices_and_zones_are_kept() {
    let times = TimestampMicrosecondArray::from(vec![Some(7), None, Some(900_000_000), Some(-1)])
        .with_timezone("America/New_York");
    let sliced: ArrayRef = Arc::new(times.slice(1, 3));
    let ColumnarValue::Array(list) = invoke(
        ColumnarValue::Array(Arc::clone(&sliced)),
        interval(0, 0, QUARTER),
        interval(0, 0, 2 * QUARTER),
    )
    .unwrap() else {
        panic!("an array")
    };
    assert_eq!(list.data_type(), &DataType::List(item(sliced.data_type())));
    let shown: Vec<String> = (0..3)
        .map(|row| array_value_to_string(&list, row).unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            "",
            "[1969-12-31T19:00:00-05:00, 1969-12-31T19:15:00-05:00]",
            "[1969-12-31T18:30:00-05:00, 1969-12-31T18:45:00-05:00]"
        ]
    );
}

#[test]
fn what_makes_no_windows_is_refused() {
    let time = || ColumnarValue::Scalar(ScalarValue::TimestampSecond(Some(0), None));
    let hour = || interval(0, 0, 4 * QUARTER);
    let cases = [
        (interval(1, 0, 0), hour(), "counts months"),
        (interval(0, 0, 0), hour(), "longer than nothing"),
        (hour(), interval(0, -1, 0), "longer than nothing"),
        (interval(0, 0, 1_500_000_000), hour(), "finer than the time"),
        (
            interval(0, 0, 1_000_000_000),
            interval(0, 366, 0),
            "more than 100000 windows",
        ),
        (
            ScalarValue::IntervalMonthDayNano(None),
            hour(),
            "constant interval",
        ),
    ];
    for (slide, size, message) in cases {
        let error = invoke(time(), slide, size).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
    let first = ColumnarValue::Scalar(ScalarValue::TimestampSecond(Some(i64::MIN), None));
    assert!(
        invoke(first, hour(), hour())
            .unwrap_err()
            .to_string()
            .contains("before all times")
    );
}

#[test]
fn types_that_are_no_times_are_refused() {
    let interval = || DataType::Interval(IntervalUnit::DayTime);
    let hop = Hop::new();
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let coerced = hop
        .coerce_types(&[DataType::Date32, interval(), interval()])
        .unwrap();
    assert_eq!(
        coerced,
        [
            timestamp.clone(),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Interval(IntervalUnit::MonthDayNano)
        ]
    );
    for types in [
        vec![],
        vec![timestamp.clone(), interval()],
        vec![DataType::Utf8, interval(), interval()],
        vec![timestamp, DataType::Int64, interval()],
    ] {
        assert!(
            hop.coerce_types(&types)
                .unwrap_err()
                .to_string()
                .contains("hop takes"),
            "{types:?}"
        );
    }
}
