//! `date_trunc(part, time)` for every time that its type holds.
//!
//! DataFusion's function counts in nanoseconds internally, which end in 2262, so `9999-12-31`, the open end in many
//! tables, fails. Ours counts in the unit of the time, accepts a `DATE`, and knows decades, centuries and millennia.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, FieldRef, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::arrays::{invoke_on_array, text};

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateTrunc {
    signature: Signature,
    aliases: Vec<String>,
    /// DataFusion's function, for `TIME`, which has no such limits.
    of_time: Arc<ScalarUDF>,
}

/// The precision to truncate to.
#[derive(Clone, Copy)]
enum Part {
    /// A fraction of a second, in nanoseconds.
    Nanoseconds(i64),
    Seconds(i64),
    Week,
    Months(i32),
}

impl DateTrunc {
    pub fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            aliases: vec!["datetrunc".to_owned()],
            of_time: datafusion_functions::datetime::date_trunc(),
        }
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &'static str {
        "date_trunc"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [part, time] = types else {
            return plan_err!("date_trunc takes a part and a time: date_trunc('month', ts)");
        };
        if !part.is_string() && !part.is_null() {
            return plan_err!("date_trunc takes the part as text: date_trunc('month', ts)");
        }
        Ok(vec![
            DataType::Utf8,
            super::arrays::time_type("date_trunc", time)?,
        ])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, time] => Ok(time.clone()),
            _ => plan_err!("date_trunc takes a part and a time: date_trunc('month', ts)"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [_, time] = args.arg_fields else {
            return plan_err!("date_trunc takes a part and a time: date_trunc('month', ts)");
        };
        let field = Field::new(self.name(), time.data_type().clone(), time.is_nullable());
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [part, time] = args.args.as_slice() else {
            return exec_err!("date_trunc takes a part and a time");
        };
        let DataType::Timestamp(unit, zone) = time.data_type() else {
            return self.of_time.invoke_with_args(args);
        };
        let Some(part) = text(part) else {
            return exec_err!("date_trunc: the part must be a constant: 'month'");
        };
        let part = Part::parse(&part)?;
        let zone = zone.as_deref().map(str::parse::<Tz>).transpose()?;
        invoke_on_array(time, |times| match unit {
            TimeUnit::Second => truncate::<TimestampSecondType>(times, part, zone),
            TimeUnit::Millisecond => truncate::<TimestampMillisecondType>(times, part, zone),
            TimeUnit::Microsecond => truncate::<TimestampMicrosecondType>(times, part, zone),
            TimeUnit::Nanosecond => truncate::<TimestampNanosecondType>(times, part, zone),
        })
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_lowercase().as_str() {
            "microsecond" | "microseconds" => Self::Nanoseconds(1_000),
            "millisecond" | "milliseconds" => Self::Nanoseconds(1_000_000),
            "second" | "seconds" => Self::Seconds(1),
            "minute" | "minutes" => Self::Seconds(60),
            "hour" | "hours" => Self::Seconds(3_600),
            "day" | "days" => Self::Seconds(86_400),
            "week" | "weeks" => Self::Week,
            "month" | "months" => Self::Months(1),
            "quarter" | "quarters" => Self::Months(3),
            "year" | "years" => Self::Months(12),
            "decade" | "decades" => Self::Months(120),
            "century" | "centuries" => Self::Months(1_200),
            "millennium" | "millennia" => Self::Months(12_000),
            _ => {
                return exec_err!(
                    "date_trunc does not know the part '{text}'; parts are microsecond, millisecond, second, minute, hour, \
                     day, week, month, quarter, year, decade, century and millennium"
                );
            }
        })
    }
}

/// Ticks of a unit in a second.
fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn truncate<T: ArrowTimestampType>(
    times: &ArrayRef,
    part: Part,
    zone: Option<Tz>,
) -> Result<ArrayRef> {
    let per_second = per_second(T::UNIT);
    let times = times.as_primitive::<T>();
    let truncated: PrimitiveArray<T> = times.try_unary(|ticks| {
        let truncated = match (part, zone) {
            (Part::Nanoseconds(nanos), _) => floor(ticks, per_second * nanos / 1_000_000_000),
            // Clocks differ from UTC by whole minutes, so up to a minute the zone does not matter.
            (Part::Seconds(seconds), zone) if zone.is_none() || seconds <= 60 => {
                floor(ticks, seconds * per_second)
            }
            (part, None) => {
                let per_day = 86_400 * per_second;
                first_day(ticks.div_euclid(per_day), part).and_then(|day| day.checked_mul(per_day))
            }
            (part, Some(zone)) => on_clock(ticks, part, zone, per_second),
        };
        match truncated {
            Some(truncated) => Ok(truncated),
            None => {
                exec_err!("date_trunc: the beginning is before all times that a TIMESTAMP holds")
            }
        }
    })?;
    Ok(Arc::new(
        truncated.with_data_type(times.data_type().clone()),
    ))
}

/// The greatest multiple of `size` that is not greater than `ticks`. `ticks` itself if the unit is coarser than
/// `size`.
fn floor(ticks: i64, size: i64) -> Option<i64> {
    if size <= 1 {
        return Some(ticks);
    }
    ticks.checked_sub(ticks.rem_euclid(size))
}

/// The first day of a part, in days since 1970.
fn first_day(day: i64, part: Part) -> Option<i64> {
    let date = |day: i64| NaiveDate::from_epoch_days(i32::try_from(day).ok()?);
    match part {
        Part::Nanoseconds(_) | Part::Seconds(_) => Some(day),
        // 1970 began on a Thursday.
        Part::Week => Some(day - (day + 3).rem_euclid(7)),
        Part::Months(months) => {
            let first = first_of(date(day)?, months)?;
            Some(first.to_epoch_days().into())
        }
    }
}

/// The first day of the period of `months` months that contains a day. Centuries and millennia begin with a year 1.
fn first_of(date: NaiveDate, months: i32) -> Option<NaiveDate> {
    let (year, month) = match months {
        1 | 3 => {
            let size = u32::try_from(months).ok()?;
            (date.year(), date.month0() / size * size + 1)
        }
        12 | 120 => {
            let years = months / 12;
            (date.year().div_euclid(years) * years, 1)
        }
        _ => {
            let years = months / 12;
            ((date.year() - 1).div_euclid(years) * years + 1, 1)
        }
    };
    NaiveDate::from_ymd_opt(year, month, 1)
}

/// Truncates by the local clock of a zone.
fn on_clock(ticks: i64, part: Part, zone: Tz, per_second: i64) -> Option<i64> {
    let nanos = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let time = DateTime::from_timestamp(ticks.div_euclid(per_second), u32::try_from(nanos).ok()?)?;
    let time = time.with_timezone(&zone);
    let local = time.naive_local();
    let truncated = match part {
        Part::Seconds(seconds) if seconds < 86_400 => {
            let clock = floor(local.and_utc().timestamp(), seconds)?;
            DateTime::from_timestamp(clock, 0)?.naive_utc()
        }
        part => {
            let day = first_day(local.date().to_epoch_days().into(), part)?;
            NaiveDate::from_epoch_days(i32::try_from(day).ok()?)?.and_hms_opt(0, 0, 0)?
        }
    };
    instant(truncated, zone, time.offset().fix().local_minus_utc())?.checked_mul(per_second)
}

/// The second at which clocks show `local`. If there are two, the one with the offset of the truncated time. If
/// clocks skip `local`, the second at which they skip it.
fn instant(local: NaiveDateTime, zone: Tz, offset: i32) -> Option<i64> {
    match zone.from_local_datetime(&local) {
        chrono::LocalResult::Single(time) => Some(time.timestamp()),
        chrono::LocalResult::Ambiguous(first, second) => {
            let has_offset = first.offset().fix().local_minus_utc() == offset;
            Some(if has_offset { first } else { second }.timestamp())
        }
        chrono::LocalResult::None => {
            let before = local.checked_sub_signed(TimeDelta::try_hours(3)?)?;
            let before = zone.from_local_datetime(&before).single()?;
            Some(before.timestamp() + 3 * 3_600)
        }
    }
}

/// Differences of times as seconds.
fn seconds(durations: &dyn Array, unit: TimeUnit) -> Result<ArrayRef> {
    let per_second = match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e3,
        TimeUnit::Microsecond => 1e6,
        TimeUnit::Nanosecond => 1e9,
    };
    let ticks = cast(&cast(durations, &DataType::Int64)?, &DataType::Float64)?;
    let ticks = ticks.as_primitive::<Float64Type>();
    Ok(Arc::new(
        ticks.unary::<_, Float64Type>(|ticks| ticks / per_second),
    ))
}

/// `date_part(part, time)`: DataFusion's function, extended by decades, centuries and millennia, and by the seconds of
/// differences that are longer than 68 years.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DatePart {
    inner: Arc<ScalarUDF>,
}

impl DatePart {
    pub fn new() -> Self {
        Self {
            inner: datafusion_functions::datetime::date_part(),
        }
    }

    /// The function from a year to the part, for parts that count years.
    fn of_year(part: &str) -> Option<fn(i32) -> i32> {
        /// The number of the period of `years` years. Periods begin with a year 1, and there is no period 0.
        fn period(year: i32, years: i32) -> i32 {
            if year > 0 {
                (year - 1) / years + 1
            } else {
                -((-year) / years + 1)
            }
        }
        match part.to_lowercase().as_str() {
            "decade" | "decades" => Some(|year| year.div_euclid(10)),
            "century" | "centuries" => Some(|year| period(year, 100)),
            "millennium" | "millennia" => Some(|year| period(year, 1_000)),
            _ => None,
        }
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let part = args.args.first().and_then(text);
        if let (Some("epoch"), Some(DataType::Duration(unit))) = (
            part.as_deref().map(str::to_lowercase).as_deref(),
            args.args.get(1).map(ColumnarValue::data_type),
        ) {
            return invoke_on_array(&args.args[1], |durations| seconds(durations, unit));
        }
        let Some(of_year) = part.as_deref().and_then(Self::of_year) else {
            return self.inner.invoke_with_args(args);
        };
        args.args[0] = ColumnarValue::Scalar(ScalarValue::from("year"));
        let years = self.inner.invoke_with_args(args)?;
        invoke_on_array(&years, |years| {
            let years = years.as_primitive::<arrow::datatypes::Int32Type>();
            Ok(Arc::new(
                years.unary::<_, arrow::datatypes::Int32Type>(of_year),
            ))
        })
    }

    fn preimage(
        &self,
        args: &[datafusion_expr::Expr],
        literal: &datafusion_expr::Expr,
        info: &datafusion_expr::simplify::SimplifyContext,
    ) -> Result<datafusion_expr::preimage::PreimageResult> {
        self.inner.preimage(args, literal, info)
    }
}
