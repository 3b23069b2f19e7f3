//! Plans views, each after the views that it reads, whatever their order in the text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::datatypes::SchemaRef;
use datafusion_expr::LogicalPlan;
use datafusion_sql::parser::Statement as Parsed;
use datafusion_sql::resolve::resolve_table_references;
use datafusion_sql::sqlparser::ast::{
    CreateView, Expr, ObjectName, Query, Select, SelectItem, SetExpr, Spanned, Statement as Sql,
};
use tidewater_connectors::sink::SortKey;
use tidewater_planner::each_relation;

use super::assertion::ParsedAssertion;
use super::catalog::Catalog;
use super::check::syntax;
use super::compile::{compile, output_schema, refusals, rename};
use super::declaration_errors::unknown_relation;
use super::names;
use super::statement::{Statement, normalize};
use super::tokens::place;
use crate::diagnostic::{Diagnostic, Place};

/// A compiled view, before pruning.
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
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// What views are planned by, besides the relations that they read.
pub(super) struct ViewScope<'a> {
    /// All statements of the job.
    pub statements: &'a [Statement],
    /// The names of the published relations.
    pub published: &'a BTreeSet<&'a str>,
}

/// Plans the views in topological order and adds them to the catalog. A view with mistakes is reported and `broken`.
/// Views that read it are broken too, without a message.
pub(super) fn resolve(
    views: Vec<&Statement>,
    scope: &ViewScope<'_>,
    catalog: &mut Catalog,
    broken: &mut BTreeSet<String>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Draft> {
    let mut waiting: BTreeMap<&str, Waiting<'_>> = BTreeMap::new();
    let mut order = Vec::new();
    for statement in views {
        if let Some(view) = statement.kind.view() {
            order.push(statement.name.as_str());
            waiting.insert(&statement.name, Waiting::of(statement, view));
        }
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
        let planning = Planning {
            scope,
            catalog,
            known: &known,
            broken,
        };
        let (outcome, found) = planning.view(&this);
        match outcome {
            Outcome::Draft(draft) => {
                catalog.insert(&draft.name, draft.schema.clone());
                drafts.push(*draft);
            }
            Outcome::Inexact(schema) => catalog.insert_inexact(name, schema),
            Outcome::Broken => drop(broken.insert(name.to_owned())),
        }
        errors.extend(found);
    }
    errors.extend(cycles(&order, &waiting));
    broken.extend(waiting.into_keys().map(str::to_owned));
    drafts
}

/// What is known when a view is planned.
struct Planning<'a> {
    scope: &'a ViewScope<'a>,
    catalog: &'a Catalog,
    known: &'a [String],
    broken: &'a BTreeSet<String>,
}

impl Planning<'_> {
    /// Plans a view and reports its mistakes. What is found in a view that rules share is found again in each of the
    /// rules, so that it is reported at the rule's own place.
    fn view(&self, this: &Waiting<'_>) -> (Outcome, Vec<Diagnostic>) {
        let (mut outcome, found) = self.one(this);
        let warns = |outcome: &Outcome| match outcome {
            Outcome::Draft(draft) => !draft.warnings.is_empty(),
            Outcome::Inexact(_) | Outcome::Broken => true,
        };
        let rules = self.scope.rules_of(&this.statement.name);
        if rules.is_empty() || (found.is_empty() && !warns(&outcome)) {
            return (outcome, found);
        }
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for (statement, rule) in rules {
            let (outcome, found) = self.one(&Waiting::of(statement, &rule.view));
            errors.extend(found);
            if let Outcome::Draft(draft) = outcome {
                warnings.extend(draft.warnings);
            }
        }
        if let Outcome::Draft(draft) = &mut outcome {
            draft.warnings = warnings;
        }
        let is_found = !errors.is_empty();
        (outcome, if is_found { errors } else { found })
    }

    fn one(&self, this: &Waiting<'_>) -> (Outcome, Vec<Diagnostic>) {
        let mut found = syntax::refusals(&this.view.query, &this.statement.site(), self.catalog);
        found.extend(unknown(this, self.known, self.broken));
        let reads_broken = this
            .reads
            .keys()
            .any(|read| self.catalog.relation(read).is_none());
        let outcome = if reads_broken {
            Outcome::Broken
        } else {
            self.draft(this, &mut found)
        };
        (outcome, found)
    }
}

impl<'a> ViewScope<'a> {
    /// The rules that share a view.
    fn rules_of(&self, view: &str) -> Vec<(&'a Statement, &'a ParsedAssertion)> {
        let assertions = self.statements.iter();
        let assertions = assertions.filter_map(|one| Some((one, one.kind.assertion()?)));
        assertions
            .filter(|(_, rule)| rule.shared.as_deref() == Some(view))
            .collect()
    }
}

/// The result of planning a view.
enum Outcome {
    /// The view has no mistakes.
    Draft(Box<Draft>),
    /// The view has mistakes, and its columns are known.
    Inexact(SchemaRef),
    /// The view has mistakes, and its columns are unknown.
    Broken,
}

/// A view that is not planned yet.
struct Waiting<'a> {
    statement: &'a Statement,
    view: &'a CreateView,
    /// The relations that it reads, with the first place of each.
    reads: BTreeMap<String, Place>,
}

impl<'a> Waiting<'a> {
    fn of(statement: &'a Statement, view: &'a CreateView) -> Self {
        Self {
            statement,
            view,
            reads: references(&view.query),
        }
    }
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

/// Errors about relations that a view reads and that do not exist. Table functions are refused by the syntax check.
fn unknown(this: &Waiting<'_>, known: &[String], broken: &BTreeSet<String>) -> Vec<Diagnostic> {
    let missing = this
        .reads
        .iter()
        .filter(|(read, _)| !known.contains(read) && !broken.contains(*read));
    missing
        .filter(|(read, at)| !this.statement.tokens.is_call(read, **at))
        .map(|(read, at)| unknown_relation(read, *at, known.iter().map(String::as_str)))
        .collect()
}

/// The tables and views that a query reads, without CTEs.
fn references(query: &Query) -> BTreeMap<String, Place> {
    let statement = Parsed::Statement(Box::new(Sql::Query(Box::new(query.clone()))));
    let tables = resolve_table_references(&statement, true)
        .map(|(tables, _)| tables)
        .unwrap_or_default();
    let names: BTreeSet<String> = tables.iter().map(ToString::to_string).collect();
    let mut reads = BTreeMap::new();
    let _: ControlFlow<()> = each_relation(query, &mut |relation: &ObjectName| {
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

impl Planning<'_> {
    /// Plans a view whose relations exist. `errors` holds the refusals of its syntax check, and gets its other mistakes.
    fn draft(&self, this: &Waiting<'_>, errors: &mut Vec<Diagnostic>) -> Outcome {
        let (catalog, published) = (self.catalog, self.scope.published);
        let site = this.statement.site();
        let name = &this.statement.name;
        let exact = errors.is_empty() && this.reads.keys().all(|read| catalog.is_exact(read));
        let reads: Vec<SchemaRef> = this
            .reads
            .keys()
            .filter_map(|read| catalog.schema(read))
            .collect();
        if let Some(mistake) = self.no_condition(this, &reads) {
            errors.push(mistake);
            return Outcome::Broken;
        }
        let planned = names::plan(&this.view.query, &reads, exact, catalog, &site);
        errors.extend(planned.errors);
        let Some(plan) = planned.plan else {
            return Outcome::Broken;
        };
        let columns: Vec<String> = this
            .view
            .columns
            .iter()
            .map(|column| normalize(&column.name))
            .collect();
        // The planner's columns are used for the views that read this one, even if the view is refused.
        let schema = rename(plan.clone(), &columns, &site).map(|plan| output_schema(&plan));
        let inexact = schema.map_or(Outcome::Broken, Outcome::Inexact);
        if !planned.exact {
            errors.extend(refusals(plan, &site));
            return inexact;
        }
        let ordered = this.view.materialized || published.contains(name.as_str());
        match compile(plan, &columns, ordered, &site) {
            Ok(mut compiled) => {
                if published.contains(name.as_str()) {
                    compiled
                        .warnings
                        .extend(unnamed_columns(this.view, &compiled.schema));
                }
                Outcome::Draft(Box::new(Draft {
                    name: name.clone(),
                    materialized: this.view.materialized,
                    plan: compiled.plan,
                    schema: compiled.schema,
                    order_by: compiled.order_by,
                    warnings: compiled.warnings,
                }))
            }
            Err(found) => {
                errors.extend(found);
                inexact
            }
        }
    }

    /// The mistake of an assertion whose rule is no condition. Other mistakes of the rule are found with those of its
    /// view.
    fn no_condition(&self, this: &Waiting<'_>, reads: &[SchemaRef]) -> Option<Diagnostic> {
        let statement = this.statement;
        let own = statement.kind.assertion().map(|rule| (statement, rule));
        let shared = self.scope.rules_of(&statement.name);
        own.into_iter().chain(shared).find_map(|(statement, rule)| {
            let (condition, site) = (rule.condition.as_deref()?, statement.site());
            let planned = names::plan(condition, reads, true, self.catalog, &site);
            let plan = planned.plan.filter(|_| planned.errors.is_empty())?;
            let found = plan.schema().fields().first()?.data_type();
            rule.no_condition(found, &statement.tokens)
        })
    }
}

/// Errors about columns of a published view that have no name of their own.
fn unnamed_columns(view: &CreateView, schema: &SchemaRef) -> Vec<Diagnostic> {
    let Some(select) = first_select(&view.query.body).filter(|_| view.columns.is_empty()) else {
        return Vec::new();
    };
    let has_wildcard = select.projection.len() != schema.fields().len();
    let items = select.projection.iter().enumerate();
    let unnamed = items.filter_map(|(at, item)| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => None,
        SelectItem::UnnamedExpr(expr) => Some((at, expr)),
        _ => None,
    });
    unnamed
        .map(|(at, expr)| {
            let name = (!has_wildcard).then(|| format!(" as '{}'", schema.field(at).name()));
            let message = format!(
                "a column without a name is published{}",
                name.unwrap_or_default()
            );
            Diagnostic::new(place(expr.span()), message)
                .with_hint(format!("name it: {expr} AS name"))
        })
        .collect()
}

/// The SELECT that names the columns of a query.
fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// Errors about views that read themselves: one for each cycle, at its first view in the text.
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

/// The shortest cycle from a view to itself; empty if there is none.
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
