//! Matches declared columns to the columns of a file by name, each with its conversion.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescriptor;

use crate::coded_text;
use crate::names::{self, is_same, is_same_in_any_case};
use crate::options::{CheckColumns, ColumnNames, MissingColumns, UnknownColumns};
use crate::scalar::sql_name;
use crate::undeclared::{self, UndeclaredColumn, folder_hint};
use tidewater_contract::error::SourceError;

use super::convert::{ColumnConversion, Mismatch};
use super::open::ReadPlan;

/// A declared column, in one file.
pub(super) struct ParquetColumn {
    /// Its index among the file's columns; `None` if the file does not have it.
    root: Option<usize>,
    pub(super) conversion: ColumnConversion,
    /// Whether the job reads the column. Other columns are only checked.
    pub(super) is_read: bool,
}

/// The columns that are decoded of one row group.
pub(super) struct GroupColumns {
    /// The columns, in declared order.
    pub(super) columns: Vec<GroupColumn>,
    pub(super) mask: ProjectionMask,
}

/// A column that is decoded of one row group.
pub(super) struct GroupColumn {
    /// Its index in a batch; `None` if the file does not have it.
    pub(super) place: Option<usize>,
    /// Its index among the declared columns.
    pub(super) column: usize,
}

impl GroupColumns {
    /// The columns of `group` to decode: those that are read, and others whose statistics do not exclude bad values.
    pub(super) fn of(
        columns: &[ParquetColumn],
        group: &RowGroupMetaData,
        file: &SchemaDescriptor,
    ) -> Self {
        let is_decoded = |column: &ParquetColumn| column.is_read || column.is_in_doubt(group, file);
        let decoded = columns.iter().enumerate();
        let decoded: Vec<_> = decoded.filter(|(_, column)| is_decoded(column)).collect();
        let mut roots: Vec<usize> = decoded
            .iter()
            .filter_map(|(_, column)| column.root)
            .collect();
        roots.sort_unstable();
        roots.dedup();
        let place = |root: usize| roots.binary_search(&root).ok();
        Self {
            columns: decoded
                .iter()
                .map(|(index, column)| GroupColumn {
                    place: column.root.and_then(place),
                    column: *index,
                })
                .collect(),
            mask: ProjectionMask::roots(file, roots),
        }
    }
}

impl ParquetColumn {
    /// Whether a row group may hold a bad value of the column.
    fn is_in_doubt(&self, group: &RowGroupMetaData, file: &SchemaDescriptor) -> bool {
        let Some(root) = self.root else {
            return false;
        };
        let mut leaves =
            (0..file.num_columns()).filter(|leaf| file.get_column_root_idx(*leaf) == root);
        let chunk = match (leaves.next(), leaves.next()) {
            (Some(leaf), None) => group.columns().get(leaf),
            _ => None,
        };
        self.conversion.may_reject(chunk)
    }
}

/// Refuses undeclared columns of the file, unless the source ignores them.
///
/// # Errors
/// The error lists all such columns.
pub(super) fn refuse_unknown(
    plan: &ReadPlan,
    name: &Arc<str>,
    file: &Schema,
) -> Result<(), SourceError> {
    if plan.options.unknown_columns == UnknownColumns::Ignore {
        return Ok(());
    }
    let declared = plan.declared.fields();
    let mut columns = Vec::new();
    for field in file.fields() {
        if has(declared, field.name(), file.fields()) {
            continue;
        }
        let message = match in_other_case(declared, field.name()) {
            Some(_) if plan.options.column_names == ColumnNames::AnyCase => continue,
            Some((_, other)) => format!(
                "is declared as '{}': declare it as \"{}\" in double quotes, or set column_names to 'any_case'",
                other.name(),
                field.name()
            ),
            None => {
                columns.push(UndeclaredColumn {
                    name: field.name().clone(),
                    sql_type: sql_name(field.data_type()),
                });
                continue;
            }
        };
        return Err(SourceError::column(name, field.name().as_str(), message));
    }
    if columns.is_empty() {
        return Ok(());
    }
    Err(undeclared::error(name, &columns))
}

/// Finds all declared columns in `file`, the schema of the file that errors call `name`.
///
/// # Errors
/// When a column is missing, or its type does not fit the declared type.
pub(super) fn match_columns(
    plan: &ReadPlan,
    name: &Arc<str>,
    file: &Schema,
) -> Result<Vec<ParquetColumn>, SourceError> {
    let mut columns = Vec::with_capacity(plan.declared.fields().len());
    for (index, field) in plan.declared.fields().iter().enumerate() {
        let is_read = plan.projection.contains(&index);
        if !is_read && plan.options.check == CheckColumns::Read {
            continue;
        }
        let matched = match_column(plan, name, field, file.fields()).map_err(|error| {
            let column = format!("{}{}", field.name(), error.path);
            SourceError::column(name, column, error.message)
        })?;
        let (root, conversion) = matched;
        columns.push(ParquetColumn {
            root,
            conversion,
            is_read,
        });
    }
    Ok(columns)
}

fn match_column(
    plan: &ReadPlan,
    name: &str,
    field: &FieldRef,
    file: &Fields,
) -> Result<(Option<usize>, ColumnConversion), Mismatch> {
    let stays_coded = |found: &DataType| {
        plan.dictionaries && *field.data_type() == DataType::Utf8 && *found == coded_text()
    };
    match find(plan, field.name(), file)? {
        Some((root, found)) if stays_coded(found.data_type()) => {
            Ok((Some(root), ColumnConversion::coded(field)))
        }
        Some((root, found)) => {
            let conversion = ColumnConversion::plan(found, field, plan.rules)?;
            Ok((Some(root), conversion))
        }
        None if plan.options.missing_columns == MissingColumns::Null => {
            Ok((None, ColumnConversion::missing(field)?))
        }
        None => Err(Mismatch::new(match in_other_case(file, field.name()) {
            Some((_, other)) => format!(
                "is '{}' in the file: declare it so in double quotes, or set column_names to 'any_case'",
                other.name()
            ),
            None => match folder_hint(name, field.name()) {
                Some(hint) => format!("is not in the file; {hint}"),
                None => format!(
                    "is not in the file, whose columns are {}; set missing_columns to 'null' to read it as NULL",
                    joined_names(file)
                ),
            },
        })),
    }
}

/// The column of the file with this name, by the source's rule for names.
fn find<'a>(
    plan: &ReadPlan,
    name: &str,
    file: &'a Fields,
) -> Result<Option<(usize, &'a FieldRef)>, Mismatch> {
    match names::positions(&field_names(file), name).as_slice() {
        [only] => Ok(file.get(*only).map(|found| (*only, found))),
        [_, _, ..] => Err(Mismatch::new("is in the file more than once")),
        [] if plan.options.column_names == ColumnNames::AnyCase => Ok(in_other_case(file, name)),
        [] => Ok(None),
    }
}

pub(super) fn field_names(fields: &Fields) -> impl Iterator<Item = &str> + Clone {
    fields.iter().map(|field| field.name().as_str())
}

/// Whether `name`, a name of one schema, is in `fields`, the other one. A name in another spelling does not count if
/// its own spelling occurs beside it.
fn has(fields: &Fields, name: &str, beside: &Fields) -> bool {
    let in_other_spelling =
        |field: &FieldRef| is_same(field.name(), name) && beside.find(field.name()).is_none();
    fields.find(name).is_some() || !name.is_ascii() && fields.iter().any(in_other_spelling)
}

/// The field whose name differs from `name` only in case.
fn in_other_case<'a>(fields: &'a Fields, name: &str) -> Option<(usize, &'a FieldRef)> {
    let mut fields = fields.iter().enumerate();
    fields
        .find(|(_, field)| !is_same(field.name(), name) && is_same_in_any_case(field.name(), name))
}

/// Warnings about declared columns that are read as NULL although the file has their names in another case.
pub(super) fn names_in_other_case(plan: &ReadPlan, name: &str, file: &Schema) -> Vec<String> {
    if plan.options.column_names == ColumnNames::AnyCase {
        return Vec::new();
    }
    let missing = plan.declared.fields().iter();
    let missing = missing.filter(|field| !has(file.fields(), field.name(), plan.declared.fields()));
    let warn = |field: &FieldRef| {
        let (_, other) = in_other_case(file.fields(), field.name())?;
        Some(format!(
            "{name}: column '{}' is read as NULL, but the file has '{}': declare it so in double quotes, or set \
             column_names to 'any_case'",
            field.name(),
            other.name()
        ))
    };
    missing.filter_map(warn).collect()
}

/// The names of fields, for a message.
pub(super) fn joined_names(fields: &Fields) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
    names.join(", ")
}
