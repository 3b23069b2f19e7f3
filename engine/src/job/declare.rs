//! `CREATE EXTERNAL TABLE`: a source.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_sql::parser::CreateExternalTable;
use datafusion_sql::sqlparser::ast::{ColumnDef, ColumnOption, Expr, Spanned, TableConstraint};
use tidewater_connectors::Registry;
use tidewater_connectors::connector::SourceConnector;
use tidewater_connectors::declaration::SourceDeclaration;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::file::validate_options;
use tidewater_connectors::format::row_format::ROW_FORMATS;
use tidewater_connectors::source::{Format, SourceSpec};
use tidewater_planner::columns_to_schema;

use super::Source;
use super::catalog::Catalog;
use super::declaration_errors::{declaration_diagnostic, unknown_column, unknown_scheme};
use super::options::{Options, each_declared, option_finds, options};
use super::publish::partitions;
use super::site::Site;
use super::statement::normalize;
use super::suggest::nearest;
use super::tokens::{Find, place};
use crate::diagnostic::Diagnostic;

/// The parts of a declaration that have no mistakes.
pub(super) struct Declared {
    /// The columns; a column of unknown type has the type NULL. `None` if the columns are unknown.
    pub schema: Option<SchemaRef>,
    /// The source, if it has no mistakes.
    pub source: Option<Source>,
}

/// The source that a statement declares, with all its columns read.
pub(super) fn source(
    registry: &Registry,
    table: &CreateExternalTable,
    site: &Site<'_>,
    catalog: &Catalog,
    errors: &mut Vec<Diagnostic>,
) -> Declared {
    let errors_before = errors.len();
    errors.extend(refused_clauses(table, site));
    let mut fields = columns(&table.columns, site, catalog, errors);
    let primary_key = primary_key(table, site, errors);
    // A key is NOT NULL, because rows without a key could not be told apart.
    for key in &primary_key {
        if let Some(field) = fields.get_mut(*key) {
            field.set_nullable(false);
        }
    }
    let format = format(&table.file_type, site)
        .map_err(|error| errors.push(error))
        .ok();
    let connector = connector(registry, &table.locations, site)
        .map_err(|error| errors.push(error))
        .ok();
    let mut options = options(&table.options, site, errors);
    // A key is NOT NULL, because all rows without a key would count as one row.
    let fields = fields.into_iter().enumerate().map(|(index, field)| {
        let nullable = field.is_nullable() && !primary_key.contains(&index);
        field.with_nullable(nullable)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let partitioned_by = partitions(&table.table_partition_cols, &schema, site, errors);
    let latest_by = latest_by(&mut options, &schema, &primary_key, site)
        .map_err(|error| errors.push(error))
        .unwrap_or_default();
    let parsed = connector
        .zip(format)
        .and_then(|((location, connector), format)| {
            let parse = |options: &BTreeMap<String, String>| {
                let parsed = connector.parse(&SourceDeclaration {
                    name: site.name,
                    location: &location,
                    schema: &schema,
                    primary_key: &primary_key,
                    partitioned_by: &partitioned_by,
                    options,
                })?;
                let valid = validate_options(format, &parsed.format_options);
                valid.map_err(|error| vec![error.into()])?;
                Ok((format, parsed))
            };
            each_declared(&options, parse, |error| {
                errors.push(declaration_diagnostic(error, &location, site));
            })
        });
    let source = parsed.filter(|_| errors.len() == errors_before);
    let source = source.map(|(format, parsed)| Source {
        spec: SourceSpec {
            name: site.name.to_owned(),
            location: parsed.location,
            format,
            projection: (0..schema.fields().len()).collect(),
            schema: Arc::clone(&schema),
            options: parsed.format_options,
            ordinals: !primary_key.is_empty() || parsed.source.changes().is_some(),
            dictionaries: parsed.dictionaries,
            source: Some(Arc::clone(&parsed.source)),
        },
        schema: Arc::clone(&schema),
        primary_key,
        latest_by,
        input: parsed.source,
    });
    let source = source.filter(|source| {
        let checked = check_columns(source, site);
        checked.map_err(|error| errors.push(error)).is_ok()
    });
    Declared {
        schema: Some(schema).filter(|schema| !schema.fields().is_empty()),
        source,
    }
}

/// Removes `latest_by` from the options: the column that decides which row of a key counts.
fn latest_by(
    options: &mut Options,
    schema: &Schema,
    primary_key: &[usize],
    site: &Site<'_>,
) -> Result<Option<usize>, Diagnostic> {
    let Some(column) = options.remove("latest_by") else {
        return Ok(None);
    };
    let wrong = |message: String, hint: String| {
        let finds = [vec![Find::Text(column.clone())], option_finds("latest_by")].concat();
        Err(site.diagnostic(&finds, message).with_hint(hint))
    };
    if primary_key.is_empty() {
        return wrong(
            "'latest_by' decides between rows with one key, and the source has none".to_owned(),
            format!("declare PRIMARY KEY (…), or leave 'latest_by' '{column}' out"),
        );
    }
    let Ok(index) = schema.index_of(&column) else {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let names: Vec<&str> = names.collect();
        let hint = match nearest(&column, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("declared are {}", names.join(", ")),
        };
        return wrong(
            format!("'latest_by' does not name a declared column: '{column}'"),
            hint,
        );
    };
    if schema.field(index).data_type().is_nested() {
        return wrong(
            format!("'latest_by' '{column}': lists and structs have no order"),
            "name a column of times, dates, numbers or text".to_owned(),
        );
    }
    Ok(Some(index))
}

/// Checks that the source can be decoded into the declared columns.
fn check_columns(source: &Source, site: &Site<'_>) -> Result<(), Diagnostic> {
    let checked = source.input.check(&source.spec);
    checked.map_err(|error| match error {
        SourceError::Declaration {
            column, message, ..
        } => site.diagnostic(
            &[Find::Name(column.clone())],
            format!("column '{column}': {message}"),
        ),
        error => site.diagnostic(&[], error.to_string()),
    })
}

/// Clauses without a meaning here are refused rather than ignored.
fn refused_clauses(table: &CreateExternalTable, site: &Site<'_>) -> Vec<Diagnostic> {
    let clauses: [(bool, &'static [&'static str], &str, &str); 3] = [
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
            "remove UNBOUNDED: every job reads new rows",
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
        match columns_to_schema(catalog, vec![column.clone()]) {
            Ok(schema) => fields.extend(schema.fields().iter().map(|field| field.as_ref().clone())),
            Err(_) => {
                errors.push(unknown_type(column, &name));
                fields.push(Field::new(name, DataType::Null, true));
            }
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

fn format(stored_as: &str, site: &Site<'_>) -> Result<Format, Diagnostic> {
    let mut formats = ROW_FORMATS.iter();
    let same = |name: &&str| name.eq_ignore_ascii_case(stored_as);
    let known = formats.find(|format| format.names.iter().any(&same));
    known.map(|format| format.format).ok_or_else(|| {
        let found = site.diagnostic(
            &[Find::Name(stored_as.to_owned())],
            format!("there is no format '{stored_as}'"),
        );
        let names = ROW_FORMATS.iter().flat_map(|format| format.names);
        match nearest(stored_as, names.copied()) {
            Some(near) => found.with_hint(format!("did you mean {near}?")),
            None => found.with_hint(
                "sources are STORED AS CSV, JSON (one object a line), PARQUET or TEXT (one column)",
            ),
        }
    })
}

/// The only location of a source, and its connector.
fn connector(
    registry: &Registry,
    locations: &[String],
    site: &Site<'_>,
) -> Result<(String, &'static dyn SourceConnector), Diagnostic> {
    let [location] = locations else {
        let found = site.diagnostic(&[Find::Words(&["LOCATION"])], "a source has one location");
        return Err(found.with_hint(
            "use a directory or a glob, or declare one source each and unite them with UNION ALL",
        ));
    };
    let Some(connector) = registry.source(location) else {
        let finds = [Find::Text(location.clone()), Find::Words(&["LOCATION"])];
        let found = site.diagnostic(&finds, unknown_scheme(registry, location));
        return Err(found.with_hint("write a path: LOCATION 'data/*.csv'"));
    };
    Ok((location.clone(), connector))
}
