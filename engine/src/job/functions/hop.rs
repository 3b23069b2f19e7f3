//! `hop(time, slide, size [, origin])`: the windows that contain a row. Windows of `size` begin every `slide`.
//!
//! ```sql
//! SELECT window_start, count(*) AS n
//! FROM (SELECT UNNEST(hop(ts, INTERVAL '15 minutes', INTERVAL '1 hour')) AS window_start FROM t)
//! GROUP BY window_start
//! ```
//!
//! gives each row the starts `s` with `s ≤ ts < s + size`, ascending, where `s − origin` is a multiple of `slide`.
//! There are `size / slide` of them if that is an integer; otherwise the number alternates between the two nearest
//! integers.
//!
//! The starts have the type of `ts`. A `TIMESTAMP` is cut as a clock shows it, so windows of local time follow the
//! local clock. A timestamp with a zone is cut by the time elapsed since 1970 in UTC, as `date_bin` does. For windows
//! that begin at local midnight, write `to_local_time(ts)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion_common::cast::as_int64_array;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// Most windows that may contain a row. A slide far smaller than its size is a mistake.
const WINDOWS_MAX: i64 = 100_000;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Hop {
    signature: Signature,
}

impl Hop {
    pub fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Hop {
    fn name(&self) -> &'static str {
        "hop"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [time, ..] => Ok(DataType::List(item(time))),
            [] => plan_err!("hop takes a time, a slide and a size"),
        }
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let ([time, slide, size] | [time, slide, size, _]) = types else {
            return plan_err!(
                "hop takes a time, a slide and a size: hop(ts, INTERVAL '15 minutes', INTERVAL '1 hour')"
            );
        };
        let time = match time {
            DataType::Timestamp(..) => time.clone(),
            DataType::Date32 | DataType::Date64 | DataType::Null => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            other => return plan_err!("hop takes a timestamp first, not {other}"),
        };
        for given in [slide, size] {
            if !matches!(given, DataType::Interval(_)) {
                return plan_err!(
                    "hop takes slide and size as intervals, not {given}: INTERVAL '15 minutes'"
                );
            }
        }
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let all = [time.clone(), interval.clone(), interval, time];
        Ok(all[..types.len()].to_vec())
    }

    /// Refuses arguments that would fail on every row, while the job is planned.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let [time, rest @ ..] = args.as_slice() else {
            return plan_err!("hop takes a time, a slide and a size");
        };
        let time = ScalarValue::try_from(info.get_data_type(time)?)?;
        let constants = rest.iter().map(|arg| match arg {
            Expr::Literal(value, _) => Ok(ColumnarValue::Scalar(value.clone())),
            _ => plan_err!("hop takes a constant slide, size and origin"),
        });
        let constants = std::iter::once(Ok(ColumnarValue::Scalar(time)))
            .chain(constants)
            .collect::<Result<Vec<_>>>()?;
        Windows::of(&constants)?;
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let windows = Windows::of(&args.args)?;
        match &args.args[0] {
            ColumnarValue::Array(times) => Ok(ColumnarValue::Array(windows.starts(times)?)),
            ColumnarValue::Scalar(time) => {
                let starts = windows.starts(&time.to_array_of_size(1)?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &starts, 0,
                )?))
            }
        }
    }
}

fn item(time: &DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(time.clone(), true))
}

/// Windows in ticks of the time's unit.
struct Windows {
    slide: i64,
    size: i64,
    origin: i64,
}

impl Windows {
    fn of(args: &[ColumnarValue]) -> Result<Self> {
        let ([time, slide, size] | [time, slide, size, _]) = args else {
            return exec_err!("hop takes a time, a slide and a size");
        };
        let DataType::Timestamp(unit, _) = time.data_type() else {
            return exec_err!("hop takes a timestamp first, not {}", time.data_type());
        };
        let (slide, size) = (ticks("slide", slide, unit)?, ticks("size", size, unit)?);
        if size / slide > WINDOWS_MAX {
            return exec_err!(
                "hop: more than {WINDOWS_MAX} windows a row; the slide is too small for the size"
            );
        }
        let origin = match args.get(3) {
            None => 0,
            Some(ColumnarValue::Scalar(origin)) => {
                match cast(&origin.to_array_of_size(1)?, &DataType::Int64)? {
                    ticks if ticks.is_valid(0) => as_int64_array(&ticks)?.value(0),
                    _ => return exec_err!("hop: the origin is NULL"),
                }
            }
            Some(ColumnarValue::Array(_)) => {
                return exec_err!("hop: the origin must be a constant");
            }
        };
        Ok(Self {
            slide,
            size,
            origin,
        })
    }

    /// The list of window starts of each time; NULL for NULL.
    fn starts(&self, times: &ArrayRef) -> Result<ArrayRef> {
        let ticks = cast(times, &DataType::Int64)?;
        let ticks = as_int64_array(&ticks)?;
        let mut starts: Vec<i64> = Vec::with_capacity(ticks.len());
        let mut lengths = Vec::with_capacity(ticks.len());
        for time in ticks {
            let before = starts.len();
            if let Some(time) = time {
                self.push_starts(time, &mut starts)?;
            }
            lengths.push(starts.len() - before);
        }
        let values = cast(&Int64Array::from(starts), times.data_type())?;
        let nulls: Option<NullBuffer> = ticks.nulls().cloned();
        let list = ListArray::try_new(
            item(times.data_type()),
            OffsetBuffer::from_lengths(lengths),
            values,
            nulls,
        )?;
        Ok(Arc::new(list))
    }

    fn push_starts(&self, time: i64, starts: &mut Vec<i64>) -> Result<()> {
        let since = (i128::from(time) - i128::from(self.origin)).rem_euclid(i128::from(self.slide));
        let open = i128::from(self.size) - since;
        let windows = if open > 0 {
            (open - 1) / i128::from(self.slide) + 1
        } else {
            0
        };
        for nth in (0..windows).rev() {
            match i64::try_from(i128::from(time) - since - nth * i128::from(self.slide)) {
                Ok(start) => starts.push(start),
                Err(_) => {
                    return exec_err!(
                        "hop: a window of {time} begins before all times that there are"
                    );
                }
            }
        }
        Ok(())
    }
}

/// A constant interval in ticks of `unit`.
fn ticks(what: &str, interval: &ColumnarValue, unit: TimeUnit) -> Result<i64> {
    let ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(interval))) = interval else {
        return exec_err!("hop: the {what} must be a constant interval");
    };
    let IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    } = *interval;
    if months != 0 {
        return exec_err!(
            "hop: the {what} counts months, which differ in length; use date_trunc('month', …)"
        );
    }
    let nanos = i128::from(days) * NANOS_PER_DAY + i128::from(nanoseconds);
    let per_tick: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    match i64::try_from(nanos / per_tick) {
        Ok(ticks) if ticks > 0 && nanos % per_tick == 0 => Ok(ticks),
        Ok(_) if nanos > 0 => {
            exec_err!("hop: the {what} is finer than the time, which counts in {unit:?}s")
        }
        Ok(_) => exec_err!("hop: the {what} must be longer than nothing"),
        Err(_) => exec_err!("hop: the {what} is too long"),
    }
}

#[cfg(test)]
#[path = "hop_tests.rs"]
mod tests;
