//! Views, planned each after those it reads, in whatever order they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::datatypes::SchemaRef;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::parser::Statement as Parsed;
use datafusion_sql::planner::SqlToRel;
use datafusion_sql::resolve::resolve_table_references;
use datafusion_sql::sqlparser::ast::{
    CreateView, ObjectName, Query, Spanned, Statement as Sql, visit_relations,
};
use tidewater_connectors::sink::SortKey;

use super::catalog::Catalog;
use super::compile::{Compiled, compile};
use super::parse::unknown_relation;
use super::planner_errors::diagnose;
use super::site::Site;
use super::statement::{Find, Kind, Statement, normalize, place};
use crate::diagnostic::{Diagnostic, Place};

/// A view that compiled, before what nobody reads is pruned.
pub(super) struct Draft {
    /// Its name.
    pub name: String,
    /// Whether its rows are kept.
    pub materialized: bool,
    /// The optimised plan.
    pub plan: LogicalPlan,
    /// All its columns.
    pub schema: SchemaRef,
    /// Its `ORDER BY`, over `schema`.
    pub order_by: Vec<SortKey>,
    /// What the user should hear of.
    pub warnings: Vec<Diagnostic>,
}

/// Plans the views in topological order and makes them known to the catalog. One that fails is reported and `broken`;
/// those that read it are broken without a word.
pub(super) fn resolve(
    views: Vec<&Statement>,
    published: &BTreeSet<&str>,
    catalog: &mut Catalog,
    broken: &mut BTreeSet<String>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Draft> {
    let mut waiting: BTreeMap<&str, Waiting<'_>> = BTreeMap::new();
    let mut order = Vec::new();
    for statement in views {
        let Kind::View(view) = &statement.kind else {
            continue;
        };
        order.push(statement.name.as_str());
        waiting.insert(
            &statement.name,
            Waiting {
                statement,
                view,
                reads: references(&view.query),
            },
        );
    }
    let known: Vec<String> = catalog
        .names()
        .map(str::to_owned)
        .chain(order.iter().map(|name| (*name).to_owned()))
        .collect();
    let mut drafts = Vec::new();
    while let Some(name) = next(&order, &waiting) {
        let Some(this) = waiting.remove(name) else {
            break;
        };
        let unknown = unknown(&this, &known, broken);
        let reads_broken = this.reads.keys().any(|read| broken.contains(read));
        let draft = if unknown.is_empty() && !reads_broken {
            draft(&this, published, catalog)
        } else {
            Err(unknown)
        };
        match draft {
            Ok(draft) => {
                catalog.insert(&draft.name, draft.schema.clone());
                drafts.push(draft);
            }
            Err(found) => {
                errors.extend(found);
                broken.insert(name.to_owned());
            }
        }
    }
    errors.extend(cycles(&order, &waiting));
    broken.extend(waiting.into_keys().map(str::to_owned));
    drafts
}

/// A view that is not planned yet.
struct Waiting<'a> {
    statement: &'a Statement,
    view: &'a CreateView,
    /// What it reads, and where it first says so.
    reads: BTreeMap<String, Place>,
}

/// The first view in the order of the text that waits for no other.
fn next<'a>(order: &[&'a str], waiting: &BTreeMap<&str, Waiting<'_>>) -> Option<&'a str> {
    let ready = |this: &Waiting<'_>| {
        this.reads
            .keys()
            .all(|read| !waiting.contains_key(read.as_str()))
    };
    order
        .iter()
        .copied()
        .find(|name| waiting.get(name).is_some_and(ready))
}

fn unknown(this: &Waiting<'_>, known: &[String], broken: &BTreeSet<String>) -> Vec<Diagnostic> {
    let missing = this
        .reads
        .iter()
        .filter(|(read, _)| !known.contains(read) && !broken.contains(*read));
    missing
        .map(|(read, at)| match this.statement.tokens.find(&[Find::Call(read.clone())]) {
            Some(call) if call == *at => Diagnostic::new(call, format!("table functions are not supported: {read}(…)"))
                .with_hint("list the rows, VALUES (1), (2), or unnest a list in the SELECT list: SELECT unnest(range(1, 4)) AS n"),
            _ => unknown_relation(read, *at, known.iter().map(String::as_str)),
        })
        .collect()
}

/// The tables and views that a query reads, CTEs left out.
fn references(query: &Query) -> BTreeMap<String, Place> {
    let statement = Parsed::Statement(Box::new(Sql::Query(Box::new(query.clone()))));
    let tables = resolve_table_references(&statement, true)
        .map(|(tables, _)| tables)
        .unwrap_or_default();
    let names: BTreeSet<String> = tables.iter().map(ToString::to_string).collect();
    let mut reads = BTreeMap::new();
    let _: ControlFlow<()> = visit_relations(query, |relation: &ObjectName| {
        let name = relation
            .0
            .iter()
            .filter_map(|part| part.as_ident().map(normalize))
            .collect::<Vec<_>>()
            .join(".");
        if names.contains(&name) {
            reads.entry(name).or_insert_with(|| place(relation.span()));
        }
        ControlFlow::Continue(())
    });
    reads
}

fn draft(
    this: &Waiting<'_>,
    published: &BTreeSet<&str>,
    catalog: &Catalog,
) -> Result<Draft, Vec<Diagnostic>> {
    let Statement {
        name,
        place,
        tokens,
        ..
    } = this.statement;
    let site = Site {
        name,
        place: *place,
        tokens: Some(tokens),
    };
    let query = Sql::Query(this.view.query.clone());
    let plan = SqlToRel::new(catalog)
        .sql_statement_to_plan(query)
        .map_err(|error| diagnose(&error, &site))?;
    let ordered = this.view.materialized || published.contains(name.as_str());
    let columns: Vec<String> = this
        .view
        .columns
        .iter()
        .map(|column| normalize(&column.name))
        .collect();
    let Compiled {
        plan,
        schema,
        order_by,
        warnings,
    } = compile(plan, &columns, ordered, &site)?;
    Ok(Draft {
        name: name.clone(),
        materialized: this.view.materialized,
        plan,
        schema,
        order_by,
        warnings,
    })
}

/// Gives the columns of a view the names of its column list.
pub(super) fn rename(
    plan: LogicalPlan,
    columns: &[String],
    site: &Site<'_>,
) -> Result<LogicalPlan, Vec<Diagnostic>> {
    if columns.is_empty() {
        return Ok(plan);
    }
    let existing = plan.schema().columns();
    if existing.len() != columns.len() {
        let message = format!(
            "'{}' names {} columns, and its query has {}",
            site.name,
            columns.len(),
            existing.len()
        );
        return Err(vec![
            site.diagnostic(&[], message)
                .with_hint("name each column once, in the order of the query"),
        ]);
    }
    let renamed = existing
        .into_iter()
        .zip(columns)
        .map(|(column, name)| Expr::Column(column).alias(name));
    let plan = LogicalPlanBuilder::from(plan)
        .project(renamed)
        .and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| diagnose(&error, site))
}

/// What is left waits for itself: one error for each circle of views, at the first of them in the text.
fn cycles(order: &[&str], waiting: &BTreeMap<&str, Waiting<'_>>) -> Vec<Diagnostic> {
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    let mut errors = Vec::new();
    for name in order.iter().filter(|name| waiting.contains_key(*name)) {
        let path = circle(name, waiting);
        if path.is_empty() || path.iter().any(|step| reported.contains(step)) {
            continue;
        }
        reported.extend(&path);
        let at = waiting
            .get(name)
            .and_then(|this| this.reads.get(path.get(1).copied().unwrap_or(name)))
            .copied();
        let message = if path.len() == 1 {
            format!("'{name}' reads itself")
        } else {
            format!(
                "views read each other in a circle: {} → {name}",
                path.join(" → ")
            )
        };
        errors.push(
            Diagnostic::new(at.unwrap_or_default(), message)
                .with_hint("a view reads only sources and views that do not read it"),
        );
    }
    errors
}

/// The shortest way from a view back to itself; empty if there is none.
fn circle<'a>(start: &'a str, waiting: &'a BTreeMap<&str, Waiting<'_>>) -> Vec<&'a str> {
    let mut paths = vec![vec![start]];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            let reads = path
                .last()
                .and_then(|last| waiting.get(last))
                .into_iter()
                .flat_map(|this| this.reads.keys());
            for read in reads.map(String::as_str) {
                if read == start {
                    return path;
                }
                if waiting.contains_key(read) && seen.insert(read) {
                    longer.push([path.as_slice(), &[read]].concat());
                }
            }
        }
        paths = longer;
    }
    Vec::new()
}
