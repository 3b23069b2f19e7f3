//! The sources of a job while a state is open, and the rows that an epoch reads from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewater_connectors::checkpoint::Checkpoint;
use tidewater_connectors::connector::{
    ChangeRules, EpochCounts, InputPart, ReadUntil, SourceChanges, SourceConnector, SourceOutcome,
    SourceSession, SourceState, SourceStream,
};
use tidewater_connectors::hold::HoldReason;
use tidewater_operators::Sign;

use super::holds::Holds;
use super::sources_read::SourcesRead;
use crate::drive::RunError;
use crate::drive::checked::RowCheck;
use crate::drive::gate::{check_gate, check_messages};
use crate::drive::hold::{DeliveryJudge, HoldRules, Judged};
use crate::drive::ingest::{Barrier, Intake, RowRouting};
use crate::job::{Job, Source};
use crate::state::directory::{self, StateLayout};
use crate::state::{StateRecord, StateSnapshot, StoreError};

/// The sources of a job while a state is open.
pub struct OpenSources {
    /// The sources, in the order of the job.
    sources: Vec<OpenSource>,
}

struct OpenSource {
    source: Source,
    session: Box<dyn SourceSession>,
    stream: Option<Arc<dyn SourceStream>>,
}

/// A source's checkpoint, as of a snapshot.
///
/// # Errors
/// When the state is damaged.
pub fn checkpoint(
    source: &Source,
    state: &StateRecord,
    snapshot: &StateSnapshot,
) -> Result<Checkpoint, StoreError> {
    let name = &source.spec.name;
    Ok(Checkpoint {
        entries: snapshot.checkpoint(source.input.connector().name(), name)?,
        was_read: state.sources.contains(name),
    })
}

/// The connectors of a job's sources, each once.
pub fn connectors(job: &Job) -> Vec<&'static dyn SourceConnector> {
    let connectors = job.sources.iter().map(|source| source.input.connector());
    let by_name: BTreeMap<&str, _> = connectors.map(|one| (one.name(), one)).collect();
    by_name.into_values().collect()
}

/// Removes stored content that no checkpoint of a snapshot refers to.
///
/// # Errors
/// When content cannot be removed, or the state is damaged.
pub fn remove_unused(
    connectors: &[&'static dyn SourceConnector],
    layout: &StateLayout,
    snapshot: &StateSnapshot,
) -> Result<(), StoreError> {
    // Readers of the state may still need it, so a later commit removes it.
    if directory::is_read(layout) {
        return Ok(());
    }
    for connector in connectors {
        let checkpoint = Checkpoint {
            entries: snapshot.checkpoints(connector.name())?,
            was_read: true,
        };
        connector
            .remove_unused(&layout.connector(*connector), &[checkpoint])
            .map_err(StoreError::Source)?;
    }
    Ok(())
}

impl OpenSources {
    /// Connects all sources, to continue from a commit.
    ///
    /// # Errors
    /// When a source cannot be reached, or its kept content is damaged.
    pub fn resume(
        job: &Job,
        state: &StateRecord,
        snapshot: &StateSnapshot,
        layout: &StateLayout,
    ) -> Result<Self, RunError> {
        let sources = job.sources.iter().map(|source| {
            let checkpoint = checkpoint(source, state, snapshot)?;
            let of_state = SourceState {
                id: &state.id,
                directory: &layout.connector(source.input.connector()),
                checkpoint: &checkpoint,
            };
            let spec = Arc::new(source.spec.clone());
            let session = source.input.resume(&spec, &of_state);
            let session = session.map_err(RunError::of_source(source))?;
            Ok(OpenSource {
                stream: session.stream(),
                session,
                source: source.clone(),
            })
        });
        let sources = sources.collect::<Result<_, RunError>>()?;
        Ok(Self { sources })
    }

    /// The sources whose rows arrive by themselves.
    pub fn streams(&self) -> Vec<SourceStreamOf> {
        let streams = self.sources.iter().filter_map(|one| {
            Some(SourceStreamOf {
                source: one.source.clone(),
                stream: Arc::clone(one.stream.as_ref()?),
            })
        });
        streams.collect()
    }

    /// Whether a source must be polled.
    pub fn polls(&self) -> bool {
        self.sources.iter().any(|one| one.stream.is_none())
    }

    /// The changes of each source since a commit.
    ///
    /// # Errors
    /// When a source cannot be inspected, or changed in a way that is not allowed.
    pub fn changes(
        &mut self,
        state: &StateRecord,
        snapshot: &StateSnapshot,
        rules: ChangeRules<'_>,
        holds: &Holds,
    ) -> Result<Vec<Box<dyn SourceChanges>>, RunError> {
        let sources = self.sources.iter_mut().enumerate();
        let changes = sources.map(|(at, one)| {
            let checkpoint = checkpoint(&one.source, state, snapshot)?;
            let holding = holds.of_source(at);
            let stays_held = |name: &str, hold: &HoldReason| {
                holding.is_some_and(|rules| rules.stays_held(name, hold))
            };
            let rules = ChangeRules {
                stays_held: holding.map(|_| &stays_held as &dyn Fn(&str, &HoldReason) -> bool),
                ..rules
            };
            let changes = one.session.changes(&checkpoint, rules);
            changes.map_err(RunError::of_source(&one.source))
        });
        changes.collect()
    }

    /// Tells each source what was committed.
    pub fn committed(&mut self, outcomes: &[CommittedSource]) {
        for (one, outcome) in self.sources.iter_mut().zip(outcomes) {
            if !outcome.outcome.checkpoint.is_empty() {
                one.session.committed(&outcome.outcome.checkpoint);
            }
        }
    }
}

/// A source whose rows arrive by themselves.
#[derive(Clone)]
pub struct SourceStreamOf {
    /// The source.
    pub source: Source,
    /// Its stream.
    pub stream: Arc<dyn SourceStream>,
}

/// The rows that an epoch reads from a source.
pub struct SourceInputs {
    /// New rows.
    pub inserted: Option<Arc<Intake>>,
    /// Rows that are gone.
    pub retracted: Option<Arc<Intake>>,
    /// Rows that stay, for views that are rebuilt.
    pub unchanged: Option<Arc<Intake>>,
    /// Whether no view has rows of the source yet, so that rows that stay are judged as if they were new.
    is_judged_again: bool,
    /// Judges the new rows, if rules of the job may hold deliveries.
    judge: Option<Arc<DeliveryJudge>>,
}

impl SourceInputs {
    /// Opens the rows that the graphs of an epoch need.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(
        job: &Job,
        source: &Source,
        changes: &dyn SourceChanges,
        read: &SourcesRead,
        rules: Option<&Arc<HoldRules>>,
        barrier: Option<&Arc<Barrier>>,
    ) -> Result<Self, RunError> {
        let name = source.spec.name.as_str();
        let check = RowCheck::of(job, source, &source.spec)?;
        let mut judge = None;
        let mut open =
            |part, until, routing: Option<RowRouting>, barrier: Option<&Arc<Barrier>>| {
                let Some(routing) = routing else {
                    return Ok(None);
                };
                let reader = changes.open(part, until);
                let reader = reader.map_err(RunError::of_source(source))?;
                let reader = reader.map(|reader| match &check {
                    Some(check) => check.clone().before(reader),
                    None => reader,
                });
                let reader = match (reader, rules) {
                    (Some(reader), Some(rules)) if part == InputPart::Inserted => {
                        let (reader, judges) = rules.judge(reader);
                        judge = Some(judges);
                        Some(reader)
                    }
                    (reader, _) => reader,
                };
                let barrier = barrier.cloned();
                let intake = reader.map(|reader| Intake::new(name, routing, reader, barrier));
                Ok::<_, RunError>(intake.map(Arc::new))
            };
        let routed = |sign, graphs, quarantines| RowRouting {
            sign,
            graphs,
            quarantines,
        };
        let until = if barrier.is_some() {
            ReadUntil::Closed
        } else {
            ReadUntil::End
        };
        let inserted = routed(Sign::Plus, read.all(name), true);
        let back = read.back(name);
        let retracted = back.map(|graphs| routed(Sign::Minus, graphs, !read.quarantine));
        let again = read.again(name);
        let unchanged = again.map(|graphs| routed(Sign::Plus, graphs, read.quarantine));
        // If no view has rows of the source yet, deliveries may be judged differently now.
        let is_judged_again = read.judges_again(name);
        let part = if is_judged_again {
            InputPart::JudgedAgain
        } else {
            InputPart::Unchanged
        };
        Ok(Self {
            inserted: open(InputPart::Inserted, until, Some(inserted), barrier)?,
            retracted: open(InputPart::Retracted, ReadUntil::End, retracted, None)?,
            unchanged: open(part, ReadUntil::End, unchanged, None)?,
            is_judged_again,
            judge,
        })
    }

    /// The rows that were read, once everything was.
    fn counts(&self) -> EpochCounts {
        let counts = |intake: Option<&Arc<Intake>>| {
            let counts = intake.map(|intake| intake.delivery_counts());
            counts.unwrap_or_default()
        };
        EpochCounts {
            inserted: counts(self.inserted.as_ref()),
            judged_again: counts(self.unchanged.as_ref().filter(|_| self.is_judged_again)),
        }
    }

    /// The intakes that are not `None`.
    pub fn intakes(&self) -> impl Iterator<Item = Arc<Intake>> {
        let intakes = [&self.inserted, &self.retracted, &self.unchanged];
        intakes.into_iter().flatten().cloned()
    }
}

/// The result of an epoch for a source.
pub struct CommittedSource {
    /// The source's name.
    pub source: String,
    /// Its connector's name.
    pub connector: &'static str,
    /// The outcome.
    pub outcome: SourceOutcome,
    /// What was judged of its new deliveries.
    pub judged: Judged,
}

impl CommittedSource {
    /// The outcome of a source whose `inputs` were read, if the epoch reads any.
    ///
    /// # Errors
    /// When a delivery was not read to its end, or the source had too many bad rows.
    pub fn of(
        source: &Source,
        changes: &dyn SourceChanges,
        inputs: Option<&SourceInputs>,
    ) -> Result<Self, RunError> {
        let counts = inputs.map(SourceInputs::counts);
        let outcome = changes.outcome(&counts.unwrap_or_default());
        let outcome = outcome.map_err(RunError::of_source(source))?;
        let judge = inputs.and_then(|inputs| inputs.judge.as_ref());
        let judged = judge.map(|judge| judge.judged());
        let rows = (outcome.rows, outcome.rows_rejected);
        check_gate(source, rows)?;
        if let Some(intake) = inputs.and_then(|inputs| inputs.inserted.as_ref()) {
            check_messages(source, rows, intake)?;
        }
        Ok(Self {
            source: source.spec.name.clone(),
            connector: source.input.connector().name(),
            outcome,
            judged: judged.unwrap_or_default(),
        })
    }
}
