//! Chooses the column by which the rows of each source are assigned to steps.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::error::ArrowError;

use crate::drive::RunError;
use crate::job::{Job, Source};

/// For each source of the job, the index of its event time among its declared columns. This is the column that `by`
/// names, as `COLUMN` or `SOURCE.COLUMN`, or else the first column with a time.
///
/// # Errors
/// When a column does not exist or has no times, or a source gets two.
pub fn choose(job: &Job, by: &[String]) -> Result<Vec<Option<usize>>, RunError> {
    if by.is_empty() {
        return Ok(job.sources.iter().map(first).collect());
    }
    let mut chosen = vec![None; job.sources.len()];
    for name in by {
        let mut found = false;
        for (at, source) in job.sources.iter().enumerate() {
            let Some(column) = named(source, name) else {
                continue;
            };
            found = true;
            let field = source.spec.schema.field(column);
            let source_name = &source.spec.name;
            if !is_time(field.data_type()) {
                return Err(RunError::Usage(format!(
                    "--by {name}: '{}' of source {source_name} is a {} and not a time. {}",
                    field.name(),
                    field.data_type(),
                    times(job)
                )));
            }
            if chosen[at]
                .replace(column)
                .is_some_and(|other| other != column)
            {
                return Err(RunError::Usage(format!(
                    "--by {name}: source {source_name} has another column of event time already; give one for each \
                     source"
                )));
            }
        }
        if !found {
            return Err(RunError::Usage(format!(
                "--by {name}: no source has this column. {}",
                times(job)
            )));
        }
    }
    Ok(chosen)
}

/// Microseconds since 1970 of a column of times.
///
/// # Errors
/// When the column is of another type.
pub fn micros(column: &ArrayRef) -> Result<Int64Array, ArrowError> {
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let times = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
    Ok(cast(&times, &DataType::Int64)?
        .as_primitive::<Int64Type>()
        .clone())
}

fn named(source: &Source, name: &str) -> Option<usize> {
    let of_source = name
        .strip_prefix(source.spec.name.as_str())
        .and_then(|rest| rest.strip_prefix('.'));
    let column = |name: &str| source.spec.schema.index_of(name).ok();
    column(name).or_else(|| column(of_source?))
}

fn first(source: &Source) -> Option<usize> {
    let mut fields = source.spec.schema.fields().iter();
    fields.position(|field| is_time(field.data_type()))
}

fn is_time(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64
    )
}

/// The columns that may be named.
fn times(job: &Job) -> String {
    let columns = job.sources.iter().flat_map(|source| {
        let fields = source.spec.schema.fields().iter();
        let fields = fields.filter(|field| is_time(field.data_type()));
        fields.map(|field| format!("{}.{}", source.spec.name, field.name()))
    });
    let columns: Vec<String> = columns.collect();
    if columns.is_empty() {
        "No source has a TIMESTAMP or DATE: without --by all rows are one step".to_owned()
    } else {
        format!("TIMESTAMP and DATE columns are {}", columns.join(", "))
    }
}
