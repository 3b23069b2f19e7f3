//! Optimises plans for incremental maintenance.
//!
//! We use those rules of DataFusion that keep a plan's meaning for every change of its inputs. We leave out rules
//! that create kinds of joins which we do not maintain (subqueries into joins, and `EliminateJoin`, which creates
//! semi joins), rules that move limits, and `SingleDistinctToGroupBy`, because distinct aggregates are maintained as
//! such. No rule gets the time, so a plan does not depend on when it was made.
//!
//! An expression that may fail is never evaluated for rows that a filter, a join, `CASE` or `FILTER` excludes.
//! [`PushDownTotalFilters`] moves only conditions that cannot fail, and arithmetic fails instead of wrapping
//! ([`check_arithmetic`]).

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{JoinType, Result};
use datafusion_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion_optimizer::eliminate_filter::EliminateFilter;
use datafusion_optimizer::eliminate_group_by_constant::EliminateGroupByConstant;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::filter_null_join_keys::FilterNullJoinKeys;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use tidewater_planner::{analyzed, optimized, rewrite_nodes};

use super::catalog::planner_options;
use super::functions::check_arithmetic;
use super::guards::{PushDownTotalFilters, guard_arguments};
use super::join_condition::JoinCondition;

/// Types, simplifies and reshapes a plan. Idempotent, except for the names of common subexpressions.
pub(super) fn optimize(plan: LogicalPlan) -> Result<LogicalPlan> {
    let options = planner_options();
    let typed = analyzed(plan, &options)?;
    let typed = rewrite_nodes(check_arithmetic(typed)?, &mut guard_arguments)?.data;
    let context = OptimizerContext::new_with_config_options(Arc::new(options))
        .without_query_execution_start_time();
    let optimized = optimized(&Optimizer::with_rules(rules()), typed, &context)?;
    rewrite_nodes(optimized, &mut join_as_rendered).map(|transformed| transformed.data)
}

/// DataFusion's optimizer rules, of which none moves a condition that may fail, for a session that plans the same SQL.
pub fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let push_down_filter = PushDownFilter::new();
    let rules = Optimizer::new().rules.into_iter();
    let rules = rules.map(|rule| {
        if rule.name() == push_down_filter.name() {
            Arc::new(PushDownTotalFilters::default())
        } else {
            rule
        }
    });
    rules.collect()
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(FilterNullJoinKeys::default()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownTotalFilters::default()),
        Arc::new(EliminateGroupByConstant::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// Turns right joins into left joins, and moves the conditions of an inner join beside its keys to a filter above it.
fn join_as_rendered(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Right => {
            swap(join).map(Transformed::yes)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && join.filter.is_some() => {
            filter_above(join)
        }
        other => Ok(Transformed::no(other)),
    }
}

fn swap(join: Join) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = join
        .schema
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let on = join
        .on
        .into_iter()
        .map(|(left, right)| (right, left))
        .collect();
    let swapped = Join::try_new(
        join.right,
        join.left,
        on,
        join.filter,
        JoinType::Left,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(swapped))
        .project(columns)?
        .build()
}

/// A join by its keys, and a filter with the rest of its condition. A join without keys stays as it is.
fn filter_above(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let condition = JoinCondition::new(&join)?;
    match condition.rest {
        Some(rest) if !condition.keys.is_empty() => {
            join.filter = condition.key_terms;
            let join = Arc::new(LogicalPlan::Join(join));
            let filter = Filter::try_new(rest, join)?;
            Ok(Transformed::yes(LogicalPlan::Filter(filter)))
        }
        _ => Ok(Transformed::no(LogicalPlan::Join(join))),
    }
}
