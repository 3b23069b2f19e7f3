//! `ceil` and `floor`. For decimals, the result may need one digit more than the argument: `ceil(99.95)` is `100.00`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::Result;
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// `ceil` or `floor`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RoundOutwards {
    inner: Arc<ScalarUDF>,
}

impl RoundOutwards {
    pub fn ceil() -> Self {
        Self {
            inner: datafusion_functions::math::ceil(),
        }
    }

    pub fn floor() -> Self {
        Self {
            inner: datafusion_functions::math::floor(),
        }
    }
}

/// The type with one more digit, for a decimal type that has a fraction and is not the largest.
fn one_digit_more(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal32(precision, scale @ 1..)
        | DataType::Decimal64(precision, scale @ 1..)
        | DataType::Decimal128(precision @ ..38, scale @ 1..) => {
            DataType::Decimal128(precision + 1, *scale)
        }
        DataType::Decimal256(precision @ ..76, scale @ 1..) => {
            DataType::Decimal256(precision + 1, *scale)
        }
        other => other.clone(),
    }
}

impl ScalarUDFImpl for RoundOutwards {
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
        Ok(one_digit_more(&self.inner.return_type(types)?))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        let data_type = one_digit_more(field.data_type());
        Ok(Arc::new(field.as_ref().clone().with_data_type(data_type)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(value) = args.args.first_mut() {
            let wide = one_digit_more(&value.data_type());
            if wide != value.data_type() {
                *value = value.cast_to(&wide, None)?;
            }
        }
        self.inner.invoke_with_args(args)
    }
}
