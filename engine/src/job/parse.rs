//! Parses a text into a job. Every statement is checked, whatever is wrong with the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion_sql::sqlparser::ast::CreateView;
use tidewater_connectors::Registry;

use super::assertion::QUALITY_TABLE;
use super::catalog::Catalog;
use super::declaration_errors::unknown_relation;
use super::own_tables::{OwnTable, take_place, taken_name};
use super::resolve::{Draft, ViewScope, resolve};
use super::site::Site;
use super::statement::{Statement, StatementKind, statements};
use super::tokens::Find;
use super::variables::substitute;
use super::{
    Assertion, Destination, DirectorySpec, Job, OnFailure, Sink, Source, assertion, declare, prune,
    publish,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// [`Job::parse_with`].
pub(super) fn parse(
    registry: &Registry,
    name: &str,
    sql: &str,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Job, Diagnostics> {
    let filled = substitute(sql, variables);
    let mut errors = filled.errors.clone();
    let unfilled = errors.len();
    let statements = statements(&filled, &mut errors);
    let job = compile(registry, name, &statements, &mut errors);
    // Other errors on a line with an unknown variable may be caused by it, so they are not reported.
    let lines: BTreeSet<usize> = filled.errors.iter().map(|error| error.line).collect();
    let mut position = 0;
    errors.retain(|error| {
        position += 1;
        position <= unfilled || !lines.contains(&error.line)
    });
    match job {
        Some(job) if errors.is_empty() => Ok(job),
        _ => Err(Diagnostics::new(name, sql, errors)),
    }
}

/// The view statements of a job's text by name, for others who plan the same SQL. `variables` answers `${name}`. If
/// the job is not valid, returns the statements that parse.
pub fn view_statements(
    sql: &str,
    variables: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, CreateView> {
    let statements = statements(&substitute(sql, variables), &mut Vec::new());
    let views = statements
        .into_iter()
        .filter_map(|statement| Some((statement.name.clone(), statement.kind.view()?.clone())));
    views.collect()
}

/// The job, if it has no mistakes. Mistakes are added to `errors`.
fn compile(
    registry: &Registry,
    name: &str,
    statements: &[Statement],
    errors: &mut Vec<Diagnostic>,
) -> Option<Job> {
    let mut names = Names::default();
    let mut catalog = Catalog::new();
    let mut sources = Vec::new();
    for statement in names.define(statements, errors) {
        let StatementKind::Source(table) = &statement.kind else {
            continue;
        };
        let declared = declare::source(registry, table, &statement.site(), &catalog, errors);
        match (declared.source, declared.schema) {
            (Some(source), _) => {
                catalog.insert(&statement.name, source.schema.clone());
                sources.push(source);
            }
            (None, Some(schema)) => catalog.insert_inexact(&statement.name, schema),
            (None, None) => drop(names.broken.insert(statement.name.clone())),
        }
    }
    let published: BTreeSet<&str> = copies(statements)
        .map(|statement| statement.name.as_str())
        .collect();
    let views = statements
        .iter()
        .filter(|statement| names.is_view(statement))
        .collect();
    let scope = ViewScope {
        statements,
        published: &published,
    };
    let drafts = resolve(views, &scope, &mut catalog, &mut names.broken, errors);
    let scope = SinkScope {
        registry,
        catalog: &catalog,
        drafts: &drafts,
        broken: &names.broken,
    };
    let mut sinks = sinks(statements, &scope, errors);
    errors.extend(publish::in_the_way(&sinks, &sources));
    let quarantine = take_place(OwnTable::Quarantine, &mut sinks, errors);
    let late = take_place(OwnTable::Late, &mut sinks, errors);
    let quality = take_place(OwnTable::Quality, &mut sinks, errors);
    let assertions = assertions(statements, &drafts, errors);
    sinks.extend(quality_sink(&drafts, quality));
    let is_idle = sinks.is_empty() && !drafts.iter().any(|draft| draft.materialized);
    if errors.is_empty() && is_idle {
        errors.push(idle(statements));
    }
    if !errors.is_empty() {
        return None;
    }
    let job = finish(name, sources, drafts, sinks, statements, &names);
    let job = job.map_err(|found| errors.push(found)).ok()?;
    let job = Job {
        quarantine,
        late,
        assertions,
        ..job
    };
    errors.extend(unheld(&job, statements));
    errors.is_empty().then_some(job)
}

/// The error about a job that would do nothing.
fn idle(statements: &[Statement]) -> Diagnostic {
    let at = statements.last().map(|last| last.tokens.start());
    let message = if statements.is_empty() {
        "the job is empty"
    } else {
        "the job publishes nothing"
    };
    Diagnostic::new(at.unwrap_or_default(), message)
        .with_hint("add COPY name TO 'path' STORED AS PARQUET")
}

/// The statement that defines each name, and the names whose definitions have reported mistakes.
#[derive(Default)]
struct Names {
    defined: BTreeMap<String, Place>,
    broken: BTreeSet<String>,
}

impl Names {
    /// The first statement that defines each name. The others are reported.
    fn define<'a>(
        &mut self,
        statements: &'a [Statement],
        errors: &mut Vec<Diagnostic>,
    ) -> Vec<&'a Statement> {
        let mut first = Vec::new();
        for statement in statements
            .iter()
            .filter(|statement| !matches!(statement.kind, StatementKind::Copy(_)))
        {
            let is_declared = !matches!(
                statement.kind,
                StatementKind::Shared(_) | StatementKind::Quality(_)
            );
            if is_declared && let Some(error) = taken_name(&statement.name, statement.place) {
                errors.push(error);
                continue;
            }
            if let Some(other) = self.defined.get(&statement.name) {
                let message = format!(
                    "'{}' is defined on line {} already",
                    statement.name, other.line
                );
                errors.push(
                    Diagnostic::new(statement.place, message)
                        .with_hint("give one of them another name"),
                );
                continue;
            }
            self.defined.insert(statement.name.clone(), statement.place);
            if matches!(statement.kind, StatementKind::Broken) {
                self.broken.insert(statement.name.clone());
            }
            first.push(statement);
        }
        first
    }

    fn is_view(&self, statement: &Statement) -> bool {
        statement.kind.view().is_some()
            && self.defined.get(&statement.name) == Some(&statement.place)
    }
}

fn copies(statements: &[Statement]) -> impl Iterator<Item = &Statement> {
    statements
        .iter()
        .filter(|statement| matches!(statement.kind, StatementKind::Copy(_)))
}

fn has_assertions(statements: &[Statement]) -> bool {
    let mut kinds = statements.iter().map(|statement| &statement.kind);
    kinds.any(|kind| matches!(kind, StatementKind::Assertion(_)))
}

fn is_assertion(statements: &[Statement], name: &str) -> bool {
    let mut named = statements.iter().filter(|statement| statement.name == name);
    named.any(|statement| matches!(statement.kind, StatementKind::Assertion(_)))
}

/// Whether a view counts what breaks assertions.
fn counts_rules(statements: &[Statement], name: &str) -> bool {
    let mut named = statements.iter().filter(|statement| statement.name == name);
    named.any(|statement| {
        matches!(
            statement.kind,
            StatementKind::Assertion(_) | StatementKind::Shared(_)
        )
    })
}

/// The relations that sinks may publish.
struct SinkScope<'a> {
    registry: &'a Registry,
    catalog: &'a Catalog,
    drafts: &'a [Draft],
    broken: &'a BTreeSet<String>,
}

fn sinks(
    statements: &[Statement],
    scope: &SinkScope<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<(Sink, Place)> {
    let SinkScope {
        registry,
        catalog,
        drafts,
        broken,
    } = *scope;
    let mut sinks = Vec::new();
    for statement in copies(statements).filter(|statement| !broken.contains(&statement.name)) {
        let StatementKind::Copy(copy) = &statement.kind else {
            continue;
        };
        if is_assertion(statements, &statement.name) {
            let message = format!(
                "'{}' is an assertion, and COPY publishes tables",
                statement.name
            );
            errors.push(
                Diagnostic::new(statement.place, message)
                    .with_hint("the results of assertions are in the report of each run"),
            );
            continue;
        }
        let relation = catalog.schema(&statement.name);
        let own = OwnTable::of_copy(&statement.name, relation.is_some());
        if own == Some(OwnTable::Quality) && catalog.schema(QUALITY_TABLE).is_none() {
            // Assertions with mistakes are reported themselves.
            if !has_assertions(statements) {
                errors.push(no_assertions(statement));
            }
            continue;
        }
        let schema = match own {
            Some(own) => own.schema().or_else(|| catalog.schema(own.name())),
            None => relation,
        };
        let Some(schema) = schema else {
            errors.push(unknown_relation(
                &statement.name,
                statement.place,
                catalog.names(),
            ));
            continue;
        };
        let order_by = drafts
            .iter()
            .find(|draft| draft.name == statement.name)
            .map_or(&[][..], |draft| &draft.order_by);
        let site = Site {
            name: own.map_or(statement.name.as_str(), |own| own.name()),
            ..statement.site()
        };
        match publish::sink(registry, copy, &schema, order_by, &site) {
            Ok(sink) => {
                if own.is_some() || catalog.is_exact(&statement.name) {
                    errors.extend(publish::unheld(&sink, &site));
                }
                let at = statement.tokens.find(&[Find::Text(copy.target.clone())]);
                sinks.push((sink, at.unwrap_or(statement.place)));
            }
            Err(found) => errors.extend(found),
        }
    }
    errors.extend(publish::overlaps(&sinks));
    publish::name_apart(&mut sinks);
    sinks
}

/// The assertions whose views could be planned.
fn assertions(
    statements: &[Statement],
    drafts: &[Draft],
    errors: &mut Vec<Diagnostic>,
) -> Vec<Assertion> {
    let mut assertions = Vec::new();
    for statement in statements {
        let StatementKind::Assertion(parsed) = &statement.kind else {
            continue;
        };
        let declared = assertion::declared(parsed, &statement.site(), errors);
        if let Some(declared) = declared {
            let assertion = parsed.assertion(&statement.name, declared);
            let is_planned = drafts.iter().any(|draft| draft.name == assertion.counts);
            assertions.extend(is_planned.then_some(assertion));
        }
    }
    assertions
}

/// The mistakes of rules that cannot hold a delivery.
fn unheld(job: &Job, statements: &[Statement]) -> Vec<Diagnostic> {
    let hold = |rule: &&Assertion| rule.on_failure == OnFailure::Hold;
    let mistakes = job.assertions.iter().filter(hold).filter_map(|rule| {
        let mistake = assertion::no_hold(job, rule)?;
        let mut named = statements.iter();
        let statement = named.find(|statement| statement.name == rule.name)?;
        Some(mistake.at(&statement.site()))
    });
    mistakes.collect()
}

/// The sink of the results of assertions: in the state, or where the job says.
fn quality_sink(drafts: &[Draft], place: Option<DirectorySpec>) -> Option<(Sink, Place)> {
    let draft = drafts.iter().find(|draft| draft.name == QUALITY_TABLE)?;
    let sink = Sink {
        view: draft.name.clone(),
        name: Arc::from(QUALITY_TABLE),
        schema: Arc::clone(&draft.schema),
        order_by: Vec::new(),
        destination: place.map_or(Destination::State, Destination::Directory),
        retain: None,
    };
    Some((sink, Place::default()))
}

/// The mistake of publishing results in a job without assertions.
fn no_assertions(statement: &Statement) -> Diagnostic {
    let message = "QUALITY holds the results of assertions, and the job has none";
    Diagnostic::new(statement.place, message)
        .with_hint("declare one: CREATE ASSERTION name ON table CHECK (condition)")
}

/// Prunes relations and columns that nobody reads, and warns about them.
fn finish(
    name: &str,
    sources: Vec<Source>,
    drafts: Vec<Draft>,
    sinks: Vec<(Sink, Place)>,
    statements: &[Statement],
    names: &Names,
) -> Result<Job, Diagnostic> {
    let mut warnings: Vec<Diagnostic> = drafts
        .iter()
        .flat_map(|draft| draft.warnings.clone())
        .collect();
    for statement in copies(statements) {
        let published = sinks.iter().filter(|(sink, _)| sink.view == statement.name);
        warnings.extend(published.flat_map(|(sink, _)| publish::warnings(sink, &statement.site())));
    }
    let sinks: Vec<Sink> = sinks.into_iter().map(|(sink, _)| sink).collect();
    let pruned = prune::prune(sources, drafts, &sinks)
        .map_err(|error| Diagnostic::new(Place::default(), error.to_string()))?;
    let at = |name: &str| names.defined.get(name).copied().unwrap_or_default();
    warnings.extend(pruned.unread.iter().map(|unread| {
        Diagnostic::new(at(unread), format!("'{unread}' is not read by any table"))
            .with_hint("remove it, or publish what reads it with COPY … TO")
    }));
    let kept = pruned.views.iter().filter(|view| {
        let is_published = sinks.iter().any(|sink| sink.view == view.name);
        view.materialized && !is_published && !counts_rules(statements, &view.name)
    });
    warnings.extend(kept.map(|view| {
        let message = format!("'{}' is kept up to date and published nowhere", view.name);
        Diagnostic::new(at(&view.name), message).with_hint(format!(
            "publish it: COPY {} TO 'path' STORED AS PARQUET",
            view.name
        ))
    }));
    warnings.sort_by_key(|warning| (warning.line, warning.column));
    Ok(Job {
        name: name.to_owned(),
        sources: pruned.sources,
        unread_sources: pruned.unread_sources,
        views: pruned.views,
        sinks,
        quarantine: None,
        late: None,
        assertions: Vec::new(),
        warnings,
    })
}
