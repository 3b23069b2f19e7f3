//! `+`, `-`, `*`, `/`, `%` and negation of integers and decimals, without wrapping.
//!
//! DataFusion's operators wrap when an integer or decimal exceeds its type, and truncate quotients of decimals. Ours
//! fail instead, with the operands in the message, and round the last digit of a quotient half away from zero. Result
//! types are DataFusion's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal256Array};
use arrow::compute::kernels::numeric;
use arrow::compute::{cast, try_binary};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, i256};
use arrow::error::ArrowError;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_physical_expr_common::datum::apply;
use tidewater_operators::aggregate::divide_rounded;
use tidewater_operators::sql_type::sql_type;
use tidewater_planner::{map_exprs, rewrite_nodes, rewrite_parts};

/// An operator over one or two numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// `Minus` of one argument is negation.
    operator: Operator,
    signature: Signature,
}

/// `plan` with checked arithmetic in place of DataFusion's. Types must have been coerced. Columns keep their names.
pub fn check_arithmetic(plan: LogicalPlan) -> Result<LogicalPlan> {
    let checked = rewrite_nodes(plan, &mut |node| {
        let schema = match &node {
            LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
            other => merge_schema(&other.inputs()),
        };
        let names = NamePreserver::new(&node);
        map_exprs(node, &mut |expr| {
            let name = names.save(&expr);
            let checked = rewrite_parts(expr, &mut |expr| {
                let (operator, args) = match expr {
                    Expr::BinaryExpr(BinaryExpr { left, op, right })
                        if is_arithmetic(op)
                            && is_exact(&left.get_type(&schema)?)
                            && is_exact(&right.get_type(&schema)?) =>
                    {
                        (op, vec![*left, *right])
                    }
                    Expr::Negative(negated) if is_exact(&negated.get_type(&schema)?) => {
                        (Operator::Minus, vec![*negated])
                    }
                    other => return Ok(Transformed::no(other)),
                };
                let function = Arc::new(ScalarUDF::new_from_impl(Arithmetic::new(operator)));
                let call = ScalarFunction::new_udf(function, args);
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            })?;
            Ok(checked.update_data(|expr| name.restore(expr)))
        })
    });
    Ok(checked?.data)
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    )
}

/// Whether a type's numbers are exact: integers and decimals.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_decimal()
}

impl Arithmetic {
    fn new(operator: Operator) -> Self {
        Self {
            operator,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    /// The operator. `Minus` of one argument is negation.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// Whether no operands of these types can have a result that exceeds its type. `right` is the second operand if
    /// it is a constant.
    pub fn always_fits(&self, types: &[DataType], right: Option<&ScalarValue>) -> bool {
        let widest = |data_type: &DataType| match data_type {
            DataType::Decimal128(precision, _) => *precision == 38,
            DataType::Decimal256(precision, _) => *precision == 76,
            _ => true,
        };
        let is_nonzero = right.is_some_and(|right| {
            !right.is_null()
                && ScalarValue::new_zero(&right.data_type()).is_ok_and(|zero| zero != *right)
                && ScalarValue::new_negative_one(&right.data_type()).is_ok_and(|one| one != *right)
        });
        match (self.operator, types) {
            (Operator::Minus, [one]) => one.is_decimal(),
            (Operator::Modulo, _) => is_nonzero,
            (Operator::Divide, [left, _]) if left.is_integer() => is_nonzero,
            (Operator::Divide, _) => is_nonzero && !self.result(types).is_ok_and(|of| widest(&of)),
            _ => !self.result(types).map_or(true, |of| widest(&of)),
        }
    }

    fn result(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one] => Ok(one.clone()),
            [left, right] => BinaryTypeCoercer::new(left, &self.operator, right).get_result_type(),
            _ => plan_err!("{} takes one or two numbers", self.operator),
        }
    }

    fn apply(&self, args: &[ColumnarValue], result: &DataType) -> Result<ColumnarValue> {
        let value = match args {
            [one] => {
                let rows = if let ColumnarValue::Array(array) = one {
                    array.len()
                } else {
                    1
                };
                let negated = numeric::neg(&one.to_array(rows)?)?;
                match one {
                    ColumnarValue::Array(_) => ColumnarValue::Array(negated),
                    ColumnarValue::Scalar(_) => {
                        ColumnarValue::Scalar(ScalarValue::try_from_array(&negated, 0)?)
                    }
                }
            }
            [left, right] => match self.operator {
                Operator::Plus => apply(left, right, numeric::add)?,
                Operator::Minus => apply(left, right, numeric::sub)?,
                Operator::Multiply => apply(left, right, numeric::mul)?,
                Operator::Divide if result.is_decimal() => {
                    apply(left, right, |left, right| divide(left, right, result))?
                }
                Operator::Divide => apply(left, right, numeric::div)?,
                _ => apply(left, right, numeric::rem)?,
            },
            _ => return exec_err!("{} takes one or two numbers", self.operator),
        };
        if let ColumnarValue::Array(array) = &value {
            check_digits(array)?;
        } else if result.is_decimal() {
            check_digits(&value.to_array(1)?)?;
        }
        Ok(value)
    }

    /// The message about the first row that fails.
    fn explain(&self, args: &[ColumnarValue], rows: usize, result: &DataType) -> Option<String> {
        let operands = |row: usize| {
            let operands = args.iter().map(|arg| match arg {
                ColumnarValue::Scalar(value) => Ok(value.clone()),
                ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row),
            });
            operands.collect::<Result<Vec<_>>>().ok()
        };
        let failing = (0..rows.max(1)).find_map(|row| {
            let operands = operands(row)?;
            let values: Vec<_> = operands
                .iter()
                .cloned()
                .map(ColumnarValue::Scalar)
                .collect();
            self.apply(&values, result).is_err().then_some(operands)
        })?;
        let (operator, type_name) = (self.operator, sql_type(result));
        Some(match failing.as_slice() {
            [one] => format!("-({one}) is beyond {type_name}"),
            [left, right] => {
                let zero = ScalarValue::new_zero(&right.data_type());
                let is_division = matches!(operator, Operator::Divide | Operator::Modulo);
                if is_division && zero.is_ok_and(|zero| zero == *right) {
                    format!(
                        "{left} {operator} {right} divides by zero; guard it with CASE WHEN, or write nullif(divisor, 0)"
                    )
                } else {
                    let hint = wider(result);
                    format!("{left} {operator} {right} is beyond {type_name}{hint}")
                }
            }
            _ => return None,
        })
    }
}

/// Advice for a larger type.
fn wider(data_type: &DataType) -> &'static str {
    if data_type.is_integer() {
        "; cast an operand to DECIMAL(38, 0)"
    } else {
        "; cast the operands to fewer digits, or to DOUBLE"
    }
}

/// Fails if a decimal has more digits than its type allows. Kernels check the number of bits only.
fn check_digits(array: &ArrayRef) -> Result<(), ArrowError> {
    match array.data_type() {
        DataType::Decimal128(precision, _) if *precision == 38 => array
            .as_primitive::<Decimal128Type>()
            .validate_decimal_precision(*precision),
        DataType::Decimal256(precision, _) if *precision == 76 => array
            .as_primitive::<Decimal256Type>()
            .validate_decimal_precision(*precision),
        DataType::Decimal32(9, _) | DataType::Decimal64(18, _) => {
            let scale = match array.data_type() {
                DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => *scale,
                _ => 0,
            };
            let digits = if matches!(array.data_type(), DataType::Decimal32(..)) {
                9
            } else {
                18
            };
            let wide = cast(array, &DataType::Decimal128(38, scale))?;
            wide.as_primitive::<Decimal128Type>()
                .validate_decimal_precision(digits)
        }
        _ => Ok(()),
    }
}

/// The quotient of decimals, its last digit rounded half away from zero.
fn divide(left: &dyn Datum, right: &dyn Datum, result: &DataType) -> Result<ArrayRef, ArrowError> {
    let (precision, scale) = digits(result);
    let ((left, left_is_scalar), (right, right_is_scalar)) = (left.get(), right.get());
    let rows = if left_is_scalar {
        right.len()
    } else {
        left.len()
    };
    let wide = |array: &dyn Array, is_scalar: bool| -> Result<Decimal256Array, ArrowError> {
        let (_, scale) = digits(array.data_type());
        let wide = cast(array, &DataType::Decimal256(76, scale))?;
        let wide = if is_scalar && rows != 1 {
            arrow::compute::take(&wide, &arrow::array::UInt32Array::from(vec![0; rows]), None)?
        } else {
            wide
        };
        Ok(wide.as_primitive::<Decimal256Type>().clone())
    };
    let shift = i16::from(scale) - i16::from(digits(left.data_type()).1)
        + i16::from(digits(right.data_type()).1);
    let unit = i256::from_i128(10)
        .checked_pow(shift.unsigned_abs().into())
        .ok_or_else(|| beyond(result))?;
    let (left, right) = (wide(left, left_is_scalar)?, wide(right, right_is_scalar)?);
    let quotients: Decimal256Array = try_binary(&left, &right, |left, right| {
        if right == i256::ZERO {
            return Err(ArrowError::DivideByZero);
        }
        let (left, right) = if shift >= 0 {
            (left.checked_mul(unit), Some(right))
        } else {
            (Some(left), right.checked_mul(unit))
        };
        let quotient = left
            .zip(right)
            .map(|(left, right)| divide_rounded(left, right));
        quotient.ok_or_else(|| beyond(result))
    })?;
    let quotients = quotients.with_precision_and_scale(76, scale)?;
    quotients.validate_decimal_precision(precision)?;
    cast(&quotients, result)
}

fn beyond(data_type: &DataType) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!("the quotient is beyond {data_type}"))
}

/// Precision and scale of a decimal type.
fn digits(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => (0, 0),
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &'static str {
        match self.operator {
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            _ => "%",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        // Named like DataFusion's expression, so that columns keep their names.
        Ok(match args {
            [one] => format!("(- {})", one.schema_name()),
            [left, right] => {
                format!(
                    "{} {} {}",
                    left.schema_name(),
                    self.operator,
                    right.schema_name()
                )
            }
            _ => self.name().to_owned(),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.result(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(
            self.name(),
            self.result(&types)?,
            is_nullable,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = args.return_field.data_type();
        self.apply(&args.args, result).map_err(|error| {
            let explained = self.explain(&args.args, args.number_rows, result);
            explained.map_or(error, DataFusionError::Execution)
        })
    }
}
