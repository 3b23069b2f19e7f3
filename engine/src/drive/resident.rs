//! A resident graph. Deliveries are fed to it one epoch at a time, and it returns the changes of the views.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use tidewater_operators::{Delta, DeltaStream, Faults, Sign};
use timely::communication::WorkerGuards;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::worker::Worker;

use super::consolidate::consolidate;
use super::{RunError, state_writers, workers};
use crate::job::Job;
use crate::plan::PlannedView;
use crate::plan::assemble::{unkeyed_views, views};
use crate::plan::nullable;
use crate::plan::primary_key::incoming_schema;
use crate::render::{RenderContext, render};
use crate::state::{StateSnapshot, StateTransaction};

const PARK: Duration = Duration::from_millis(1);

/// A delivery's rows: the source's name, all its declared columns, and `1` or `-1`. Columns may be dictionaries with
/// keys of type `UInt32`.
pub type DeliveredRows = (String, RecordBatch, i64);

/// The net change of a table in an epoch: batches, each with the count of its rows.
pub type TableChanges = Vec<(RecordBatch, i64)>;

/// A worker's output in an epoch: the view's index, and its deltas.
type Emitted = Vec<(usize, Delta)>;

/// A rendered job that waits for deliveries. Dropping it ends its workers. Rows count as they are handed in: primary keys
/// of sources, which compare deliveries, have no effect on rows that come without their places.
pub struct Resident {
    /// The columns of a delivery, and the columns that enter the graph; `None` for all.
    sources: BTreeMap<String, (SchemaRef, Option<Vec<usize>>)>,
    tables: Vec<(String, SchemaRef)>,
    workers: Vec<WorkerChannels>,
    kept: state_writers::StateWriters,
    guards: Option<WorkerGuards<Option<()>>>,
    faults: Faults,
}

/// The columns that are fed, and the tables whose changes are returned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FedColumns {
    /// All declared columns, for the materialized views.
    Declared,
    /// Columns as they [enter the graph](incoming_schema) in a run, for all tables.
    Incoming,
}

/// A command to a worker.
enum Command {
    /// Process the worker's share of an epoch.
    Epoch(Vec<(String, Delta)>),
    /// Send the operators' updates since the last time.
    Keep,
}

/// The driver's side of a worker's channels.
struct WorkerChannels {
    commands: Sender<Command>,
    changes: Receiver<Emitted>,
}

/// The worker's side.
struct Ends {
    commands: Receiver<Command>,
    changes: Sender<Emitted>,
    kept: state_writers::UpdateSenders,
}

impl Resident {
    /// Renders `job` on `workers` threads, with empty sources. Locations of sources are ignored.
    ///
    /// # Errors
    /// When a view cannot be rendered, or threads not started.
    pub fn start(job: &Job, workers: usize) -> Result<Self, RunError> {
        Self::start_from(job, workers, FedColumns::Declared, None)
    }

    /// Renders `job` like [`start`](Self::start), to continue from a state that was [kept](Self::keep).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn resume(job: &Job, workers: usize, state: StateSnapshot) -> Result<Self, RunError> {
        Self::start_from(job, workers, FedColumns::Declared, Some(Arc::new(state)))
    }

    /// Renders `job` to be fed like a run. Batches have the columns that the job reads and, if the source has a key,
    /// the place of each row, so that keys have an effect. Published relations are tables too.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(super) fn start_incoming(job: &Job, workers: usize) -> Result<Self, RunError> {
        Self::start_from(job, workers, FedColumns::Incoming, None)
    }

    fn start_from(
        job: &Job,
        workers: usize,
        feed: FedColumns,
        state: Option<Arc<StateSnapshot>>,
    ) -> Result<Self, RunError> {
        let tables = tables(job, feed);
        let wanted = tables.iter().map(|(name, _)| name.clone());
        let views = match feed {
            FedColumns::Declared => unkeyed_views(job, wanted)?,
            FedColumns::Incoming => views(job, wanted)?,
        };
        let sources = job.sources.iter().map(|source| {
            let columns = match feed {
                FedColumns::Declared => (
                    Arc::clone(&source.spec.schema),
                    Some(source.spec.projection.clone()),
                ),
                FedColumns::Incoming => (incoming_schema(source), None),
            };
            (source.spec.name.clone(), columns)
        });
        let sources: BTreeMap<_, _> = sources.collect();
        let (senders, kept) = state_writers::channels(workers.max(1));
        let mut connections = Vec::new();
        let mut ends: Vec<Option<Ends>> = Vec::new();
        for kept in senders {
            let (commands, to_worker) = channel();
            let (from_worker, changes) = channel();
            connections.push(WorkerChannels { commands, changes });
            ends.push(Some(Ends {
                commands: to_worker,
                changes: from_worker,
                kept,
            }));
        }
        let faults = Faults::default();
        let graph = ResidentGraph {
            views,
            sources: sources.keys().cloned().collect(),
            tables: tables.iter().map(|(name, _)| name.clone()).collect(),
            ends: Mutex::new(ends),
            state,
            faults: faults.clone(),
        };
        let guards = workers::start(workers, &faults, move |worker| graph.work(worker))?;
        Ok(Self {
            sources,
            tables,
            workers: connections,
            kept,
            guards: Some(guards),
            faults,
        })
    }

    /// The names of the tables whose changes are returned.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    /// Processes one epoch, and returns the net changes of every table in canonical order.
    ///
    /// # Errors
    /// When a delivery does not fit its source, or an operator fails. The graph cannot be used afterwards.
    pub fn epoch(
        &mut self,
        deliveries: Vec<DeliveredRows>,
    ) -> Result<BTreeMap<String, TableChanges>, RunError> {
        let mut shares: Vec<Vec<(String, Delta)>> =
            self.workers.iter().map(|_| Vec::new()).collect();
        for (source, batch, diff) in deliveries {
            self.deal(&source, &batch, diff, &mut shares)?;
        }
        for (worker, share) in self.workers.iter().zip(shares) {
            // A worker that has ended has left a fault, which is checked below.
            let _ = worker.commands.send(Command::Epoch(share));
        }
        let mut changes: Vec<Vec<Delta>> = self.tables.iter().map(|_| Vec::new()).collect();
        for worker in &self.workers {
            for (table, delta) in worker.changes.recv().unwrap_or_default() {
                changes[table].push(delta);
            }
        }
        if let Some(fault) = self.faults.first() {
            return Err(RunError::Fault(fault));
        }
        let tables = self
            .tables
            .iter()
            .zip(changes)
            .map(|((name, schema), deltas)| {
                let changes = consolidate(schema, &deltas)
                    .map_err(|error| RunError::Delivery(format!("{name}: {error}")))?;
                Ok((name.clone(), changes))
            });
        tables.collect()
    }

    /// Writes the updates of the operators' state since the last time.
    ///
    /// # Errors
    /// When the state cannot be written, or an operator failed.
    pub fn keep(&mut self, transaction: &StateTransaction) -> Result<(), RunError> {
        for worker in &self.workers {
            // As above.
            let _ = worker.commands.send(Command::Keep);
        }
        let complete = self.kept.receive(transaction)?;
        match self.faults.first() {
            Some(fault) => Err(RunError::Fault(fault)),
            None if complete.is_some() => Ok(()),
            None => Err(RunError::Workers("one ended early".into())),
        }
    }

    /// Splits a delivery's rows over the workers.
    fn deal(
        &self,
        source: &str,
        batch: &RecordBatch,
        diff: i64,
        shares: &mut [Vec<(String, Delta)>],
    ) -> Result<(), RunError> {
        let Some((schema, projection)) = self.sources.get(source) else {
            return Err(RunError::Delivery(format!(
                "the job has no source {source}"
            )));
        };
        let types = |schema: &SchemaRef| {
            let types = schema.fields().iter().map(|field| field.data_type());
            let plain = types.map(|data_type| match data_type {
                DataType::Dictionary(keys, values) if **keys == DataType::UInt32 => {
                    values.as_ref().clone()
                }
                other => other.clone(),
            });
            plain.collect::<Vec<_>>()
        };
        if types(schema) != types(batch.schema_ref()) {
            let message = format!(
                "source {source} has columns {schema}, the delivery {}",
                batch.schema_ref()
            );
            return Err(RunError::Delivery(message));
        }
        let Some(sign) = Sign::of(diff).filter(|_| diff.abs() == 1) else {
            return Err(RunError::Delivery(format!(
                "a delivery counts 1 or -1, not {diff}"
            )));
        };
        let batch = match projection {
            None => batch.clone(),
            Some(columns) => batch
                .project(columns)
                .map_err(|error| RunError::Delivery(error.to_string()))?,
        };
        let (rows, peers) = (batch.num_rows(), shares.len());
        for (at, share) in shares.iter_mut().enumerate() {
            let (from, to) = (rows * at / peers, rows * (at + 1) / peers);
            if to > from {
                share.push((
                    source.to_owned(),
                    Delta {
                        batch: batch.slice(from, to - from),
                        sign,
                    },
                ));
            }
        }
        Ok(())
    }
}

/// The tables whose changes are returned, and their columns.
fn tables(job: &Job, feed: FedColumns) -> Vec<(String, SchemaRef)> {
    let materialized = job.views.iter().filter(|view| view.materialized);
    let mut tables: Vec<_> = materialized
        .map(|view| (view.name.clone(), nullable(&view.schema)))
        .collect();
    if feed == FedColumns::Incoming {
        for sink in &job.sinks {
            if tables.iter().all(|(name, _)| *name != sink.view) {
                tables.push((sink.view.clone(), nullable(&sink.schema)));
            }
        }
    }
    tables
}

impl Drop for Resident {
    fn drop(&mut self) {
        // Without senders, the workers' loops end, and the workers can be joined.
        self.workers.clear();
        if let Some(guards) = self.guards.take() {
            guards.join().into_iter().for_each(drop);
        }
    }
}

/// The graph that every worker builds.
struct ResidentGraph {
    views: Vec<PlannedView>,
    sources: Vec<String>,
    tables: Vec<String>,
    ends: Mutex<Vec<Option<Ends>>>,
    /// The snapshot to continue from.
    state: Option<Arc<StateSnapshot>>,
    faults: Faults,
}

impl ResidentGraph {
    fn work(&self, worker: &mut Worker) {
        let index = worker.index();
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
        let Some(Ends {
            commands,
            changes,
            kept,
        }) = ends
        else {
            return;
        };
        let registry = state_writers::registry(self.state.as_ref(), |_| true, &self.faults);
        let emitted: Rc<RefCell<Emitted>> = Rc::default();
        let (mut inputs, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let mut relations: BTreeMap<String, DeltaStream<'_>> = BTreeMap::new();
            let mut inputs = BTreeMap::new();
            for source in &self.sources {
                let (input, stream) = scope.new_input::<Vec<Delta>>();
                inputs.insert(source.clone(), input);
                relations.insert(source.clone(), stream);
            }
            let context = RenderContext {
                registry: &registry,
                retained: &BTreeMap::new(),
                emits_constants: self.state.is_none(),
                faults: &self.faults,
            };
            render(scope, &self.views, &mut relations, &context);
            let probe = timely::dataflow::operators::probe::Handle::new();
            for (index, table) in self.tables.iter().enumerate() {
                if let Some(stream) = relations.get(table) {
                    let emitted = Rc::clone(&emitted);
                    let capture = stream.clone().unary(
                        Pipeline,
                        &format!("{table}: capture"),
                        move |_, _| {
                            move |input, output| {
                                input.for_each(|time, deltas| {
                                    let batches = deltas.drain(..).map(|delta| (index, delta));
                                    emitted.borrow_mut().extend(batches);
                                    output.session(&time).give_container(&mut Vec::<()>::new());
                                });
                            }
                        },
                    );
                    capture.probe_with(&probe);
                }
            }
            (inputs, probe)
        });
        let mut epoch = 0;
        while let Ok(command) = commands.recv() {
            let Command::Epoch(share) = command else {
                state_writers::send(&registry, &kept);
                continue;
            };
            for (source, delta) in share {
                if let Some(input) = inputs.get_mut(&source) {
                    input.send(delta);
                }
            }
            epoch += 1;
            for input in inputs.values_mut() {
                input.advance_to(epoch);
                input.flush();
            }
            while probe.less_than(&epoch) && !self.faults.raised() {
                worker.step_or_park(Some(PARK));
            }
            if self.faults.raised() || changes.send(emitted.take()).is_err() {
                return;
            }
        }
    }
}
