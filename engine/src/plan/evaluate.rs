//! Evaluates expressions over a batch, by distinct values where that is less work.
//!
//! An expression of one column is a function of its value. Over a dictionary, it is evaluated once for each of the
//! dictionary's values. Over timestamps, it is evaluated once for each hour if it gives the same result for all
//! timestamps of an hour. So the date parts that a job groups by cost as much as a batch has hours. The result is a
//! dictionary with the same keys.
//!
//! 1. Each row gets the value that evaluating it alone would give. A value that no row has must not fail a batch. If
//!    a value fails, the rows themselves are evaluated.
//! 2. Results depend on the batch only. Other expressions are refused when a job is checked.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use tidewater_operators::plain::plain_column;

use super::hours::hours;
use super::row_error::with_row;

/// Batches of fewer rows are evaluated row by row, since distinct values save nothing there.
const FEW_ROWS: usize = 64;

/// Stack that must be free before an expression of the greatest allowed depth is evaluated, and the size of the stack
/// that is allocated otherwise.
const STACK_LEFT: usize = 1 << 20;
const STACK_MORE: usize = 8 << 20;

/// Evaluates expressions over one batch.
pub struct Evaluation<'a> {
    batch: &'a RecordBatch,
    /// Timestamp columns as dictionaries of hours, computed on demand; `None` if that saves nothing.
    hours: Vec<(usize, Option<ArrayRef>)>,
}

impl<'a> Evaluation<'a> {
    /// An evaluation over `batch`.
    pub fn over(batch: &'a RecordBatch) -> Self {
        Self {
            batch,
            hours: Vec::new(),
        }
    }

    /// The column of an expression's values. It is a dictionary if the expression was evaluated by distinct values.
    ///
    /// # Errors
    /// When the expression fails on a row.
    pub fn column(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<ArrayRef, DataFusionError> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            return Ok(Arc::clone(self.batch.column(column.index())));
        }
        let rows = self.batch.num_rows();
        let columns = collect_columns(expr);
        let mut columns = columns.iter().map(Column::index);
        if let (Some(at), None) = (columns.next(), columns.next())
            && rows >= FEW_ROWS
            && let Some(values) = self.by_value(expr, at)?
        {
            return Ok(values);
        }
        let plain = plain_columns(self.batch, expr)?;
        let values = stacker::maybe_grow(STACK_LEFT, STACK_MORE, || expr.evaluate(&plain));
        values
            .and_then(|values| values.into_array(rows))
            .map_err(|error| with_row(error, expr, &plain))
    }

    /// A predicate's value for each row.
    ///
    /// # Errors
    /// As [`column`](Self::column).
    pub fn predicate(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<ArrayRef, DataFusionError> {
        Ok(plain_column(&self.column(expr)?)?)
    }

    /// Evaluates an expression of the column `at` by that column's distinct values.
    fn by_value(
        &mut self,
        expr: &Arc<dyn PhysicalExpr>,
        at: usize,
    ) -> Result<Option<ArrayRef>, DataFusionError> {
        let column = self.batch.column(at);
        let column = match column.data_type() {
            DataType::Dictionary(..) => Arc::clone(column),
            DataType::Timestamp(_, None) if is_of_hour(expr) => {
                let known = self.hours.iter().find(|(known, _)| *known == at);
                let by_hour = match known {
                    Some((_, known)) => known.clone(),
                    None => {
                        let by_hour = hours(column)?;
                        self.hours.push((at, by_hour.clone()));
                        by_hour
                    }
                };
                match by_hour {
                    Some(by_hour) => by_hour,
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let Some(dictionary) = column.as_dictionary_opt::<UInt32Type>() else {
            return Ok(None);
        };
        if dictionary.values().len() > self.batch.num_rows() {
            return Ok(None);
        }
        let keys = dictionary.keys();
        let (values, keys) = if keys.null_count() > 0 {
            with_null(dictionary.values(), keys)?
        } else {
            (Arc::clone(dictionary.values()), keys.clone())
        };
        // Invariant 1: the value that fails may be one that no row has.
        let Ok(results) = evaluate_values(expr, self.batch.schema_ref().field(at), values) else {
            return Ok(None);
        };
        if results.data_type().is_nested() {
            return Ok(Some(take(&results, &keys, None)?));
        }
        Ok(Some(Arc::new(DictionaryArray::try_new(keys, results)?)))
    }
}

/// Appends NULL to the values, and replaces NULL keys by its index, so that no key is NULL.
fn with_null(
    values: &ArrayRef,
    keys: &UInt32Array,
) -> Result<(ArrayRef, UInt32Array), DataFusionError> {
    let null = u32::try_from(values.len())
        .map_err(|_| DataFusionError::Internal("a dictionary beyond its keys".to_owned()))?;
    let nulls = arrow::array::new_null_array(values.data_type(), 1);
    let keys = keys.iter().map(|key| key.unwrap_or(null)).collect();
    Ok((concat(&[values, &nulls])?, keys))
}

/// An expression of one column over that column's values.
fn evaluate_values(
    expr: &Arc<dyn PhysicalExpr>,
    field: &Field,
    values: ArrayRef,
) -> Result<ArrayRef, DataFusionError> {
    let of_first = Arc::clone(expr).transform(|node| {
        Ok(match node.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), 0)) as _),
            None => Transformed::no(node),
        })
    })?;
    let rows = values.len();
    let field = Field::new(field.name(), values.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values])?;
    of_first.data.evaluate(&batch)?.into_array(rows)
}

/// The batch, with the columns that an expression reads as plain columns.
fn plain_columns(
    batch: &RecordBatch,
    expr: &Arc<dyn PhysicalExpr>,
) -> Result<RecordBatch, DataFusionError> {
    let is_dictionary =
        |at: usize| matches!(batch.column(at).data_type(), DataType::Dictionary(..));
    let read = collect_columns(expr);
    if !read.iter().any(|column| is_dictionary(column.index())) {
        return Ok(batch.clone());
    }
    let mut columns = batch.columns().to_vec();
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
    fields.extend(
        batch
            .schema_ref()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone()),
    );
    for at in read.iter().map(Column::index) {
        columns[at] = plain_column(&columns[at])?;
        fields[at].set_data_type(columns[at].data_type().clone());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        columns,
        &options,
    )?)
}

/// Whether an expression is the same for all timestamps of an hour: it reads timestamps only through functions that
/// are.
fn is_of_hour(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if expr.downcast_ref::<Column>().is_some() {
        return false;
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>()
        && cast.expr().downcast_ref::<Column>().is_some()
    {
        return *cast.cast_type() == DataType::Date32;
    }
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>()
        && let [part, of] = function.args()
        && of.downcast_ref::<Column>().is_some()
    {
        let parts: &[&str] = match function.name() {
            "date_trunc" => &["hour", "day", "week", "month", "quarter", "year"],
            "date_part" => &[
                "hour", "day", "dow", "doy", "isodow", "week", "month", "quarter", "year",
            ],
            _ => return false,
        };
        return literal(part).is_some_and(|part| parts.contains(&part.to_lowercase().as_str()));
    }
    expr.children().into_iter().all(is_of_hour)
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => {
            text.as_deref()
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::TimeUnit;
    use datafusion_common::ToDFSchema;
    use datafusion_expr::{Expr, cast, col, lit, when};
    use datafusion_functions::expr_fn::{concat, date_part, date_trunc, upper};

    use super::super::expression::compile;
    use super::*;

    fn expressions() -> Vec<Expr> {
        let long = |part: &str| cast(date_part(lit(part), col("at")), DataType::Int64);
        let dow = long("dow") + lit(1_i64);
        vec![
            col("text"),
            col("text").eq(lit("12")),
            col("text").is_null(),
            when(col("text").is_null(), lit("none"))
                .otherwise(col("text"))
                .unwrap(),
            upper(col("text")),
            concat(vec![col("text"), col("other")]),
            cast(col("text"), DataType::Int64),
            cast(col("at"), DataType::Date32),
            date_part(lit("hour"), col("at")),
            date_part(lit("Quarter"), col("at")),
            date_part(lit("minute"), col("at")),
            date_trunc(lit("month"), col("at")),
            cast(dow, DataType::Int32),
            long("year") + col("number"),
            cast(lit("7"), DataType::Int64),
        ]
    }

    /// Rows whose texts are numbers or NULL, over about a hundred hours before and after 1970.
    fn rows(count: i64) -> RecordBatch {
        let texts: StringArray = (0..count)
            .map(|row| (row % 7 != 0).then(|| (row % 13).to_string()))
            .collect();
        let others: StringArray = (0..count)
            .map(|row| Some(format!("o{}", row % 3)))
            .collect();
        let times: TimestampMicrosecondArray = (0..count)
            .map(|row| (row % 11 != 0).then(|| (row % 100 - 50) * 3_599_999_999 + row))
            .collect();
        let numbers = Int64Array::from_iter_values(0..count);
        RecordBatch::try_from_iter_with_nullable([
            ("text", Arc::new(texts) as ArrayRef, true),
            ("other", Arc::new(others), true),
            ("at", Arc::new(times), true),
            ("number", Arc::new(numbers), true),
        ])
        .unwrap()
    }

    /// `batch` with its texts as dictionaries. They hold a value that no row has and that is not a number.
    fn coded(batch: &RecordBatch) -> RecordBatch {
        let columns = batch.columns().iter().map(|column| {
            let Some(texts) = column.as_string_opt::<i32>() else {
                return Arc::clone(column);
            };
            let mut values = vec!["unused"];
            let keys: UInt32Array = texts
                .iter()
                .map(|text| {
                    let text = text?;
                    let at = values.iter().position(|value| *value == text);
                    let at = at.unwrap_or_else(|| {
                        values.push(text);
                        values.len() - 1
                    });
                    u32::try_from(at).ok()
                })
                .collect();
            let values: ArrayRef = Arc::new(StringArray::from(values));
            Arc::new(DictionaryArray::try_new(keys, values).unwrap()) as ArrayRef
        });
        let columns: Vec<ArrayRef> = columns.collect();
        let names = batch.schema();
        let names = names.fields().iter().map(|field| field.name().clone());
        RecordBatch::try_from_iter(names.zip(columns)).unwrap()
    }

    #[test]
    fn values_and_rows_come_to_the_same() {
        for count in [0, 1, 63, 64, 1000] {
            let plain = rows(count);
            let schema = plain.schema().to_dfschema().unwrap();
            let coded = coded(&plain);
            for expr in expressions() {
                let compiled = compile(&expr, &schema).unwrap();
                let expected = compiled.evaluate(&plain).unwrap();
                let expected = expected.into_array(plain.num_rows()).unwrap();
                for batch in [&plain, &coded] {
                    let found = Evaluation::over(batch).predicate(&compiled).unwrap();
                    assert_eq!(&found, &expected, "{expr} over {count} rows");
                }
            }
        }
    }

    #[test]
    fn parts_of_dates_keep_the_hours_keys() {
        let batch = rows(1000);
        let schema = batch.schema().to_dfschema().unwrap();
        let mut evaluation = Evaluation::over(&batch);
        let mut of = |expr: Expr| {
            evaluation
                .column(&compile(&expr, &schema).unwrap())
                .unwrap()
        };
        let (year, day) = (
            of(date_part(lit("year"), col("at"))),
            of(cast(col("at"), DataType::Date32)),
        );
        let minute = of(date_part(lit("minute"), col("at")));
        let keys = |column: &ArrayRef| column.as_dictionary::<UInt32Type>().keys().clone();
        assert_eq!(keys(&year), keys(&day));
        assert_eq!(*minute.data_type(), DataType::Int32);
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(*batch.column(2).data_type(), time);
    }
}
