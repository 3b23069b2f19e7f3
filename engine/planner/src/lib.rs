//! The generic parts of DataFusion's planner, compiled once.
//!
//! `SqlToRel` is generic over its catalog, and walks over statements, plans and expressions are generic over the
//! function that they call. Each use would compile thousands of functions again, with the optimisation level and in
//! the only unit of the crate that uses them. Here they take trait objects, so this crate compiles them once, at the
//! level of planning and in parallel with other crates.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod optimize;
mod sql;
mod syntax;
mod tree;

pub use optimize::{analyzed, optimized};
pub use sql::{columns_to_schema, statement_to_plan};
pub use syntax::{
    each_expr_within, each_relation, rewrite_expr, rewrite_query, rewrite_select, visit_query,
};
pub use tree::{
    each_child, each_expr, each_node, each_part, map_exprs, rewrite_nodes,
    rewrite_nodes_and_subqueries, rewrite_parts, rewrite_parts_down,
};
