//! Tables as multisets of rows. Rows are compared by their encoding, bit by bit: `-0.0` is not `0.0`, `1.50` is not
//! `1.5`. Types are compared before rows.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use arrow::util::pretty::pretty_format_batches;

/// Rows of one type, with their counts.
pub struct Table {
    schema: SchemaRef,
    converter: RowConverter,
    counts: BTreeMap<OwnedRow, i64>,
}

impl Table {
    /// An empty table with these columns.
    #[must_use]
    pub fn new(schema: SchemaRef) -> Self {
        let fields = schema
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).unwrap();
        Self {
            schema,
            converter,
            counts: BTreeMap::new(),
        }
    }

    /// The rows of a batch, with their counts.
    #[must_use]
    pub fn of(batch: &RecordBatch) -> Self {
        let mut table = Self::new(batch.schema());
        table.add(batch, 1).unwrap();
        table
    }

    /// The columns' names and types.
    #[must_use]
    pub fn columns(&self) -> Vec<(String, DataType)> {
        self.schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    }

    /// Adds `diff` to the count of each row of `batch`.
    ///
    /// # Errors
    /// When columns have other types than the table's.
    pub fn add(&mut self, batch: &RecordBatch, diff: i64) -> Result<(), String> {
        for row in &self.encode(batch)? {
            let row = row.owned();
            let count = self.counts.entry(row.clone()).or_default();
            *count += diff;
            if *count == 0 {
                self.counts.remove(&row);
            }
        }
        Ok(())
    }

    fn encode(&self, batch: &RecordBatch) -> Result<Rows, String> {
        let types = |schema: &SchemaRef| {
            schema
                .fields()
                .iter()
                .map(|field| field.data_type().clone())
                .collect::<Vec<_>>()
        };
        if types(&self.schema) != types(&batch.schema()) {
            return Err(format!("columns {}, not {}", batch.schema(), self.schema));
        }
        self.converter
            .convert_columns(batch.columns())
            .map_err(|error| error.to_string())
    }

    /// The rows with negative counts.
    #[must_use]
    pub fn negative(&self) -> Option<String> {
        let rows: Vec<_> = self
            .counts
            .iter()
            .filter(|(_, count)| **count < 0)
            .collect();
        (!rows.is_empty()).then(|| {
            self.show(
                &rows
                    .into_iter()
                    .map(|(row, count)| (row, *count))
                    .collect::<Vec<_>>(),
            )
        })
    }

    /// The difference from the `expected` table: their columns, or the missing rows (with `-`) and the surplus rows
    /// (with `+`).
    #[must_use]
    pub fn difference(&self, expected: &Self) -> Option<String> {
        if self.columns() != expected.columns() {
            return Some(format!(
                "columns\n  {:?}\nexpected\n  {:?}",
                self.columns(),
                expected.columns()
            ));
        }
        let mut rows = Vec::new();
        for (row, count) in &expected.counts {
            let surplus = self.counts.get(row).copied().unwrap_or_default() - count;
            rows.extend((surplus != 0).then_some((row, surplus)));
        }
        rows.extend(
            self.counts
                .iter()
                .filter(|(row, _)| !expected.counts.contains_key(*row))
                .map(|(row, count)| (row, *count)),
        );
        (!rows.is_empty())
            .then(|| format!("rows missing (-) and too many (+)\n{}", self.show(&rows)))
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> i64 {
        self.counts.values().sum()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    fn show(&self, rows: &[(&OwnedRow, i64)]) -> String {
        const SHOWN_MAX: usize = 20;
        let shown = &rows[..rows.len().min(SHOWN_MAX)];
        // The rows may come from another table of the same types, whose converter encodes in the same way.
        let parser = self.converter.parser();
        let columns = self
            .converter
            .convert_rows(shown.iter().map(|(row, _)| parser.parse(row.row().data())))
            .unwrap();
        let options = RecordBatchOptions::new().with_row_count(Some(shown.len()));
        let types = columns.iter().zip(self.schema.fields());
        let fields =
            types.map(|(column, field)| Field::new(field.name(), column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options).unwrap();
        let lines = pretty_format_batches(&[batch]).unwrap().to_string();
        let mut text = String::new();
        // There are three lines above the rows, and one below.
        for (at, line) in lines.lines().enumerate() {
            let count = at
                .checked_sub(3)
                .and_then(|row| shown.get(row))
                .map_or(String::new(), |(_, count)| format!("{count:+}"));
            let _ = writeln!(text, "{count:>5} {line}");
        }
        if rows.len() > SHOWN_MAX {
            let _ = writeln!(text, "  and {} more", rows.len() - SHOWN_MAX);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float32Array, Float64Array};

    use super::*;

    fn doubles(values: Vec<f64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        RecordBatch::try_from_iter(vec![("x", column)]).unwrap()
    }

    #[test]
    fn tables_differ_by_counts_bits_and_types() {
        let table = Table::of(&doubles(vec![1.0, 0.0, 1.0]));
        assert!(
            table
                .difference(&Table::of(&doubles(vec![0.0, 1.0, 1.0])))
                .is_none()
        );
        for other in [
            vec![1.0, 0.0],
            vec![1.0, 0.0, 0.0],
            vec![1.0, 1.0, -0.0],
            vec![],
        ] {
            let difference = table.difference(&Table::of(&doubles(other.clone())));
            assert!(difference.is_some(), "{other:?}");
        }
        let column: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 0.0, 1.0]));
        let reals = RecordBatch::try_from_iter(vec![("x", column)]).unwrap();
        assert!(table.difference(&Table::of(&reals)).is_some());
    }

    #[test]
    fn counts_below_zero_show() {
        let mut table = Table::of(&doubles(vec![1.0]));
        table.add(&doubles(vec![1.0]), -1).unwrap();
        assert!(table.is_empty() && table.negative().is_none());
        table.add(&doubles(vec![2.0]), -1).unwrap();
        assert!(table.negative().unwrap().contains("-1 | 2.0"));
    }
}
