//! Jobs built in Rust.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use datafusion_common::tree_node::Transformed;
use datafusion_expr::logical_plan::TableScanBuilder;
use datafusion_expr::{LogicalPlan, TableSource};
use tidewater_connectors::Registry;
use tidewater_connectors::declaration::SourceDeclaration;
use tidewater_connectors::sink::Encoding;
use tidewater_connectors::source::SourceSpec;
use tidewater_planner::rewrite_nodes;

use super::catalog::Catalog;
use super::compile::{Compiled, compile};
use super::declaration_errors::{unknown_relation, unknown_scheme};
use super::planner_errors::diagnose;
use super::resolve::Draft;
use super::site::Site;
use super::{Destination, DirectorySpec, Job, Sink, Source, prune, publish};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::spelling::columns;

/// Builds a job from DataFusion plans. It goes through the same checks as a job in SQL.
///
/// A `DataFrame` of a `SessionContext` gives a plan with `into_unoptimized_plan()`. Its tables must be registered in
/// that context under the names that they have here, with the same columns. Empty `MemTable`s are enough. Add views
/// after the views that they read.
pub struct JobBuilder {
    name: String,
    catalog: Catalog,
    sources: Vec<Source>,
    views: Vec<(String, bool, LogicalPlan)>,
    sinks: Vec<NewSink>,
    errors: Vec<Diagnostic>,
}

struct NewSink {
    view: String,
    path: PathBuf,
    encoding: Encoding,
    partition_by: Vec<String>,
}

impl JobBuilder {
    /// An empty job. `name` appears in messages.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            catalog: Catalog::new(),
            sources: Vec::new(),
            views: Vec::new(),
            sinks: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds a source. Its `projection` is ignored; the columns to read are derived from the plans.
    #[must_use]
    pub fn source(mut self, spec: SourceSpec) -> Self {
        match parsed(spec) {
            Ok(source) => self.sources.push(source),
            Err(errors) => self.errors.extend(errors),
        }
        self
    }

    /// Adds a view, which is never stored.
    #[must_use]
    pub fn view(mut self, name: &str, plan: LogicalPlan) -> Self {
        self.views.push((name.to_owned(), false, plan));
        self
    }

    /// Adds a materialized view, a table that is maintained.
    #[must_use]
    pub fn materialized_view(mut self, name: &str, plan: LogicalPlan) -> Self {
        self.views.push((name.to_owned(), true, plan));
        self
    }

    /// Publishes a view or source to a directory, in Hive partitions by the named columns.
    #[must_use]
    pub fn publish(
        mut self,
        view: &str,
        path: impl Into<PathBuf>,
        encoding: Encoding,
        partition_by: &[&str],
    ) -> Self {
        let partition_by = partition_by
            .iter()
            .map(|column| (*column).to_owned())
            .collect();
        self.sinks.push(NewSink {
            view: view.to_owned(),
            path: path.into(),
            encoding,
            partition_by,
        });
        self
    }

    /// Checks, optimises and prunes everything.
    ///
    /// # Errors
    /// All mistakes in the job. There is no text, so lines are 0, and messages begin with the name of the relation.
    pub fn build(mut self) -> Result<Job, Diagnostics> {
        let mut errors = std::mem::take(&mut self.errors);
        errors.extend(self.declare());
        let drafts = self.compile(&mut errors);
        let sinks = self.sinks(&drafts, &mut errors);
        if !errors.is_empty() {
            return Err(Diagnostics::new(&self.name, "", errors));
        }
        let mut warnings: Vec<Diagnostic> = drafts
            .iter()
            .flat_map(|draft| draft.warnings.clone())
            .collect();
        let pruned = prune::prune(self.sources, drafts, &sinks);
        let pruned = pruned.map_err(|error| {
            Diagnostics::new(
                &self.name,
                "",
                vec![Diagnostic::new(Place::default(), error.to_string())],
            )
        })?;
        warnings.extend(pruned.unread.iter().map(|name| {
            Diagnostic::new(
                Place::default(),
                format!("'{name}' is not read by any table"),
            )
        }));
        Ok(Job {
            name: self.name,
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

    /// Declares the sources, whose names must be unique.
    fn declare(&mut self) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let views = self.views.iter().map(|(name, ..)| name);
        let names = self
            .sources
            .iter()
            .map(|source| &source.spec.name)
            .chain(views);
        let twice: Vec<&String> = names.filter(|name| !seen.insert(*name)).collect();
        let errors = twice
            .into_iter()
            .map(|name| Diagnostic::new(Place::default(), format!("'{name}' is defined twice")));
        let errors = errors.collect();
        for source in &self.sources {
            self.catalog
                .insert(&source.spec.name, Arc::clone(&source.spec.schema));
        }
        errors
    }

    fn compile(&mut self, errors: &mut Vec<Diagnostic>) -> Vec<Draft> {
        let published: BTreeSet<&str> = self.sinks.iter().map(|sink| sink.view.as_str()).collect();
        let mut drafts = Vec::new();
        for (name, materialized, plan) in std::mem::take(&mut self.views) {
            let site = Site {
                name: &name,
                place: Place::default(),
                tokens: None,
            };
            let ordered = materialized || published.contains(name.as_str());
            let compiled = rescan(plan, &self.catalog, &site)
                .and_then(|plan| compile(plan, &[], ordered, &site));
            match compiled {
                Ok(compiled) => {
                    self.catalog.insert(&name, Arc::clone(&compiled.schema));
                    let Compiled {
                        plan,
                        schema,
                        order_by,
                        warnings,
                    } = compiled;
                    drafts.push(Draft {
                        name,
                        materialized,
                        plan,
                        schema,
                        order_by,
                        warnings,
                    });
                }
                Err(found) => errors.extend(found),
            }
        }
        drafts
    }

    fn sinks(&self, drafts: &[Draft], errors: &mut Vec<Diagnostic>) -> Vec<Sink> {
        let mut sinks = Vec::new();
        for new in &self.sinks {
            let site = Site {
                name: &new.view,
                place: Place::default(),
                tokens: None,
            };
            let Some(schema) = self.catalog.schema(&new.view) else {
                errors.push(unknown_relation(
                    &new.view,
                    Place::default(),
                    self.catalog.names(),
                ));
                continue;
            };
            let order_by = drafts
                .iter()
                .find(|draft| draft.name == new.view)
                .map(|draft| draft.order_by.clone())
                .unwrap_or_default();
            let quoted: Vec<String> = new
                .partition_by
                .iter()
                .map(|column| format!("\"{column}\""))
                .collect();
            let partition_by = publish::partitions(&quoted, &schema, &site, errors);
            let directory = DirectorySpec {
                path: new.path.clone(),
                partition_by,
                encoding: new.encoding.clone(),
            };
            let sink = Sink {
                view: new.view.clone(),
                name: Arc::from(new.view.as_str()),
                schema,
                order_by,
                destination: Destination::Directory(directory),
                retain: None,
            };
            sinks.push((sink, Place::default()));
        }
        errors.extend(publish::overlaps(&sinks));
        publish::name_apart(&mut sinks);
        sinks.into_iter().map(|(sink, _)| sink).collect()
    }
}

/// Parses a source's location by its connector.
fn parsed(mut spec: SourceSpec) -> Result<Source, Vec<Diagnostic>> {
    let failed = |message: String| Diagnostic::new(Place::default(), message);
    let input = match &spec.source {
        Some(source) => Arc::clone(source),
        None => {
            let registry = Registry::default();
            let Some(connector) = registry.source(&spec.location) else {
                return Err(vec![failed(unknown_scheme(&registry, &spec.location))]);
            };
            let declaration = SourceDeclaration {
                name: &spec.name,
                location: &spec.location,
                schema: &spec.schema,
                primary_key: &[],
                partitioned_by: &[],
                options: &spec.options,
            };
            let parsed = connector.parse(&declaration);
            let parsed = parsed.map_err(|errors| {
                let errors = errors.iter();
                errors
                    .map(|error| failed(error.to_string()))
                    .collect::<Vec<_>>()
            })?;
            (spec.location, spec.options) = (parsed.location, parsed.format_options);
            parsed.source
        }
    };
    spec.source = Some(Arc::clone(&input));
    Ok(Source {
        schema: Arc::clone(&spec.schema),
        primary_key: Vec::new(),
        latest_by: None,
        input,
        spec,
    })
}

/// Replaces the scans of a user's plan by scans of the job's own relations of the same names.
fn rescan(
    plan: LogicalPlan,
    catalog: &Catalog,
    site: &Site<'_>,
) -> Result<LogicalPlan, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let rescanned = rewrite_nodes(plan, &mut |node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let name = scan.table_name.table().to_owned();
        match catalog.relation(&name) {
            None => errors.push(unknown_relation(&name, Place::default(), catalog.names())),
            Some(relation) if !same_columns(&relation.schema(), &scan.source.schema()) => {
                errors.push(
                    site.diagnostic(
                        &[],
                        format!("'{name}' has other columns in the plan than in the job"),
                    )
                    .with_hint(format!(
                        "register it with the job's columns: {}",
                        columns(relation.schema().fields())
                    )),
                );
            }
            Some(relation) => {
                let builder = TableScanBuilder::new(scan.table_name, relation)
                    .with_projection(scan.projection);
                let rebuilt = builder
                    .with_filters(scan.filters)
                    .with_fetch(scan.fetch)
                    .build()?;
                return Ok(Transformed::yes(LogicalPlan::TableScan(rebuilt)));
            }
        }
        Ok(Transformed::no(LogicalPlan::TableScan(scan)))
    });
    match rescanned {
        Ok(rescanned) if errors.is_empty() => Ok(rescanned.data),
        Ok(_) => Err(errors),
        Err(error) => Err(diagnose(&error, site)),
    }
}

fn same_columns(ours: &SchemaRef, theirs: &SchemaRef) -> bool {
    let same =
        |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
    ours.fields().len() == theirs.fields().len()
        && ours.fields().iter().zip(theirs.fields()).all(same)
}
