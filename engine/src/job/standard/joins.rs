//! `USING` and `NATURAL` in the words of `ON`.
//!
//! A join by `USING (k)` has one column `k`: that of the side whose rows are all kept, or for a full join the first of
//! both that is not NULL. `SELECT *` gives these columns first, then the other columns of the left and the right side.
//! `a.k` and `b.k` still name the columns of the two sides.
//!
//! A query whose tables cannot be planned stays as it is, for the planner to report its mistakes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Cte, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select,
    SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, VisitorMut,
    WildcardAdditionalOptions, With,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use tidewater_planner::{rewrite_expr, rewrite_select};

use super::super::statement::normalize;
use super::wildcard;

/// Rewrites all joins of a query. `columns` returns the names of the columns of a query, if it can be planned.
pub(super) fn rewrite(query: &mut Query, columns: &mut dyn FnMut(&Query) -> Option<Vec<String>>) {
    Joins {
        columns,
        ctes: Vec::new(),
        unnamed: 0,
    }
    .query(query);
}

/// A column of a `FROM` clause that can be named without its table.
pub(super) struct Visible {
    /// Its name, as it is in plans.
    pub name: String,
    /// The column with its table, or the value of a column that a join has merged.
    pub expr: Expr,
    /// Whether a join has merged columns into it.
    pub is_merged: bool,
}

/// The columns that joins have merged, by name.
type Merged = BTreeMap<String, Expr>;

/// The side of a join that has a value in every row.
enum KeptSide {
    Left,
    Right,
    /// Either of both.
    Full,
}

struct Joins<'a> {
    columns: &'a mut dyn FnMut(&Query) -> Option<Vec<String>>,
    /// The common table expressions that can be read, already rewritten.
    ctes: Vec<Cte>,
    /// The number of subqueries that got a name.
    unnamed: usize,
}

impl Joins<'_> {
    fn query(&mut self, query: &mut Query) {
        let outer = self.ctes.len();
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            self.query(&mut cte.query);
            self.ctes.push(cte.clone());
        }
        if let Some(merged) = self.body(&mut query.body)
            && let SetExpr::Select(select) = query.body.as_ref()
            && let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(keys) = &mut order.kind
        {
            for key in keys {
                // A name alone means a selected column, if there is one.
                if !matches!(&key.expr, Expr::Identifier(name) if selects(select, name)) {
                    let _: ControlFlow<()> = rewrite_expr(&mut key.expr, &mut MergedNames(&merged));
                }
            }
        }
        self.ctes.truncate(outer);
    }

    /// Rewrites a query without its `ORDER BY`. Returns what its joins have merged, if it is one `SELECT` with such.
    fn body(&mut self, body: &mut SetExpr) -> Option<Merged> {
        match body {
            SetExpr::Select(select) => return self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
        None
    }

    fn select(&mut self, select: &mut Select) -> Option<Merged> {
        for table in &mut select.from {
            self.within(table);
        }
        if !select.from.iter().any(merges) || select.exclude.is_some() {
            return None;
        }
        let mut from = select.from.clone();
        let mut visible = Vec::new();
        for table in &mut from {
            visible.extend(self.joined(table)?);
        }
        select.projection = std::mem::take(&mut select.projection)
            .into_iter()
            .flat_map(|item| wildcard::expanded(item, &visible))
            .collect();
        let merged: Merged = visible
            .into_iter()
            .filter(|column| column.is_merged)
            .map(|column| (column.name, column.expr))
            .collect();
        // The conditions of joins name the columns of their sides.
        select.from.clear();
        keep_names(select, &merged);
        let _: ControlFlow<()> = rewrite_select(select, &mut MergedNames(&merged));
        select.from = from;
        Some(merged)
    }

    /// Rewrites the subqueries in a `FROM` clause.
    fn within(&mut self, table: &mut TableWithJoins) {
        let joined = table.joins.iter_mut().map(|join| &mut join.relation);
        for factor in std::iter::once(&mut table.relation).chain(joined) {
            match factor {
                TableFactor::Derived { subquery, .. } => self.query(subquery),
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => self.within(table_with_joins),
                _ => {}
            }
        }
    }

    /// Rewrites joins, and returns their columns.
    fn joined(&mut self, table: &mut TableWithJoins) -> Option<Vec<Visible>> {
        let mut left = self.factor(&mut table.relation)?;
        for join in &mut table.joins {
            let right = self.factor(&mut join.relation)?;
            left = united(&mut join.join_operator, left, right)?;
        }
        Some(left)
    }

    /// The columns of a table.
    fn factor(&mut self, factor: &mut TableFactor) -> Option<Vec<Visible>> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } = factor
        {
            let visible = self.joined(table_with_joins)?;
            let Some(alias) = alias.take() else {
                return Some(visible);
            };
            *factor = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(select_from(
                    (**table_with_joins).clone(),
                    visible.iter().map(wildcard::selected).collect(),
                )?),
                alias: Some(alias),
                sample: None,
            };
        }
        let qualifier = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => match alias {
                Some(alias) => alias.name.clone(),
                None => name.0.last()?.as_ident()?.clone(),
            },
            TableFactor::Derived {
                lateral: false,
                alias,
                ..
            } => alias
                .get_or_insert_with(|| self.unnamed_table())
                .name
                .clone(),
            _ => return None,
        };
        let table = TableWithJoins {
            relation: factor.clone(),
            joins: Vec::new(),
        };
        let all = SelectItem::Wildcard(WildcardAdditionalOptions::default());
        let mut query = select_from(table, vec![all])?;
        query.with = self.with();
        let names = (self.columns)(&query)?;
        let visible = names.into_iter().map(|name| Visible {
            expr: Expr::CompoundIdentifier(vec![
                qualifier.clone(),
                Ident::with_quote('"', name.as_str()),
            ]),
            name,
            is_merged: false,
        });
        Some(visible.collect())
    }

    /// A name for a subquery that has none.
    fn unnamed_table(&mut self) -> TableAlias {
        self.unnamed += 1;
        TableAlias {
            explicit: true,
            name: Ident::with_quote('"', format!("subquery {}", self.unnamed)),
            columns: Vec::new(),
            at: None,
        }
    }

    /// The common table expressions, as a clause. Of those with one name the innermost counts.
    fn with(&self) -> Option<With> {
        let mut tables: Vec<Cte> = Vec::new();
        for cte in &self.ctes {
            tables.retain(|other| normalize(&other.alias.name) != normalize(&cte.alias.name));
            tables.push(cte.clone());
        }
        let has_tables = !tables.is_empty();
        has_tables.then(|| With {
            with_token: AttachedToken::empty(),
            recursive: false,
            cte_tables: tables,
        })
    }
}

/// Whether a `FROM` clause has `USING` or `NATURAL`.
fn merges(table: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| matches!(factor, TableFactor::NestedJoin { table_with_joins, .. } if merges(table_with_joins));
    nested(&table.relation)
        || table.joins.iter().any(|join| {
            let constraint = sides(&join.join_operator).map(|(constraint, _)| constraint);
            nested(&join.relation)
                || matches!(
                    constraint,
                    Some(JoinConstraint::Using(_) | JoinConstraint::Natural)
                )
        })
}

/// The constraint of a join, and the side whose rows are all kept; `None` for joins that have the columns of one side.
fn sides(operator: &JoinOperator) -> Option<(&JoinConstraint, KeptSide)> {
    Some(match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => (constraint, KeptSide::Left),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (constraint, KeptSide::Right)
        }
        JoinOperator::FullOuter(constraint) => (constraint, KeptSide::Full),
        _ => return None,
    })
}

/// The columns of a join. Its constraint becomes `ON`.
fn united(
    operator: &mut JoinOperator,
    mut left: Vec<Visible>,
    mut right: Vec<Visible>,
) -> Option<Vec<Visible>> {
    let (constraint, kept) = sides(operator)?;
    let names: Vec<String> = match constraint {
        JoinConstraint::Using(names) => {
            let names = names.iter().map(|name| match name.0.as_slice() {
                [part] => part.as_ident().map(normalize),
                _ => None,
            });
            names.collect::<Option<_>>()?
        }
        JoinConstraint::Natural => {
            let names = left.iter().map(|column| column.name.clone());
            names
                .filter(|name| right.iter().any(|column| column.name == *name))
                .collect()
        }
        JoinConstraint::On(_) | JoinConstraint::None => Vec::new(),
    };
    let mut all = Vec::new();
    let mut condition: Option<Expr> = None;
    for name in names {
        let (left, right) = (taken(&mut left, &name)?, taken(&mut right, &name)?);
        let equal = binary(left.clone(), BinaryOperator::Eq, right.clone());
        condition = Some(match condition {
            Some(before) => binary(before, BinaryOperator::And, equal),
            None => equal,
        });
        let expr = match kept {
            KeptSide::Left => left,
            KeptSide::Right => right,
            KeptSide::Full => coalesce(left, right),
        };
        all.push(Visible {
            name,
            expr,
            is_merged: true,
        });
    }
    if let Some(condition) = condition {
        *constraint_mut(operator)? = JoinConstraint::On(condition);
    }
    all.append(&mut left);
    all.append(&mut right);
    Some(all)
}

fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    Some(match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => constraint,
        _ => return None,
    })
}

/// Removes the column of this name; `None` unless there is exactly one.
fn taken(columns: &mut Vec<Visible>, name: &str) -> Option<Expr> {
    let mut found = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.name == name);
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    Some(columns.remove(at).expr)
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    let args = [left, right].map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `SELECT projection FROM table`.
fn select_from(table: TableWithJoins, projection: Vec<SelectItem>) -> Option<Query> {
    let parsed = Parser::parse_sql(&GenericDialect {}, "SELECT 1").ok()?;
    let Statement::Query(mut query) = parsed.into_iter().next()? else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    select.projection = projection;
    select.from = vec![table];
    Some(*query)
}

/// Whether a `SELECT` has a column of this name.
fn selects(select: &Select, name: &Ident) -> bool {
    let name = normalize(name);
    select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => normalize(column) == name,
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().is_some_and(|column| normalize(column) == name)
        }
        SelectItem::ExprWithAlias { alias, .. } => normalize(alias) == name,
        _ => false,
    })
}

/// Gives selected columns that a full join has merged their names, which the replacing expression does not have.
fn keep_names(select: &mut Select, merged: &Merged) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
            && let Some(expr @ Expr::Function(_)) = merged.get(&normalize(name))
        {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: name.clone(),
            };
        }
    }
}

/// Replaces the names of merged columns.
struct MergedNames<'a>(&'a Merged);

impl VisitorMut for MergedNames<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some(merged) = self.0.get(&normalize(name))
        {
            let span = name.span;
            *expr = merged.clone();
            // Errors about the column are shown where the user wrote its name.
            if let Expr::CompoundIdentifier(parts) = expr {
                parts.iter_mut().for_each(|part| part.span = span);
            }
        }
        ControlFlow::Continue(())
    }
}
