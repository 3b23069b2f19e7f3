//! Rewrites a query so that DataFusion's planner gives it the standard's meaning.
//!
//! | query | DataFusion's planner | the standard, and jobs |
//! |---|---|---|
//! | `a RIGHT JOIN b USING (k)` | `k` is the column of `a`, NULL where only `b` has a row | `k` is the column of `b` |
//! | `SELECT *` over `USING` or `NATURAL` | `k` at its place in a table, which may be the wrong one | `k` first, once, then the other columns |
//! | `a JOIN b USING (k) JOIN c USING (k)` | `k` is ambiguous | there is one `k` |
//! | `x = ANY(list)`, where the list has a NULL | false if nothing equals `x` | NULL if nothing equals `x` |
//!
//! This is applied to the syntax tree. `dialect` has what can be rewritten in plans.

mod joins;
mod wildcard;

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Query, UnaryOperator, VisitorMut};
use tidewater_planner::rewrite_query;

/// `query` in words to which DataFusion's planner gives the standard's meaning. `columns` returns the names of the
/// columns of a query, if it can be planned.
pub fn standard_query(
    mut query: Query,
    columns: &mut dyn FnMut(&Query) -> Option<Vec<String>>,
) -> Query {
    joins::rewrite(&mut query, columns);
    let _: ControlFlow<()> = rewrite_query(&mut query, &mut Quantified);
    query
}

/// Replaces `x = ANY(list)` by `NOT x <> ALL(list)`, and other comparisons likewise. The planner's `ALL` follows the
/// standard, and its `ANY` ignores NULLs in the list.
struct Quantified;

impl VisitorMut for Quantified {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } = expr
            && !matches!(right.as_ref(), Expr::Subquery(_))
            && let Some(compare_op) = negated(compare_op)
        {
            let all = Expr::AllOp {
                left: left.clone(),
                compare_op,
                right: right.clone(),
            };
            *expr = Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(all),
            };
        }
        ControlFlow::Continue(())
    }
}

fn negated(operator: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match operator {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}
