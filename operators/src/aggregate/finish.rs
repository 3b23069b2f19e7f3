//! Computes output rows from accumulators.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, RecordBatch, RecordBatchOptions,
};
use arrow::datatypes::{DataType, Decimal256Type, DecimalType, Int64Type, UInt64Type, i256};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;

use super::accumulators::AccumulatedGroup;
use super::error::AggregateError;
use super::keys::{group_converter, value_converter};
use super::quotient::{decimal_average, integer_average};
use super::spec::{AccumulatorLayout, Aggregation, CallSlots, Function};
use crate::row::EncodedRow;
use crate::sql_type::sql_type;

/// Builds the output rows of an aggregation.
pub struct Finisher {
    aggregation: Aggregation,
    layout: AccumulatorLayout,
    group_rows: Option<RowConverter>,
    /// The decoder of each call that is an extreme.
    value_rows: Vec<Option<RowConverter>>,
}

impl Finisher {
    /// A finisher for `aggregation`.
    ///
    /// # Errors
    /// When a call or type is not supported.
    pub fn new(aggregation: &Aggregation) -> Result<Self, AggregateError> {
        let layout = aggregation.layout()?;
        let value_rows = layout.slots.iter().enumerate().map(|(call, slots)| {
            let extreme = matches!(slots, CallSlots::Extreme(_));
            extreme
                .then(|| value_converter(aggregation, call))
                .transpose()
        });
        Ok(Self {
            value_rows: value_rows.collect::<Result<_, _>>()?,
            group_rows: group_converter(aggregation)?,
            aggregation: aggregation.clone(),
            layout,
        })
    }

    /// One output row for each of `groups`.
    ///
    /// # Errors
    /// When a sum or an average does not fit its type.
    pub fn finish(&self, groups: &[AccumulatedGroup<'_>]) -> Result<RecordBatch, AggregateError> {
        let mut columns = match &self.group_rows {
            None => Vec::new(),
            Some(converter) => {
                let parser = converter.parser();
                converter.convert_rows(groups.iter().map(|group| parser.parse(group.key)))?
            }
        };
        for call in 0..self.aggregation.calls.len() {
            let column = self.column(call, groups, &columns)?;
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.aggregation.output),
            columns,
            &options,
        )?)
    }

    /// The rows in which two batches of the same groups differ.
    ///
    /// # Errors
    /// When columns cannot be compared.
    pub fn differing(
        &self,
        old: &RecordBatch,
        new: &RecordBatch,
    ) -> Result<BooleanArray, AggregateError> {
        let keys = self.aggregation.group.len();
        let mut differs = BooleanArray::from(vec![false; old.num_rows()]);
        for (old, new) in old.columns().iter().zip(new.columns()).skip(keys) {
            // Rows are compared bit by bit everywhere: -0.0 differs from 0.0, and NaN equals NaN.
            let converter = RowConverter::new(vec![SortField::new(old.data_type().clone())])?;
            let old = converter.convert_columns(std::slice::from_ref(old))?;
            let new = converter.convert_columns(std::slice::from_ref(new))?;
            let column: BooleanArray = old
                .iter()
                .zip(&new)
                .map(|(old, new)| Some(old != new))
                .collect();
            differs = arrow::compute::or(&differs, &column)?;
        }
        Ok(differs)
    }

    fn column(
        &self,
        call: usize,
        groups: &[AccumulatedGroup<'_>],
        keys: &[ArrayRef],
    ) -> Result<ArrayRef, AggregateError> {
        let output = self
            .aggregation
            .output
            .field(self.aggregation.group.len() + call)
            .data_type();
        let average = self.aggregation.calls[call].function == Function::Avg;
        match self.layout.slots[call] {
            CallSlots::Count(slot) => {
                let counts = groups
                    .iter()
                    .map(|group| Some(group.accumulators.integers[slot]));
                integer_column(output, counts.collect())
            }
            CallSlots::Integer { sum, high, count } if average && output.is_floating() => {
                let averages = groups.iter().map(|group| {
                    let count = u64::try_from(group.accumulators.integers[count]).ok()?;
                    let sum = exact_sum(group.accumulators.integers, sum, high).to_i128()?;
                    (count > 0).then(|| integer_average(sum, count))
                });
                Ok(Arc::new(Float64Array::from_iter(averages)))
            }
            CallSlots::Integer { sum, high, count } => {
                let scales = (scale(self.argument_type(call)), scale(output));
                let values = groups.iter().enumerate().map(|(row, group)| {
                    let count =
                        u64::try_from(group.accumulators.integers[count]).unwrap_or_default();
                    if count == 0 {
                        return Ok(None);
                    }
                    let sum = exact_sum(group.accumulators.integers, sum, high);
                    let digits = if average {
                        decimal_average(sum, count, i16::from(scales.1) - i16::from(scales.0))
                    } else {
                        sum.to_i128()
                    };
                    let fitting = digits.filter(|digits| fits(output, *digits));
                    let value = fitting.ok_or_else(|| self.beyond(call, keys, row, sum));
                    value.map(Some)
                });
                integer_column(output, values.collect::<Result<_, AggregateError>>()?)
            }
            CallSlots::Float { sum, count } => {
                let values = groups.iter().map(|group| {
                    let (sum, count) = (
                        group.accumulators.floats[sum].value(),
                        group.accumulators.integers[count],
                    );
                    (count > 0).then(|| if average { sum / to_f64(count) } else { sum })
                });
                Ok(Arc::new(Float64Array::from_iter(values)))
            }
            CallSlots::Extreme(slot) => self.extreme_column(
                call,
                groups
                    .iter()
                    .map(|group| &group.accumulators.extremes[slot]),
            ),
        }
    }

    fn argument_type(&self, call: usize) -> &DataType {
        self.aggregation
            .argument_type(&self.aggregation.calls[call])
    }

    /// The error of a sum or average that does not fit its type. `columns` begins with the groups' keys.
    fn beyond(&self, call: usize, columns: &[ArrayRef], row: usize, sum: i256) -> AggregateError {
        let fields = self.aggregation.output.fields();
        let output = &fields[self.aggregation.group.len() + call];
        let keys = fields
            .iter()
            .zip(columns)
            .take(self.aggregation.group.len());
        let keys = keys.map(|(field, column)| {
            let value = array_value_to_string(column, row).unwrap_or_default();
            let value = if column.is_null(row) { "NULL" } else { &value };
            format!("{} = {value}", field.name())
        });
        let keys: Vec<String> = keys.collect();
        let scale = scale(self.argument_type(call));
        AggregateError::Beyond {
            column: output.name().clone(),
            group: if keys.is_empty() {
                String::new()
            } else {
                format!(" in the group {}", keys.join(", "))
            },
            sum: Decimal256Type::format_decimal(sum, 76, scale),
            data_type: sql_type(output.data_type()),
        }
    }

    fn extreme_column<'a>(
        &self,
        call: usize,
        extremes: impl Iterator<Item = &'a Option<EncodedRow>>,
    ) -> Result<ArrayRef, AggregateError> {
        let Some(converter) = &self.value_rows[call] else {
            return Ok(Arc::new(arrow::array::NullArray::new(0)));
        };
        let parser = converter.parser();
        // NULL is never in a pair, so its encoding can represent a group without values.
        let data_type = self
            .aggregation
            .argument_type(&self.aggregation.calls[call]);
        let null = converter.convert_columns(&[arrow::array::new_null_array(data_type, 1)])?;
        let null = null.row(0).data();
        let rows = extremes
            .map(|extreme| parser.parse(extreme.as_ref().map_or(null, EncodedRow::as_bytes)));
        Ok(converter.convert_rows(rows)?.swap_remove(0))
    }
}

/// The exact sum of a group. The lower halves of all values add up to less than 2^127, so the sum modulo 2^128 and
/// the sum of the upper halves determine it.
fn exact_sum(integers: &[i128], sum: usize, high: Option<usize>) -> i256 {
    let low = integers[sum];
    let Some(high) = high.map(|high| integers[high]) else {
        return i256::from_i128(low);
    };
    let rest = low.wrapping_sub(high.wrapping_shl(64));
    let rest = i256::from_parts(rest.cast_unsigned(), 0);
    i256::from_i128(high)
        .wrapping_mul(i256::from_i128(1 << 64))
        .wrapping_add(rest)
}

/// Whether a type can hold an integer, or a decimal in units of its last digit.
fn fits(data_type: &DataType, digits: i128) -> bool {
    let has = |precision: u8| {
        let limit = 10_u128.checked_pow(precision.into());
        limit.is_none_or(|limit| digits.unsigned_abs() < limit)
    };
    match data_type {
        DataType::Int64 => i64::try_from(digits).is_ok(),
        DataType::UInt64 => u64::try_from(digits).is_ok(),
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _) => has(*precision),
        _ => has(38),
    }
}

/// Integers, or decimals in units of their last digit, as a column of the output's type, which can hold them.
fn integer_column(
    output: &DataType,
    digits: Vec<Option<i128>>,
) -> Result<ArrayRef, AggregateError> {
    let scale = scale(output);
    let wide = Decimal128Array::from(digits).with_precision_and_scale(38, scale)?;
    Ok(match output {
        DataType::Decimal128(precision, scale) => {
            Arc::new(wide.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Int64 => {
            Arc::new(wide.unary_opt::<_, Int64Type>(|value| i64::try_from(value).ok()))
        }
        DataType::UInt64 => {
            Arc::new(wide.unary_opt::<_, UInt64Type>(|value| u64::try_from(value).ok()))
        }
        other => arrow::compute::cast(&wide, other)?,
    })
}

/// The scale of a decimal type; 0 for an integer type.
fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// The nearest double.
#[allow(clippy::cast_precision_loss)]
fn to_f64(value: i128) -> f64 {
    value as f64
}
