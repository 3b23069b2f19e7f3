//! `unnest`: turns lists into rows and structs into columns. A pure function of a batch, for [`map`](crate::map::map).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// The specification of an unnest. A row becomes as many rows as its longest list has elements. Shorter lists are padded
/// with NULL, and the other columns are repeated.
#[derive(Clone, Debug)]
pub struct Unnest {
    /// The list columns, in output order.
    pub lists: Vec<UnnestedList>,
    /// The struct columns, by position after the lists were unnested.
    pub structs: Vec<usize>,
    /// Whether a NULL list becomes one row with NULL rather than none.
    pub preserve_nulls: bool,
    /// The output's columns.
    pub output: SchemaRef,
}

/// A list column to unnest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnnestedList {
    /// The input column.
    pub column: usize,
    /// Levels of lists to unnest.
    pub depth: usize,
}

/// The lists of one column.
struct ListValues {
    values: ArrayRef,
    /// The range of each row's values; `None` for a NULL list.
    ranges: Vec<Option<Range<u64>>>,
}

impl Unnest {
    /// Unnests one batch.
    ///
    /// # Errors
    /// When a column is not the list or struct that it is declared to be.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns = batch.columns().to_vec();
        let mut rows = batch.num_rows();
        let mut unnested: Vec<Option<ArrayRef>> = vec![None; self.lists.len()];
        let depths = self.lists.iter().map(|list| list.depth);
        for level in (1..=depths.max().unwrap_or(0)).rev() {
            rows = self.unnest_level(level, rows, &mut columns, &mut unnested)?;
        }
        let mut expanded = Vec::with_capacity(self.output.fields().len());
        for (index, column) in columns.into_iter().enumerate() {
            let mut of_column = self
                .lists
                .iter()
                .zip(&unnested)
                .filter(|(list, _)| list.column == index)
                .peekable();
            if of_column.peek().is_none() {
                expanded.push(column);
            } else {
                expanded.extend(of_column.filter_map(|(_, values)| values.clone()));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(
            Arc::clone(&self.output),
            self.flatten(&expanded)?,
            &options,
        )
    }

    /// Unnests the outermost level of the lists that have at least `level` levels. Returns the number of rows.
    fn unnest_level(
        &self,
        level: usize,
        rows: usize,
        columns: &mut [ArrayRef],
        unnested: &mut [Option<ArrayRef>],
    ) -> Result<usize, ArrowError> {
        let mut lists = Vec::new();
        for (slot, list) in self.lists.iter().enumerate() {
            if list.depth >= level {
                let source = if list.depth == level {
                    Some(&columns[list.column])
                } else {
                    unnested[slot].as_ref()
                };
                if let Some(source) = source {
                    lists.push((slot, ListValues::new(source)?));
                }
            }
        }
        let null_length = u64::from(self.preserve_nulls);
        let length = |row: usize| {
            let lengths = lists.iter().map(|(_, lists)| lists.length(row));
            let lengths = lengths.map(|length| length.unwrap_or(null_length));
            lengths.max().unwrap_or(0)
        };
        let lengths: Vec<u64> = (0..rows).map(length).collect();
        for (slot, lists) in &lists {
            unnested[*slot] = Some(lists.padded(&lengths)?);
        }
        let repeats: UInt64Array = (0_u64..)
            .zip(&lengths)
            .flat_map(|(row, &length)| {
                std::iter::repeat_n(row, usize::try_from(length).unwrap_or(usize::MAX))
            })
            .collect::<Vec<u64>>()
            .into();
        for (index, column) in columns.iter_mut().enumerate() {
            let mut depths = self
                .lists
                .iter()
                .filter(|list| list.column == index)
                .map(|list| list.depth)
                .peekable();
            let is_read_later = depths.peek().is_none() || depths.any(|depth| depth < level);
            *column = if is_read_later {
                take(column, &repeats, None)?
            } else {
                new_null_array(&DataType::Null, repeats.len())
            };
        }
        Ok(repeats.len())
    }

    /// Replaces struct columns by their fields. The fields of a NULL struct are NULL.
    fn flatten(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut flat = Vec::with_capacity(self.output.fields().len());
        for (index, column) in columns.iter().enumerate() {
            if !self.structs.contains(&index) {
                flat.push(Arc::clone(column));
                continue;
            }
            let fields = column
                .as_struct_opt()
                .ok_or_else(|| not_a("struct", column))?;
            for field in fields.columns() {
                let masked = match fields.nulls() {
                    Some(nulls) if nulls.null_count() > 0 => {
                        let is_null = arrow::array::BooleanArray::new(!nulls.inner(), None);
                        arrow::compute::nullif(field, &is_null)?
                    }
                    _ => Arc::clone(field),
                };
                flat.push(masked);
            }
        }
        Ok(flat)
    }
}

impl ListValues {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let (values, offsets): (ArrayRef, Vec<u64>) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let offsets = list
                    .value_offsets()
                    .iter()
                    .map(|&offset| u64::from(offset.cast_unsigned()));
                (Arc::clone(list.values()), offsets.collect())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (
                    Arc::clone(list.values()),
                    list.value_offsets()
                        .iter()
                        .map(|offset| offset.cast_unsigned())
                        .collect(),
                )
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let width = u64::from(list.value_length().cast_unsigned());
                (
                    Arc::clone(list.values()),
                    (0_u64..)
                        .take(list.len() + 1)
                        .map(|row| row * width)
                        .collect(),
                )
            }
            _ => return Err(not_a("list", array)),
        };
        let ranges = offsets.windows(2).enumerate();
        let ranges = ranges
            .map(|(row, ends)| array.is_valid(row).then(|| ends[0]..ends[1]))
            .collect();
        Ok(Self { values, ranges })
    }

    /// The length of a row's list; `None` for a NULL list.
    fn length(&self, row: usize) -> Option<u64> {
        let range = self.ranges[row].as_ref();
        range.map(|range| range.end - range.start)
    }

    /// The values, one a row, where each list is padded with NULL to its row's length.
    fn padded(&self, lengths: &[u64]) -> Result<ArrayRef, ArrowError> {
        let mut indices = Vec::new();
        for (range, &length) in self.ranges.iter().zip(lengths) {
            let range = range.clone().unwrap_or_default();
            let indices_of_row = (range.start..range.start + length)
                .map(|index| range.contains(&index).then_some(index));
            indices.extend(indices_of_row);
        }
        take(&self.values, &UInt64Array::from(indices), None)
    }
}

fn not_a(kind: &str, array: &ArrayRef) -> ArrowError {
    ArrowError::InvalidArgumentError(format!(
        "cannot unnest a {}: it is not a {kind}",
        array.data_type()
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, ListArray, StructArray};
    use arrow::datatypes::{Field, Int32Type, Schema};

    use super::*;

    fn lists() -> ListArray {
        ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
            Some(vec![Some(3)]),
        ])
    }

    fn schema(columns: &[&ArrayRef]) -> SchemaRef {
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new("c", column.data_type().clone(), true))
            .collect();
        Arc::new(Schema::new(fields))
    }

    fn unnest(
        columns: Vec<ArrayRef>,
        lists: &[(usize, usize)],
        preserve_nulls: bool,
        types: &[DataType],
    ) -> RecordBatch {
        let batch =
            RecordBatch::try_new(schema(&columns.iter().collect::<Vec<_>>()), columns).unwrap();
        let fields: Vec<Field> = types
            .iter()
            .map(|t| Field::new("o", t.clone(), true))
            .collect();
        let output = Arc::new(Schema::new(fields));
        let lists = lists
            .iter()
            .map(|&(column, depth)| UnnestedList { column, depth });
        Unnest {
            lists: lists.collect(),
            structs: Vec::new(),
            preserve_nulls,
            output,
        }
        .apply(&batch)
        .unwrap()
    }

    #[test]
    fn each_element_becomes_a_row() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30, 40]));
        let types = [DataType::Int64, DataType::Int32];
        for (preserve, expected_ids, expected_values) in [
            (false, vec![10, 10, 40], vec![Some(1), None, Some(3)]),
            (
                true,
                vec![10, 10, 20, 40],
                vec![Some(1), None, None, Some(3)],
            ),
        ] {
            let batch = unnest(
                vec![Arc::clone(&ids), Arc::new(lists())],
                &[(1, 1)],
                preserve,
                &types,
            );
            assert_eq!(
                batch
                    .column(0)
                    .as_primitive::<arrow::datatypes::Int64Type>()
                    .values(),
                &expected_ids[..]
            );
            assert_eq!(
                batch.column(1).as_primitive::<Int32Type>(),
                &Int32Array::from(expected_values)
            );
        }
    }

    #[test]
    fn two_lists_are_unnested_together() {
        let other = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(7)]),
            Some(vec![Some(8)]),
            None,
            Some(vec![Some(9), Some(9)]),
        ]);
        let types = [DataType::Int32, DataType::Int32];
        let batch = unnest(
            vec![Arc::new(lists()), Arc::new(other)],
            &[(0, 1), (1, 1)],
            false,
            &types,
        );
        let expected = [
            (Some(1), Some(7)),
            (None, None),
            (None, Some(8)),
            (Some(3), Some(9)),
            (None, Some(9)),
        ];
        let (left, right) = (
            batch.column(0).as_primitive::<Int32Type>(),
            batch.column(1).as_primitive::<Int32Type>(),
        );
        assert_eq!(left.iter().zip(right).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_null_struct_has_null_fields() {
        let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let fields = vec![Field::new("x", DataType::Int32, true)].into();
        let structs = StructArray::new(fields, vec![inner], Some(vec![true, false].into()));
        let batch = RecordBatch::try_new(
            schema(&[&(Arc::new(structs.clone()) as ArrayRef)]),
            vec![Arc::new(structs)],
        )
        .unwrap();
        let output = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
        let flat = Unnest {
            lists: vec![],
            structs: vec![0],
            preserve_nulls: false,
            output,
        }
        .apply(&batch)
        .unwrap();
        assert_eq!(
            flat.column(0).as_primitive::<Int32Type>(),
            &Int32Array::from(vec![Some(1), None])
        );
    }
}
