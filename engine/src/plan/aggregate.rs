//! `GROUP BY`. `SELECT DISTINCT` is a `GROUP BY` without aggregates.

use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::{Aggregate, Cast, Expr, ExprSchemable};
use tidewater_operators::aggregate::{Aggregation, Call, Function};

use super::expression::{Extended, physical_schema, select};
use super::{Node, PlanError};

/// An aggregation over a projection of its keys, arguments and filters.
pub fn lower(aggregate: &Aggregate, input: Node) -> Result<Node, PlanError> {
    let mut columns = Extended::new(input, aggregate.input.schema());
    let group = aggregate
        .group_expr
        .iter()
        .map(|key| columns.key(key))
        .collect::<Result<Vec<_>, _>>()?;
    let calls = aggregate
        .aggr_expr
        .iter()
        .map(|expr| call(expr, aggregate, &mut columns));
    let mut calls = calls.collect::<Result<Vec<_>, _>>()?;
    let input = columns.finish();

    let mut read: Vec<usize> = group.clone();
    read.extend(
        calls
            .iter()
            .flat_map(|call| [call.argument, call.filter])
            .flatten(),
    );
    read.sort_unstable();
    read.dedup();
    let moved = |column: usize| read.binary_search(&column).unwrap_or_default();
    for call in &mut calls {
        call.argument = call.argument.map(moved);
        call.filter = call.filter.map(moved);
    }
    let input = select(input, &read);
    let aggregation = Aggregation {
        name: "aggregate".into(),
        group: group.into_iter().map(moved).collect(),
        calls,
        input: input.schema().clone(),
        output: physical_schema(&aggregate.schema),
    };
    aggregation
        .layout()
        .map_err(|error| PlanError::Unsupported(error.to_string()))?;
    Ok(Node::Aggregate {
        input: Box::new(input),
        aggregation,
    })
}

fn call(expr: &Expr, aggregate: &Aggregate, columns: &mut Extended) -> Result<Call, PlanError> {
    let expr = expr.clone().unalias_nested().data;
    let Expr::AggregateFunction(AggregateFunction { func, params }) = &expr else {
        return Err(PlanError::Unsupported(expr.to_string()));
    };
    let function = match func.name() {
        "count" => Function::Count,
        "sum" => Function::Sum,
        "avg" => Function::Avg,
        "min" => Function::Min,
        "max" => Function::Max,
        other => return Err(PlanError::Unsupported(format!("the aggregate {other}"))),
    };
    let argument = match params.args.as_slice() {
        [] => None,
        [Expr::Literal(value, _)]
            if function == Function::Count && !params.distinct && !value.is_null() =>
        {
            None
        }
        [argument] => Some(exact_argument(function, argument, aggregate)?),
        _ => {
            return Err(PlanError::Unsupported(format!(
                "{expr} with several arguments"
            )));
        }
    };
    Ok(Call {
        function,
        argument: argument
            .map(|argument| {
                if params.distinct || matches!(function, Function::Min | Function::Max) {
                    columns.key(argument)
                } else {
                    columns.column(argument)
                }
            })
            .transpose()?,
        filter: params
            .filter
            .as_deref()
            .map(|filter| columns.column(filter))
            .transpose()?,
        distinct: params.distinct,
    })
}

/// `avg` of an integer is planned as `avg` of a double. The cast is dropped, so that the sum is exact.
fn exact_argument<'a>(
    function: Function,
    argument: &'a Expr,
    aggregate: &Aggregate,
) -> Result<&'a Expr, PlanError> {
    if let (Function::Avg, Expr::Cast(Cast { expr, field })) = (function, argument)
        && field.data_type().is_floating()
        && expr.get_type(aggregate.input.schema())?.is_integer()
    {
        return Ok(expr);
    }
    Ok(argument)
}
