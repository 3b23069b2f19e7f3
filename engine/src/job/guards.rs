//! Keeps filters and `FILTER` clauses in front of expressions that may fail.

use datafusion_common::tree_node::Transformed;
use datafusion_common::{JoinType, Result};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, Filter, LogicalPlan, when};
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;
use tidewater_planner::map_exprs;

use super::fallible::may_fail;

/// Moves conditions towards the sources, but only conditions that cannot fail.
///
/// DataFusion's rule moves all conditions. It would evaluate a cast after a filter or a join for rows that never
/// reached it.
#[derive(Debug, Default)]
pub(super) struct PushDownTotalFilters(PushDownFilter);

impl OptimizerRule for PushDownTotalFilters {
    fn name(&self) -> &'static str {
        "push_down_total_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => self.push(filter, config),
            LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner => {
                let condition = join.filter.take().map(split_conjunction_owned);
                let (total, fallible): (Vec<Expr>, Vec<Expr>) = condition
                    .unwrap_or_default()
                    .into_iter()
                    .partition(|part| !may_fail(part, &join.schema));
                join.filter = conjunction(total);
                let join = LogicalPlan::Join(join);
                match conjunction(fallible) {
                    None => self.0.rewrite(join, config),
                    Some(fallible) => Ok(Transformed::yes(filtered(fallible, join)?)),
                }
            }
            other => self.0.rewrite(other, config),
        }
    }
}

impl PushDownTotalFilters {
    fn push(
        &self,
        filter: Filter,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let (total, fallible) = parts(&filter);
        match (conjunction(total), conjunction(fallible)) {
            (_, None) => self.push_total(filter, config),
            (None, Some(_)) => Ok(Transformed::no(LogicalPlan::Filter(filter))),
            (Some(total), Some(fallible)) => {
                let below = filtered(total, Arc::unwrap_or_clone(filter.input))?;
                Ok(Transformed::yes(filtered(fallible, below)?))
            }
        }
    }

    /// Moves down a filter that cannot fail. It passes a filter that may fail, and is merged with one that cannot.
    fn push_total(
        &self,
        filter: Filter,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(below) = filter.input.as_ref() else {
            return self.0.rewrite(LogicalPlan::Filter(filter), config);
        };
        let (total, fallible) = parts(below);
        let input = below.input.as_ref().clone();
        let Some(fallible) = conjunction(fallible) else {
            return self.0.rewrite(LogicalPlan::Filter(filter), config);
        };
        let total = conjunction(total.into_iter().chain([filter.predicate]));
        let below = match total {
            Some(total) => filtered(total, input)?,
            None => input,
        };
        Ok(Transformed::yes(filtered(fallible, below)?))
    }
}

/// The conditions of a filter that cannot fail, and those that may, each in order.
fn parts(filter: &Filter) -> (Vec<Expr>, Vec<Expr>) {
    let schema = filter.input.schema();
    split_conjunction_owned(filter.predicate.clone())
        .into_iter()
        .partition(|part| !may_fail(part, schema))
}

fn filtered(predicate: Expr, input: LogicalPlan) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Filter(Filter::try_new(
        predicate,
        Arc::new(input),
    )?))
}

/// `node` with the aggregates' arguments that may fail evaluated only for rows of their `FILTER`. Columns keep their
/// names.
pub(super) fn guard_arguments(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &node else {
        return Ok(Transformed::no(node));
    };
    let schema = Arc::clone(aggregate.input.schema());
    map_exprs(node, &mut |expr| {
        let name = expr.schema_name().to_string();
        match expr {
            Expr::AggregateFunction(mut call) => {
                let guarded = guard(&mut call, &schema)?;
                let call = Expr::AggregateFunction(call);
                Ok(if guarded {
                    Transformed::yes(call.alias(name))
                } else {
                    Transformed::no(call)
                })
            }
            Expr::Alias(mut alias) => {
                let guarded = match alias.expr.as_mut() {
                    Expr::AggregateFunction(call) => guard(call, &schema)?,
                    _ => false,
                };
                Ok(Transformed::new_transformed(Expr::Alias(alias), guarded))
            }
            other => Ok(Transformed::no(other)),
        }
    })
}

fn guard(call: &mut AggregateFunction, schema: &datafusion_common::DFSchema) -> Result<bool> {
    let (Some(filter), [argument]) = (&call.params.filter, call.params.args.as_mut_slice()) else {
        return Ok(false);
    };
    let is_guarded = matches!(&*argument, Expr::Case(case)
        if case.when_then_expr.first().is_some_and(|(when, _)| when == filter));
    if is_guarded || !may_fail(argument, schema) {
        return Ok(false);
    }
    *argument = when(filter.as_ref().clone(), std::mem::take(argument)).end()?;
    Ok(true)
}
