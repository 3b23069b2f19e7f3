//! Chains of stateless nodes. A chain is one operator, so that a batch passes through all of its steps at once.

use arrow::array::RecordBatch;
use datafusion_common::DataFusionError;
use tidewater_operators::DeltaStream;
use tidewater_operators::map::map;
use tidewater_operators::plain::plain;

use super::renderer::Renderer;
use crate::plan::{Node, message};

/// A function from batch to batch.
type BatchFunction = Box<dyn FnMut(&RecordBatch) -> Result<RecordBatch, DataFusionError>>;

/// A step of a chain.
struct ChainStep {
    name: String,
    function: BatchFunction,
}

impl<'scope> Renderer<'_, 'scope> {
    /// Renders the stateless nodes from this one down to the first that is not.
    pub fn chain(&self, node: &Node) -> DeltaStream<'scope> {
        let (input, steps) = self.chain_steps(node);
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let name = self.name(&names.join(", "));
        let mut functions: Vec<_> = steps.into_iter().map(|step| step.function).collect();
        let (operator, faults) = (name.clone(), self.faults());
        map(input, &name, self.faults(), move |batch| {
            let mut batch = batch.clone();
            for function in &mut functions {
                if batch.num_rows() > 0 {
                    let applied = function(&batch);
                    batch = applied.map_err(|error| {
                        let message = message(&error);
                        faults.raise_row(&operator, &message);
                        message
                    })?;
                }
            }
            Ok::<_, String>(batch)
        })
    }

    /// The input of a chain, and its steps in order.
    fn chain_steps(&self, node: &Node) -> (DeltaStream<'scope>, Vec<ChainStep>) {
        let (input, name, function): (_, _, BatchFunction) = match node {
            Node::Scan {
                relation,
                projection,
                ..
            } => {
                let projection = projection.clone();
                let function = Box::new(move |batch: &RecordBatch| {
                    if projection.iter().copied().eq(0..batch.num_columns()) {
                        return Ok(batch.clone());
                    }
                    Ok(batch.project(&projection)?)
                });
                let name = format!("read {relation}");
                return (self.relation(relation), vec![ChainStep { name, function }]);
            }
            Node::Map(plan) => {
                let name = if plan.predicate.is_some() {
                    "filter"
                } else {
                    "project"
                };
                let plan_of_worker = plan.clone();
                let function = Box::new(move |batch: &RecordBatch| plan_of_worker.apply(batch));
                (&plan.input, name, function)
            }
            Node::Unnest { input, unnest } => {
                let unnest = unnest.clone();
                let function =
                    Box::new(move |batch: &RecordBatch| Ok(unnest.apply(&plain(batch)?)?));
                (input, "unnest", function)
            }
            other => return (self.node(other), Vec::new()),
        };
        let (input, mut steps) = self.chain_steps(input);
        let name = name.to_owned();
        steps.push(ChainStep { name, function });
        (input, steps)
    }
}
