//! `CREATE EXTERNAL TABLE`: what a source is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_sql::parser::CreateExternalTable;
use datafusion_sql::planner::SqlToRel;
use datafusion_sql::sqlparser::ast::{
    ColumnDef, ColumnOption, Expr, Spanned, TableConstraint, Value,
};
use tidewater_connectors::kafka::{KafkaOptions, KafkaSource, Location};
use tidewater_connectors::source::{Format, SourceSpec};

use super::Source;
use super::catalog::Catalog;
use super::options::{check_source_options, option_diagnostic};
use super::publish::local_path;
use super::site::Site;
use super::statement::{Find, normalize, place};
use super::suggest::nearest;
use crate::diagnostic::Diagnostic;

/// The source that a statement declares, reading all its columns.
pub(super) fn source(
    table: &CreateExternalTable,
    site: &Site<'_>,
    catalog: &Catalog,
) -> Result<Source, Vec<Diagnostic>> {
    let mut errors = refused_clauses(table, site);
    let fields = columns(&table.columns, site, catalog, &mut errors);
    let primary_key = primary_key(table, site, &mut errors);
    let format = format(&table.file_type, site)
        .map_err(|error| errors.push(error))
        .ok();
    let location = location(&table.locations, site)
        .map_err(|error| errors.push(error))
        .ok();
    let mut options = options(&table.options, site, &mut errors);
    let schema = Arc::new(Schema::new(fields));
    let kafka = location.as_deref().filter(|at| Location::is_kafka(at));
    let kafka = kafka.and_then(|at| {
        let kafka = kafka_source(at, (&schema, &primary_key), &mut options, site);
        kafka.map_err(|error| errors.push(error)).ok()
    });
    errors.extend(format.and_then(|format| check_source_options(format, &options, site).err()));
    let (Some(format), Some(location), true) = (format, location, errors.is_empty()) else {
        return Err(errors);
    };
    let projection = (0..schema.fields().len()).collect();
    let spec = SourceSpec {
        name: site.name.to_owned(),
        location,
        format,
        schema: Arc::clone(&schema),
        projection,
        options,
        ordinals: !primary_key.is_empty(),
        dictionaries: kafka.is_none(),
        connector: kafka.map(|kafka| Arc::new(kafka) as _),
    };
    Ok(Source {
        spec,
        schema,
        primary_key,
    })
}

/// Clauses that would say nothing here are refused rather than ignored.
fn refused_clauses(table: &CreateExternalTable, site: &Site<'_>) -> Vec<Diagnostic> {
    let clauses: [(bool, &'static [&'static str], &str, &str); 4] = [
        (
            table.temporary,
            &["TEMPORARY"],
            "a source is not temporary",
            "remove TEMPORARY",
        ),
        (
            table.unbounded,
            &["UNBOUNDED"],
            "a source is not declared unbounded",
            "remove UNBOUNDED: every job takes in what is new",
        ),
        (
            !table.table_partition_cols.is_empty(),
            &["PARTITIONED", "BY"],
            "a source has no partitions",
            "declare the columns that the files hold, and use a glob that matches all files: 'data/*/*.parquet'",
        ),
        (
            !table.order_exprs.is_empty(),
            &["WITH", "ORDER"],
            "a source has no order",
            "remove WITH ORDER",
        ),
    ];
    let present = clauses.into_iter().filter(|(present, ..)| *present);
    present
        .map(|(_, words, message, hint)| {
            site.diagnostic(&[Find::Words(words)], message)
                .with_hint(hint)
        })
        .collect()
}

fn columns(
    columns: &[ColumnDef],
    site: &Site<'_>,
    catalog: &Catalog,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Field> {
    if columns.is_empty() {
        let error = site.diagnostic(&[], format!("source '{}' declares no columns", site.name));
        errors.push(error.with_hint(format!(
            "write CREATE EXTERNAL TABLE {} (name TEXT, amount BIGINT, …)",
            site.name
        )));
    }
    let planner = SqlToRel::new(catalog);
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
    for column in columns {
        let name = normalize(&column.name);
        let at = place(column.name.span);
        if fields.iter().any(|field| *field.name() == name) {
            errors.push(
                Diagnostic::new(at, format!("column '{name}' is declared twice"))
                    .with_hint("remove or rename one"),
            );
            continue;
        }
        if let Some(option) = column.options.iter().find(|o| !is_supported(&o.option)) {
            let message = format!(
                "column '{name}' has {}, which sources do not have",
                option.option
            );
            errors.push(
                Diagnostic::new(at, message)
                    .with_hint("use coalesce(…), CASE or WHERE in a view over the source"),
            );
        }
        match planner.build_schema(vec![column.clone()]) {
            Ok(schema) => fields.extend(schema.fields().iter().map(|field| field.as_ref().clone())),
            Err(_) => errors.push(unknown_type(column, &name)),
        }
    }
    fields
}

fn is_supported(option: &ColumnOption) -> bool {
    matches!(
        option,
        ColumnOption::Null
            | ColumnOption::NotNull
            | ColumnOption::PrimaryKey(_)
            | ColumnOption::Comment(_)
    )
}

fn unknown_type(column: &ColumnDef, name: &str) -> Diagnostic {
    const TYPES: [&str; 14] = [
        "BOOLEAN",
        "SMALLINT",
        "INT",
        "BIGINT",
        "REAL",
        "DOUBLE",
        "DECIMAL",
        "TEXT",
        "VARCHAR",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "BYTEA",
    ];
    let written = column.data_type.to_string();
    let message = format!("column '{name}' has the type {written}, which is not known");
    let hint = match nearest(&written, TYPES) {
        Some(near) => format!("did you mean {near}?"),
        None => "types are BOOLEAN, SMALLINT, INT, BIGINT, REAL, DOUBLE, DECIMAL(p, s), TEXT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, BYTEA, \
                 and of these INT[], STRUCT<a INT, b TEXT> and MAP<TEXT, INT>"
            .to_owned(),
    };
    Diagnostic::new(place(column.name.span), message).with_hint(hint)
}

/// Indices of the primary key's columns, from the table's or from a column's constraint.
fn primary_key(
    table: &CreateExternalTable,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<usize> {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| normalize(&column.name))
        .collect();
    let is_key = |column: &ColumnDef| {
        column
            .options
            .iter()
            .any(|o| matches!(o.option, ColumnOption::PrimaryKey(_)))
    };
    let mut key: Vec<usize> = (0..names.len())
        .filter(|i| is_key(&table.columns[*i]))
        .collect();
    for constraint in &table.constraints {
        let TableConstraint::PrimaryKey(primary) = constraint else {
            let error = Diagnostic::new(
                place(constraint.span()),
                format!("sources have no constraint {constraint}"),
            );
            errors.push(
                error.with_hint("only PRIMARY KEY (…) is known; filter rows with WHERE in a view"),
            );
            continue;
        };
        if !key.is_empty() {
            errors.push(
                site.diagnostic(
                    &[Find::Words(&["PRIMARY", "KEY"])],
                    "there are two primary keys",
                )
                .with_hint("write one: PRIMARY KEY (a, b)"),
            );
            continue;
        }
        for column in &primary.columns {
            let Expr::Identifier(ident) = &column.column.expr else {
                let error = Diagnostic::new(
                    place(column.column.span()),
                    format!("'{}' is not a column", column.column),
                );
                errors.push(
                    error.with_hint("a primary key is a list of columns: PRIMARY KEY (a, b)"),
                );
                continue;
            };
            match names.iter().position(|name| *name == normalize(ident)) {
                Some(index) => key.push(index),
                None => errors.push(unknown_column(
                    ident.value.as_str(),
                    &names,
                    place(ident.span),
                )),
            }
        }
    }
    key
}

/// A column that a list of columns names and that does not exist.
pub(super) fn unknown_column(
    name: &str,
    columns: &[String],
    at: crate::diagnostic::Place,
) -> Diagnostic {
    let found = Diagnostic::new(at, format!("there is no column '{name}'"));
    match nearest(name, columns.iter().map(String::as_str)) {
        Some(near) => found.with_hint(format!("did you mean '{near}'?")),
        None => found.with_hint(format!("the columns are {}", columns.join(", "))),
    }
}

fn format(stored_as: &str, site: &Site<'_>) -> Result<Format, Diagnostic> {
    const FORMATS: [(&str, Format); 7] = [
        ("CSV", Format::Csv),
        ("JSON", Format::JsonLines),
        ("JSONL", Format::JsonLines),
        ("JSONLINES", Format::JsonLines),
        ("NDJSON", Format::JsonLines),
        ("PARQUET", Format::Parquet),
        ("TEXT", Format::Text),
    ];
    let known = FORMATS
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(stored_as));
    known.map(|(_, format)| format).ok_or_else(|| {
        let found = site.diagnostic(
            &[Find::Name(stored_as.to_owned())],
            format!("there is no format '{stored_as}'"),
        );
        match nearest(stored_as, FORMATS.map(|(name, _)| name)) {
            Some(near) => found.with_hint(format!("did you mean {near}?")),
            None => found.with_hint(
                "sources are STORED AS CSV, JSON (one object a line), PARQUET or TEXT (one column)",
            ),
        }
    })
}

fn location(locations: &[String], site: &Site<'_>) -> Result<String, Diagnostic> {
    match locations {
        [one] if Location::is_kafka(one) => Ok(one.clone()),
        [one] => local_path(one, "LOCATION 'data/*.csv'").map_err(|(message, hint)| {
            site.diagnostic(&[Find::Text(one.clone()), Find::Words(&["LOCATION"])], message).with_hint(hint)
        }),
        _ => Err(site
            .diagnostic(&[Find::Words(&["LOCATION"])], "a source has one location")
            .with_hint("use a directory or a glob, or declare one source each and unite them with UNION ALL")),
    }
}

/// What a declaration says of a topic; its options are taken out of `options`.
fn kafka_source(
    location: &str,
    (schema, key): (&Schema, &[usize]),
    options: &mut BTreeMap<String, String>,
    site: &Site<'_>,
) -> Result<KafkaSource, Diagnostic> {
    Ok(KafkaSource {
        location: kafka_location(location, site)?,
        options: KafkaOptions::take(options, schema)
            .map_err(|error| option_diagnostic(error, site))?,
        key: key.to_vec(),
    })
}

/// The topic and brokers that a location names.
pub(super) fn kafka_location(location: &str, site: &Site<'_>) -> Result<Location, Diagnostic> {
    Location::parse(location).map_err(|wrong| {
        let message = format!("'{location}' {wrong}");
        site.diagnostic(&[Find::Text(location.to_owned())], message)
            .with_hint("write 'kafka://host:9092/topic', brokers separated by commas")
    })
}

/// `OPTIONS (…)` with keys in lower case; a key given twice is an error.
pub(super) fn options(
    given: &[(String, Value)],
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for (key, value) in given {
        let text = match value {
            Value::Number(number, _) => number.clone(),
            Value::SingleQuotedString(text)
            | Value::DoubleQuotedString(text)
            | Value::EscapedStringLiteral(text) => text.clone(),
            other => other.to_string(),
        };
        if options.insert(key.to_lowercase(), text).is_some() {
            errors.push(
                site.diagnostic(&option_finds(key), format!("option '{key}' is given twice"))
                    .with_hint("remove one"),
            );
        }
    }
    options
}

/// Where an option may stand: as a text, or as a bare (possibly dotted) word.
pub(super) fn option_finds(key: &str) -> Vec<Find> {
    let mut finds = vec![Find::Text(key.to_owned())];
    finds.extend(key.split('.').map(|part| Find::Name(part.to_owned())));
    finds.push(Find::Words(&["OPTIONS"]));
    finds
}
