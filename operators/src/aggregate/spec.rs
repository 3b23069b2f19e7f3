//! What an aggregation computes, and how its calls are carried: as sums, as distinct pairs, or as extremes.

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
    /// What it is applied to; none for `count(*)`.
    pub argument: Option<usize>,
    /// `FILTER (WHERE …)`: a boolean column.
    pub filter: Option<usize>,
    /// `DISTINCT`. Means nothing to `min` and `max`.
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

/// How the value of a call is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In the integer sum at this index: counts.
    Count(usize),
    /// In an integer sum and, for `avg` and to know NULL, a count.
    Integer {
        /// Index of the integer sum.
        sum: usize,
        /// Index of the count of values.
        count: usize,
    },
    /// In an exact float sum and a count.
    Float {
        /// Index of the float sum.
        sum: usize,
        /// Index of the count of values.
        count: usize,
    },
    /// As the least or greatest value, with this number among the extremes.
    Extreme(usize),
}

/// The layout of a group's accumulators.
#[derive(Clone, Debug)]
pub struct Layout {
    /// How each call is kept, in order of the calls.
    pub carriers: Vec<Carrier>,
    /// Number of integer sums. The first is the group's number of rows.
    pub integers: usize,
    /// Number of float sums.
    pub floats: usize,
    /// Number of extremes.
    pub extremes: usize,
    /// What pairs are counted.
    pub pairs: Vec<PairSet>,
}

/// `(group, value)` pairs that calls need to know.
#[derive(Clone, Debug)]
pub struct PairSet {
    /// The calls: one with `DISTINCT`, or the `min` and `max` of the same values. The pairs go by the first one's number.
    pub calls: Vec<usize>,
    /// Whether what counts is which values there are; the ends of their order otherwise.
    pub distinct: bool,
}

/// An aggregation that cannot be carried.
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
    /// When an argument has a type that its function cannot be computed for exactly.
    pub fn layout(&self) -> Result<Layout, UnsupportedAggregate> {
        let mut slots = Slots::default();
        // The number of rows, which is what `count(*)` counts.
        slots.sums.insert((Kind::Count, None, None), 0);
        slots.counts = 1;
        let carriers = self.calls.iter().map(|call| {
            let data_type = self.argument_type(call);
            Ok(match call.function {
                Function::Count => Carrier::Count(slots.slot(Kind::Count, call)),
                Function::Min | Function::Max => Carrier::Extreme(next(&mut slots.extremes)),
                Function::Sum | Function::Avg if is_integer(data_type) => Carrier::Integer {
                    sum: slots.slot(Kind::Integer, call),
                    count: slots.slot(Kind::Count, call),
                },
                Function::Sum | Function::Avg if is_float(data_type) => Carrier::Float {
                    sum: slots.slot(Kind::Float, call),
                    count: slots.slot(Kind::Count, call),
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
        let carriers = carriers.collect::<Result<Vec<_>, _>>()?;
        Ok(Layout {
            pairs: self.pairs(&carriers),
            carriers,
            integers: slots.counts,
            floats: slots.floats,
            extremes: slots.extremes,
        })
    }

    fn pairs(&self, carriers: &[Carrier]) -> Vec<PairSet> {
        let mut pairs: Vec<PairSet> = Vec::new();
        for (index, (call, carrier)) in self.calls.iter().zip(carriers).enumerate() {
            let distinct = !matches!(carrier, Carrier::Extreme(_));
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

/// What is summed up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Count,
    Integer,
    Float,
}

/// Places of accumulators. Calls over the same argument and filter share them; those of `DISTINCT` calls, to which each
/// call's pairs add, are a call's own.
#[derive(Default)]
struct Slots {
    sums: BTreeMap<(Kind, Option<usize>, Option<usize>), usize>,
    counts: usize,
    floats: usize,
    extremes: usize,
}

impl Slots {
    fn slot(&mut self, kind: Kind, call: &Call) -> usize {
        let counter = match kind {
            Kind::Count | Kind::Integer => &mut self.counts,
            Kind::Float => &mut self.floats,
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

fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float16 | DataType::Float32 | DataType::Float64
    )
}
