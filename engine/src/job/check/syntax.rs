//! Refuses constructs by their syntax alone, before names and types are known.
//!
//! The planner ignores some clauses silently (it reads a sampled table completely), prints its syntax tree for
//! others, and gives no place for most. Here each is found at its place.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_expr::planner::ContextProvider;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArguments, GroupByExpr, JoinOperator, ObjectName, Query,
    Select, SelectItem, Spanned, TableFactor, Visitor,
};
use datafusion_sql::sqlparser::tokenizer::{Location, Span};
use tidewater_planner::{each_expr_within, visit_query};

use super::super::catalog::Catalog;
use super::super::phrasebook;
use super::super::pivot;
use super::super::planner_errors::unknown_function;
use super::super::site::Site;
use super::super::statement::normalize;
use super::super::tokens::place;
use super::expressions::unsupported_aggregate;
use crate::diagnostic::{Diagnostic, Place};

/// Functions that the planner itself knows by name.
const PLANNED: [&str; 4] = ["unnest", "unnest_outer", "map", "make_map"];

/// All refusals of a query by its syntax.
pub(in super::super) fn refusals(
    query: &Query,
    site: &Site<'_>,
    catalog: &Catalog,
) -> Vec<Diagnostic> {
    let mut syntax = Syntax {
        site,
        catalog,
        found: Vec::new(),
        compared: BTreeSet::new(),
    };
    let _: ControlFlow<()> = visit_query(query, &mut syntax);
    syntax.found
}

struct Syntax<'a> {
    site: &'a Site<'a>,
    catalog: &'a Catalog,
    found: Vec<Diagnostic>,
    /// Beginnings of subqueries that were refused together with the comparison around them.
    compared: BTreeSet<Location>,
}

impl Visitor for Syntax<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(fetch) = &query.fetch {
            let rows = fetch
                .quantity
                .as_ref()
                .map_or_else(|| "1".to_owned(), ToString::to_string);
            let at = self.words_from(query.span(), &["FETCH"]);
            self.refuse(
                at,
                "FETCH FIRST is not supported",
                format!("write LIMIT {rows}"),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.grouping(select);
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let JoinOperator::AsOf { .. } = join.join_operator {
                let at = self.words_from(select.span(), &["ASOF"]);
                self.refuse(at, "ASOF JOIN is not supported", phrasebook::ASOF_INSTEAD);
            }
        }
        if !select.lateral_views.is_empty() {
            let at = self.words_from(select.span(), &["LATERAL", "VIEW"]);
            self.refuse(
                at,
                "LATERAL VIEW is not supported",
                "write unnest(list) AS name in the SELECT list",
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        self.table(table);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(query) => self.subquery(query),
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated),
            Expr::Exists { subquery, negated } => self.exists(subquery, *negated),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => self.quantified(right),
            Expr::Function(function) => self.function(function),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.field_access(root, access_chain);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Syntax<'_> {
    fn refuse(&mut self, at: Place, message: impl AsRef<str>, hint: impl Into<String>) {
        let refusal = Diagnostic::new(at, message.as_ref()).with_hint(hint);
        if !self.found.contains(&refusal) {
            self.found.push(refusal);
        }
    }

    /// The place of these words, from the beginning of `span` on.
    fn words_from(&self, span: Span, words: &'static [&'static str]) -> Place {
        let found = self
            .site
            .tokens
            .and_then(|tokens| tokens.words_from(span.start, words));
        found.unwrap_or_else(|| {
            if span == Span::empty() {
                self.site.place
            } else {
                place(span)
            }
        })
    }

    /// Refuses `GROUP BY 1` if the first column is an aggregate.
    fn grouping(&mut self, select: &Select) {
        let GroupByExpr::Expressions(grouping, _) = &select.group_by else {
            return;
        };
        let plain: Vec<&Expr> = select.projection.iter().map_while(plain_item).collect();
        for expr in grouping {
            let Expr::Value(position) = expr else {
                continue;
            };
            let number = position.to_string();
            let selected = number
                .parse()
                .ok()
                .and_then(|at: usize| plain.get(at.checked_sub(1)?));
            let Some(aggregate) = selected.filter(|item| self.has_aggregate(item)) else {
                continue;
            };
            let others = (1..)
                .zip(&plain)
                .filter(|(_, item)| !self.has_aggregate(item));
            let others: Vec<String> = others.map(|(at, _)| at.to_string()).collect();
            let hint = if others.is_empty() {
                "leave GROUP BY out: an aggregate is of all rows then".to_owned()
            } else {
                format!("write GROUP BY {}", others.join(", "))
            };
            self.refuse(
                place(position.span),
                format!("GROUP BY {number} is {aggregate}, an aggregate"),
                hint,
            );
        }
    }

    fn has_aggregate(&self, expr: &Expr) -> bool {
        let found = each_expr_within(expr, &mut |part| match part {
            Expr::Function(call)
                if call.over.is_none()
                    && self
                        .catalog
                        .get_aggregate_meta(&plain_name(&call.name))
                        .is_some() =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        found.is_break()
    }

    fn table(&mut self, table: &TableFactor) {
        let span = table.span();
        match table {
            TableFactor::Pivot { .. } => {
                let at = self.words_from(span, &["PIVOT"]);
                self.refuse(at, "PIVOT is not supported", pivot::instead_of_pivot(table));
            }
            TableFactor::Unpivot { .. } => {
                let at = self.words_from(span, &["UNPIVOT"]);
                self.refuse(
                    at,
                    "UNPIVOT is not supported",
                    pivot::instead_of_unpivot(table),
                );
            }
            TableFactor::MatchRecognize { .. } => {
                let at = self.words_from(span, &["MATCH_RECOGNIZE"]);
                self.refuse(
                    at,
                    "MATCH_RECOGNIZE is not supported",
                    phrasebook::MATCH_RECOGNIZE_INSTEAD,
                );
            }
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => self.table_function(name),
            TableFactor::Table { .. } | TableFactor::Derived { .. } => self.ignored_clauses(table),
            TableFactor::UNNEST {
                with_offset,
                with_ordinality,
                ..
            } if *with_offset || *with_ordinality => {
                let at = self.words_from(span, &["WITH"]);
                let hint = "unnest generate_series(1, array_length(list)) beside the list: both lists go row by row";
                self.refuse(
                    at,
                    "the positions of unnested values are not supported",
                    hint,
                );
            }
            TableFactor::UNNEST { .. } | TableFactor::NestedJoin { .. } => {}
            _ => {
                let at = if span == Span::empty() {
                    self.words_from(span, &["FROM"])
                } else {
                    place(span)
                };
                self.refuse(
                    at,
                    "this kind of table is not supported",
                    "read a source or a view, or list rows: VALUES (1), (2)",
                );
            }
        }
    }

    fn table_function(&mut self, name: &ObjectName) {
        let called = plain_name(name);
        let message = format!("table functions are not supported: {called}(…)");
        self.refuse(
            place(name.span()),
            message,
            phrasebook::instead_of_table_function(&called),
        );
    }

    /// Refuses clauses of a table that the planner ignores silently.
    fn ignored_clauses(&mut self, table: &TableFactor) {
        let span = table.span();
        let (sample, version, partitions) = match table {
            TableFactor::Table {
                sample,
                version,
                partitions,
                ..
            } => (sample.is_some(), version.is_some(), !partitions.is_empty()),
            TableFactor::Derived { sample, .. } => (sample.is_some(), false, false),
            _ => return,
        };
        if sample {
            let at = self.first_words_from(span, &[&["TABLESAMPLE"], &["SAMPLE"]]);
            let hint = "take rows by a digest of their key, which keeps a row once it is taken: WHERE md5(key) < '1a' keeps about a tenth";
            self.refuse(
                at,
                "TABLESAMPLE is not supported: a maintained table cannot hold other rows each time",
                hint,
            );
        }
        if version {
            let at =
                self.first_words_from(span, &[&["FOR"], &["VERSION"], &["TIMESTAMP"], &["AT"]]);
            self.refuse(
                at,
                "older versions of a table cannot be read",
                "remove the clause: a view reads its inputs as they are",
            );
        }
        if partitions {
            let at = self.words_from(span, &["PARTITION"]);
            self.refuse(
                at,
                "a view reads all partitions of a table",
                "write a condition: WHERE day = DATE '2024-03-01'",
            );
        }
    }

    fn first_words_from(&self, span: Span, alternatives: &[&'static [&'static str]]) -> Place {
        let tokens = self.site.tokens;
        let found = alternatives
            .iter()
            .filter_map(|words| tokens?.words_from(span.start, words));
        found.min().unwrap_or_else(|| place(span))
    }

    fn subquery(&mut self, query: &Query) {
        if !self.compared.contains(&query.span().start) {
            self.refuse(
                place(first_token(query.span())),
                "a SELECT as a value is not supported",
                phrasebook::SCALAR_SUBQUERY_INSTEAD,
            );
        }
    }

    fn in_subquery(&mut self, expr: &Expr, query: &Query, negated: bool) {
        let at = place(first_token(query.span()));
        if negated {
            let hint = format!(
                "LEFT JOIN (SELECT DISTINCT key FROM …) AS other ON other.key = {expr}, and keep WHERE other.key IS NULL"
            );
            self.refuse(at, "NOT IN (SELECT …) is not supported", hint);
        } else {
            let hint = format!("JOIN (SELECT DISTINCT key FROM …) AS other ON other.key = {expr}");
            self.refuse(at, "IN (SELECT …) is not supported", hint);
        }
    }

    fn exists(&mut self, query: &Query, negated: bool) {
        let at = place(first_token(query.span()));
        if negated {
            let hint = "LEFT JOIN (SELECT DISTINCT key FROM …) AS other ON other.key = key, and keep WHERE other.key IS NULL";
            self.refuse(at, "NOT EXISTS (SELECT …) is not supported", hint);
        } else {
            let hint = "JOIN (SELECT DISTINCT key FROM …) AS other ON other.key = key";
            self.refuse(at, "EXISTS (SELECT …) is not supported", hint);
        }
    }

    fn quantified(&mut self, right: &Expr) {
        if let Expr::Subquery(query) = right {
            self.compared.insert(query.span().start);
            let hint =
                "compare with the least or the greatest: join a view of min(x) or max(x) on a key";
            self.refuse(
                place(first_token(query.span())),
                "ANY and ALL (SELECT …) are not supported",
                hint,
            );
        }
    }

    fn function(&mut self, function: &Function) {
        let name = plain_name(&function.name);
        let at = place(function.name.span());
        if self.is_scalar(&name) {
            return self.scalar_function(function, &name);
        }
        let window = self.catalog.get_window_meta(&name);
        let aggregate = self
            .catalog
            .get_aggregate_meta(&name)
            .filter(|_| function.over.is_none());
        if let Some((message, hint)) =
            aggregate.and_then(|aggregate| unsupported_aggregate(aggregate.name()))
        {
            self.refuse(at, message, hint);
        } else if window.is_none()
            && self.catalog.get_aggregate_meta(&name).is_none()
            && self.catalog.get_higher_order_meta(&name).is_none()
            && !PLANNED.contains(&name.as_str())
        {
            let error = unknown_function(
                &name,
                &[],
                &Site {
                    place: at,
                    ..*self.site
                },
            );
            self.refuse(at, error.message, error.hint.unwrap_or_default());
        }
    }

    /// Refuses clauses that scalar functions do not have and that the planner ignores.
    fn scalar_function(&mut self, function: &Function, name: &str) {
        let at = place(function.name.span());
        if function.filter.is_some() {
            let message =
                format!("FILTER belongs to aggregates, and {name} is a function of one row");
            self.refuse(
                at,
                message,
                format!("write CASE WHEN condition THEN {name}(…) END"),
            );
        }
        let FunctionArguments::List(list) = &function.args else {
            return;
        };
        if list.duplicate_treatment.is_some()
            || !list.clauses.is_empty()
            || function.null_treatment.is_some()
        {
            let message = format!(
                "{name} is a function of one row: DISTINCT, ORDER BY and IGNORE NULLS mean nothing to it"
            );
            self.refuse(at, message, "remove it");
        }
    }

    fn is_scalar(&self, name: &str) -> bool {
        self.catalog.get_function_meta(name).is_some()
            && self.catalog.get_aggregate_meta(name).is_none()
            && self.catalog.get_window_meta(name).is_none()
    }

    /// Refuses `(x).f`. The planner knows `x['f']`.
    fn field_access(&mut self, root: &Expr, chain: &[AccessExpr]) {
        let root_of = |root: &Expr| match root {
            Expr::Nested(inner) => inner.to_string(),
            other => other.to_string(),
        };
        let mut written = root_of(root);
        let mut has_dot = false;
        for access in chain {
            match access {
                AccessExpr::Dot(Expr::Identifier(field)) => {
                    has_dot = true;
                    written.push_str(&format!("['{}']", normalize(field)));
                }
                other => written.push_str(&other.to_string()),
            }
        }
        if has_dot {
            let at = place(root.span());
            self.refuse(
                at,
                "a field of an expression is written in brackets",
                format!("write {written}"),
            );
        }
    }
}

/// The expression of a selected column; `None` for a wildcard.
fn plain_item(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

fn plain_name(name: &ObjectName) -> String {
    let parts = name
        .0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), normalize));
    parts.collect::<Vec<_>>().join(".")
}

/// The first word of a span, `SELECT` or `WITH` of a query.
fn first_token(span: Span) -> Span {
    const SELECT: u64 = 6;
    Span::new(
        span.start,
        Location::new(span.start.line, span.start.column + SELECT),
    )
}
