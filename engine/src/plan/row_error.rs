//! Errors of expressions, with the row on which they failed.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;

use crate::spelling::physical_expression;

/// Most columns of a row that are shown.
const COLUMNS_MAX: usize = 8;
/// The most letters of a value or an expression that are shown.
const LETTERS_MAX: usize = 60;

/// `error`, which `expr` gave over `batch`, with the first failing row's values of the columns that `expr` reads.
pub fn with_row(
    error: DataFusionError,
    expr: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> DataFusionError {
    let Some(row) = first_failing(expr, batch) else {
        return error;
    };
    let one = batch.slice(row, 1);
    let error = expr.evaluate(&one).err().unwrap_or(error);
    let mut columns: Vec<Column> = collect_columns(expr).into_iter().collect();
    columns.sort_by_key(Column::index);
    let values = columns.iter().take(COLUMNS_MAX).filter_map(|column| {
        let value = ScalarValue::try_from_array(one.column(column.index()), 0).ok()?;
        Some(format!("{} = {}", column.name(), shown(&value)))
    });
    let values: Vec<String> = values.collect();
    let failed = format!(
        "{}: {}",
        shortened(&physical_expression(expr)),
        reason(&error)
    );
    DataFusionError::Execution(if values.is_empty() {
        failed
    } else {
        format!("{failed}, in a row with {}", values.join(", "))
    })
}

/// The message of an expression's error.
pub fn message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Execution(message) => message.clone(),
        other => other.strip_backtrace(),
    }
}

/// The first row on which an expression fails, given that it fails on the batch. Found by bisection: a prefix of the
/// batch fails if it includes that row.
fn first_failing(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Option<usize> {
    let fails = |rows: usize| expr.evaluate(&batch.slice(0, rows)).is_err();
    let (mut passes, mut failing) = (0, batch.num_rows());
    if failing == 0 || !fails(failing) {
        return None;
    }
    while failing - passes > 1 {
        let middle = passes.midpoint(failing);
        if fails(middle) {
            failing = middle;
        } else {
            passes = middle;
        }
    }
    Some(failing - 1)
}

/// An error's message, without the layers that wrap it.
fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::Execution(reason) => reason.clone(),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division by zero".to_owned(),
            ArrowError::CastError(reason)
            | ArrowError::ComputeError(reason)
            | ArrowError::ParseError(reason)
            | ArrowError::ArithmeticOverflow(reason)
            | ArrowError::InvalidArgumentError(reason) => reason.clone(),
            other => other.to_string(),
        },
        other => other.strip_backtrace(),
    }
}

fn shown(value: &ScalarValue) -> String {
    let is_text = value.data_type().is_string() && !value.is_null();
    let shown = shortened(&value.to_string());
    if is_text { format!("'{shown}'") } else { shown }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(LETTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
