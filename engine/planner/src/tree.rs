//! Walks over the nodes of plans, the expressions of nodes, and the parts of expressions.

use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan};

/// Calls `visit` for each node of a plan, the root first.
///
/// # Errors
/// The first that `visit` returns.
pub fn each_node(
    plan: &LogicalPlan,
    visit: &mut dyn FnMut(&LogicalPlan) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    plan.apply(visit)
}

/// Calls `visit` for each expression of a node itself.
///
/// # Errors
/// The first that `visit` returns.
pub fn each_expr(
    node: &LogicalPlan,
    visit: &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    node.apply_expressions(visit)
}

/// Calls `visit` for an expression and each part of it, the whole first.
///
/// # Errors
/// The first that `visit` returns.
pub fn each_part(
    expr: &Expr,
    visit: &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    expr.apply(visit)
}

/// Calls `visit` for the operands of an expression.
///
/// # Errors
/// The first that `visit` returns.
pub fn each_child(
    expr: &Expr,
    visit: &mut dyn FnMut(&Expr) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    expr.apply_children(visit)
}

/// Rewrites the nodes of a plan, inputs first.
///
/// # Errors
/// The first that `rewrite` returns.
pub fn rewrite_nodes(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up(rewrite)
}

/// Rewrites the nodes of a plan and of the subqueries in it, inputs first.
///
/// # Errors
/// The first that `rewrite` returns.
pub fn rewrite_nodes_and_subqueries(
    plan: LogicalPlan,
    rewrite: &mut dyn FnMut(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(rewrite)
}

/// Rewrites the expressions of a node itself.
///
/// # Errors
/// The first that `rewrite` returns.
pub fn map_exprs(
    node: LogicalPlan,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    node.map_expressions(rewrite)
}

/// Rewrites the parts of an expression, operands first.
///
/// # Errors
/// The first that `rewrite` returns.
pub fn rewrite_parts(
    expr: Expr,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    expr.transform_up(rewrite)
}

/// Rewrites the parts of an expression, the whole first.
///
/// # Errors
/// The first that `rewrite` returns.
pub fn rewrite_parts_down(
    expr: Expr,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    expr.transform_down(rewrite)
}
