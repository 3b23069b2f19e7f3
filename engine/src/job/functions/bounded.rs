//! Limits functions whose result can be as large as an argument says: `repeat`, `lpad`, `range` and others.
//!
//! Constants are computed while a job is checked, where `repeat('a', 2147483647)` would take minutes and gigabytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion_common::{Result, exec_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Largest size of a value: bytes of a text, or elements of a list.
const VALUE_MAX: i64 = 1 << 24;
/// Largest total size of a batch's values.
const BATCH_MAX: i64 = 1 << 30;

/// A function with a limit on the size of its result.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
}

/// How the size of a result follows from the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Size {
    /// The length of the first argument times the second.
    Times,
    /// The second argument.
    Second,
    /// From the first argument, or 0, to the second, in steps of the third, or 1.
    Range,
}

/// All functions with a limit.
pub(super) fn bounded() -> Vec<ScalarUDF> {
    let functions = [
        (datafusion_functions::string::repeat(), Size::Times),
        (datafusion_functions::unicode::lpad(), Size::Second),
        (datafusion_functions::unicode::rpad(), Size::Second),
        (
            datafusion_functions_nested::repeat::array_repeat_udf(),
            Size::Second,
        ),
        (
            datafusion_functions_nested::resize::array_resize_udf(),
            Size::Second,
        ),
        (datafusion_functions_nested::range::range_udf(), Size::Range),
        (
            datafusion_functions_nested::range::gen_series_udf(),
            Size::Range,
        ),
    ];
    functions
        .map(|(inner, size)| ScalarUDF::new_from_impl(Bounded { inner, size }))
        .into()
}

impl Bounded {
    /// Fails if a value, or the total, is too large.
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(args.number_rows.max(1)));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let mut all = 0_i64;
        let rows = arrays.iter().map(Array::len).min().unwrap_or_default();
        let numbers = arrays.iter().map(integers).collect::<Vec<_>>();
        for row in 0..rows {
            let number = |at: usize| -> Option<i64> {
                let numbers = numbers.get(at)?.as_ref()?.as_primitive::<Int64Type>();
                numbers.is_valid(row).then(|| numbers.value(row))
            };
            let size = match self.size {
                Size::Times => number(1).map(|times| times.saturating_mul(bytes(&arrays[0], row))),
                Size::Second => number(1),
                Size::Range => match (number(0), number(1)) {
                    (Some(end), None) => Some(end),
                    (Some(start), Some(end)) => {
                        let step = number(2).unwrap_or(1).saturating_abs().max(1);
                        Some((end.saturating_sub(start)).saturating_abs() / step)
                    }
                    _ => None,
                },
            };
            let size = size.unwrap_or_default().max(0);
            if size > VALUE_MAX {
                return exec_err!(
                    "{} makes a value of {size} {}, more than {VALUE_MAX}",
                    self.name(),
                    self.unit()
                );
            }
            all = all.saturating_add(size);
        }
        if all > BATCH_MAX {
            return exec_err!(
                "{} makes {all} {} of {rows} rows, more than {BATCH_MAX}",
                self.name(),
                self.unit()
            );
        }
        Ok(())
    }

    fn unit(&self) -> &'static str {
        match self.name() {
            "repeat" | "lpad" | "rpad" => "bytes",
            _ => "elements",
        }
    }
}

/// A column of integers; `None` for other types.
fn integers(array: &ArrayRef) -> Option<ArrayRef> {
    let is_whole = array.data_type().is_integer();
    is_whole.then(|| arrow::compute::cast(array, &DataType::Int64).ok())?
}

/// The length of a text in bytes.
fn bytes(array: &ArrayRef, row: usize) -> i64 {
    let length = match array.data_type() {
        _ if array.is_null(row) => 0,
        DataType::Utf8 => array.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).len(),
        DataType::Utf8View => array.as_string_view().value(row).len(),
        _ => 1,
    };
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
