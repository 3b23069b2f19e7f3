//! Functions and subqueries.

use arrow::datatypes::DataType;
use datafusion_expr::expr::{
    AggregateFunction, AggregateFunctionParams, ScalarFunction, WindowFunction,
};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Volatility, WindowFunctionDefinition};

use super::super::phrasebook;
use super::super::tokens::Find;
use super::{Refusal, calls, casts, frames, span_of};
use crate::spelling::type_name;

/// Aggregates that are maintained.
pub(in super::super) const AGGREGATES: [&str; 5] = ["count", "sum", "avg", "min", "max"];

/// Window functions that are maintained, beside the aggregates.
pub(in super::super) const WINDOW: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

const JOIN_INSTEAD: &str = "join the table instead: JOIN … ON a.key = b.key, after GROUP BY or DISTINCT in a view or CTE so that each key is there once";

/// The refusal of an expression in a plan built in Rust. In SQL, the syntax check refuses it, with its place.
pub(super) fn in_plans(expr: &Expr, node: &LogicalPlan) -> Option<Refusal> {
    let what = match expr {
        Expr::Exists(_) => "EXISTS (SELECT …) is not supported",
        Expr::InSubquery(_) => "IN (SELECT …) is not supported",
        Expr::SetComparison(_) => "ANY and ALL (SELECT …) are not supported",
        Expr::ScalarSubquery(_) => "a SELECT as a value is not supported",
        other => return as_written(other, node),
    };
    Some(Refusal::new([], what, JOIN_INSTEAD))
}

/// The refusal of an expression as the user wrote it.
pub(super) fn as_written(expr: &Expr, _: &LogicalPlan) -> Option<Refusal> {
    match expr {
        Expr::ScalarFunction(call) => scalar(call),
        Expr::AggregateFunction(call) => aggregate(call),
        Expr::WindowFunction(call) => window(call),
        Expr::GroupingSet(_) => Some(Refusal::new(
            [
                Find::Words(&["GROUPING", "SETS"]),
                Find::Words(&["ROLLUP"]),
                Find::Words(&["CUBE"]),
            ],
            "GROUPING SETS, ROLLUP and CUBE are not supported",
            "write one GROUP BY for each grouping and unite them with UNION ALL",
        )),
        Expr::Placeholder(placeholder) => Some(Refusal::new(
            [Find::Placeholder(placeholder.id.clone())],
            format!("{} has no value", placeholder.id),
            "write ${name} and give it with --set name=value",
        )),
        _ => None,
    }
}

/// The refusal of an expression whose types are known.
pub(super) fn as_optimized(expr: &Expr, node: &LogicalPlan) -> Option<Refusal> {
    let (name, args) = match expr {
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => {
            if let Some(refusal) = frames::refusal(call.fun.name(), &call.params) {
                return Some(refusal);
            }
            (call.fun.name(), &call.params.args)
        }
        other => {
            return in_plans(other, node)
                .or_else(|| casts::refusal(other, node))
                .or_else(|| calls::refusal(other, node));
        }
    };
    if let Some(refusal) = calls::refusal(expr, node) {
        return Some(refusal);
    }
    let argument = args.first()?;
    let data_type = node
        .inputs()
        .first()
        .and_then(|input| argument.get_type(input.schema()).ok())?;
    let refused = match name {
        "sum" | "avg" if matches!(data_type, DataType::Decimal256(..)) => {
            matches!(expr, Expr::AggregateFunction(_))
        }
        "sum" | "avg" => !(data_type.is_numeric() || data_type.is_null()),
        "min" | "max" => data_type.is_nested() || matches!(data_type, DataType::Interval(_)),
        _ => false,
    };
    let hint = match name {
        "sum" | "avg" if data_type.is_numeric() => {
            "CAST the column to DECIMAL(38, s) with the digits that it needs, or to DOUBLE"
        }
        "sum" | "avg" => {
            "sum numbers: CAST the column, or take it apart with date_part or EXTRACT first"
        }
        _ => "take a field of it: col['field'], or a value that has an order",
    };
    let finds: Vec<Find> = span_of(argument)
        .into_iter()
        .chain([Find::Call(name.to_owned())])
        .collect();
    refused.then(|| {
        Refusal::new(
            finds,
            format!("{name} of {} is not supported", type_name(&data_type)),
            hint,
        )
    })
}

fn scalar(call: &ScalarFunction) -> Option<Refusal> {
    if call.func.signature().volatility == Volatility::Immutable {
        return None;
    }
    let name = call.name();
    let (why, hint) = match name {
        "now" => (
            "depends on when the job runs",
            "give the moment as a variable: TIMESTAMP '${now}', and --set now='2024-03-01 00:00:00'",
        ),
        "current_date" => (
            "depends on when the job runs",
            "give the day as a variable: DATE '${today}', and --set today=2024-03-01",
        ),
        "current_time" => (
            "depends on when the job runs",
            "give the time as a variable: TIME '${time}', and --set time=12:00:00",
        ),
        "random" => (
            "is another value each time",
            "derive it from a key, so that a row keeps its value: md5(key)",
        ),
        "uuid" => (
            "is another value each time",
            "derive it from a key, so that a row keeps its value: md5(concat(a, '|', b))",
        ),
        _ => (
            "may be another value each time",
            "use a function of the row's columns alone",
        ),
    };
    let message = format!("{name}() {why}: a maintained table cannot hold it");
    Some(Refusal::new(
        calls(name, call.func.aliases()),
        message,
        hint,
    ))
}

/// The places where a function may be called by any of its names.
fn calls(name: &str, aliases: &[String]) -> Vec<Find> {
    std::iter::once(name)
        .chain(aliases.iter().map(String::as_str))
        .map(|name| Find::Call(name.to_owned()))
        .collect()
}

fn aggregate(call: &AggregateFunction) -> Option<Refusal> {
    let name = call.func.name();
    let finds = calls(name, call.func.aliases());
    let AggregateFunctionParams {
        args,
        order_by,
        null_treatment,
        ..
    } = &call.params;
    if let Some((message, hint)) = unsupported_aggregate(name) {
        return Some(Refusal::new(finds, message, hint));
    }
    if !order_by.is_empty() {
        return Some(Refusal::new(
            finds,
            format!("ORDER BY inside {name}(…) changes nothing"),
            "remove it",
        ));
    }
    if null_treatment.is_some() {
        return Some(Refusal::new(
            finds,
            format!("{name} leaves NULLs out as it is"),
            "remove IGNORE NULLS or RESPECT NULLS",
        ));
    }
    several_arguments(name, args, finds)
}

fn several_arguments(name: &str, args: &[Expr], finds: Vec<Find>) -> Option<Refusal> {
    let hint = "make one value of them: struct(a, b)";
    (args.len() > 1).then(|| Refusal::new(finds, format!("{name} takes one argument"), hint))
}

/// Why an aggregate of DataFusion is refused, and what to write instead.
pub(super) fn unsupported_aggregate(name: &str) -> Option<(String, String)> {
    if AGGREGATES.contains(&name) {
        return None;
    }
    let hint = phrasebook::instead_of_aggregate(name).map_or_else(
        || format!("aggregates are {}", AGGREGATES.join(", ")),
        str::to_owned,
    );
    Some((format!("{name} is not supported"), hint))
}

fn window(call: &WindowFunction) -> Option<Refusal> {
    let name = call.fun.name();
    let (finds, known) = match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => {
            (calls(name, function.aliases()), AGGREGATES.contains(&name))
        }
        WindowFunctionDefinition::WindowUDF(function) => {
            (calls(name, function.aliases()), WINDOW.contains(&name))
        }
    };
    let params = &call.params;
    let over = |what: &str| format!("{name}(…) OVER with {what} is not supported");
    if !known {
        let hint = format!(
            "functions over a window are {} and {}",
            WINDOW.join(", "),
            AGGREGATES.join(", ")
        );
        return Some(Refusal::new(
            finds,
            format!("{name} OVER (…) is not supported"),
            hint,
        ));
    }
    if params.distinct {
        return Some(Refusal::new(
            finds,
            over("DISTINCT"),
            "count distinct values with GROUP BY in a view, and join it",
        ));
    }
    if params.filter.is_some() {
        return Some(Refusal::new(
            finds,
            over("FILTER"),
            "put the condition into the argument: CASE WHEN condition THEN x END",
        ));
    }
    if params.null_treatment == Some(datafusion_expr::expr::NullTreatment::IgnoreNulls) {
        return Some(Refusal::new(
            finds,
            over("IGNORE NULLS"),
            "leave the NULLs out in a view first: WHERE x IS NOT NULL",
        ));
    }
    match &call.fun {
        WindowFunctionDefinition::AggregateUDF(_) => several_arguments(name, &params.args, finds),
        WindowFunctionDefinition::WindowUDF(_) => None,
    }
}
