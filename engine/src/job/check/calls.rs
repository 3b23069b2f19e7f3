//! Refuses calls that could only fail: a constant argument is wrong, or an argument that must be a constant is not.

use arrow::array::new_null_array;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchemaRef, Result, ScalarValue};
use datafusion_expr::expr::{ScalarFunction, WindowFunction};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs};
use std::sync::Arc;

use super::super::tokens::Find;
use super::Refusal;

/// The refusal of a call in an expression of `node`, whose types are known.
pub(super) fn refusal(expr: &Expr, node: &LogicalPlan) -> Option<Refusal> {
    match expr {
        Expr::ScalarFunction(call) => {
            let error = try_constants(call, node).err()?;
            let message = error.strip_backtrace();
            let message = message
                .strip_prefix("Execution error: ")
                .unwrap_or(&message);
            let finds = [Find::Call(call.name().to_owned())];
            Some(Refusal::new(
                finds,
                message.to_owned(),
                format!("give {} other constants", call.name()),
            ))
        }
        Expr::WindowFunction(call) => window(call, node),
        _ => None,
    }
}

/// Calls a function with its constant arguments, and NULL for the others.
fn try_constants(call: &ScalarFunction, node: &LogicalPlan) -> Result<()> {
    let is_constant = |arg: &Expr| matches!(arg, Expr::Literal(..));
    // Calls with constants only were computed before, unless they are guarded and may never run. The lists of a map
    // must have equal length, which NULL in place of one does not have.
    if call.args.iter().all(is_constant)
        || !call.args.iter().any(is_constant)
        || call.name() == "map"
    {
        return Ok(());
    }
    let schema = schema_of(node);
    let schema = schema.as_ref();
    let fields = call.args.iter().map(|arg| Ok(arg.to_field(schema)?.1));
    let arg_fields = fields.collect::<Result<Vec<_>>>()?;
    let args = call
        .args
        .iter()
        .zip(&arg_fields)
        .map(|(arg, field)| match arg {
            Expr::Literal(value, _) => ColumnarValue::Scalar(value.clone()),
            _ => ColumnarValue::Array(new_null_array(field.data_type(), 1)),
        });
    let return_field = Expr::ScalarFunction(call.clone()).to_field(schema)?.1;
    call.func.invoke_with_args(ScalarFunctionArgs {
        args: args.collect(),
        arg_fields,
        number_rows: 1,
        return_field,
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    Ok(())
}

/// The columns that expressions of a node may name.
pub(super) fn schema_of(node: &LogicalPlan) -> DFSchemaRef {
    match node.inputs().as_slice() {
        [input] => Arc::clone(input.schema()),
        inputs => Arc::new(merge_schema(inputs)),
    }
}

/// Offsets, defaults and numbers of window functions must be constants.
fn window(call: &WindowFunction, node: &LogicalPlan) -> Option<Refusal> {
    let name = call.fun.name();
    let args = &call.params.args;
    let constants = match name {
        "lag" | "lead" | "nth_value" => args.get(1..).unwrap_or_default(),
        "ntile" => args.as_slice(),
        _ => return None,
    };
    let finds = [Find::Call(name.to_owned())];
    let what = match name {
        "ntile" => "the number of buckets",
        "nth_value" => "the number of the row",
        _ => "the offset",
    };
    for (at, argument) in constants.iter().enumerate() {
        let is_default = at == 1;
        let what = if is_default { "the default" } else { what };
        match argument {
            Expr::Literal(value, _) if is_default => {
                let wanted = args[0].get_type(&schema_of(node)).ok()?;
                if value.cast_to(&wanted).is_err() {
                    return Some(Refusal::new(
                        finds,
                        format!(
                            "{name}: {what} {} is not a {}",
                            crate::spelling::value(value),
                            crate::spelling::type_name(&wanted)
                        ),
                        format!("give a {}, or NULL", crate::spelling::type_name(&wanted)),
                    ));
                }
            }
            Expr::Literal(value, _) if value.data_type().is_integer() && !value.is_null() => {}
            Expr::Literal(value, _) if !value.is_null() => {
                return Some(Refusal::new(
                    finds,
                    format!("{name}: {what} must be a whole number"),
                    "give a number, such as 1",
                ));
            }
            Expr::Literal(..) => {
                return Some(Refusal::new(
                    finds,
                    format!("{name}: {what} is NULL"),
                    "give a number, such as 1",
                ));
            }
            _ if is_default => {
                return Some(Refusal::new(
                    finds,
                    format!("{name}: {what} must be a constant"),
                    format!(
                        "write coalesce({name}(x, 1) OVER (…), y), where x is never NULL, or a CASE over row_number()"
                    ),
                ));
            }
            _ => {
                return Some(Refusal::new(
                    finds,
                    format!("{name}: {what} must be a constant"),
                    "number the rows with row_number() in a view, and join the view with itself on the number",
                ));
            }
        }
    }
    let first = constants.first().and_then(|argument| match argument {
        Expr::Literal(value, _) => whole(value),
        _ => None,
    });
    let below = first.is_some_and(|number| number < 1);
    (below && matches!(name, "ntile" | "nth_value")).then(|| {
        Refusal::new(
            [Find::Call(name.to_owned())],
            format!("{name}: {what} must be 1 or more"),
            "give a number, such as 1",
        )
    })
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&arrow::datatypes::DataType::Int64).ok()? {
        ScalarValue::Int64(number) => number,
        _ => None,
    }
}
