//! `unnest`: lists become rows, structs become columns. Pure functions over a batch; [`map`](crate::map::map) runs them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// What to unnest. A row becomes as many rows as its longest list is long; shorter lists are filled up with NULL, and
/// the other columns are repeated.
#[derive(Clone, Debug)]
pub struct Unnest {
    /// Input column and how many levels of lists to take off it, in output order.
    pub lists: Vec<(usize, usize)>,
    /// Columns, counted after lists were unnested, whose fields become columns.
    pub structs: Vec<usize>,
    /// Whether a NULL list gives one row with NULL rather than none.
    pub preserve_nulls: bool,
    /// The output's columns.
    pub output: SchemaRef,
}

/// Lists of one column: where the values of each row lie.
struct Lists {
    values: ArrayRef,
    /// First value and number of values; `None` for a NULL list.
    spans: Vec<Option<(u64, u64)>>,
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
        let deepest = self
            .lists
            .iter()
            .map(|&(_, depth)| depth)
            .max()
            .unwrap_or(0);
        for level in (1..=deepest).rev() {
            rows = self.take_off_level(level, rows, &mut columns, &mut unnested)?;
        }
        let mut expanded = Vec::with_capacity(self.output.fields().len());
        for (index, column) in columns.into_iter().enumerate() {
            let mut of_column = self
                .lists
                .iter()
                .zip(&unnested)
                .filter(|((list, _), _)| *list == index)
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

    /// Takes the outermost level off the lists that are at least `level` deep; gives the number of rows after it.
    fn take_off_level(
        &self,
        level: usize,
        rows: usize,
        columns: &mut [ArrayRef],
        unnested: &mut [Option<ArrayRef>],
    ) -> Result<usize, ArrowError> {
        let mut lists = Vec::new();
        for (slot, &(column, depth)) in self.lists.iter().enumerate() {
            if depth >= level {
                let source = if depth == level {
                    Some(&columns[column])
                } else {
                    unnested[slot].as_ref()
                };
                if let Some(source) = source {
                    lists.push((slot, Lists::of(source)?));
                }
            }
        }
        let null_length = u64::from(self.preserve_nulls);
        let length = |row: usize| {
            let lengths = lists
                .iter()
                .map(|(_, lists)| lists.spans[row].map_or(null_length, |(_, length)| length));
            lengths.max().unwrap_or(0)
        };
        let lengths: Vec<u64> = (0..rows).map(length).collect();
        for (slot, lists) in &lists {
            unnested[*slot] = Some(lists.spread(&lengths)?);
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
                .filter(|&&(list, _)| list == index)
                .map(|&(_, depth)| depth)
                .peekable();
            let still_read = depths.peek().is_none() || depths.any(|depth| depth < level);
            *column = if still_read {
                take(column, &repeats, None)?
            } else {
                new_null_array(&DataType::Null, repeats.len())
            };
        }
        Ok(repeats.len())
    }

    /// Replaces struct columns by their fields; a NULL struct has NULL fields.
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

impl Lists {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
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
        let spans = offsets.windows(2).enumerate();
        let spans = spans
            .map(|(row, ends)| array.is_valid(row).then(|| (ends[0], ends[1] - ends[0])))
            .collect();
        Ok(Self { values, spans })
    }

    /// The values, one a row, each list filled up with NULL to its row's length.
    fn spread(&self, lengths: &[u64]) -> Result<ArrayRef, ArrowError> {
        let mut indices = Vec::new();
        for (span, &length) in self.spans.iter().zip(lengths) {
            let (start, own) = span.unwrap_or((0, 0));
            indices.extend((0..length).map(|at| (at < own).then_some(start + at)));
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
        lists: Vec<(usize, usize)>,
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
        Unnest {
            lists,
            structs: Vec::new(),
            preserve_nulls,
            output,
        }
        .apply(&batch)
        .unwrap()
    }

    #[test]
    fn a_row_for_each_element() {
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
                vec![(1, 1)],
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
    fn two_lists_go_side_by_side() {
        let other = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(7)]),
            Some(vec![Some(8)]),
            None,
            Some(vec![Some(9), Some(9)]),
        ]);
        let types = [DataType::Int32, DataType::Int32];
        let batch = unnest(
            vec![Arc::new(lists()), Arc::new(other)],
            vec![(0, 1), (1, 1)],
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
