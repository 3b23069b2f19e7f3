//! `date_bin(stride, time [, origin])` for every time that its type holds.
//!
//! DataFusion's function counts in nanoseconds internally, which end in 2262, and returns NULL beyond. Open ends in
//! the year 9999 would be in one group with missing times. Ours counts in the unit of the time, and accepts a `DATE`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowTimestampType, DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::{DateTime, Datelike, Months, NaiveDateTime};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::arrays::{invoke_on_array, time_type};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateBin {
    signature: Signature,
    /// DataFusion's function, for `TIME`, which has no such limits.
    of_time: Arc<ScalarUDF>,
}

impl DateBin {
    pub fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            of_time: datafusion_functions::datetime::date_bin(),
        }
    }
}

/// The width of the bins.
enum Stride {
    Nanoseconds(i128),
    Months(i32),
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &'static str {
        "date_bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ([stride, time] | [stride, time, _]) = types else {
            return plan_err!(
                "date_bin takes a stride, a time and an origin: date_bin(INTERVAL '15 minutes', ts)"
            );
        };
        if !matches!(stride, DataType::Interval(_)) && !stride.is_string() && !stride.is_null() {
            return plan_err!(
                "date_bin takes the stride as an interval, not {}: INTERVAL '15 minutes'",
                tidewater_operators::sql_type::sql_type(stride)
            );
        }
        let time = time_type("date_bin", time)?;
        let origin = match &time {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => time.clone(),
            DataType::Timestamp(_, zone) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            other => other.clone(),
        };
        let all = [DataType::Interval(IntervalUnit::MonthDayNano), time, origin];
        Ok(all[..types.len()].to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, time, ..] => Ok(time.clone()),
            _ => plan_err!("date_bin takes a stride and a time"),
        }
    }

    /// Refuses arguments that would fail on every row, while the job is planned.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let [stride, _, origin @ ..] = args.as_slice() {
            match stride {
                Expr::Literal(stride, _) => {
                    Stride::parse(stride)?;
                }
                _ => {
                    return plan_err!(
                        "date_bin takes a constant stride: date_bin(INTERVAL '15 minutes', ts)"
                    );
                }
            }
            if origin
                .iter()
                .any(|origin| !matches!(origin, Expr::Literal(..)))
            {
                return plan_err!(
                    "date_bin takes a constant origin: TIMESTAMP '2024-01-01 06:00:00'"
                );
            }
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [stride, time, origin @ ..] = args.args.as_slice() else {
            return exec_err!("date_bin takes a stride and a time");
        };
        let DataType::Timestamp(unit, _) = time.data_type() else {
            return self.of_time.invoke_with_args(args);
        };
        let ColumnarValue::Scalar(stride) = stride else {
            return exec_err!("date_bin takes a constant stride");
        };
        let origin = match origin.first() {
            None => 0,
            Some(ColumnarValue::Scalar(origin)) => nanoseconds(origin)?,
            Some(ColumnarValue::Array(_)) => return exec_err!("date_bin takes a constant origin"),
        };
        let Some(stride) = Stride::parse(stride)? else {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(
                time.data_type(),
            )?));
        };
        invoke_on_array(time, |times| match unit {
            TimeUnit::Second => bins::<TimestampSecondType>(times, &stride, origin),
            TimeUnit::Millisecond => bins::<TimestampMillisecondType>(times, &stride, origin),
            TimeUnit::Microsecond => bins::<TimestampMicrosecondType>(times, &stride, origin),
            TimeUnit::Nanosecond => bins::<TimestampNanosecondType>(times, &stride, origin),
        })
    }
}

impl Stride {
    /// The stride for an interval; `None` for NULL.
    fn parse(interval: &ScalarValue) -> Result<Option<Self>> {
        let interval = match interval {
            ScalarValue::IntervalMonthDayNano(None) | ScalarValue::Null => return Ok(None),
            ScalarValue::IntervalMonthDayNano(Some(interval)) => interval,
            _ => {
                return plan_err!(
                    "date_bin takes an interval as the stride: INTERVAL '15 minutes'"
                );
            }
        };
        let IntervalMonthDayNano {
            months,
            days,
            nanoseconds,
        } = *interval;
        let nanos = i128::from(days) * NANOS_PER_DAY + i128::from(nanoseconds);
        match (months, nanos) {
            (0, 1..) => Ok(Some(Self::Nanoseconds(nanos))),
            (1.., 0) => Ok(Some(Self::Months(months))),
            (0, _) | (..0, 0) => plan_err!("date_bin: the stride must be longer than nothing"),
            _ => plan_err!(
                "date_bin: the stride mixes months with days or hours, which differ in length"
            ),
        }
    }
}

fn nanos_per_tick(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// An origin in nanoseconds since 1970.
fn nanoseconds(origin: &ScalarValue) -> Result<i128> {
    let (ticks, unit) = match origin {
        ScalarValue::TimestampSecond(ticks, _) => (ticks, TimeUnit::Second),
        ScalarValue::TimestampMillisecond(ticks, _) => (ticks, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(ticks, _) => (ticks, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(ticks, _) => (ticks, TimeUnit::Nanosecond),
        other => return exec_err!("date_bin takes a timestamp as the origin, not {other}"),
    };
    match ticks {
        Some(ticks) => Ok(i128::from(*ticks) * nanos_per_tick(unit)),
        None => exec_err!("date_bin: the origin is NULL"),
    }
}

fn bins<T: ArrowTimestampType>(
    times: &ArrayRef,
    stride: &Stride,
    origin: i128,
) -> Result<ArrayRef> {
    let per_tick = nanos_per_tick(T::UNIT);
    let times = times.as_primitive::<T>();
    let bins: PrimitiveArray<T> = times.try_unary(|ticks| {
        let nanos = i128::from(ticks) * per_tick;
        let bin = match stride {
            Stride::Nanoseconds(stride) => Some(nanos - (nanos - origin).rem_euclid(*stride)),
            Stride::Months(months) => month_bin(nanos, origin, *months),
        };
        match bin.and_then(|bin| i64::try_from(bin.div_euclid(per_tick)).ok()) {
            Some(bin) => Ok(bin),
            None => exec_err!("date_bin: the bin begins before all times that a TIMESTAMP holds"),
        }
    })?;
    Ok(Arc::new(bins.with_data_type(times.data_type().clone())))
}

/// The last time that is a whole number of month strides from `origin` and not after the given time.
fn month_bin(nanos: i128, origin: i128, months: i32) -> Option<i128> {
    let (time, start) = (date_time(nanos)?, date_time(origin)?);
    let between = (time.year() - start.year()) * 12 + i32::try_from(time.month0()).ok()?
        - i32::try_from(start.month0()).ok()?;
    let mut shift = between.div_euclid(months) * months;
    let mut bin = shifted(start, shift)?;
    // The origin may be later in its month than the time is.
    if bin > time {
        shift -= months;
        bin = shifted(start, shift)?;
    }
    let bin = bin.and_utc();
    Some(i128::from(bin.timestamp()) * 1_000_000_000 + i128::from(bin.timestamp_subsec_nanos()))
}

fn shifted(time: NaiveDateTime, months: i32) -> Option<NaiveDateTime> {
    let by = Months::new(months.unsigned_abs());
    if months < 0 {
        time.checked_sub_months(by)
    } else {
        time.checked_add_months(by)
    }
}

fn date_time(nanos: i128) -> Option<NaiveDateTime> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Some(DateTime::from_timestamp(seconds, rest)?.naive_utc())
}
