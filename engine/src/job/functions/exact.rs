//! `sum` and `avg` that are exact and rounded once.
//!
//! In DataFusion, sums of integers and decimals wrap, averages of integers divide a rounded sum, averages of decimals
//! are truncated, and sums of floats depend on the order of rows. Ours have DataFusion's types, except that `avg`
//! takes an integer without a cast. Jobs evaluate these functions over windows. Operators maintain groups, with the
//! same results. Programs that run the same SQL with DataFusion register these functions.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal256Type, Field, FieldRef, Float64Type, UInt64Type, i256};
use datafusion_common::types::{NativeType, logical_float64};
use datafusion_common::{DataFusionError, Result, ScalarValue, internal_datafusion_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Coercion, EmitTo, GroupsAccumulator, Signature,
    TypeSignature, TypeSignatureClass, Volatility,
};
use tidewater_operators::aggregate::{ExactSum, decimal_average, integer_average};
use tidewater_operators::sql_type::sql_type;

/// `sum` or `avg`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Exact {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Exact {
    pub fn sum() -> Self {
        let inner = datafusion_functions_aggregate::sum::sum_udaf();
        let signature = inner.signature().clone();
        Self { inner, signature }
    }

    pub fn avg() -> Self {
        let exact = |class| TypeSignature::Coercible(vec![Coercion::new_exact(class)]);
        let floats = Coercion::new_implicit(
            TypeSignatureClass::Native(logical_float64()),
            vec![TypeSignatureClass::Float],
            NativeType::Float64,
        );
        let signatures = vec![
            exact(TypeSignatureClass::Decimal),
            exact(TypeSignatureClass::Duration),
            exact(TypeSignatureClass::Integer),
            TypeSignature::Coercible(vec![floats]),
        ];
        Self {
            inner: datafusion_functions_aggregate::average::avg_udaf(),
            signature: Signature::one_of(signatures, Volatility::Immutable),
        }
    }

    fn is_average(&self) -> bool {
        self.inner.name() == "avg"
    }

    /// The representation of an argument's sum; `None` for types that are left to DataFusion.
    fn total(argument: &DataType) -> Option<Total> {
        match argument {
            DataType::Float64 => Some(Total::Float(ExactSum::default())),
            DataType::Decimal256(..) => None,
            _ if argument.is_decimal() || argument.is_integer() => Some(Total::Integer(i256::ZERO)),
            _ => None,
        }
    }

    fn totals(&self, args: &AccumulatorArgs) -> Option<Totals> {
        let argument = args.expr_fields.first()?.data_type();
        Some(Totals {
            empty: Self::total(argument)?,
            average: self.is_average(),
            argument: argument.clone(),
            result: args.return_field.data_type().clone(),
            groups: Vec::new(),
        })
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let argument = args.input_fields.first().map(|field| field.data_type());
        let Some(argument) = argument.filter(|argument| Self::total(argument).is_some()) else {
            return self.inner.state_fields(args);
        };
        if args.is_distinct {
            let item = Field::new_list_field(argument.clone(), true);
            return Ok(vec![Arc::new(Field::new_list(args.name, item, true))]);
        }
        let field = |name: &str, data_type| {
            Arc::new(Field::new(
                format!("{}[{name}]", args.name),
                data_type,
                true,
            ))
        };
        Ok(vec![
            field("count", DataType::UInt64),
            field("sum", DataType::Binary),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.totals(&args) {
            Some(totals) if args.is_distinct => Ok(Box::new(Distinct {
                totals,
                values: HashSet::new(),
            })),
            Some(totals) => Ok(Box::new(One(totals))),
            None => self.inner.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.totals(&args) {
            Some(_) => !args.is_distinct,
            None => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.totals(&args) {
            Some(totals) => Ok(Box::new(totals)),
            None => self.inner.create_groups_accumulator(args),
        }
    }
}

/// An exact sum.
#[derive(Clone, Debug)]
enum Total {
    /// A sum of integers, or of decimals in units of their last digit. 256 bits are enough for any number of rows.
    Integer(i256),
    Float(ExactSum),
}

impl Total {
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Integer(sum), Self::Integer(other)) => *sum = sum.wrapping_add(*other),
            (Self::Float(sum), Self::Float(other)) => sum.merge(other),
            _ => {}
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Integer(sum) => sum.to_le_bytes().to_vec(),
            Self::Float(sum) => {
                let mut bytes = Vec::new();
                sum.put(&mut bytes);
                bytes
            }
        }
    }

    /// Parses a sum of the same kind that [`to_bytes`](Self::to_bytes) wrote.
    fn parse(&self, mut bytes: &[u8]) -> Option<Self> {
        match self {
            Self::Integer(_) => Some(Self::Integer(i256::from_le_bytes(bytes.try_into().ok()?))),
            Self::Float(_) => ExactSum::take(&mut bytes).map(Self::Float),
        }
    }
}

/// The sum of each group, and the number of its values.
#[derive(Debug)]
struct Totals {
    /// An empty sum of the same kind.
    empty: Total,
    average: bool,
    argument: DataType,
    result: DataType,
    groups: Vec<(Total, u64)>,
}

impl Totals {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, || (self.empty.clone(), 0));
    }

    /// Adds values to their groups, or subtracts them if `sign` is -1.
    fn add(
        &mut self,
        values: &ArrayRef,
        group_of: impl Fn(usize) -> usize,
        counts: impl Fn(usize) -> bool,
        sign: i64,
    ) -> Result<()> {
        let counted = |row: &usize| values.is_valid(*row) && counts(*row);
        let rows = (0..values.len()).filter(counted);
        let (exact, floats);
        match self.empty {
            Total::Integer(_) => {
                let wide = cast(values, &DataType::Decimal256(76, scale(&self.argument)))?;
                exact = wide.as_primitive::<Decimal256Type>().clone();
                for row in rows {
                    let (total, count) = &mut self.groups[group_of(row)];
                    if let Total::Integer(sum) = total {
                        let value = exact.value(row);
                        *sum = if sign < 0 {
                            sum.wrapping_sub(value)
                        } else {
                            sum.wrapping_add(value)
                        };
                    }
                    *count = count.wrapping_add_signed(sign);
                }
            }
            Total::Float(_) => {
                floats = values.as_primitive::<Float64Type>();
                for row in rows {
                    let (total, count) = &mut self.groups[group_of(row)];
                    if let Total::Float(sum) = total {
                        sum.add(floats.value(row), sign);
                    }
                    *count = count.wrapping_add_signed(sign);
                }
            }
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<(Total, u64)> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.groups),
            EmitTo::First(n) => self.groups.drain(..n).collect(),
        }
    }

    fn value(&self, (total, count): &(Total, u64)) -> Result<ScalarValue> {
        let name = if self.average { "avg" } else { "sum" };
        let beyond =
            || DataFusionError::Execution(format!("{name} is beyond {}", sql_type(&self.result)));
        if *count == 0 {
            return ScalarValue::try_from(&self.result);
        }
        let sum = match total {
            Total::Float(sum) => {
                #[allow(clippy::cast_precision_loss, reason = "as avg divides")]
                let divisor = if self.average { *count as f64 } else { 1.0 };
                return Ok(ScalarValue::Float64(Some(sum.value() / divisor)));
            }
            Total::Integer(sum) => *sum,
        };
        if self.result == DataType::Float64 {
            let sum = sum.to_i128().ok_or_else(beyond)?;
            return Ok(ScalarValue::Float64(Some(integer_average(sum, *count))));
        }
        let digits = if self.average {
            let more = i16::from(scale(&self.result)) - i16::from(scale(&self.argument));
            decimal_average(sum, *count, more).ok_or_else(beyond)?
        } else {
            sum.to_i128().ok_or_else(beyond)?
        };
        exact_value(digits, &self.result).ok_or_else(beyond)
    }

    fn column(&self, groups: &[(Total, u64)]) -> Result<ArrayRef> {
        if groups.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.result));
        }
        let values = groups.iter().map(|group| self.value(group));
        ScalarValue::iter_to_array(values.collect::<Result<Vec<_>>>()?)
    }
}

/// An integer, or the digits of a decimal, as a value of a type, if the type can hold it.
fn exact_value(digits: i128, data_type: &DataType) -> Option<ScalarValue> {
    let fits = |precision: u8| {
        let limit = 10_u128.checked_pow(precision.into());
        limit.is_none_or(|limit| digits.unsigned_abs() < limit)
    };
    Some(match data_type {
        DataType::Int64 => ScalarValue::Int64(Some(digits.try_into().ok()?)),
        DataType::UInt64 => ScalarValue::UInt64(Some(digits.try_into().ok()?)),
        DataType::Decimal32(precision, scale) if fits(*precision) => {
            ScalarValue::Decimal32(Some(digits.try_into().ok()?), *precision, *scale)
        }
        DataType::Decimal64(precision, scale) if fits(*precision) => {
            ScalarValue::Decimal64(Some(digits.try_into().ok()?), *precision, *scale)
        }
        DataType::Decimal128(precision, scale) if fits(*precision) => {
            ScalarValue::Decimal128(Some(digits), *precision, *scale)
        }
        _ => return None,
    })
}

/// The scale of a decimal type; 0 for an integer type.
fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let counts =
            |row: usize| opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        self.add(&values[0], |row| group_indices[row], counts, 1)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emit(emit_to);
        self.column(&groups)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emit(emit_to);
        let counts: UInt64Array = groups.iter().map(|(_, count)| Some(*count)).collect();
        let sums = groups.iter().map(|(total, _)| Some(total.to_bytes()));
        Ok(vec![
            Arc::new(counts),
            Arc::new(sums.collect::<BinaryArray>()),
        ])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let counts = values[0].as_primitive::<UInt64Type>();
        let sums = values[1].as_binary::<i32>();
        for (row, &group) in group_indices.iter().enumerate() {
            let more = self
                .empty
                .parse(sums.value(row))
                .ok_or_else(|| internal_datafusion_err!("a partial sum is not what was written"))?;
            let (total, count) = &mut self.groups[group];
            total.merge(&more);
            *count += counts.value(row);
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Self {
            empty: self.empty.clone(),
            average: self.average,
            argument: self.argument.clone(),
            result: self.result.clone(),
            groups: Vec::new(),
        };
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * (size_of::<(Total, u64)>() + 64)
    }
}

/// An aggregation without groups, or a window's frame.
#[derive(Debug)]
struct One(Totals);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.resize(1);
        self.0.add(&values[0], |_| 0, |_| true, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.resize(1);
        self.0.add(&values[0], |_| 0, |_| true, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.resize(1);
        self.0.value(&self.0.groups[0])
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.resize(1);
        let state = GroupsAccumulator::state(&mut self.0, EmitTo::All)?;
        state
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = vec![0; states[0].len()];
        GroupsAccumulator::merge_batch(&mut self.0, states, &rows, 1)
    }
}

/// An aggregation of distinct values.
#[derive(Debug)]
struct Distinct {
    totals: Totals,
    values: HashSet<ScalarValue>,
}

impl Distinct {
    fn insert(&mut self, values: &ArrayRef) -> Result<()> {
        for row in (0..values.len()).filter(|&row| values.is_valid(row)) {
            self.values
                .insert(ScalarValue::try_from_array(values, row)?);
        }
        Ok(())
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.insert(&values[0])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.totals.groups.clear();
        self.totals.resize(1);
        if !self.values.is_empty() {
            let values = ScalarValue::iter_to_array(self.values.iter().cloned())?;
            self.totals.add(&values, |_| 0, |_| true, 1)?;
        }
        self.totals.value(&self.totals.groups[0])
    }

    fn size(&self) -> usize {
        self.values.len() * size_of::<ScalarValue>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.values.iter().cloned().collect();
        let list = ScalarValue::new_list_nullable(&values, &self.totals.argument);
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for list in lists.iter().flatten() {
            self.insert(&list)?;
        }
        Ok(())
    }
}
