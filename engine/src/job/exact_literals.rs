//! Literals with a point that are compared with decimals.
//!
//! DataFusion plans `99999999.99` as a double, and compares it with a decimal by rounding both to fifteen places. The
//! nearest double to the literal is another number there, so `price = 99999999.99` would be false for that price.

use arrow::datatypes::{DataType, i256};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Between, InList};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};

/// Most digits of a decimal of 128 bits.
const DIGITS_MAX: usize = 38;

/// A comparison with its literals as decimals, if one of its sides is a decimal.
pub(super) fn exact_literals(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let sides: Vec<&Expr> = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            vec![left, right]
        }
        Expr::InList(InList { expr, list, .. }) => std::iter::once(&**expr).chain(list).collect(),
        Expr::Between(Between {
            expr, low, high, ..
        }) => vec![expr, low, high],
        _ => return Ok(Transformed::no(expr)),
    };
    let literals: Vec<Digits> = sides.iter().filter_map(|side| Digits::of(side)).collect();
    if literals.is_empty() {
        return Ok(Transformed::no(expr));
    }
    let mut sizes = Vec::new();
    for side in sides {
        sizes.extend(size(&side.get_type(schema)?));
    }
    if sizes.is_empty() {
        return Ok(Transformed::no(expr));
    }
    sizes.extend(literals.iter().map(|literal| literal.size));
    let whole = sizes.iter().map(|size| size.whole).max();
    let fraction = sizes.iter().map(|size| size.fraction).max();
    let is_wide = whole.zip(fraction).is_none_or(|(a, b)| a + b > DIGITS_MAX);
    Ok(Transformed::yes(with_decimals(expr, is_wide)))
}

/// A comparison with its literals as decimals: of 256 bits, if those of 128 have too few digits for both sides.
fn with_decimals(expr: Expr, is_wide: bool) -> Expr {
    let exact = |side: Expr| match Digits::of(&side) {
        Some(digits) => digits.literal(is_wide),
        None => side,
    };
    let boxed = |side: Box<Expr>| Box::new(exact(*side));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Expr::BinaryExpr(BinaryExpr::new(boxed(left), op, boxed(right)))
        }
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let list = list.into_iter().map(exact).collect();
            Expr::InList(InList::new(boxed(expr), list, negated))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) => Expr::Between(Between::new(boxed(expr), negated, boxed(low), boxed(high))),
        other => other,
    }
}

/// Whether an operator compares two values.
pub(super) fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// The digits of a decimal before and after its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DecimalSize {
    whole: usize,
    fraction: usize,
}

/// The size of a decimal type; `None` for other types.
fn size(data_type: &DataType) -> Option<DecimalSize> {
    let (DataType::Decimal32(precision, scale)
    | DataType::Decimal64(precision, scale)
    | DataType::Decimal128(precision, scale)
    | DataType::Decimal256(precision, scale)) = data_type
    else {
        return None;
    };
    let fraction = usize::try_from(*scale).unwrap_or(0);
    let whole = usize::from(*precision).saturating_sub(fraction);
    Some(DecimalSize { whole, fraction })
}

/// A literal double as the number with the digits of its shortest text, which are those that were written, up to
/// fifteen of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digits {
    unscaled: i128,
    size: DecimalSize,
}

impl Digits {
    /// The digits of a literal; `None` for other expressions, and for more digits than a decimal has.
    fn of(expr: &Expr) -> Option<Self> {
        let value = match expr {
            Expr::Literal(ScalarValue::Float64(Some(value)), _) => *value,
            Expr::Negative(inner) => match &**inner {
                Expr::Literal(ScalarValue::Float64(Some(value)), _) => -value,
                _ => return None,
            },
            _ => return None,
        };
        let text = value.is_finite().then(|| value.to_string())?;
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let size = DecimalSize {
            whole: whole.trim_start_matches('-').len(),
            fraction: fraction.len(),
        };
        if size.whole + size.fraction > DIGITS_MAX {
            return None;
        }
        let unscaled = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { unscaled, size })
    }

    fn literal(self, is_wide: bool) -> Expr {
        // There are at most `DIGITS_MAX` digits.
        let precision = u8::try_from(self.size.whole + self.size.fraction).unwrap_or(u8::MAX);
        let scale = i8::try_from(self.size.fraction).unwrap_or(i8::MAX);
        lit(if is_wide {
            ScalarValue::Decimal256(Some(i256::from_i128(self.unscaled)), precision, scale)
        } else {
            ScalarValue::Decimal128(Some(self.unscaled), precision, scale)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_has_the_digits_that_were_written() {
        let literal = |expr: &Expr| Digits::of(expr).map(|digits| digits.literal(false));
        for (value, unscaled, precision, scale) in [
            (99_999_999.99, 9_999_999_999, 10, 2),
            (-99_999_999.99, -9_999_999_999, 10, 2),
            (0.1, 1, 2, 1),
            (-0.001, -1, 4, 3),
            (5.0, 5, 1, 0),
            (1e20, 100_000_000_000_000_000_000, 21, 0),
        ] {
            let expected = lit(ScalarValue::Decimal128(Some(unscaled), precision, scale));
            assert_eq!(literal(&lit(value)), Some(expected), "{value}");
        }
        let negative = Expr::Negative(Box::new(lit(2.5)));
        let expected = lit(ScalarValue::Decimal128(Some(-25), 2, 1));
        assert_eq!(literal(&negative), Some(expected));
        for value in [f64::NAN, f64::INFINITY, 1e40, 1e-40] {
            assert_eq!(literal(&lit(value)), None, "{value}");
        }
    }
}
