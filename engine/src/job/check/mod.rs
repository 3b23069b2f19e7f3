//! Refuses what cannot be maintained, with its place and what to write instead.
//!
//! A query is checked three times: its [`syntax`]; its plan as written, while names and places are the user's; and
//! its optimised plan, which is rendered. A plan that passes contains only
//!
//! | node | of these kinds |
//! |---|---|
//! | `TableScan`, `Values`, `EmptyRelation`, `SubqueryAlias`, `Projection`, `Filter`, `Distinct`, `Union` | all |
//! | `Aggregate` | count, sum, avg, min, max of one argument, with `DISTINCT` and `FILTER`; no grouping sets |
//! | `Join` | inner and left, with at least one equality or `IS NOT DISTINCT FROM`, and no other condition |
//! | `Unnest` | lists and structs |
//! | `Window` | [`expressions::WINDOW`] and the aggregates; no `DISTINCT`, `FILTER` or `IGNORE NULLS` |
//! | `Sort` | with a fetch: the first rows of an order |
//!
//! and scalar functions whose result depends on their arguments only.

mod calls;
mod casts;
mod expressions;
mod frames;
mod nodes;
mod patterns;
pub(super) mod syntax;
mod zones;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result, Spans, plan_err};
use datafusion_expr::{Expr, LogicalPlan};

pub(super) use self::expressions::{AGGREGATES, WINDOW};
use super::site::Site;
use super::tokens::Find;
use crate::diagnostic::Diagnostic;
use tidewater_planner::{each_child, each_expr, each_node, each_part};

/// Why something is refused.
struct Refusal {
    finds: Vec<Find>,
    message: String,
    hint: String,
}

impl Refusal {
    fn new(
        finds: impl Into<Vec<Find>>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            finds: finds.into(),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// The refusals in a plan as the user wrote it. For SQL, [`syntax`] has already refused what the text alone shows.
pub(super) fn as_written(plan: &LogicalPlan, site: &Site<'_>) -> Vec<Diagnostic> {
    let expressions = match site.tokens {
        Some(_) => expressions::as_written,
        None => expressions::in_plans,
    };
    walk(plan, site, nodes::as_written, expressions)
}

/// The refusals in the plan that would be rendered.
pub(super) fn as_optimized(plan: &LogicalPlan, site: &Site<'_>) -> Vec<Diagnostic> {
    walk(plan, site, nodes::as_optimized, expressions::as_optimized)
}

/// Warnings about an optimised plan whose results may surprise.
pub(super) fn warnings(plan: &LogicalPlan, site: &Site<'_>) -> Vec<Diagnostic> {
    walk(plan, site, |_| None, zones::surprise)
}

/// Warnings about a plan as written whose results may surprise.
pub(super) fn warnings_as_written(plan: &LogicalPlan, site: &Site<'_>) -> Vec<Diagnostic> {
    walk(plan, site, |_| None, patterns::surprise)
}

/// Deeper expressions are refused, because they are walked by recursion, on threads with small stacks.
const DEPTH_MAX: usize = 300;

/// Fails if an expression is nested too deep.
pub(super) fn depth(plan: &LogicalPlan) -> Result<()> {
    each_node(plan, &mut |node| {
        each_expr(node, &mut |expr| {
            if levels(expr)? > DEPTH_MAX {
                return plan_err!(
                    "an expression is nested more than {DEPTH_MAX} levels deep; compute parts of it in views of their own, and \
                     write long lists of alternatives with IN"
                );
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

fn levels(expr: &Expr) -> Result<usize> {
    let mut deepest = 0;
    each_child(expr, &mut |child| {
        deepest = deepest.max(levels(child)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(deepest + 1)
}

/// Collects the refusals of all nodes and all their expressions.
fn walk(
    plan: &LogicalPlan,
    site: &Site<'_>,
    node_refusal: fn(&LogicalPlan) -> Option<Refusal>,
    expression_refusal: fn(&Expr, &LogicalPlan) -> Option<Refusal>,
) -> Vec<Diagnostic> {
    let mut refusals: Vec<Refusal> = Vec::new();
    let walked = each_node(plan, &mut |node| {
        refusals.extend(node_refusal(node));
        each_expr(node, &mut |expr| {
            each_part(expr, &mut |part| {
                refusals.extend(expression_refusal(part, node));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    let mut found: Vec<Diagnostic> = refusals
        .into_iter()
        .map(|refusal| {
            site.diagnostic(&refusal.finds, refusal.message)
                .with_hint(refusal.hint)
        })
        .collect();
    if let Err(error) = walked {
        found.push(site.diagnostic(&[], error.strip_backtrace()));
    }
    // One construct often becomes several nodes.
    let mut distinct: Vec<Diagnostic> = Vec::with_capacity(found.len());
    for diagnostic in found {
        if !distinct.contains(&diagnostic) {
            distinct.push(diagnostic);
        }
    }
    distinct
}

/// The first known place of an expression.
pub(super) fn span_of(expr: &Expr) -> Option<Find> {
    let mut span = None;
    let walked = each_part(expr, &mut |part| {
        span = part.spans().and_then(Spans::first);
        Ok(if span.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    walked.ok().and(span).map(Find::Span)
}
