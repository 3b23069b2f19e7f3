//! Warns where DataFusion's rules for time zones surprise. We keep the rules, so that results are the same.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, TimestampSecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Cast, ScalarFunction};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};

use super::super::tokens::Find;
use super::{Refusal, span_of};

/// Offsets of zones are multiples of this, so windows whose size divides it begin at the same instants on every
/// clock.
const NANOS_PER_QUARTER_HOUR: i64 = 15 * 60 * 1_000_000_000;

/// The warning about an expression.
pub(super) fn surprise(expr: &Expr, node: &LogicalPlan) -> Option<Refusal> {
    match expr {
        Expr::Cast(Cast { expr, field }) => cast(expr, zone(field.data_type())?, node),
        Expr::ScalarFunction(call) => windows(call, node),
        _ => None,
    }
}

/// The zone of a timestamp, if it has one; `None` for other types.
fn zone(data_type: &DataType) -> Option<Option<Arc<str>>> {
    match data_type {
        DataType::Timestamp(_, zone) => Some(zone.clone()),
        _ => None,
    }
}

fn zone_of(expr: &Expr, node: &LogicalPlan) -> Option<Option<Arc<str>>> {
    let input = node
        .inputs()
        .into_iter()
        .find_map(|input| expr.get_type(input.schema()).ok())?;
    zone(&input)
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Z" | "+00:00" | "Etc/UTC")
}

fn cast(from: &Expr, to: Option<Arc<str>>, node: &LogicalPlan) -> Option<Refusal> {
    let finds: Vec<Find> = span_of(from)
        .into_iter()
        .chain([Find::Words(&["AT", "TIME", "ZONE"])])
        .collect();
    match (zone_of(from, node)?, to) {
        (None, Some(zone)) if skips_or_repeats(&zone) => Some(Refusal::new(
            finds,
            format!(
                "clocks in {zone} skip an hour and repeat one each year: a time in either makes the run fail"
            ),
            "leave local times without a zone, date_trunc and date_bin work on them as they are; or deliver times with their offset, as TIMESTAMPTZ",
        )),
        _ => None,
    }
}

/// Whether the zone's clocks have skipped or repeated local times in these decades.
fn skips_or_repeats(zone: &Arc<str>) -> bool {
    const HALF_HOUR: i64 = 1_800;
    const YEAR_2000: i64 = 946_684_800;
    const HALF_HOURS: i64 = 30 * 365 * 48;
    let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values(
        (0..HALF_HOURS).map(|n| YEAR_2000 + n * HALF_HOUR),
    ));
    let zoned = DataType::Timestamp(arrow::datatypes::TimeUnit::Second, Some(Arc::clone(zone)));
    let lenient = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    cast_with_options(&times, &zoned, &lenient).is_ok_and(|zoned| zoned.null_count() > 0)
}

fn windows(call: &ScalarFunction, node: &LogicalPlan) -> Option<Refusal> {
    let (("date_bin", [step, time, ..]) | ("hop", [time, step, ..])) =
        (call.name(), call.args.as_slice())
    else {
        return None;
    };
    let zone = zone_of(time, node)??;
    if is_utc(&zone) {
        return None;
    }
    let Expr::Literal(
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano {
            months: 0,
            days: 0,
            nanoseconds,
        })),
        _,
    ) = step
    else {
        return Some(in_utc(call.name(), &zone));
    };
    let alike = *nanoseconds > 0 && NANOS_PER_QUARTER_HOUR % nanoseconds == 0;
    (!alike).then(|| in_utc(call.name(), &zone))
}

fn in_utc(function: &str, zone: &str) -> Refusal {
    Refusal::new(
        [Find::Call(function.to_owned())],
        format!("{function} of a time in {zone} counts its windows in UTC, not by the clock there"),
        format!("write {function} of to_local_time(…) for windows that begin at midnight there"),
    )
}
