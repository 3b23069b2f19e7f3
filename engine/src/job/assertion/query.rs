//! The query that counts what breaks a rule.
//!
//! | rule | query |
//! |---|---|
//! | `ON t CHECK (c)` | `SELECT count(*) FILTER (WHERE NOT (c)) AS broken, count(*) AS rows FROM t` |
//! | … `OPTIONS ('scope' 'delivery', 'delivery' 'd')` | the same with `d`, `GROUP BY d` |
//! | `CHECK (NOT EXISTS (q))` | `SELECT count(*) AS broken FROM (q) AS found` |
//! | `CHECK (… (q1) … (q2) …)` | `SELECT CASE WHEN NOT (… value_1 … value_2 …) THEN 1 ELSE 0 END AS broken FROM` the rows of `q1` and `q2`, one each |

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CreateView, Expr, GroupByExpr, Ident, ObjectName, Query, SelectItem, SetExpr,
    Statement, UnaryOperator, VisitorMut,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use tidewater_planner::{each_expr_within, rewrite_expr, rewrite_query};

use super::{BROKEN_COLUMN, ROWS_COLUMN};
use crate::diagnostic::{Diagnostic, Place};

/// A rule, by what it is about.
pub(super) enum Rule<'a> {
    /// Every row of a relation satisfies a condition.
    Rows {
        on: &'a ObjectName,
        check: &'a Expr,
        by: Option<&'a str>,
    },
    /// A query has no row.
    NoRows(&'a Query),
    /// A condition holds for the only rows of some queries.
    Values {
        check: Box<Expr>,
        queries: Vec<Query>,
    },
}

/// A rule of a form that cannot be kept.
pub(super) struct Mistake {
    message: &'static str,
    hint: &'static str,
}

impl Mistake {
    pub fn at(&self, at: Place) -> Diagnostic {
        Diagnostic::new(at, self.message).with_hint(self.hint)
    }
}

impl<'a> Rule<'a> {
    /// The rule of a condition.
    pub fn of(
        on: Option<&'a ObjectName>,
        check: &'a Expr,
        by: Option<&'a str>,
    ) -> Result<Self, Mistake> {
        if let Some(on) = on {
            if !has_query(check) {
                return Ok(Self::Rows { on, check, by });
            }
            return Err(Mistake {
                message: "a rule ON a table is about each of its rows, and has no subquery",
                hint: "leave ON out and write the rows that break the rule: CHECK (NOT EXISTS (SELECT … FROM … WHERE …))",
            });
        }
        if by.is_some() {
            return Err(Mistake {
                message: "only a rule ON a table is judged by delivery",
                hint: "write CREATE ASSERTION name ON table CHECK (…), or leave 'scope' out",
            });
        }
        if let Some(query) = missing_rows(check) {
            return Ok(Self::NoRows(query));
        }
        let mut values = ScalarQueries::default();
        let mut check = check.clone();
        let _: ControlFlow<()> = rewrite_expr(&mut check, &mut values);
        if values.has_exists {
            return Err(Mistake {
                message: "EXISTS and IN (SELECT …) stand alone in a rule, as NOT EXISTS (…)",
                hint: "write an assertion for each part of the condition",
            });
        }
        if values.queries.is_empty() {
            return Err(Mistake {
                message: "this rule is about no table",
                hint: "write CREATE ASSERTION name ON table CHECK (condition), or CHECK (NOT EXISTS (SELECT …))",
            });
        }
        if !values.queries.iter().all(has_one_row) {
            return Err(Mistake {
                message: "a query that is compared in a rule has one value: an aggregate without GROUP BY",
                hint: "write for example CHECK ((SELECT sum(amount) FROM a) = (SELECT sum(amount) FROM b))",
            });
        }
        let queries = values.queries;
        let check = Box::new(check);
        Ok(Self::Values { check, queries })
    }

    /// The view that counts what breaks the rule.
    pub fn view(&self, name: &ObjectName) -> Result<CreateView, ParserError> {
        let template = match self {
            Self::Rows { by: None, .. } => ROW_COUNTS.clone(),
            _ => template(&self.counts()),
        };
        let mut view = self.filled(template?);
        view.name = name.clone();
        Ok(view)
    }

    /// A query whose only column is the rule's condition; `None` if that is known to be one.
    pub fn condition(&self) -> Result<Option<Box<Query>>, ParserError> {
        let (check, from) = match self {
            Self::Rows { check, .. } => (*check, ON.to_owned()),
            Self::Values { check, queries } => (&**check, joined_values(queries.len())),
            Self::NoRows(_) => return Ok(None),
        };
        if is_condition(check) {
            return Ok(None);
        }
        let template = template(&format!("SELECT {CHECK} FROM {from}"))?;
        Ok(Some(self.filled(template).query))
    }

    /// A template with the rule's own parts.
    fn filled(&self, mut template: CreateView) -> CreateView {
        let _: ControlFlow<()> = rewrite_query(&mut template.query, &mut self.parts());
        template
    }

    /// The text that counts what breaks the rule, without the rule's own parts.
    fn counts(&self) -> String {
        match self {
            Self::Rows { by, .. } => {
                let counts = row_counts();
                match by {
                    None => format!("SELECT {counts} FROM {ON}"),
                    Some(by) => {
                        let by = Ident::with_quote('"', *by);
                        format!("SELECT {by}, {counts} FROM {ON} GROUP BY {by}")
                    }
                }
            }
            Self::NoRows(_) => {
                format!(
                    "SELECT count(*) AS {BROKEN_COLUMN} FROM (SELECT {}) AS found",
                    query_part(1)
                )
            }
            Self::Values { queries, .. } => format!(
                "SELECT CASE WHEN NOT ({CHECK}) THEN 1 ELSE 0 END AS {BROKEN_COLUMN} FROM {}",
                joined_values(queries.len())
            ),
        }
    }

    fn parts(&self) -> StandIns {
        let mut parts = StandIns::default();
        match self {
            Self::Rows { on, check, .. } => {
                parts.check = Some((*check).clone());
                parts.on = Some((*on).clone());
            }
            Self::NoRows(query) => drop(parts.queries.insert(query_part(1), (*query).clone())),
            Self::Values { check, queries } => {
                parts.check = Some((**check).clone());
                let queries = queries.iter().enumerate();
                let queries = queries.map(|(at, query)| (query_part(at + 1), query.clone()));
                parts.queries.extend(queries);
            }
        }
        parts
    }
}

/// The template of a rule on rows that are judged as a whole. Most rules are of this form, so it is parsed once.
static ROW_COUNTS: LazyLock<Result<CreateView, ParserError>> =
    LazyLock::new(|| template(&format!("SELECT {} FROM {ON}", row_counts())));

/// The columns that count the rows of a relation.
fn row_counts() -> String {
    format!(
        "count(*) FILTER (WHERE NOT ({CHECK})) AS {BROKEN_COLUMN}, count(*) AS \"{ROWS_COLUMN}\""
    )
}

/// A view of this text, in which a rule's own parts are missing.
fn template(select: &str) -> Result<CreateView, ParserError> {
    parsed(&format!("CREATE MATERIALIZED VIEW rule AS {select}"))
}

/// Stand-ins in a template. No job has such names, since a job's names cannot be made of a blank.
const CHECK: &str = "\" check\"";
const ON: &str = "\" on\"";

fn query_part(at: usize) -> String {
    format!("\" query {at}\"")
}

/// The values of so many queries, side by side.
fn joined_values(queries: usize) -> String {
    let one = |at: usize| {
        let (query, value) = (query_part(at), value_name(at));
        format!(
            "(SELECT 1 AS one, {value} FROM (SELECT {query}) AS of_{at}({value})) AS found_{at}"
        )
    };
    let rest: Vec<String> = (2..=queries)
        .map(|at| format!(" JOIN {} ON found_1.one = found_{at}.one", one(at)))
        .collect();
    format!("{}{}", one(1), rest.concat())
}

/// The column with the value of a query.
fn value_name(at: usize) -> String {
    format!("value_{at}")
}

/// The view that a text creates.
pub(super) fn parsed(text: &str) -> Result<CreateView, ParserError> {
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text)?;
    match parser.parse_statement()? {
        Statement::CreateView(view) => Ok(view),
        other => Err(ParserError::ParserError(format!("{other} is no view"))),
    }
}

/// The parts of a rule, which replace their stand-ins.
#[derive(Default)]
struct StandIns {
    check: Option<Expr>,
    on: Option<ObjectName>,
    queries: BTreeMap<String, Query>,
}

impl VisitorMut for StandIns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.check.is_some()
            && expr.to_string() == CHECK
            && let Some(check) = self.check.take()
        {
            *expr = check;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        if self.on.is_some()
            && relation.to_string() == ON
            && let Some(on) = self.on.take()
        {
            *relation = on;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if !self.queries.is_empty()
            && let Some(part) = query.to_string().strip_prefix("SELECT ")
            && let Some(own) = self.queries.remove(part)
        {
            *query = own;
        }
        ControlFlow::Continue(())
    }
}

/// Takes scalar subqueries out of a condition and leaves the names of their values.
#[derive(Default)]
struct ScalarQueries {
    queries: Vec<Query>,
    has_exists: bool,
    depth: usize,
}

impl VisitorMut for ScalarQueries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Subquery(query) => {
                self.queries.push((**query).clone());
                *expr = Expr::Identifier(Ident::new(value_name(self.queries.len())));
            }
            Expr::Exists { .. } | Expr::InSubquery { .. } => self.has_exists = true,
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether an expression is a condition by its syntax. The type of others is known when they are planned.
fn is_condition(check: &Expr) -> bool {
    match check {
        Expr::Nested(inner) => is_condition(inner),
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::And
                | BinaryOperator::Eq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::NotEq
                | BinaryOperator::Or
        ),
        Expr::UnaryOp { op, .. } => *op == UnaryOperator::Not,
        Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::Like { .. } => true,
        _ => false,
    }
}

fn has_query(check: &Expr) -> bool {
    let is_query = |expr: &Expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    each_expr_within(check, &mut |expr| is_query(expr)).is_break()
}

/// The query of `NOT EXISTS (query)`.
fn missing_rows(check: &Expr) -> Option<&Query> {
    match check {
        Expr::Nested(inner) => missing_rows(inner),
        Expr::Exists {
            subquery,
            negated: true,
        } => Some(subquery),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => match &**expr {
            Expr::Exists {
                subquery,
                negated: false,
            } => Some(subquery),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a query is an aggregation without groups and with one column, so that it has exactly one value.
fn has_one_row(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else {
        return false;
    };
    let is_whole =
        matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty());
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        select.projection.as_slice()
    else {
        return false;
    };
    is_whole && select.having.is_none() && query.limit_clause.is_none() && has_call(value)
}

/// Whether an expression calls a function. If that is no aggregate, the planner reports the query's columns.
fn has_call(value: &Expr) -> bool {
    let is_call = |expr: &Expr| match expr {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    each_expr_within(value, &mut |expr| is_call(expr)).is_break()
}
