//! Refuses joins, sorts and other nodes that are not maintained.

use datafusion_common::{JoinConstraint, JoinType};
use datafusion_expr::logical_plan::Distinct;
use datafusion_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::super::join_condition::JoinCondition;
use super::super::tokens::Find;
use super::{Refusal, span_of};

/// The refusal of a node as the user wrote it, for nodes that the optimizer may turn into others.
pub(super) fn as_written(node: &LogicalPlan) -> Option<Refusal> {
    match node {
        LogicalPlan::Join(join) => join_type(join).or_else(|| right_using(join)),
        LogicalPlan::Distinct(Distinct::On(_)) => Some(Refusal::new(
            [Find::Words(&["DISTINCT", "ON"])],
            "DISTINCT ON is not supported",
            "number the rows in a view, row_number() OVER (PARTITION BY … ORDER BY …) AS n, and take WHERE n = 1",
        )),
        LogicalPlan::Aggregate(aggregate) => group_by_windows(aggregate),
        LogicalPlan::RecursiveQuery(_) => Some(Refusal::new(
            [Find::Words(&["RECURSIVE"])],
            "WITH RECURSIVE is not supported",
            "write a view for each level, and unite them with UNION ALL",
        )),
        LogicalPlan::Subquery(_) => Some(Refusal::new(
            [Find::Words(&["LATERAL"])],
            "LATERAL is not supported",
            "write UNNEST(list) in the SELECT list, or join a view on a key",
        )),
        _ => None,
    }
}

/// Refuses `GROUP BY hop(…)`, or by a column of it, which would make a group of each list of windows.
fn group_by_windows(aggregate: &Aggregate) -> Option<Refusal> {
    let is_list = |expr: &Expr| {
        is_hop(expr)
            || matches!(expr, Expr::Column(column) if selects_hop(&aggregate.input, &column.name))
    };
    aggregate.group_expr.iter().any(is_list).then(|| {
        Refusal::new(
            [Find::Call("hop".to_owned())],
            "hop gives a list of windows, and GROUP BY takes rows with equal lists together",
            "unnest the list first: SELECT unnest(hop(…)) AS window_start, … in FROM (…) or a view, and GROUP BY window_start",
        )
    })
}

fn is_hop(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_hop(&alias.expr),
        Expr::ScalarFunction(call) => call.name() == "hop",
        _ => false,
    }
}

/// Whether a SELECT in `plan` names the windows of `hop` so.
fn selects_hop(plan: &LogicalPlan, name: &str) -> bool {
    let is_it = |expr: &Expr| is_hop(expr) && expr.schema_name().to_string() == name;
    match plan {
        LogicalPlan::Projection(projection) if projection.expr.iter().any(is_it) => true,
        LogicalPlan::Unnest(_) => false,
        other => other
            .inputs()
            .into_iter()
            .any(|input| selects_hop(input, name)),
    }
}

/// The refusal of a node that would be rendered.
pub(super) fn as_optimized(node: &LogicalPlan) -> Option<Refusal> {
    match node {
        LogicalPlan::TableScan(scan) if !scan.filters.is_empty() || scan.fetch.is_some() => {
            Some(Refusal::new(
                [],
                "a scan in this plan has filters or a limit of its own",
                "give the plan before it is optimised: DataFrame::into_unoptimized_plan()",
            ))
        }
        LogicalPlan::TableScan(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::Union(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::EmptyRelation(_) => None,
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => None,
        LogicalPlan::Join(join) => join_type(join).or_else(|| join_condition(join)),
        other => as_written(other).or_else(|| {
            Some(Refusal::new(
                [],
                format!("{} is not supported", other.display()),
                "say it with SELECT, JOIN, GROUP BY and UNION ALL",
            ))
        }),
    }
}

fn join_type(join: &Join) -> Option<Refusal> {
    let both = "unite a LEFT JOIN b with the rows of b that have no match: b LEFT JOIN a … WHERE a.key IS NULL, by UNION ALL";
    match join.join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right => None,
        JoinType::Full => Some(Refusal::new(
            [Find::Words(&["FULL"])],
            "FULL JOIN is not supported",
            both,
        )),
        JoinType::LeftSemi | JoinType::RightSemi => Some(Refusal::new(
            [Find::Words(&["INTERSECT"]), Find::Words(&["SEMI"])],
            "INTERSECT and SEMI JOIN are not supported",
            "JOIN the other side's SELECT DISTINCT key on the key",
        )),
        JoinType::LeftAnti | JoinType::RightAnti => Some(Refusal::new(
            [
                Find::Words(&["EXCEPT"]),
                Find::Words(&["MINUS"]),
                Find::Words(&["ANTI"]),
            ],
            "EXCEPT and ANTI JOIN are not supported",
            "LEFT JOIN the other side's SELECT DISTINCT key on the key, and keep WHERE other.key IS NULL",
        )),
        JoinType::LeftMark | JoinType::RightMark => Some(Refusal::new(
            [Find::Words(&["EXISTS"]), Find::Words(&["IN"])],
            "subqueries in conditions are not supported",
            "join the table on its key",
        )),
    }
}

/// Refuses `USING` in a right join of a plan that was built in Rust. It names the left side's column, which is NULL
/// where only the right side has a row. In SQL, `standard` has replaced `USING` by `ON`.
fn right_using(join: &Join) -> Option<Refusal> {
    let is_refused =
        join.join_type == JoinType::Right && join.join_constraint == JoinConstraint::Using;
    is_refused.then(|| {
        Refusal::new(
            [Find::Words(&["RIGHT"])],
            "RIGHT JOIN with USING is not supported",
            "turn the sides round, b LEFT JOIN a USING (k), or write ON a.k = b.k and select b.k",
        )
    })
}

fn join_condition(join: &Join) -> Option<Refusal> {
    let mut finds: Vec<Find> = join.filter.as_ref().and_then(span_of).into_iter().collect();
    finds.extend([Find::Words(&["JOIN"]), Find::Words(&["FROM"])]);
    let condition = JoinCondition::new(join).ok()?;
    if condition.keys.is_empty() {
        finds.insert(0, Find::Words(&["CROSS", "JOIN"]));
        return Some(Refusal::new(
            finds,
            "this join has no equality: every row would meet every other",
            "add ON a.key = b.key; for one row that meets all, give both sides a column 1 AS one and join ON a.one = b.one",
        ));
    }
    condition.rest.map(|_| {
        Refusal::new(
            finds,
            "a LEFT JOIN matches by equality alone",
            "filter the right side in a view first, or make the condition a key on both sides: ON a.key = b.key AND a.kind = b.kind",
        )
    })
}
