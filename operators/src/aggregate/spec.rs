//! The specification of an aggregation, and the layout of its accumulators: sums, distinct pairs and extremes.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `count(argument)`, or `count(*)` without one.
    Count,
    /// `sum`.
    Sum,
    /// `avg`.
    Avg,
    /// `min`.
    Min,
    /// `max`.
    Max,
}

/// One aggregate call. Columns are indices into the operator's input.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// The argument; `None` for `count(*)`.
    pub argument: Option<usize>,
    /// `FILTER (WHERE …)`: a boolean column.
    pub filter: Option<usize>,
    /// `DISTINCT`. Has no effect on `min` and `max`.
    pub distinct: bool,
}

/// An aggregation: `GROUP BY group` with `calls`. Without `group` there is exactly one group, even over no rows.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// Shown in the graph and in faults.
    pub name: String,
    /// Columns of the input to group by.
    pub group: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<Call>,
    /// The input's columns.
    pub input: SchemaRef,
    /// The output's columns: the groups', then one a call.
    pub output: SchemaRef,
}

/// The accumulators that the value of a call is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSlots {
    /// A count, which is the integer sum at this index.
    Count(usize),
    /// An integer sum, and the count of its values. The count is the divisor of `avg`; if it is 0, the sum is NULL.
    Integer {
        /// Index of the integer sum, modulo 2^128.
        sum: usize,
        /// Index of the sum of the values' upper halves, if the sum may exceed 128 bits.
        high: Option<usize>,
        /// Index of the count of values.
        count: usize,
    },
    /// An exact float sum, and the count of its values.
    Float {
        /// Index of the float sum.
        sum: usize,
        /// Index of the count of values.
        count: usize,
    },
    /// The least or greatest value, at this index among the extremes.
    Extreme(usize),
}

impl CallSlots {
    /// The index of the count of values, if there is one.
    pub fn count(self) -> Option<usize> {
        match self {
            Self::Count(count) | Self::Integer { count, .. } | Self::Float { count, .. } => {
                Some(count)
            }
            Self::Extreme(_) => None,
        }
    }
}

/// The layout of a group's accumulators.
#[derive(Clone, Debug)]
pub struct AccumulatorLayout {
    /// The accumulators of each call, in order of the calls.
    pub slots: Vec<CallSlots>,
    /// Number of integer sums. The first is the group's number of rows.
    pub integers: usize,
    /// Number of float sums.
    pub floats: usize,
    /// Number of extremes.
    pub extremes: usize,
    /// The sets of pairs that are counted.
    pub pairs: Vec<PairSet>,
}

/// `(group, value)` pairs that are counted for one call or several.
#[derive(Clone, Debug)]
pub struct PairSet {
    /// The calls: one with `DISTINCT`, or the `min` and `max` of the same values. The first one's number tags the pairs.
    pub calls: Vec<usize>,
    /// Whether the calls need the distinct values; otherwise they need the least and greatest.
    pub distinct: bool,
}

/// An aggregate function that cannot be maintained for its type.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name}: {function:?} of {data_type} is not supported; cast the argument to BIGINT, DECIMAL(38, s) or DOUBLE"
)]
pub struct UnsupportedAggregate {
    name: String,
    function: Function,
    data_type: DataType,
}

impl Aggregation {
    /// The type of a call's argument; `Null` without one.
    pub fn argument_type(&self, call: &Call) -> &DataType {
        call.argument.map_or(&DataType::Null, |column| {
            self.input.field(column).data_type()
        })
    }

    /// Lays out the accumulators.
    ///
    /// # Errors
    /// When the function cannot be computed exactly for the type of its argument.
    pub fn layout(&self) -> Result<AccumulatorLayout, UnsupportedAggregate> {
        let mut allocator = SlotAllocator::default();
        // The number of rows, which is what `count(*)` counts.
        allocator.sums.insert((SumKind::Count, None, None), 0);
        allocator.integers = 1;
        let slots = self.calls.iter().map(|call| {
            let data_type = self.argument_type(call);
            Ok(match call.function {
                Function::Count => CallSlots::Count(allocator.slot(SumKind::Count, call)),
                Function::Min | Function::Max => CallSlots::Extreme(next(&mut allocator.extremes)),
                Function::Sum | Function::Avg if is_integer(data_type) => CallSlots::Integer {
                    sum: allocator.slot(SumKind::Integer, call),
                    high: is_wide(data_type).then(|| allocator.slot(SumKind::High, call)),
                    count: allocator.slot(SumKind::Count, call),
                },
                Function::Sum | Function::Avg if is_float(data_type) => CallSlots::Float {
                    sum: allocator.slot(SumKind::Float, call),
                    count: allocator.slot(SumKind::Count, call),
                },
                function => {
                    let (name, data_type) = (self.name.clone(), data_type.clone());
                    return Err(UnsupportedAggregate {
                        name,
                        function,
                        data_type,
                    });
                }
            })
        });
        let slots = slots.collect::<Result<Vec<_>, _>>()?;
        Ok(AccumulatorLayout {
            pairs: self.pairs(&slots),
            slots,
            integers: allocator.integers,
            floats: allocator.floats,
            extremes: allocator.extremes,
        })
    }

    fn pairs(&self, slots: &[CallSlots]) -> Vec<PairSet> {
        let mut pairs: Vec<PairSet> = Vec::new();
        for (index, (call, slots)) in self.calls.iter().zip(slots).enumerate() {
            let distinct = !matches!(slots, CallSlots::Extreme(_));
            if distinct && !call.distinct {
                continue;
            }
            let shares = |set: &&mut PairSet| {
                let first = &self.calls[set.calls[0]];
                !set.distinct && (first.argument, first.filter) == (call.argument, call.filter)
            };
            match pairs.iter_mut().find(shares).filter(|_| !distinct) {
                Some(set) => set.calls.push(index),
                None => pairs.push(PairSet {
                    calls: vec![index],
                    distinct,
                }),
            }
        }
        pairs
    }
}

/// The kind of a sum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SumKind {
    Count,
    Integer,
    High,
    Float,
}

/// Assigns indices to accumulators. Calls over the same argument and filter share them. `DISTINCT` calls do not share,
/// since their accumulators are computed from the call's own pairs.
#[derive(Default)]
struct SlotAllocator {
    sums: BTreeMap<(SumKind, Option<usize>, Option<usize>), usize>,
    integers: usize,
    floats: usize,
    extremes: usize,
}

impl SlotAllocator {
    fn slot(&mut self, kind: SumKind, call: &Call) -> usize {
        let counter = match kind {
            SumKind::Count | SumKind::Integer | SumKind::High => &mut self.integers,
            SumKind::Float => &mut self.floats,
        };
        if call.distinct {
            return next(counter);
        }
        let key = (kind, call.argument, call.filter);
        *self.sums.entry(key).or_insert_with(|| next(counter))
    }
}

fn next(counter: &mut usize) -> usize {
    *counter += 1;
    *counter - 1
}

/// Types whose sums are exact in 128 bits: integers, and decimals by their unscaled value.
fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Null
        )
}

/// Whether sums of a type may exceed 128 bits. Sums of 2^64 values of up to 19 digits do not.
fn is_wide(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(20.., _))
}

fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float16 | DataType::Float32 | DataType::Float64
    )
}
