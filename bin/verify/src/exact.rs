//! Sums and averages of floats that do not depend on the order of rows, as jobs define them: the exact sum, rounded
//! once. DataFusion's own round after each row, and would differ from one run to the next.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, LogicalPlan,
    Signature,
};
use datafusion::scalar::ScalarValue;
use tidewater_engine::ExactSum;

/// `plan` with exact sums and averages in its aggregations. Those over windows go on as DataFusion has them: their
/// order is part of what they say.
pub fn sums(plan: LogicalPlan) -> Result<LogicalPlan> {
    let exact = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(_) => {
            node.map_expressions(|expr| expr.transform_up(|expr| Ok(exact(expr))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(exact.data)
}

fn exact(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::AggregateFunction(mut function)
            if matches!(function.func.name(), "sum" | "avg") && !function.params.distinct =>
        {
            let inner = Arc::clone(&function.func);
            function.func = Arc::new(AggregateUDF::new_from_impl(ExactAggregate { inner }));
            Transformed::yes(Expr::AggregateFunction(function))
        }
        other => Transformed::no(other),
    }
}

/// `sum` or `avg`: of doubles exact, else as DataFusion has it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactAggregate {
    inner: Arc<AggregateUDF>,
}

impl ExactAggregate {
    fn is_average(&self) -> bool {
        self.inner.name() == "avg"
    }
}

fn is_double(fields: &[FieldRef]) -> bool {
    fields
        .first()
        .is_some_and(|field| *field.data_type() == DataType::Float64)
}

impl AggregateUDFImpl for ExactAggregate {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_double(args.input_fields) {
            return self.inner.state_fields(args);
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
        if !is_double(args.expr_fields) {
            return self.inner.accumulator(args);
        }
        let groups = ExactGroups::new(self.is_average());
        Ok(Box::new(ExactSingle(groups)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        is_double(args.expr_fields) || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_double(args.expr_fields) {
            return self.inner.create_groups_accumulator(args);
        }
        Ok(Box::new(ExactGroups::new(self.is_average())))
    }
}

/// The exact sum of each group, and how many values it is of.
#[derive(Debug)]
struct ExactGroups {
    average: bool,
    groups: Vec<(ExactSum, u64)>,
}

impl ExactGroups {
    fn new(average: bool) -> Self {
        Self {
            average,
            groups: Vec::new(),
        }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<(ExactSum, u64)> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.groups),
            EmitTo::First(n) => self.groups.drain(..n).collect(),
        }
    }

    fn value(&self, (sum, count): &(ExactSum, u64)) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "as avg divides")]
        let divisor = if self.average { *count as f64 } else { 1.0 };
        (*count > 0).then(|| sum.value() / divisor)
    }
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Default::default);
        let values = values[0].as_primitive::<Float64Type>();
        for (row, &group) in group_indices.iter().enumerate() {
            let wanted = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if wanted && values.is_valid(row) {
                let (sum, count) = &mut self.groups[group];
                sum.add(values.value(row), 1);
                *count += 1;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emit(emit_to);
        let values = groups.iter().map(|group| self.value(group));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emit(emit_to);
        let counts: UInt64Array = groups.iter().map(|(_, count)| Some(*count)).collect();
        let sums = groups.iter().map(|(sum, _)| {
            let mut bytes = Vec::new();
            sum.put(&mut bytes);
            Some(bytes)
        });
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
        self.groups.resize_with(total_num_groups, Default::default);
        let counts = values[0].as_primitive::<UInt64Type>();
        let sums = values[1].as_binary::<i32>();
        for (row, &group) in group_indices.iter().enumerate() {
            let mut bytes = sums.value(row);
            let more = ExactSum::take(&mut bytes).ok_or_else(|| {
                DataFusionError::Internal("a partial sum is not what was written".to_owned())
            })?;
            let (sum, count) = &mut self.groups[group];
            sum.merge(&more);
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
        let mut each = Self::new(self.average);
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * (size_of::<(ExactSum, u64)>() + 64)
    }
}

/// An aggregation without groups.
#[derive(Debug)]
struct ExactSingle(ExactGroups);

impl Accumulator for ExactSingle {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0
            .update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.0.groups.first().and_then(|group| self.0.value(group));
        Ok(ScalarValue::Float64(value))
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.groups.resize_with(1, Default::default);
        let state = self.0.state(EmitTo::All)?;
        state
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }
}
