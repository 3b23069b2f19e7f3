//! Spells logical and physical expressions, and values.

use std::sync::Arc;

use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::expr::{Cast, InList, ScalarFunction, TryCast};
use datafusion_expr::{Expr, Operator, ScalarUDF, binary_expr};
use datafusion_physical_expr::expressions::{
    BinaryExpr as PhysicalBinary, CastExpr, Column, Literal,
};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion_physical_expr_common::physical_expr::fmt_sql;
use tidewater_planner::rewrite_parts;

use super::{in_sql, quoted, type_name};
use crate::job::functions::Arithmetic;

/// An expression as a job's author would write it.
pub fn expression(expr: &Expr) -> String {
    // DataFusion prints literals with Arrow's types. They are replaced by columns whose name is the literal in SQL.
    let spelled = rewrite_parts(expr.clone(), &mut |part| {
        Ok(match &part {
            Expr::Literal(literal, _) => Transformed::yes(named(value(literal))),
            Expr::Cast(Cast { expr, field }) => {
                let target = type_name(field.data_type());
                Transformed::yes(named(format!("CAST({expr} AS {target})")))
            }
            Expr::TryCast(TryCast { expr, field }) => {
                let target = type_name(field.data_type());
                Transformed::yes(named(format!("TRY_CAST({expr} AS {target})")))
            }
            Expr::InList(list) => Transformed::yes(named(in_list(list))),
            Expr::ScalarFunction(call) => match arithmetic(call) {
                Some(written) => Transformed::yes(written),
                None => Transformed::no(part),
            },
            _ => Transformed::no(part),
        })
    });
    in_sql(&spelled.map_or_else(|_| expr.to_string(), |spelled| spelled.data.to_string()))
}

fn named(text: String) -> Expr {
    Expr::Column(datafusion_common::Column::new_unqualified(text))
}

/// A call of our arithmetic with an operator between its operands.
fn arithmetic(call: &ScalarFunction) -> Option<Expr> {
    let operator = operator(&call.func)?;
    Some(match call.args.as_slice() {
        [one @ Expr::BinaryExpr(_)] => named(format!("-({one})")),
        [one] => named(format!("-{one}")),
        [left, right] => {
            let right = match right {
                Expr::BinaryExpr(inner) if is_bracketed(operator, inner.op) => {
                    named(format!("({inner})"))
                }
                other => other.clone(),
            };
            binary_expr(left.clone(), operator, right)
        }
        _ => return None,
    })
}

/// The same for a compiled call.
fn physical_arithmetic(call: &ScalarFunctionExpr) -> Option<Arc<dyn PhysicalExpr>> {
    let operator = operator(call.fun())?;
    let text = |part: &Arc<dyn PhysicalExpr>| fmt_sql(part.as_ref()).to_string();
    let column = |text: String| Arc::new(Column::new(&text, 0)) as Arc<dyn PhysicalExpr>;
    Some(match call.args() {
        [one] if one.downcast_ref::<PhysicalBinary>().is_some() => {
            column(format!("-({})", text(one)))
        }
        [one] => column(format!("-{}", text(one))),
        [left, right] => {
            let inner = right.downcast_ref::<PhysicalBinary>();
            let right = match inner {
                Some(inner) if is_bracketed(operator, *inner.op()) => {
                    column(format!("({})", text(right)))
                }
                _ => Arc::clone(right),
            };
            Arc::new(PhysicalBinary::new(Arc::clone(left), operator, right))
        }
        _ => return None,
    })
}

fn operator(function: &ScalarUDF) -> Option<Operator> {
    let arithmetic = function.inner().downcast_ref::<Arithmetic>()?;
    Some(arithmetic.operator())
}

/// Whether an operation is in brackets on the right side of another of the same precedence: `a - (b - c)`.
fn is_bracketed(outer: Operator, inner: Operator) -> bool {
    outer.precedence() == inner.precedence()
        && !matches!(
            (outer, inner),
            (Operator::Plus, Operator::Plus | Operator::Minus)
                | (Operator::Multiply, Operator::Multiply)
        )
}

fn in_list(
    InList {
        expr,
        list,
        negated,
    }: &InList,
) -> String {
    let not = if *negated { "NOT " } else { "" };
    let values: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("{expr} {not}IN ({})", values.join(", "))
}

/// A compiled expression as a job's author would write it, without the positions of its columns.
pub fn physical_expression(expr: &Arc<dyn PhysicalExpr>) -> String {
    let spelled = Arc::clone(expr).transform_up(|part| {
        let text = if let Some(literal) = part.downcast_ref::<Literal>() {
            value(literal.value())
        } else if let Some(cast) = part.downcast_ref::<CastExpr>() {
            let input = fmt_sql(cast.expr().as_ref()).to_string();
            format!("CAST({input} AS {})", type_name(cast.cast_type()))
        } else if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>()
            && let Some(written) = physical_arithmetic(call)
        {
            return Ok(Transformed::yes(written));
        } else {
            return Ok(Transformed::no(part));
        };
        let named: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&text, 0));
        Ok(Transformed::yes(named))
    });
    let spelled = spelled.map_or_else(|_| Arc::clone(expr), |spelled| spelled.data);
    in_sql(&fmt_sql(spelled.as_ref()).to_string())
}

/// A value as SQL writes it.
pub fn value(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => quoted(text),
        ScalarValue::Date32(_) | ScalarValue::Date64(_) => format!("DATE '{value}'"),
        ScalarValue::Time32Second(_)
        | ScalarValue::Time32Millisecond(_)
        | ScalarValue::Time64Microsecond(_)
        | ScalarValue::Time64Nanosecond(_) => format!("TIME '{}'", displayed(value)),
        ScalarValue::TimestampSecond(..)
        | ScalarValue::TimestampMillisecond(..)
        | ScalarValue::TimestampMicrosecond(..)
        | ScalarValue::TimestampNanosecond(..) => format!("TIMESTAMP '{}'", displayed(value)),
        ScalarValue::IntervalYearMonth(_)
        | ScalarValue::IntervalDayTime(_)
        | ScalarValue::IntervalMonthDayNano(_) => format!("INTERVAL '{}'", displayed(value)),
        ScalarValue::Decimal128(..) | ScalarValue::Decimal256(..) => displayed(value),
        ScalarValue::Dictionary(_, inner) => self::value(inner),
        other => other.to_string(),
    }
}

/// The value as Arrow shows it in a table.
fn displayed(value: &ScalarValue) -> String {
    let shown = value
        .to_array()
        .ok()
        .and_then(|array| arrow::util::display::array_value_to_string(&array, 0).ok());
    shown.unwrap_or_else(|| value.to_string())
}
