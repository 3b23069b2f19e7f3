//! Refuses frames of window functions that are always empty or have no meaning.

use std::cmp::Ordering;

use datafusion_common::ScalarValue;
use datafusion_expr::expr::WindowFunctionParams;
use datafusion_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};

use super::super::tokens::Find;
use super::Refusal;

/// The refusal of the frame of a call of `name`.
pub(super) fn refusal(name: &str, params: &WindowFunctionParams) -> Option<Refusal> {
    let frame = &params.window_frame;
    let finds = [Find::Words(units(frame.units)), Find::Call(name.to_owned())];
    if is_backward(frame) {
        return Some(Refusal::new(
            finds,
            format!("this frame ends before it begins: {}", spelled(frame)),
            "write the earlier end first: ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
        ));
    }
    let has_distance = [&frame.start_bound, &frame.end_bound]
        .into_iter()
        .any(|bound| matches!(bound, WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) if !by.is_null()));
    if frame.units == WindowFrameUnits::Range && has_distance && params.order_by.len() != 1 {
        return Some(Refusal::new(
            finds,
            "RANGE with a distance needs ORDER BY of one column, from which it counts",
            "add ORDER BY to the window, or count rows: ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        ));
    }
    None
}

fn units(units: WindowFrameUnits) -> &'static [&'static str] {
    match units {
        WindowFrameUnits::Rows => &["ROWS"],
        WindowFrameUnits::Range => &["RANGE"],
        WindowFrameUnits::Groups => &["GROUPS"],
    }
}

/// Whether the frame ends before it begins, so that it is always empty.
fn is_backward(frame: &WindowFrame) -> bool {
    let (start, end) = (&frame.start_bound, &frame.end_bound);
    match side(start).cmp(&side(end)) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => match (start, end) {
            (WindowFrameBound::Preceding(start), WindowFrameBound::Preceding(end)) => {
                start.is_null() && end.is_null() || start < end
            }
            (WindowFrameBound::Following(start), WindowFrameBound::Following(end)) => {
                start.is_null() && end.is_null() || start > end
            }
            _ => false,
        },
    }
}

/// The order of a bound's kind along the rows.
fn side(bound: &WindowFrameBound) -> i8 {
    match bound {
        WindowFrameBound::Preceding(by) if by.is_null() => -2,
        WindowFrameBound::Preceding(_) => -1,
        WindowFrameBound::CurrentRow => 0,
        WindowFrameBound::Following(by) if by.is_null() => 2,
        WindowFrameBound::Following(_) => 1,
    }
}

fn spelled(frame: &WindowFrame) -> String {
    let bound = |bound: &WindowFrameBound| {
        let distance = |by: &ScalarValue| {
            if by.is_null() {
                "UNBOUNDED".to_owned()
            } else {
                crate::spelling::value(by)
            }
        };
        match bound {
            WindowFrameBound::Preceding(by) => format!("{} PRECEDING", distance(by)),
            WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            WindowFrameBound::Following(by) => format!("{} FOLLOWING", distance(by)),
        }
    };
    format!(
        "{} BETWEEN {} AND {}",
        frame.units,
        bound(&frame.start_bound),
        bound(&frame.end_bound)
    )
}
