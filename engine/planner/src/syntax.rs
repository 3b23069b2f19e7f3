//! Walks over the syntax of queries, from the outside in.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};

/// Shows a query to a visitor.
pub fn visit_query(query: &Query, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()> {
    query.visit(&mut AnyVisitor(visitor))
}

/// Shows a query to a visitor that may change it.
pub fn rewrite_query(
    query: &mut Query,
    visitor: &mut dyn VisitorMut<Break = ()>,
) -> ControlFlow<()> {
    query.visit(&mut AnyVisitor(visitor))
}

/// Shows a `SELECT` to a visitor that may change it.
pub fn rewrite_select(
    select: &mut Select,
    visitor: &mut dyn VisitorMut<Break = ()>,
) -> ControlFlow<()> {
    select.visit(&mut AnyVisitor(visitor))
}

/// Shows an expression to a visitor that may change it.
pub fn rewrite_expr(expr: &mut Expr, visitor: &mut dyn VisitorMut<Break = ()>) -> ControlFlow<()> {
    expr.visit(&mut AnyVisitor(visitor))
}

/// Calls `visit` for an expression and all expressions in it.
pub fn each_expr_within(
    expr: &Expr,
    visit: &mut dyn FnMut(&Expr) -> ControlFlow<()>,
) -> ControlFlow<()> {
    struct Exprs<'a>(&'a mut dyn FnMut(&Expr) -> ControlFlow<()>);
    impl Visitor for Exprs<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            (self.0)(expr)
        }
    }
    expr.visit(&mut AnyVisitor(
        &mut Exprs(visit) as &mut dyn Visitor<Break = ()>
    ))
}

/// Calls `visit` for each relation that a query names.
pub fn each_relation(
    query: &Query,
    visit: &mut dyn FnMut(&ObjectName) -> ControlFlow<()>,
) -> ControlFlow<()> {
    struct Relations<'a>(&'a mut dyn FnMut(&ObjectName) -> ControlFlow<()>);
    impl Visitor for Relations<'_> {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            (self.0)(relation)
        }
    }
    visit_query(query, &mut Relations(visit))
}

/// A visitor of any type.
struct AnyVisitor<V>(V);

macro_rules! forward {
    ($($visit:ident($part:ty),)*) => {
        $(fn $visit(&mut self, part: $part) -> ControlFlow<()> {
            self.0.$visit(part)
        })*
    };
}

impl Visitor for AnyVisitor<&mut dyn Visitor<Break = ()>> {
    type Break = ();

    forward! {
        pre_visit_query(&Query),
        post_visit_query(&Query),
        pre_visit_select(&Select),
        post_visit_select(&Select),
        pre_visit_relation(&ObjectName),
        post_visit_relation(&ObjectName),
        pre_visit_table_factor(&TableFactor),
        post_visit_table_factor(&TableFactor),
        pre_visit_expr(&Expr),
        post_visit_expr(&Expr),
        pre_visit_statement(&Statement),
        post_visit_statement(&Statement),
        pre_visit_value(&ValueWithSpan),
        post_visit_value(&ValueWithSpan),
    }
}

impl VisitorMut for AnyVisitor<&mut dyn VisitorMut<Break = ()>> {
    type Break = ();

    forward! {
        pre_visit_query(&mut Query),
        post_visit_query(&mut Query),
        pre_visit_select(&mut Select),
        post_visit_select(&mut Select),
        pre_visit_relation(&mut ObjectName),
        post_visit_relation(&mut ObjectName),
        pre_visit_table_factor(&mut TableFactor),
        post_visit_table_factor(&mut TableFactor),
        pre_visit_expr(&mut Expr),
        post_visit_expr(&mut Expr),
        pre_visit_statement(&mut Statement),
        post_visit_statement(&mut Statement),
        pre_visit_value(&mut ValueWithSpan),
        post_visit_value(&mut ValueWithSpan),
    }
}
