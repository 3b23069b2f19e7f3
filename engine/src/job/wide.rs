//! Plans a `SELECT` of thousands of columns in parts.
//!
//! DataFusion's planner compares every column of a `SELECT` with every other: it hashes all aggregates for each
//! column, and spells the names of all columns for each. Parts of at most [`PART`] columns make that linear. The plan
//! is that of the whole `SELECT`: its parts have the same input, and their columns are put side by side.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::{Aggregate, Expr, LogicalPlan, Projection};
use datafusion_sql::sqlparser::ast::{
    Expr as SqlExpr, GroupByExpr, Query, Select, SelectItem, SetExpr, Statement,
};
use tidewater_planner::statement_to_plan;

use super::catalog::Catalog;
use super::statement::normalize;

/// Most columns that are planned at once.
const PART: usize = 256;

/// The plan of a query.
pub(super) fn plan(query: Query, catalog: &Catalog) -> Result<LogicalPlan> {
    if let Some(plan) = plan_in_parts(&query, catalog) {
        return Ok(plan);
    }
    statement_to_plan(catalog, Statement::Query(Box::new(query)))
}

/// The plan of a wide `SELECT`; `None` for other queries, and for mistakes, which the planner reports about the whole.
fn plan_in_parts(query: &Query, catalog: &Catalog) -> Option<LogicalPlan> {
    let parts = parts(query)?;
    let plans = parts.into_iter().map(|part| {
        let statement = Statement::Query(Box::new(part));
        statement_to_plan(catalog, statement).ok()
    });
    side_by_side(plans.collect::<Option<Vec<LogicalPlan>>>()?)
}

/// Queries that select the columns of `query`, each at most [`PART`] of them.
fn parts(query: &Query) -> Option<Vec<Query>> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let is_ordered =
        query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some();
    if select.projection.len() <= PART || is_ordered || !can_be_divided(select) {
        return None;
    }
    let parts = select.projection.chunks(PART).map(|items| {
        let mut part = query.clone();
        let mut select = select.clone();
        select.projection = items.to_vec();
        part.body = Box::new(SetExpr::Select(select));
        part
    });
    Some(parts.collect())
}

/// Whether each column of a `SELECT` can be planned without the others.
fn can_be_divided(select: &Select) -> bool {
    let names: HashSet<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(normalize(alias)),
            _ => None,
        })
        .collect();
    let names_column = |expr: &SqlExpr| match expr {
        SqlExpr::Value(_) => true,
        SqlExpr::Identifier(name) => names.contains(&normalize(name)),
        _ => false,
    };
    let is_grouped_by_expressions = match &select.group_by {
        GroupByExpr::Expressions(keys, _) => !keys.iter().any(names_column),
        GroupByExpr::All(_) => false,
    };
    let items = select.projection.iter();
    is_grouped_by_expressions
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && items.into_iter().all(|item| {
            matches!(
                item,
                SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
            )
        })
}

/// One plan with the columns of all of these, which must be projections over the same input, or over aggregations of
/// the same input by the same keys.
fn side_by_side(plans: Vec<LogicalPlan>) -> Option<LogicalPlan> {
    let mut columns = Vec::new();
    let mut inputs = Vec::new();
    for plan in plans {
        let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else {
            return None;
        };
        columns.extend(expr);
        inputs.push(input);
    }
    let input = if inputs.windows(2).all(|pair| pair[0] == pair[1]) {
        inputs.pop()?
    } else {
        Arc::new(LogicalPlan::Aggregate(united(&inputs)?))
    };
    let projection = Projection::try_new(columns, input).ok()?;
    Some(LogicalPlan::Projection(projection))
}

/// One aggregation with the aggregates of all of these.
fn united(inputs: &[Arc<LogicalPlan>]) -> Option<Aggregate> {
    let aggregates = inputs.iter().map(|input| match input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate),
        _ => None,
    });
    let aggregates = aggregates.collect::<Option<Vec<&Aggregate>>>()?;
    let first = *aggregates.first()?;
    let is_alike =
        |other: &&Aggregate| other.input == first.input && other.group_expr == first.group_expr;
    if !aggregates.iter().all(is_alike) {
        return None;
    }
    let calls = aggregates.iter().flat_map(|aggregate| &aggregate.aggr_expr);
    let mut seen: HashSet<&Expr> = HashSet::new();
    let calls = calls.filter(|call| seen.insert(call)).cloned().collect();
    Aggregate::try_new(Arc::clone(&first.input), first.group_expr.clone(), calls).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion_sql::sqlparser::dialect::GenericDialect;
    use datafusion_sql::sqlparser::parser::Parser;

    use super::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::new();
        let fields = [("k", DataType::Utf8), ("v", DataType::Int64)]
            .map(|(name, data_type)| Field::new(name, data_type, true));
        catalog.insert("t", Arc::new(Schema::new(fields.to_vec())));
        catalog
    }

    fn query(sql: &str) -> Query {
        let parsed = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        match parsed.into_iter().next() {
            Some(Statement::Query(query)) => *query,
            other => panic!("{other:?}"),
        }
    }

    /// `count` columns that `of` spells.
    fn wide(count: usize, of: impl Fn(usize) -> String, rest: &str) -> Query {
        let columns: Vec<String> = (0..count).map(of).collect();
        query(&format!("SELECT k, {} {rest}", columns.join(", ")))
    }

    #[test]
    fn parts_come_to_the_plan_of_the_whole() {
        let catalog = catalog();
        for query in [
            wide(
                600,
                |n| format!("sum(v + {n}) AS s{n}"),
                "FROM t GROUP BY k",
            ),
            // Aggregates that several parts share, and columns without a name.
            wide(600, |n| format!("sum(v) + {n}"), "FROM t GROUP BY k"),
            wide(
                600,
                |n| format!("count(*) FILTER (WHERE v = {n}) AS s{n}"),
                "FROM (SELECT k, v FROM t WHERE v > 0) x GROUP BY k, v % 2",
            ),
            wide(600, |n| format!("v + {n} AS s{n}"), "FROM t WHERE k > 'a'"),
        ] {
            let parts = plan_in_parts(&query, &catalog).unwrap();
            let statement = Statement::Query(Box::new(query));
            let whole = statement_to_plan(&catalog, statement).unwrap();
            assert_eq!(
                parts.display_indent_schema().to_string(),
                whole.display_indent_schema().to_string()
            );
            assert_eq!(parts, whole);
        }
    }

    /// The planner's work grows with the square of the columns that it gets at once.
    #[test]
    fn the_planner_gets_few_columns_at_once() {
        for count in [300, 1_000, 10_000] {
            let query = wide(
                count,
                |n| format!("max(v - {n}) AS s{n}"),
                "FROM t GROUP BY k",
            );
            let parts = parts(&query).unwrap();
            let sizes = parts.iter().map(|part| match part.body.as_ref() {
                SetExpr::Select(select) => select.projection.len(),
                other => panic!("{other}"),
            });
            let sizes: Vec<usize> = sizes.collect();
            assert!(sizes.iter().all(|size| *size <= PART), "{sizes:?}");
            assert_eq!(sizes.iter().sum::<usize>(), count + 1);
        }
    }

    #[test]
    fn other_queries_and_mistakes_are_planned_as_a_whole() {
        let catalog = catalog();
        let sum = |n| format!("sum(v + {n}) AS s{n}");
        for query in [
            wide(10, sum, "FROM t GROUP BY k"),
            wide(600, sum, "FROM t GROUP BY 1"),
            wide(600, sum, "FROM t GROUP BY k ORDER BY k"),
            wide(600, sum, "FROM t GROUP BY k HAVING count(*) > 1"),
            wide(600, |_| "sum(v) AS s".to_owned(), "FROM t GROUP BY k"),
            wide(
                600,
                |n| format!("sum(w + {n}) AS s{n}"),
                "FROM t GROUP BY k",
            ),
            wide(
                600,
                |n| format!("sum(v + {n}) OVER (ORDER BY k) AS s{n}"),
                "FROM t",
            ),
        ] {
            assert!(plan_in_parts(&query, &catalog).is_none(), "{query}");
        }
    }
}
