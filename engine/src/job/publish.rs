//! `COPY name TO 'path'`: where a table is published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_sql::parser::CopyToStatement;
use tidewater_connectors::file::sink::can_partition_by;
use tidewater_connectors::kafka::Location;
use tidewater_connectors::kafka::sink::{Publisher, TopicOptions, TopicSpec};
use tidewater_connectors::sink::SortKey;

use super::declare::{kafka_location, unknown_column};
use super::options::{each, encoding, options};
use super::retain::retain;
use super::site::Site;
use super::tokens::Find;
use super::{Destination, DirectorySpec, Sink, Source, paths};
use crate::diagnostic::{Diagnostic, Place};
use crate::spelling::type_name;

/// The sink that a statement declares, over a relation with this schema and order.
pub(super) fn sink(
    copy: &CopyToStatement,
    schema: &SchemaRef,
    order_by: &[SortKey],
    site: &Site<'_>,
) -> Result<Sink, Vec<Diagnostic>> {
    if Location::is_kafka(&copy.target) {
        return topic(copy, schema, site);
    }
    let mut errors = Vec::new();
    let path = local_path(&copy.target, "TO 'out/table'").map_err(|(message, hint)| {
        errors.push(
            site.diagnostic(&[Find::Text(copy.target.clone())], message)
                .with_hint(hint),
        );
    });
    let partition_by = partitions(&copy.partitioned_by, schema, site, &mut errors);
    let mut given = options(&copy.options, site, &mut errors);
    let retain = retain(&mut given, schema, site).map_err(|error| errors.push(error));
    let encoding = encoding(copy.stored_as.as_deref(), &given, site, &mut errors);
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

/// The sink that a statement declares whose table goes to Kafka.
fn topic(
    copy: &CopyToStatement,
    schema: &SchemaRef,
    site: &Site<'_>,
) -> Result<Sink, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let location = kafka_location(&copy.target, site).map_err(|error| errors.push(error));
    if !copy.partitioned_by.is_empty() {
        let message = "a topic has no PARTITIONED BY: its partitions are chosen by the key";
        errors.push(
            site.diagnostic(&[Find::Words(&["PARTITIONED", "BY"])], message)
                .with_hint("remove it"),
        );
    }
    if let Some(format) = copy.stored_as.as_deref()
        && !format.eq_ignore_ascii_case("JSON")
    {
        let message = format!("messages are JSON, not {format}");
        errors.push(
            site.diagnostic(&[Find::Name(format.to_owned())], message)
                .with_hint("write STORED AS JSON"),
        );
    }
    let mut given = options(&copy.options, site, &mut errors);
    let retain = retain(&mut given, schema, site).map_err(|error| errors.push(error));
    let options = each(&given, site, &mut errors, |given| {
        TopicOptions::parse(given, schema)
    });
    match (location, options, retain) {
        (Ok(location), Some(options), Ok(retain)) if errors.is_empty() => {
            // Changes of one key have to follow one another.
            let order_by = options.order();
            let name: Arc<str> = Arc::from(site.name);
            let topic = TopicSpec {
                table: Arc::clone(&name),
                location,
                schema: Arc::clone(schema),
                options,
            };
            Ok(Sink {
                view: site.name.to_owned(),
                name,
                schema: Arc::clone(schema),
                order_by,
                destination: Destination::Topic(Arc::new(topic)),
                retain,
            })
        }
        _ => Err(errors),
    }
}

/// Indices of the partition columns, as `PARTITIONED BY (…)` names them.
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

/// Whether values of a type can name directories. One whose column was refused, and has no type, is not judged.
fn can_partition(data_type: &DataType) -> bool {
    data_type.is_null() || can_partition_by(data_type)
}

fn partition_place(name: &str, site: &Site<'_>) -> Place {
    let after = site
        .tokens
        .and_then(|tokens| tokens.find_after("PARTITIONED", name));
    after.unwrap_or(site.place)
}

/// What the reader of a published table may stumble over.
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

/// No table may lie where a source reads, and no source where a table lies.
pub(super) fn in_the_way(sinks: &[(Sink, Place)], sources: &[Source]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (sink, at) in sinks {
        let Some(directory) = sink.directory() else {
            continue;
        };
        let collides = |source: &&Source| {
            source.spec.connector.is_none()
                && paths::collide(
                    &source.spec.location,
                    &directory.path,
                    directory.encoding.extension(),
                )
        };
        errors.extend(sources.iter().filter(collides).map(|source| {
            let message = format!(
                "'{}' and the LOCATION of source '{}', '{}', lie in one another: the job would read its own table, or replace its input",
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

/// Two sinks may not write to one directory, nor one inside another, nor to one topic.
pub(super) fn overlaps(sinks: &[(Sink, Place)]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut seen: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut topics: Vec<Arc<TopicSpec>> = Vec::new();
    for (sink, at) in sinks {
        let directory = match &sink.destination {
            Destination::Directory(directory) => directory,
            Destination::Topic(topic) => {
                topics.push(Arc::clone(topic));
                if let Err(error) = Publisher::check_topics(&topics) {
                    errors.push(Diagnostic::new(*at, error.to_string()));
                    topics.pop();
                }
                continue;
            }
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
                    "'{}' and '{}', where '{view}' is published, lie in one another",
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

/// Gives each table a name of its own where a view is published more than once: the state knows tables by name.
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

/// The path of a location on this machine; else what is wrong and what to write, of the form of `example`.
pub(super) fn local_path(location: &str, example: &str) -> Result<String, (String, String)> {
    let hint = format!("write a path: {example}");
    let path = match location.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
            rest.strip_prefix("localhost").unwrap_or(rest)
        }
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err((
                format!("{scheme}:// is not supported by this version"),
                hint,
            ));
        }
        _ => location,
    };
    if path.trim().is_empty() {
        Err(("the location is empty".to_owned(), hint))
    } else {
        Ok(path.to_owned())
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}
