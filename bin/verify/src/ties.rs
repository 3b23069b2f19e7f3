//! Makes orders total in the way of jobs: ties are ordered by all columns, left to right, ascending, NULLs first.
//! DataFusion itself breaks ties by the order in which rows arrive.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Window, WindowFrameUnits, WindowFunctionDefinition,
};

/// The optimised `plan` with ties broken wherever they matter.
pub fn broken(plan: LogicalPlan) -> Result<LogicalPlan> {
    let broken = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => total_window(window),
        LogicalPlan::Sort(mut sort) if sort.fetch.is_some() => {
            append(&mut sort.expr, &sort.input.schema().columns());
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(broken.data)
}

fn append(order: &mut Vec<SortExpr>, columns: &[Column]) {
    for column in columns {
        let expr = Expr::Column(column.clone());
        if order.iter().all(|key| key.expr != expr) {
            order.push(SortExpr {
                expr,
                asc: true,
                nulls_first: true,
            });
        }
    }
}

/// Functions of one node share an order, so functions that distinguish ties get a node of their own.
fn total_window(window: Window) -> Result<Transformed<LogicalPlan>> {
    let (tied, untied): (Vec<Expr>, Vec<Expr>) = window
        .window_expr
        .iter()
        .cloned()
        .partition(|expr| function(expr).is_some_and(sees_ties));
    if tied.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let columns = window.input.schema().columns();
    let total = tied.into_iter().map(|expr| {
        let name = expr.schema_name().to_string();
        let total = expr.transform_down(|expr| match expr {
            Expr::WindowFunction(mut function) => {
                append(&mut function.params.order_by, &columns);
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(total.data.unalias().alias(name))
    });
    let total = total.collect::<Result<Vec<_>>>()?;
    let input = if untied.is_empty() {
        Arc::clone(&window.input)
    } else {
        Arc::new(LogicalPlan::Window(Window::try_new(
            untied,
            Arc::clone(&window.input),
        )?))
    };
    let plan = LogicalPlan::Window(Window::try_new(total, input)?);
    // The columns in their previous order.
    let columns = window.schema.columns().into_iter().map(Expr::Column);
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok(Transformed::yes(plan))
}

fn function(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::WindowFunction(function) => Some(function),
        Expr::Alias(alias) => function(&alias.expr),
        _ => None,
    }
}

/// Whether a function distinguishes tied rows. Functions that count rows do; functions that count values do not.
fn sees_ties(function: &WindowFunction) -> bool {
    let by_row = function.params.window_frame.units == WindowFrameUnits::Rows;
    match &function.fun {
        WindowFunctionDefinition::AggregateUDF(_) => by_row,
        WindowFunctionDefinition::WindowUDF(udf) => match udf.name() {
            "row_number" | "lag" | "lead" | "ntile" => true,
            "first_value" | "last_value" | "nth_value" => by_row,
            _ => false,
        },
    }
}
