//! Compiles one view, from the plan of its SQL or of a user's `DataFrame` to the plan that is rendered.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use datafusion_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};
use tidewater_connectors::sink::SortKey;

use super::optimize::optimize;
use super::order::{fold_limits, strip_sorts, take_order};
use super::planner_errors::diagnose;
use super::site::Site;
use super::tokens::Find;
use super::{check, dialect, published_types};
use crate::diagnostic::Diagnostic;

/// A view's optimised plan, its output columns, and the order of its published file.
pub(super) struct Compiled {
    pub plan: LogicalPlan,
    pub schema: SchemaRef,
    pub order_by: Vec<SortKey>,
    pub warnings: Vec<Diagnostic>,
}

/// Checks, optimises and checks again. `columns` renames the output, if given. The `ORDER BY` of an `ordered` view
/// must be one of its output columns.
pub(super) fn compile(
    plan: LogicalPlan,
    columns: &[String],
    ordered: bool,
    site: &Site<'_>,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut errors = check::as_written(&plan, site);
    let mut warnings = check::warnings_as_written(&plan, site);
    let order_by = if ordered {
        take_order(&plan, site, &mut errors)
    } else {
        Vec::new()
    };
    let plan = fold_limits(plan, site, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let plan = rename(strip_sorts(plan), columns, site)?;
    unique_names(&plan, site)?;
    let plan = dialect::apply(plan)
        .and_then(|plan| {
            check::depth(&plan)?;
            optimize(plan)
        })
        .map_err(|error| diagnose(&error, site))?;
    let errors = check::as_optimized(&plan, site);
    if !errors.is_empty() {
        return Err(errors);
    }
    warnings.extend(check::warnings(&plan, site));
    let schema = output_schema(&plan);
    Ok(Compiled {
        plan,
        schema,
        order_by,
        warnings,
    })
}

/// Refusals in a plan in which some names were replaced, so that its types may not be those of the user's query.
pub(super) fn refusals(plan: LogicalPlan, site: &Site<'_>) -> Vec<Diagnostic> {
    let mut errors = check::as_written(&plan, site);
    fold_limits(plan, site, &mut errors);
    errors
}

/// Checks that a relation has columns and that their names are unique.
fn unique_names(plan: &LogicalPlan, site: &Site<'_>) -> Result<(), Vec<Diagnostic>> {
    if plan.schema().fields().is_empty() {
        let found = site.diagnostic(
            &[Find::Words(&["SELECT"])],
            format!("'{}' selects no columns", site.name),
        );
        return Err(vec![found.with_hint("write SELECT a, b FROM …")]);
    }
    let mut seen = BTreeSet::new();
    let names = plan.schema().fields().iter().map(|field| field.name());
    let twice: BTreeSet<&String> = names.filter(|name| !seen.insert(*name)).collect();
    let errors: Vec<Diagnostic> = twice
        .into_iter()
        .map(|name| {
            let found = site.diagnostic(
                &[Find::Name(name.clone())],
                format!("'{}' has two columns '{name}'", site.name),
            );
            found.with_hint("give one of them another name with AS")
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// The output columns of a plan, without qualifiers, with the types that tables have.
pub(super) fn output_schema(plan: &LogicalPlan) -> SchemaRef {
    published_types::plain(plan.schema().as_arrow())
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
        .map(|(column, name)| PlanExpr::Column(column).alias(name));
    let plan = LogicalPlanBuilder::from(plan)
        .project(renamed)
        .and_then(LogicalPlanBuilder::build);
    plan.map_err(|error| diagnose(&error, site))
}
