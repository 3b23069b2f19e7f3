//! Computes output rows from accumulators.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, UInt64Array,
};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};

use super::error::AggregateError;
use super::exact_sum::ExactSum;
use super::keys::{group_converter, value_converter};
use super::spec::{AccumulatorLayout, Aggregation, CallSlots, Function};
use crate::dictionary::KeyDictionary;
use crate::row::EncodedRow;

/// The accumulators of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulators {
    /// Integer sums; the first is the number of rows.
    pub integers: Box<[i128]>,
    /// Float sums.
    pub floats: Box<[ExactSum]>,
    /// The extremes, as bytes.
    pub extremes: Box<[Option<EncodedRow>]>,
}

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

    /// One output row for each of `groups`; `keys` holds their keys.
    ///
    /// # Errors
    /// When an average does not fit its type.
    pub fn finish(
        &self,
        keys: &KeyDictionary,
        groups: &[(u32, Accumulators)],
    ) -> Result<RecordBatch, AggregateError> {
        let mut columns = match &self.group_rows {
            None => Vec::new(),
            Some(converter) => {
                let parser = converter.parser();
                converter.convert_rows(groups.iter().map(|(id, _)| parser.parse(keys.get(*id))))?
            }
        };
        for call in 0..self.aggregation.calls.len() {
            columns.push(self.column(call, groups)?);
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
        groups: &[(u32, Accumulators)],
    ) -> Result<ArrayRef, AggregateError> {
        let output = self
            .aggregation
            .output
            .field(self.aggregation.group.len() + call)
            .data_type();
        let average = self.aggregation.calls[call].function == Function::Avg;
        match self.layout.slots[call] {
            CallSlots::Count(slot) => integer_column(
                output,
                groups.iter().map(|(_, group)| Some(group.integers[slot])),
            ),
            CallSlots::Integer { sum, count } if average => {
                let sums = groups
                    .iter()
                    .map(|(_, group)| (group.integers[sum], group.integers[count]));
                averages(
                    self.aggregation
                        .argument_type(&self.aggregation.calls[call]),
                    output,
                    sums,
                )
            }
            CallSlots::Integer { sum, count } => {
                let sums = groups
                    .iter()
                    .map(|(_, group)| (group.integers[count] > 0).then_some(group.integers[sum]));
                integer_column(output, sums)
            }
            CallSlots::Float { sum, count } => {
                let values = groups.iter().map(|(_, group)| {
                    let (sum, count) = (group.floats[sum].value(), group.integers[count]);
                    (count > 0).then(|| if average { sum / to_f64(count) } else { sum })
                });
                Ok(Arc::new(Float64Array::from_iter(values)))
            }
            CallSlots::Extreme(slot) => {
                self.extreme_column(call, groups.iter().map(|(_, group)| &group.extremes[slot]))
            }
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

/// Integer sums as a column of the output's type. Sums wrap as SQL engines' BIGINT and DECIMAL sums do.
fn integer_column(
    output: &DataType,
    sums: impl Iterator<Item = Option<i128>>,
) -> Result<ArrayRef, AggregateError> {
    Ok(match output {
        DataType::UInt64 => Arc::new(UInt64Array::from_iter(sums.map(|sum| sum.map(low_bits)))),
        DataType::Decimal128(precision, scale) => {
            Arc::new(Decimal128Array::from_iter(sums).with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Int64 => Arc::new(Int64Array::from_iter(
            sums.map(|sum| sum.map(|sum| low_bits(sum).cast_signed())),
        )),
        other => {
            let wide: ArrayRef =
                Arc::new(Decimal128Array::from_iter(sums).with_precision_and_scale(38, 0)?);
            arrow::compute::cast(&wide, other)?
        }
    })
}

fn low_bits(sum: i128) -> u64 {
    let [low @ .., _, _, _, _, _, _, _, _] = sum.to_le_bytes();
    u64::from_le_bytes(low)
}

/// Averages from exact sums: of integers as the nearest double of sum and count divided, of decimals truncated to the
/// digits of their type, both as `DataFusion` computes them.
fn averages(
    argument: &DataType,
    output: &DataType,
    sums: impl Iterator<Item = (i128, i128)>,
) -> Result<ArrayRef, AggregateError> {
    let DataType::Decimal128(precision, scale) = output else {
        let values = sums.map(|(sum, count)| (count > 0).then(|| to_f64(sum) / to_f64(count)));
        return Ok(Arc::new(Float64Array::from_iter(values)));
    };
    let own_scale = match argument {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    };
    let digits = u32::try_from(i32::from(*scale) - i32::from(own_scale)).unwrap_or_default();
    let overflow = || AggregateError::AverageOverflow(output.clone());
    let limit = 10_i128.pow(u32::from(*precision));
    let values = sums.map(|(sum, count)| {
        if count <= 0 {
            return Ok(None);
        }
        let average = 10_i128
            .checked_pow(digits)
            .and_then(|unit| sum.checked_mul(unit))
            .ok_or_else(overflow)?
            / count;
        if average.abs() < limit {
            Ok(Some(average))
        } else {
            Err(overflow())
        }
    });
    let values: Vec<Option<i128>> = values.collect::<Result<_, AggregateError>>()?;
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?,
    ))
}

/// The nearest double.
#[allow(clippy::cast_precision_loss)]
fn to_f64(value: i128) -> f64 {
    value as f64
}
