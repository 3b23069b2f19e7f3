//! Expressions that mean something else in DataFusion than in jobs. Jobs follow the standard, or what Postgres and
//! DuckDB agree on.
//!
//! | expression | DataFusion | jobs |
//! |---|---|---|
//! | `t AT TIME ZONE 'z'` | counts nanoseconds, which end in 2262 | counts in the unit of `t` |
//! | `CAST(t AT TIME ZONE 'z' AS TIMESTAMP)` | the time in UTC | the time that clocks in `z` show |
//! | `DATE + INTERVAL '4 hours'` | a date, the hours are lost | a timestamp |
//! | `(a, b) IN ((1, NULL))`, `(a, b) < (1, NULL)` | compares structs, in which NULL equals NULL | compares column by column, in three values |
//! | `t - u > INTERVAL '1 hour'` | counts nanoseconds, which end after 292 years | counts in the unit of the times |
//! | `decimal = 99999999.99` | compares with the nearest double, rounded | compares with the number that is written |
//! | a `DATE` beside a `TIMESTAMP` in a comparison, `CASE`, `coalesce`, `UNION` | both count nanoseconds | the date is a timestamp in the unit of the other |
//! | `a SIMILAR TO 'x%'` | a regular expression | a pattern of the standard, for the whole text |
//! | chains of `AND`, `OR` and `\|\|` | nested as deep as they are long | balanced |
//!
//! This is applied before types are coerced, once to each plan.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::expr::{Cast, InList, Like};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr, lit, not,
};
use datafusion_optimizer::AnalyzerRule;
use datafusion_optimizer::analyzer::Analyzer;
use tidewater_planner::{
    map_exprs, rewrite_nodes, rewrite_nodes_and_subqueries, rewrite_parts, rewrite_parts_down,
};

use super::dates::{dates_as_timestamps, dates_of_inputs};
use super::exact_literals::exact_literals;
use super::functions::check_arithmetic;
use super::guards::guard_arguments;

/// DataFusion's analyzer rules together with those of jobs, for a session that plans the same SQL.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(Dialect)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(CheckedArithmetic));
    rules.push(Arc::new(GuardedArguments));
    rules
}

const NANOSECONDS_PER_DAY: i128 = 86_400_000_000_000;

/// Applies the table above.
#[derive(Debug)]
struct Dialect;

impl AnalyzerRule for Dialect {
    fn name(&self) -> &'static str {
        "dialect"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        apply(plan)
    }
}

/// Arithmetic that fails instead of wrapping.
#[derive(Debug)]
struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        check_arithmetic(plan)
    }
}

/// Arguments of aggregates that are evaluated only for the rows of `FILTER`.
#[derive(Debug)]
struct GuardedArguments;

impl AnalyzerRule for GuardedArguments {
    fn name(&self) -> &'static str {
        "guarded_arguments"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(rewrite_nodes(plan, &mut guard_arguments)?.data)
    }
}

/// `plan` with the meaning of jobs. Columns keep their names.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    // Nodes whose inputs are as they were have the columns that they had.
    let mut is_changed = false;
    let meant = rewrite_nodes_and_subqueries(plan, &mut |node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = map_exprs(node, &mut |expr| {
            let name = names.save(&expr);
            let expr = balanced(expr)?;
            let dates =
                |expr| rewrite_parts(expr, &mut |part| Ok(dates_as_timestamps(part, &schema)));
            let expr = expr.transform_data(dates)?.transform_data(|expr| {
                let meant = rewrite_parts(expr, &mut |part| meaning(part, &schema))?;
                // Comparisons of rows become comparisons of their columns, so dates are looked for again.
                let is_other = meant.transformed;
                meant.transform_data(|expr| {
                    if is_other {
                        dates(expr)
                    } else {
                        Ok(Transformed::no(expr))
                    }
                })
            })?;
            let expr = expr.transform_data(|expr| {
                rewrite_parts(expr, &mut |part| exact_literals(part, &schema))
            })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        let node = node.transform_data(dates_of_inputs)?;
        is_changed |= node.transformed;
        if is_changed {
            node.map_data(LogicalPlan::recompute_schema)
        } else {
            Ok(node)
        }
    });
    Ok(meant?.data)
}

fn meaning(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Cast(Cast { expr, field })
            if matches!(field.data_type(), DataType::Timestamp(..)) =>
        {
            let to = field.data_type().clone();
            cast_to_timestamp(*expr, &to, schema)?
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Plus | Operator::Minus) =>
        {
            date_and_interval(*left, op, *right, schema)?
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Eq | Operator::NotEq) =>
        {
            match row_equality(&left, &right) {
                Some(equal) if op == Operator::Eq => Transformed::yes(equal),
                Some(equal) => Transformed::yes(not(equal)),
                None => duration_and_interval(*left, op, *right, schema)?,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(
                op,
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
            ) =>
        {
            match row_order(&left, op, &right) {
                Some(ordered) => Transformed::yes(ordered),
                None => duration_and_interval(*left, op, *right, schema)?,
            }
        }
        Expr::InList(list) => rows_in_list(list),
        Expr::SimilarTo(like) => Transformed::yes(similar_to(like)?),
        other => Transformed::no(other),
    })
}

fn cast_to_timestamp(expr: Expr, to: &DataType, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let from = expr.get_type(schema)?;
    Ok(match (&from, to) {
        (DataType::Timestamp(unit, _), DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)))
            if *unit != TimeUnit::Nanosecond =>
        {
            Transformed::yes(cast(
                expr,
                DataType::Timestamp(*unit, Some(Arc::clone(zone))),
            ))
        }
        (
            DataType::Date32 | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
            DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)),
        ) => {
            let to = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)));
            Transformed::yes(cast(expr, to))
        }
        (DataType::Timestamp(_, Some(zone)), DataType::Timestamp(_, None)) if !is_utc(zone) => {
            let local = datafusion_functions::datetime::expr_fn::to_local_time(vec![expr]);
            Transformed::yes(cast(local, to.clone()))
        }
        _ => Transformed::no(cast(expr, to.clone())),
    })
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Z" | "+00:00" | "Etc/UTC")
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

/// A date and an interval that may have hours give a timestamp.
fn date_and_interval(
    left: Expr,
    operator: Operator,
    right: Expr,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    let is_date = |expr: &Expr| -> Result<bool> { Ok(expr.get_type(schema)? == DataType::Date32) };
    let timestamp = |date: Expr| cast(date, DataType::Timestamp(TimeUnit::Microsecond, None));
    Ok(if has_hours(&right, schema)? && is_date(&left)? {
        Transformed::yes(binary_expr(timestamp(left), operator, right))
    } else if operator == Operator::Plus && has_hours(&left, schema)? && is_date(&right)? {
        Transformed::yes(binary_expr(left, operator, timestamp(right)))
    } else {
        Transformed::no(binary_expr(left, operator, right))
    })
}

/// Whether an expression is an interval that may have hours or smaller units.
fn has_hours(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            interval.nanoseconds != 0
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => {
            interval.milliseconds != 0
        }
        Expr::Literal(..) => false,
        _ => is_interval(expr, schema)?,
    })
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::Interval(_)))
}

/// The values of a row constructor: `(a, b)` or `ROW(a, b)`.
fn row(expr: &Expr) -> Option<Vec<&Expr>> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    match call.name() {
        "struct" => Some(call.args.iter().collect()),
        "named_struct" => Some(call.args.iter().skip(1).step_by(2).collect()),
        _ => None,
    }
}

/// `(a, b) = (x, y)` as `a = x AND b = y`; `None` if a side is not a row constructor.
fn row_equality(left: &Expr, right: &Expr) -> Option<Expr> {
    let (left, right) = (row(left)?, row(right)?);
    if left.len() != right.len() {
        return None;
    }
    let pairs = left.into_iter().zip(right);
    pairs
        .map(|(left, right)| {
            row_equality(left, right).unwrap_or_else(|| left.clone().eq(right.clone()))
        })
        .reduce(Expr::and)
}

/// `(a, b) < (x, y)` as `a < x OR (a = x AND b < y)`; `None` if a side is not a row constructor.
fn row_order(left: &Expr, op: Operator, right: &Expr) -> Option<Expr> {
    let (left, right) = (row(left)?, row(right)?);
    if left.len() != right.len() {
        return None;
    }
    let strict = match op {
        Operator::LtEq => Operator::Lt,
        Operator::GtEq => Operator::Gt,
        other => other,
    };
    let pairs = left.into_iter().zip(right).rev();
    pairs.fold(None, |after, (left, right)| {
        let (left, right) = (left.clone(), right.clone());
        Some(match after {
            None => binary_expr(left, op, right),
            Some(after) => {
                binary_expr(left.clone(), strict, right.clone()).or(left.eq(right).and(after))
            }
        })
    })
}

/// A difference of times and a constant interval, compared in the unit of the times.
fn duration_and_interval(
    left: Expr,
    op: Operator,
    right: Expr,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    let unit = |expr: &Expr| -> Result<Option<TimeUnit>> {
        Ok(match expr.get_type(schema)? {
            DataType::Duration(unit) => Some(unit),
            _ => None,
        })
    };
    if let Expr::Literal(interval @ ScalarValue::IntervalMonthDayNano(_), _) = &right
        && let Some(unit) = unit(&left)?
        && let Some(duration) = as_duration(interval, unit)
    {
        return Ok(Transformed::yes(binary_expr(left, op, lit(duration))));
    }
    if let Expr::Literal(interval @ ScalarValue::IntervalMonthDayNano(_), _) = &left
        && let Some(unit) = unit(&right)?
        && let Some(duration) = as_duration(interval, unit)
    {
        return Ok(Transformed::yes(binary_expr(lit(duration), op, right)));
    }
    Ok(Transformed::no(binary_expr(left, op, right)))
}

/// An interval of days and smaller units as a duration; `None` if it has months, or digits that the unit has not.
fn as_duration(interval: &ScalarValue, unit: TimeUnit) -> Option<ScalarValue> {
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = interval else {
        return None;
    };
    let nanoseconds =
        i128::from(interval.days) * NANOSECONDS_PER_DAY + i128::from(interval.nanoseconds);
    let per_unit: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    if interval.months != 0 || nanoseconds % per_unit != 0 {
        return None;
    }
    let count = i64::try_from(nanoseconds / per_unit).ok();
    count?;
    Some(match unit {
        TimeUnit::Second => ScalarValue::DurationSecond(count),
        TimeUnit::Millisecond => ScalarValue::DurationMillisecond(count),
        TimeUnit::Microsecond => ScalarValue::DurationMicrosecond(count),
        TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(count),
    })
}

fn rows_in_list(list: InList) -> Transformed<Expr> {
    let equal = list.list.iter().map(|item| row_equality(&list.expr, item));
    let any = equal
        .collect::<Option<Vec<Expr>>>()
        .and_then(|equal| equal.into_iter().reduce(Expr::or));
    match any {
        Some(any) if list.negated => Transformed::yes(not(any)),
        Some(any) => Transformed::yes(any),
        None => Transformed::no(Expr::InList(list)),
    }
}

fn similar_to(like: Like) -> Result<Expr> {
    let Expr::Literal(pattern, _) = like.pattern.as_ref() else {
        return plan_err!(
            "SIMILAR TO takes a constant pattern; write x ~ pattern for a regular expression"
        );
    };
    let Some(pattern) = pattern.try_as_str() else {
        return plan_err!("SIMILAR TO takes a text as the pattern");
    };
    let operator = match (like.negated, like.case_insensitive) {
        (false, false) => Operator::RegexMatch,
        (false, true) => Operator::RegexIMatch,
        (true, false) => Operator::RegexNotMatch,
        (true, true) => Operator::RegexNotIMatch,
    };
    let pattern = match pattern {
        Some(pattern) => lit(regular_expression(
            pattern,
            like.escape_char.unwrap_or('\\'),
        )),
        None => lit(ScalarValue::Utf8(None)),
    };
    Ok(binary_expr(*like.expr, operator, pattern))
}

/// The regular expression for a pattern of the standard.
fn regular_expression(pattern: &str, escape: char) -> String {
    let mut expression = String::from("^(?s:");
    let mut in_brackets = false;
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter == escape => {
                let escaped = letters.next().unwrap_or(escape);
                if !escaped.is_alphanumeric() {
                    expression.push('\\');
                }
                expression.push(escaped);
            }
            '[' | ']' => {
                in_brackets = letter == '[';
                expression.push(letter);
            }
            _ if in_brackets => expression.push(letter),
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            '.' | '^' | '$' | '\\' => expression.extend(['\\', letter]),
            _ => expression.push(letter),
        }
    }
    expression.push_str(")$");
    expression
}

/// Longer chains are balanced. As written, each link nests one level deeper, and recursion over them would exhaust
/// the stack.
const CHAIN: usize = 8;

/// Balances chains of associative operators. The order of the operands stays.
fn balanced(expr: Expr) -> Result<Transformed<Expr>> {
    rewrite_parts_down(expr, &mut |part| {
        let Expr::BinaryExpr(BinaryExpr { op, .. }) = &part else {
            return Ok(Transformed::no(part));
        };
        let op = *op;
        if !matches!(op, Operator::And | Operator::Or | Operator::StringConcat)
            || chain_depth(&part, op) <= CHAIN
        {
            return Ok(Transformed::no(part));
        }
        let mut links = Vec::new();
        let mut open = vec![part];
        while let Some(part) = open.pop() {
            match part {
                Expr::BinaryExpr(BinaryExpr {
                    left,
                    op: inner,
                    right,
                }) if inner == op => {
                    open.push(*right);
                    open.push(*left);
                }
                link => links.push(link),
            }
        }
        Ok(Transformed::yes(chain(links, op)))
    })
}

/// How deep operators of one kind are nested, along the left or the right side.
fn chain_depth(expr: &Expr, operator: Operator) -> usize {
    let along = |next: fn(&BinaryExpr) -> &Expr| {
        let mut depth = 0;
        let mut at = expr;
        while let Expr::BinaryExpr(binary) = at
            && binary.op == operator
        {
            depth += 1;
            at = next(binary);
        }
        depth
    };
    along(|binary| &binary.left).max(along(|binary| &binary.right))
}

/// The links of a chain as a balanced tree.
pub fn chain(mut links: Vec<Expr>, operator: Operator) -> Expr {
    while links.len() > 1 {
        let mut pairs = Vec::with_capacity(links.len().div_ceil(2));
        let mut rest = links.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => binary_expr(left, operator, right),
                None => left,
            });
        }
        links = pairs;
    }
    links.pop().unwrap_or_else(|| lit(true))
}

#[cfg(test)]
mod tests {
    use datafusion_expr::col;
    use tidewater_planner::each_part;

    use super::*;

    #[test]
    fn patterns_of_the_standard() {
        for (pattern, expected) in [
            ("h%", "^(?s:h.*)$"),
            ("a_c", "^(?s:a.c)$"),
            ("(a|b)+", "^(?s:(a|b)+)$"),
            ("a.b", "^(?s:a\\.b)$"),
            ("[0-9]{3}", "^(?s:[0-9]{3})$"),
            ("10\\%", "^(?s:10\\%)$"),
            ("^$", "^(?s:\\^\\$)$"),
        ] {
            assert_eq!(regular_expression(pattern, '\\'), expected);
        }
    }

    #[test]
    fn long_chains_are_balanced_in_their_order() {
        let links = || (0..1000).map(|n| col("a").eq(lit(n)));
        for operator in [Operator::And, Operator::Or] {
            let left = links().reduce(|a, b| binary_expr(a, operator, b));
            let right = links().rev().reduce(|b, a| binary_expr(a, operator, b));
            for chain in [left, right] {
                let balanced = balanced(chain.unwrap_or_default()).map(|of| of.data);
                let balanced = balanced.unwrap_or_default();
                assert!(chain_depth(&balanced, operator) <= 10);
                let mut found = Vec::new();
                let walked = each_part(&balanced, &mut |part| {
                    if let Expr::Literal(value, _) = part {
                        found.push(value.to_string());
                    }
                    Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
                });
                assert!(walked.is_ok());
                assert_eq!(found, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
            }
        }
    }
}
