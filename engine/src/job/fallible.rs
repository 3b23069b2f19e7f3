//! Determines which expressions may fail on a row: by a cast, an overflow, or a division by zero.
//!
//! An expression that may fail is evaluated only for the rows that reach it. So it is not moved in front of a filter
//! or a join, and not evaluated for rows that `CASE`, `FILTER`, `AND` or `OR` exclude.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr::{Cast, ScalarFunction};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use tidewater_planner::each_part;

use super::functions::Arithmetic;

/// Scalar functions that have a value for all arguments of their types. Any other function may fail.
const TOTAL: [&str; 47] = [
    "ascii",
    "bit_length",
    "btrim",
    "cardinality",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "cos",
    "date_part",
    "date_trunc",
    "empty",
    "ends_with",
    "exp",
    "get_field",
    "greatest",
    "initcap",
    "isnan",
    "iszero",
    "least",
    "levenshtein",
    "ln",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "make_array",
    "md5",
    "named_struct",
    "nanvl",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "regexp_like",
    "replace",
    "reverse",
    "rtrim",
    "sha256",
    "signum",
    "sin",
    "split_part",
    "starts_with",
    "strpos",
    "trim",
    "upper",
];

/// Whether an expression over the columns of `schema` may fail on a row.
pub fn may_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let mut fails = false;
    let walked = each_part(expr, &mut |part| {
        fails = node_may_fail(part, schema)?;
        Ok(if fails {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    // An expression whose type is unknown counts as one that may fail.
    fails || walked.is_err()
}

fn node_may_fail(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match expr {
        Expr::Cast(Cast { expr, field }) => !widens(&expr.get_type(schema)?, field.data_type()),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op:
                Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo,
            right,
        }) => !(left.get_type(schema)?.is_floating() && right.get_type(schema)?.is_floating()),
        Expr::ScalarFunction(call) => function_may_fail(call, schema)?,
        Expr::Negative(negated) => !negated.get_type(schema)?.is_floating(),
        Expr::HigherOrderFunction(_) | Expr::SimilarTo(_) => true,
        _ => false,
    })
}

fn function_may_fail(call: &ScalarFunction, schema: &DFSchema) -> Result<bool> {
    let types = call
        .args
        .iter()
        .map(|arg| arg.get_type(schema))
        .collect::<Result<Vec<_>>>()?;
    if let Some(arithmetic) = call.func.inner().downcast_ref::<Arithmetic>() {
        let right = call.args.get(1).and_then(|arg| match arg {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        });
        return Ok(!arithmetic.always_fits(&types, right));
    }
    Ok(!is_total(call.name()))
}

/// Whether a scalar function of this name has a value for every argument of its types.
pub fn is_total(function: &str) -> bool {
    TOTAL.contains(&function)
}

/// Whether every value of a type can be converted to another type.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Date32, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
    if from == to || *from == Null {
        return true;
    }
    let bits = |data_type: &DataType| data_type.primitive_width().unwrap_or_default() * 8;
    match (from, to) {
        (_, Utf8 | LargeUtf8 | Utf8View) => !matches!(from, Binary | DataType::LargeBinary),
        (_, DataType::Float64) => from.is_numeric(),
        (_, DataType::Float32) => from.is_integer(),
        (DataType::Boolean, _) => to.is_integer(),
        (_, DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) => {
            let whole = i32::from(*precision) - i32::from(*scale);
            match from {
                DataType::Decimal32(p, s)
                | DataType::Decimal64(p, s)
                | DataType::Decimal128(p, s)
                | DataType::Decimal256(p, s) => {
                    scale >= s && whole >= i32::from(*p) - i32::from(*s)
                }
                _ => from.is_integer() && whole >= whole_digits(bits(from)),
            }
        }
        _ if from.is_unsigned_integer() && to.is_integer() => bits(from) < bits(to),
        _ if from.is_signed_integer() && to.is_signed_integer() => bits(from) <= bits(to),
        (Timestamp(_, None), Date32) => true,
        (Timestamp(from, from_zone), Timestamp(to, to_zone)) => {
            from >= to && from_zone.is_some() == to_zone.is_some()
        }
        (Date32, Timestamp(unit, None)) => *unit != TimeUnit::Nanosecond,
        (DataType::Dictionary(_, values), _) => widens(values, to),
        _ => false,
    }
}

/// Number of digits of the largest integer with this many bits.
fn whole_digits(bits: usize) -> i32 {
    match bits {
        8 => 3,
        16 => 5,
        32 => 10,
        _ => 20,
    }
}
