//! `COPY name TO 'path'`, which publishes a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_sql::parser::CopyToStatement;
use tidewater_connectors::Registry;
use tidewater_connectors::declaration::{DeclarationPart, SinkDeclaration};
use tidewater_connectors::file::location::{is_local, local_path};
use tidewater_connectors::file::sink::can_partition_by;
use tidewater_connectors::sink::SortKey;
use tidewater_connectors::sink_connector::{Sink as SinkTarget, SinkConnector};

use super::declaration_errors::{declaration_diagnostic, unknown_column, unknown_scheme};
use super::options::{each_declared, encoding, options};
use super::published_types;
use super::retain::retain;
use super::site::Site;
use super::tokens::Find;
use super::{Destination, DirectorySpec, Sink, Source, paths};
use crate::diagnostic::{Diagnostic, Place};
use crate::spelling::type_name;

/// The sink that a statement declares, over a relation with this schema and order.
pub(super) fn sink(
    registry: &Registry,
    copy: &CopyToStatement,
    schema: &SchemaRef,
    order_by: &[SortKey],
    site: &Site<'_>,
) -> Result<Sink, Vec<Diagnostic>> {
    if let Some(connector) = registry.sink(&copy.target) {
        return external(connector, copy, schema, site);
    }
    let mut errors = unpublishable(schema, site);
    let path = directory_path(registry, &copy.target).map_err(|message| {
        let found = site.diagnostic(&[Find::Text(copy.target.clone())], message);
        errors.push(found.with_hint("write a path: TO 'out/table'"));
    });
    let partition_by = partitions(&copy.partitioned_by, schema, site, &mut errors);
    let mut given = options(&copy.options, site, &mut errors);
    let retain = retain(&mut given, schema, site).map_err(|error| errors.push(error));
    let encoding = encoding(
        registry,
        copy.stored_as.as_deref(),
        &given,
        site,
        &mut errors,
    );
    match (path, encoding, retain) {
        (Ok(path), Some(encoding), Ok(retain)) if errors.is_empty() => {
            let directory = DirectorySpec {
                path: PathBuf::from(path),
                partition_by,
                encoding,
            };
            Ok(Sink {
                view: site.name.to_owned(),
                name: Arc::from(site.name),
                schema: Arc::clone(schema),
                order_by: order_by.to_vec(),
                destination: Destination::Directory(directory),
                retain,
            })
        }
        _ => Err(errors),
    }
}

/// The sink that a statement declares whose table goes to another system.
fn external(
    connector: &dyn SinkConnector,
    copy: &CopyToStatement,
    schema: &SchemaRef,
    site: &Site<'_>,
) -> Result<Sink, Vec<Diagnostic>> {
    let mut errors = unpublishable(schema, site);
    let mut given = options(&copy.options, site, &mut errors);
    let retain = retain(&mut given, schema, site).map_err(|error| errors.push(error));
    let parse = |options: &BTreeMap<String, String>| {
        connector.parse(&SinkDeclaration {
            relation: site.name,
            target: &copy.target,
            stored_as: copy.stored_as.as_deref(),
            partitioned_by: &copy.partitioned_by,
            schema,
            options,
        })
    };
    let target = each_declared(&given, parse, |error| {
        errors.push(match (&error.part, &copy.stored_as) {
            (DeclarationPart::StoredAs, Some(format)) => {
                let found = site.diagnostic(&[Find::Name(format.clone())], error.message);
                found.with_hint(error.hint.unwrap_or_default())
            }
            _ => declaration_diagnostic(error, &copy.target, site),
        });
    });
    match (target, retain) {
        (Some(target), Ok(retain)) if errors.is_empty() => Ok(Sink {
            view: site.name.to_owned(),
            name: Arc::from(site.name),
            schema: Arc::clone(schema),
            order_by: target.order(),
            destination: Destination::External(target),
            retain,
        }),
        _ => Err(errors),
    }
}

/// Indices of the partition columns in `PARTITIONED BY (…)`.
pub(super) fn partitions(
    names: &[String],
    schema: &SchemaRef,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<usize> {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let mut partition_by = Vec::with_capacity(names.len());
    for written in names {
        let name = match written
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
        {
            Some(quoted) => quoted.to_owned(),
            None => written.to_ascii_lowercase(),
        };
        let at = partition_place(&name, site);
        match columns.iter().position(|column| *column == name) {
            None => errors.push(unknown_column(&name, &columns, at)),
            Some(index) if partition_by.contains(&index) => {
                errors.push(
                    Diagnostic::new(at, format!("'{name}' is in PARTITIONED BY twice"))
                        .with_hint("remove one"),
                );
            }
            Some(index) if !can_partition(schema.field(index).data_type()) => {
                let message = format!(
                    "'{name}' is a {}, which cannot name a directory",
                    type_name(schema.field(index).data_type())
                );
                errors.push(Diagnostic::new(at, message).with_hint(
                    "partition by text, whole numbers, decimals, dates, timestamps or booleans",
                ));
            }
            Some(index) => partition_by.push(index),
        }
    }
    if !columns.is_empty() && partition_by.len() == columns.len() {
        let message = "every column is in PARTITIONED BY, and none is left for the files";
        errors.push(
            site.diagnostic(&[Find::Words(&["PARTITIONED", "BY"])], message)
                .with_hint("partition by fewer columns"),
        );
    }
    partition_by
}

/// Whether values of a type can name directories. A column of unknown type has an error already, so it passes.
fn can_partition(data_type: &DataType) -> bool {
    data_type.is_null() || can_partition_by(data_type)
}

fn partition_place(name: &str, site: &Site<'_>) -> Place {
    let after = site
        .tokens
        .and_then(|tokens| tokens.find_after("PARTITIONED", name));
    after.unwrap_or(site.place)
}

/// Errors about columns of types that no table can hold.
fn unpublishable(schema: &SchemaRef, site: &Site<'_>) -> Vec<Diagnostic> {
    let columns = schema.fields().iter().filter_map(|field| {
        let (message, hint) = published_types::unpublishable(field.name(), field.data_type())?;
        let finds = [Find::Text(site.name.to_owned())];
        Some(site.diagnostic(&finds, message).with_hint(hint))
    });
    columns.collect()
}

/// Errors about columns that the format of a table cannot hold.
pub(super) fn unheld(sink: &Sink, site: &Site<'_>) -> Vec<Diagnostic> {
    let Some(directory) = sink.directory() else {
        return Vec::new();
    };
    let columns = sink.schema.fields().iter().enumerate();
    let columns = columns.filter(|(at, field)| {
        !directory.partition_by.contains(at)
            && directory.encoding.holds(field.data_type()).is_none()
    });
    let errors = columns.map(|(_, field)| {
        let (message, hint) = published_types::unheld(field, directory.encoding.name());
        let finds = [Find::Text(site.name.to_owned())];
        site.diagnostic(&finds, message).with_hint(hint)
    });
    errors.collect()
}

/// Warnings about properties of a published table that may surprise its readers.
pub(super) fn warnings(sink: &Sink, site: &Site<'_>) -> Vec<Diagnostic> {
    let file_name = sink.directory().and_then(|directory| {
        let name = directory.path.file_name()?.to_str()?;
        let (_, extension) = name.rsplit_once('.')?;
        ["parquet", "csv", "json", "jsonl", "ndjson"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
            .then_some((name, extension))
    });
    let warning = file_name.map(|(name, extension)| {
        let message = format!("'{name}' becomes a directory: a table is a directory of files");
        let bare = name
            .strip_suffix(extension)
            .unwrap_or(name)
            .trim_end_matches('.');
        let target = sink
            .directory()
            .map(|directory| directory.path.to_string_lossy().into_owned());
        site.diagnostic(&[Find::Text(target.unwrap_or_default())], message)
            .with_hint(format!(
                "name it like one, '{bare}', and give readers the directory"
            ))
    });
    warning.into_iter().collect()
}

/// Checks that no table is published where a source reads, and no source reads where a table is published.
pub(super) fn in_the_way(sinks: &[(Sink, Place)], sources: &[Source]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (sink, at) in sinks {
        let Some(directory) = sink.directory() else {
            continue;
        };
        let collides = |source: &&Source| {
            is_local(&source.spec.location)
                && paths::collide(
                    &source.spec.location,
                    &directory.path,
                    directory.encoding.extension(),
                )
        };
        errors.extend(sources.iter().filter(collides).map(|source| {
            let message = format!(
                "'{}' and the LOCATION of source '{}', '{}', overlap: the job would read its own table, or replace \
                 its input",
                directory.path.display(),
                source.spec.name,
                source.spec.location
            );
            Diagnostic::new(*at, message)
                .with_hint("publish to a directory outside of the LOCATION, or narrow that")
        }));
    }
    errors
}

/// Checks that no two sinks have the same directory or nested directories, or the same topic.
pub(super) fn overlaps(sinks: &[(Sink, Place)]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut seen: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut targets: BTreeMap<&str, Vec<Arc<dyn SinkTarget>>> = BTreeMap::new();
    for (sink, at) in sinks {
        let directory = match &sink.destination {
            Destination::Directory(directory) => directory,
            Destination::External(target) => {
                let connector = target.connector();
                let targets = targets.entry(connector.name()).or_default();
                targets.push(Arc::clone(target));
                if let Err(error) = connector.check(targets) {
                    errors.push(Diagnostic::new(*at, error.to_string()));
                    targets.pop();
                }
                continue;
            }
            Destination::State => continue,
        };
        let path = paths::resolved(&directory.path);
        let other = seen
            .iter()
            .find(|(other, _)| path.starts_with(other) || other.starts_with(&path));
        if let Some((other, view)) = other {
            let message = if *other == path {
                format!(
                    "'{}' is already where '{view}' is published",
                    directory.path.display()
                )
            } else {
                format!(
                    "'{}' and '{}', where '{view}' is published, overlap",
                    directory.path.display(),
                    other.display()
                )
            };
            errors.push(
                Diagnostic::new(*at, message).with_hint("give each table a directory of its own"),
            );
        }
        seen.insert(path, &sink.view);
    }
    errors
}

/// Gives tables of a view that is published more than once different names, since the state identifies tables by
/// name.
pub(super) fn name_apart(sinks: &mut [(Sink, Place)]) {
    let mut names = BTreeSet::new();
    for (sink, _) in sinks {
        let mut number = 1;
        while !names.insert(Arc::clone(&sink.name)) {
            number += 1;
            sink.name = format!("{}#{number}", sink.view).into();
        }
    }
}

/// The directory that a target names.
fn directory_path(registry: &Registry, target: &str) -> Result<String, String> {
    if is_local(target) {
        local_path(target)
    } else {
        Err(unknown_scheme(registry, target))
    }
}
