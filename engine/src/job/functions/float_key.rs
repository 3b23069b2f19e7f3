//! Normalises floats that are compared by their bits, so that there is one zero and one NaN.
//!
//! `0.0 / 0.0` and C's `printf` give a NaN with a sign, which other NaNs do not have. `-0.0` equals `0.0`.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion_common::{Result, exec_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::arrays::invoke_on_array;

/// `expr`, a float, with one zero and one NaN.
pub fn float_key(expr: Expr) -> Expr {
    let function = Arc::new(ScalarUDF::new_from_impl(FloatKey {
        signature: Signature::any(1, Volatility::Immutable),
    }));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
}

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatKey {
    signature: Signature,
}

impl ScalarUDFImpl for FloatKey {
    fn name(&self) -> &'static str {
        "float_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [float] if float.is_floating() => Ok(float.clone()),
            _ => exec_err!("float_key takes a float"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return exec_err!("float_key takes a float");
        };
        invoke_on_array(value, |values| {
            Ok(match values.data_type() {
                DataType::Float64 => {
                    let values = values.as_primitive::<Float64Type>();
                    Arc::new(values.unary::<_, Float64Type>(|value| {
                        if value.is_nan() {
                            f64::NAN
                        } else {
                            value + 0.0
                        }
                    }))
                }
                DataType::Float32 => {
                    let values = values.as_primitive::<Float32Type>();
                    Arc::new(values.unary::<_, Float32Type>(|value| {
                        if value.is_nan() {
                            f32::NAN
                        } else {
                            value + 0.0
                        }
                    }))
                }
                DataType::Float16 => {
                    type Half = <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native;
                    let values = values.as_primitive::<Float16Type>();
                    Arc::new(values.unary::<_, Float16Type>(|value| match value {
                        _ if value.is_nan() => Half::NAN,
                        _ if value == Half::ZERO => Half::ZERO,
                        _ => value,
                    }))
                }
                other => return exec_err!("float_key takes a float, not {other}"),
            })
        })
    }
}
