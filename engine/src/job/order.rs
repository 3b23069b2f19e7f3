//! `ORDER BY` and `LIMIT`.
//!
//! A table is a multiset. `ORDER BY` at the top of a published view gives the order of its file, and is removed from
//! the plan. With `LIMIT`, it decides which rows exist, and stays as one `Sort` with a fetch. Anywhere else `ORDER
//! BY` has no meaning in SQL, and is removed.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema};
use datafusion_expr::logical_plan::{EmptyRelation, FetchType, Limit, SkipType};
use datafusion_expr::{Expr, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias};
use tidewater_connectors::sink::SortKey;
use tidewater_planner::rewrite_nodes;

use super::check::span_of;
use super::site::Site;
use super::tokens::Find;
use crate::diagnostic::Diagnostic;

/// The order of the published file: the `ORDER BY` at the top of a plan, over its output columns.
pub(super) fn take_order(
    plan: &LogicalPlan,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<SortKey> {
    match plan {
        LogicalPlan::Limit(limit) => take_order(&limit.input, site, errors),
        LogicalPlan::Sort(sort) => keys(
            sort,
            |expr| output_column(expr, sort.input.schema()),
            site,
            errors,
        ),
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            // An order by a column that is not selected has a projection above the sort.
            LogicalPlan::Sort(sort) => keys(
                sort,
                |expr| projected_column(expr, projection),
                site,
                errors,
            ),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn keys(
    sort: &Sort,
    column: impl Fn(&Expr) -> Option<usize>,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<SortKey> {
    let mut keys = Vec::with_capacity(sort.expr.len());
    for SortExpr {
        expr,
        asc,
        nulls_first,
    } in &sort.expr
    {
        match column(expr) {
            Some(column) => keys.push(SortKey {
                column,
                descending: !asc,
                nulls_first: *nulls_first,
            }),
            None => {
                let written = expr.human_display();
                let message = format!("ORDER BY {written}: the published table has no such column");
                let finds: Vec<Find> = span_of(expr)
                    .into_iter()
                    .chain([Find::Words(&["ORDER", "BY"])])
                    .collect();
                let hint =
                    format!("add it to the SELECT list: {written} AS name, and ORDER BY name");
                errors.push(site.diagnostic(&finds, message).with_hint(hint));
            }
        }
    }
    keys
}

fn output_column(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

/// The output column of `projection` that equals the sort term `expr` below it.
fn projected_column(expr: &Expr, projection: &Projection) -> Option<usize> {
    let same = |output: &Expr| {
        output.clone().unalias() == *expr
            || matches!(expr, Expr::Column(Column { relation: None, name, .. }) if output.schema_name().to_string() == *name)
    };
    projection.expr.iter().position(same)
}

/// Merges each `LIMIT` with its `ORDER BY` into one sort with a fetch.
pub(super) fn fold_limits(
    plan: LogicalPlan,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> LogicalPlan {
    let original = plan.clone();
    let folded = rewrite_nodes(plan, &mut |node| match node {
        LogicalPlan::Limit(limit) => Ok(Transformed::yes(fold(limit, site, errors))),
        other => Ok(Transformed::no(other)),
    });
    folded.map_or(original, |folded| folded.data)
}

fn fold(limit: Limit, site: &Site<'_>, errors: &mut Vec<Diagnostic>) -> LogicalPlan {
    if !matches!(limit.get_skip_type(), Ok(SkipType::Literal(0))) {
        let error = site.diagnostic(&[Find::Words(&["OFFSET"])], "OFFSET is not supported");
        errors.push(error.with_hint("number the rows in a view and filter: row_number() OVER (ORDER BY …) AS n, and WHERE n > 10"));
        return Arc::unwrap_or_clone(limit.input);
    }
    let fetch = match limit.get_fetch_type() {
        Ok(FetchType::Literal(None)) => return Arc::unwrap_or_clone(limit.input),
        Ok(FetchType::Literal(Some(fetch))) => fetch,
        _ => {
            let error = site.diagnostic(&[Find::Words(&["LIMIT"])], "LIMIT needs a whole number");
            errors.push(error.with_hint("write LIMIT 10, or LIMIT ${limit} with --set limit=10"));
            return Arc::unwrap_or_clone(limit.input);
        }
    };
    let input = Arc::unwrap_or_clone(limit.input);
    if fetch == 0 {
        return LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema: Arc::clone(input.schema()),
        });
    }
    let (input, found) = with_fetch(input, fetch);
    if !found {
        let error = site.diagnostic(
            &[Find::Words(&["LIMIT"]), Find::Words(&["FETCH"])],
            "LIMIT without ORDER BY: which rows it takes is not defined",
        );
        errors.push(error.with_hint("add ORDER BY before LIMIT"));
    }
    input
}

/// Gives the fetch to the sort whose order reaches the top of `plan`, if there is one.
fn with_fetch(plan: LogicalPlan, fetch: usize) -> (LogicalPlan, bool) {
    match plan {
        LogicalPlan::Sort(sort) => {
            let fetch = sort.fetch.map_or(fetch, |inner| inner.min(fetch));
            (
                LogicalPlan::Sort(Sort {
                    fetch: Some(fetch),
                    ..sort
                }),
                true,
            )
        }
        LogicalPlan::Projection(mut projection) => {
            let (input, found) = with_fetch(Arc::unwrap_or_clone(projection.input), fetch);
            projection.input = Arc::new(input);
            (LogicalPlan::Projection(projection), found)
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias {
            input,
            alias,
            schema,
            ..
        }) => {
            let (input, found) = with_fetch(Arc::unwrap_or_clone(input), fetch);
            let aliased = SubqueryAlias::try_new(Arc::new(input.clone()), alias);
            debug_assert!(
                aliased
                    .as_ref()
                    .is_ok_and(|aliased| aliased.schema == schema)
            );
            (aliased.map_or(input, LogicalPlan::SubqueryAlias), found)
        }
        other => (other, false),
    }
}

/// Removes the sorts without a fetch.
pub(super) fn strip_sorts(plan: LogicalPlan) -> LogicalPlan {
    let original = plan.clone();
    let stripped = rewrite_nodes(plan, &mut |node| match node {
        LogicalPlan::Sort(Sort {
            fetch: None, input, ..
        }) => Ok(Transformed::yes(Arc::unwrap_or_clone(input))),
        other => Ok(Transformed::no(other)),
    });
    stripped.map_or(original, |stripped| stripped.data)
}
