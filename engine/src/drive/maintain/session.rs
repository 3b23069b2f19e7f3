//! An open state: its lock, its store, and the sources and sinks of its job. An epoch is one commit, or nothing if
//! nothing changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidewater_connectors::connector::{ChangeRules, SourceChanges};
use tidewater_connectors::file::sink::{Staging, WriteOptions};
use tidewater_connectors::sink_connector::KeepTrying;
use tidewater_operators::Faults;

use super::announce::{announce, announce_moves};
use super::commit::{self, Commit, Committed, StagedEpoch};
use super::compute::{Computed, compute, drop_parts};
use super::epoch_plan::EpochPlan;
use super::fill::StateFill;
use super::holds::{Holds, held};
use super::inputs::{
    CommittedSource, OpenSources, SourceInputs, SourceStreamOf, connectors, remove_unused,
};
use super::open_state::{open_store, state_of};
use super::options::MaintainOptions;
use super::own_commits::OwnCommits;
use super::reports::{reports, unchanged};
use super::retracted::published_rows;
use super::shadow::paths;
use super::sinks::OpenSinks;
use super::sources_read::SourcesRead;
use super::standing::Standing;
use super::views::{Views, reopened};
use super::windows::finalize;
use crate::drive::assertions::{AssertionReport, judge, refuse_failures};
use crate::drive::graph::{Epoch, EpochGraphs};
use crate::drive::graph_set::Graph;
use crate::drive::held_reports::HeldOfSource;
use crate::drive::ingest::{Barrier, Intake};
use crate::drive::locate::located;
use crate::drive::ownership::{Claimant, Claims};
use crate::drive::report::{RunOutcome, set_aside};
use crate::drive::run::warnings;
use crate::drive::stages::Stages;
use crate::drive::tables::{PerTable, Table};
use crate::drive::{Progress, RunError, RunReport};
use crate::job::Job;
use crate::state::directory::Directory;
use crate::state::{JOB, STATE, StateRecord, StateSnapshot, StateTransaction, Store};

/// A state that is open.
pub struct Session<'a> {
    job: Job,
    options: &'a MaintainOptions<'a>,
    progress: &'a Progress,
    /// Closed before the directory's lock is released.
    store: Store,
    directory: Directory,
    sources: OpenSources,
    sinks: OpenSinks,
    keep_trying: Box<KeepTrying<'a>>,
    /// The state's record, as of the last commit.
    state: StateRecord,
    /// Whether everything still has to be rebuilt.
    rebuild: bool,
    /// Whether the next comparison of sources compares the content of all deliveries.
    rehash: bool,
    /// When the published tables were last checked.
    looked_at: Option<Duration>,
}

/// The interval at which a follower checks the published tables.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl<'a> Session<'a> {
    /// Opens the state, finishes the commit of an interrupted run, and connects to the systems of sources and sinks,
    /// retrying as long as `keep_trying` says.
    ///
    /// # Errors
    /// When the state is in use or damaged, or a system cannot be reached.
    pub fn open(
        job: &Job,
        options: &'a MaintainOptions<'a>,
        progress: &'a Progress,
        mut keep_trying: Box<KeepTrying<'a>>,
    ) -> Result<Self, RunError> {
        let mut directory = Directory::open(&options.state, options.wait, options.rebuild)?;
        let store = open_store(&mut directory, options)?;
        commit::recover(job, &store, &directory.layout)?;
        let snapshot = store.read()?;
        let mut state = state_of(job, &directory, &snapshot)?;
        if state.born_ms == 0 && job.sinks.iter().any(|sink| sink.external().is_some()) {
            state.born_ms = u64::try_from((options.now)().as_millis()).unwrap_or(u64::MAX);
        }
        let layout = &directory.layout;
        let sinks = OpenSinks::open(job, &state, layout, &mut *keep_trying)?;
        let sources = OpenSources::resume(job, &state, &snapshot, layout)?;
        drop(snapshot);
        Ok(Self {
            job: job.clone(),
            options,
            progress,
            directory,
            store,
            sources,
            sinks,
            keep_trying,
            state,
            rebuild: options.rebuild,
            rehash: options.rehash,
            looked_at: None,
        })
    }

    /// The sources whose rows arrive by themselves.
    pub fn streams(&self) -> Vec<SourceStreamOf> {
        self.sources.streams()
    }

    /// Whether a source must be polled.
    pub fn polls(&self) -> bool {
        self.sources.polls()
    }

    /// Reads new rows, from streams up to `barrier`, and commits them. If there is nothing to do, nothing is
    /// committed. What an audit, or a run that is refused, has read is forgotten.
    ///
    /// # Errors
    /// When anything fails. State and tables are unchanged then. If the error came after the commit's record, the
    /// next run finishes the commit.
    pub fn epoch(
        &mut self,
        clock: Stages<'_>,
        barrier: Option<&Arc<Barrier>>,
    ) -> Result<RunReport, RunError> {
        let report = self.commit(clock, barrier);
        let is_refused = report.as_ref().is_err_and(RunError::is_refusal);
        if self.options.audit || is_refused {
            let layout = &self.directory.layout;
            remove_unused(&connectors(&self.job), layout, &self.store.read()?)?;
        }
        let report = report?;
        let reopened = reopened(&self.job, &self.store.read()?, (self.options.now)())?;
        if reopened.is_empty() {
            return Ok(report);
        }
        let again = self.commit(Stages::start(self.progress), barrier)?;
        Ok(report.followed_by(again, &reopened))
    }

    /// Makes one commit, or none if there is nothing to do.
    fn commit(
        &mut self,
        mut clock: Stages<'_>,
        barrier: Option<&Arc<Barrier>>,
    ) -> Result<RunReport, RunError> {
        clock.enter("compare");
        let work = self.compare()?;
        if !work.has_work() {
            let sources = self.outcomes(&work, None)?;
            let assertions = self.judge_unchanged(&work, &sources)?;
            if !self.options.audit {
                self.note_unchanged(&work, &assertions, sources)?;
            }
            return unchanged(
                &self.job,
                &self.state,
                &work.tables,
                &work.snapshot,
                clock,
                assertions,
            );
        }
        let inputs = self.inputs(&work, barrier)?;
        let epoch = self.prepare(&work, &inputs)?;

        clock.enter("compute");
        let fill = StateFill::begin(&self.store, &self.state)?;
        let computed = self.compute(epoch, &work, fill.transaction());
        let computed = computed.map_err(|error| self.located(error, &work, &inputs))?;
        let set_aside = set_aside(&computed.epoch.intakes);
        let sources = self.outcomes(&work, Some(&inputs))?;
        let read = sources.iter().flat_map(|one| &one.outcome.deliveries);
        let rows_rejected = read.map(|delivery| delivery.rejected).sum();
        let warnings = all_warnings(&computed.epoch.intakes, &sources);

        clock.enter("write");
        let commit = Commit {
            directory: &self.directory,
            store: &self.store,
            job: &self.job,
            declared: self.options.declared.as_ref(),
            snapshot: &work.snapshot,
            state: self.state.clone(),
            views: &work.views,
            standing: &work.standing,
            parts: computed.parts,
            changes: &work.changes,
            hold_records: work.holds.records(&self.state, &sources),
            sources,
            now_s: (self.options.now)().as_secs(),
            sizes: self.options.thresholds.tables,
        };
        let (epoch, runs) = (computed.epoch, computed.runs);
        if let Some(candidate) = &self.options.candidate {
            commit.show(candidate, &epoch, &runs)?;
        }
        let held = held(&commit.sources);
        let assertions = self.refuse_failures(commit.judge(&epoch, &runs)?, &held, &work)?;
        let deliveries = commit.deliveries();
        let rows_read = deliveries.iter().map(|delivery| delivery.rows_in).sum();
        if self.options.audit {
            let (tables, snapshot) = (&epoch.tables, &work.snapshot);
            let unchanged = unchanged(&self.job, &self.state, tables, snapshot, clock, assertions)?;
            return Ok(RunReport {
                outcome: RunOutcome::Audited,
                deliveries: Some(deliveries),
                rows_read,
                rows_rejected,
                set_aside,
                warnings,
                ..unchanged
            });
        }
        let stage = || commit.stage(&epoch, runs, &self.write_options());
        let (staged, record) = match fill {
            StateFill::First(fill) => {
                let staged = fill.commit_during(&self.state, stage)?;
                (staged, self.store.write()?)
            }
            StateFill::WithRecord(transaction) => (stage()?, transaction),
        };
        commit.balance(&epoch, &staged)?;
        let staged_sinks = self.sinks.stage(self.state.epoch + 1)?;

        self.progress.begin_commit()?;
        clock.enter("commit");
        let reports = reports(&commit, &epoch.tables, &staged)?;
        let retained = epoch.graphs.resumed.retained.iter();
        let rows_late = retained.map(|(view, windows)| (view.clone(), windows.rows_late()));
        let rows_late = rows_late.filter(|(_, rows)| *rows > 0).collect();
        let staged_epoch = StagedEpoch {
            tables: &staged,
            sinks: staged_sinks,
            assertions: &assertions,
        };
        let committed = commit.finish(record, epoch, staged_epoch, clock.elapsed())?;
        self.committed(committed)?;
        let (seconds_total, stages) = clock.finish();
        Ok(RunReport {
            outcome: RunOutcome::Committed,
            epoch: self.state.epoch,
            deliveries: Some(deliveries),
            rows_read,
            rows_rejected,
            rows_quarantined: reports.quarantine.rows,
            set_aside,
            rows_late,
            quarantine_path: reports.quarantine_path(),
            tables: reports.published(&self.job),
            assertions,
            seconds_total,
            stages,
            warnings,
        })
    }

    /// Publishes a commit to other systems, and notifies sources of how far they were read.
    fn committed(&mut self, committed: Committed) -> Result<(), RunError> {
        self.state = committed.state;
        self.rebuild = false;
        self.sinks.publish(&self.state, &mut *self.keep_trying)?;
        self.sources.committed(&committed.sources);
        Ok(())
    }

    fn write_options(&self) -> WriteOptions {
        WriteOptions {
            threads: self.options.run.workers,
            preview_rows: self.options.run.preview_rows,
            stop: self.progress.stop.clone(),
            ..WriteOptions::default()
        }
    }

    /// Records that other systems hold the last epoch, because they may forget that in time.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn close(mut self) -> Result<(), RunError> {
        if !self.sinks.is_empty() && self.state.published < self.state.epoch {
            let transaction = self.store.write()?;
            self.state.published = self.state.epoch;
            transaction.put(STATE, "", &self.state)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Compares the job and its sources with the last commit.
    fn compare(&mut self) -> Result<EpochPlan, RunError> {
        if self.state.epoch > 0 {
            self.store.filled(&mut self.directory)?;
        }
        let snapshot = Arc::new(self.store.read()?);
        let copies = self.directory.layout.table_copies();
        let tables = PerTable::with_copies(&self.job, &copies, |_| Graph::Resumed);
        let claims = self.claim(&snapshot, &tables)?;
        let mut standing = self.look(&tables, &snapshot)?;
        // Tables that are taken over from other owners were already reported.
        standing
            .notices
            .retain(|table, _| !claims.taken.contains(table));
        let (all, taken) = (self.rebuild, &claims.taken);
        let now = Some((self.options.now)());
        let views = Views::compare(&self.job, &snapshot, &copies, all, taken, &standing, now)?;
        let now_s = (self.options.now)().as_secs();
        let mut holds = Holds::of(&self.job, &self.state, &views, now_s)?;
        let mut changes = self.compare_sources(&snapshot, &holds)?;
        let threads = self.options.run.workers;
        holds.judge_present(&self.job, &self.state, &mut changes, threads)?;
        let tables = PerTable::with_copies(&self.job, &copies, |view| views.graph(view));
        announce(
            &views,
            &standing,
            &self.state,
            self.rebuild,
            self.options.notice,
        );
        announce_moves(&tables, &snapshot, self.options.notice)?;
        Ok(EpochPlan {
            snapshot,
            views,
            changes,
            holds,
            tables,
            standing,
        })
    }

    /// Checks the published tables, unless a follower has just done so.
    fn look(
        &mut self,
        tables: &PerTable<Table>,
        snapshot: &StateSnapshot,
    ) -> Result<Standing, RunError> {
        let (now, layout) = ((self.options.now)(), &self.directory.layout);
        let is_due = |at: Duration| now.saturating_sub(at) >= LOOK_EVERY;
        if self.looked_at.is_some_and(|at| !is_due(at)) {
            return Standing::of_places(tables, snapshot, layout);
        }
        self.looked_at = Some(now);
        Standing::of(tables, snapshot, layout)
    }

    /// Checks that the tables belong to this state.
    fn claim(
        &self,
        snapshot: &StateSnapshot,
        tables: &PerTable<Table>,
    ) -> Result<Claims, RunError> {
        let state = OwnCommits {
            state: &self.state,
            snapshot,
            rebuild: self.rebuild,
        };
        let claimant = Claimant {
            job: &self.state.job,
            state: Some(&state),
            take_over: self.options.run.take_over,
        };
        let claims = claimant.claim(tables.iter())?;
        if !self.options.audit {
            claims.mark();
        }
        if !claims.taken.is_empty() {
            let taken: Vec<&str> = claims.taken.iter().map(String::as_str).collect();
            (self.options.notice)(&format!("taken over from others: {}", taken.join(", ")));
        }
        Ok(claims)
    }

    /// The changes of each source.
    fn compare_sources(
        &mut self,
        snapshot: &StateSnapshot,
        holds: &Holds,
    ) -> Result<Vec<Box<dyn SourceChanges>>, RunError> {
        let settle = self.options.settle;
        let settled = (self.options.now)().saturating_sub(settle).as_nanos();
        let settled_ns = if settle.is_zero() {
            i64::MAX
        } else {
            i64::try_from(settled).unwrap_or(i64::MAX)
        };
        let rules = ChangeRules {
            settled_ns,
            rehash: self.rehash,
            stays_held: None,
        };
        let changes = self.sources.changes(&self.state, snapshot, rules, holds)?;
        self.rehash = false;
        for notice in changes.iter().flat_map(|changes| changes.notices()) {
            (self.options.notice)(&notice);
        }
        Ok(changes)
    }

    /// The results of the assertions when nothing changed. A failure may be accepted for another reason.
    fn judge_unchanged(
        &self,
        work: &EpochPlan,
        sources: &[CommittedSource],
    ) -> Result<Vec<AssertionReport>, RunError> {
        let rows =
            |_: usize, table: &Table| published_rows(&work.snapshot, &self.directory.layout, table);
        let reports = judge(&self.job, &work.tables, &self.state.accepted, &rows)?;
        self.refuse_failures(reports, &held(sources), work)
    }

    fn refuse_failures(
        &self,
        reports: Vec<AssertionReport>,
        held: &[HeldOfSource],
        work: &EpochPlan,
    ) -> Result<Vec<AssertionReport>, RunError> {
        refuse_failures(&self.job, reports, held, &|source, spec| {
            work.look_again(&self.job, source, spec)
        })
    }

    /// The rows that the epoch reads, by source.
    fn inputs(
        &self,
        work: &EpochPlan,
        barrier: Option<&Arc<Barrier>>,
    ) -> Result<Vec<SourceInputs>, RunError> {
        let read = SourcesRead::of(&self.job, &work.views);
        let sources = self.job.sources.iter().zip(&work.changes).enumerate();
        let inputs = sources.map(|(at, (source, changes))| {
            let rules = work.holds.of_source(at);
            SourceInputs::open(&self.job, source, changes.as_ref(), &read, rules, barrier)
        });
        inputs.collect()
    }

    /// Records changes that need no reading: checkpoints, for example of files that were touched, so that they need
    /// not be read again; fingerprints in the format of this version; and failures that are accepted.
    fn note_unchanged(
        &mut self,
        work: &EpochPlan,
        assertions: &[AssertionReport],
        sources: Vec<CommittedSource>,
    ) -> Result<(), RunError> {
        let mut state = self.state.clone();
        let hold_records = work.holds.records(&state, &sources);
        state.record_judgements(&self.job, assertions, &hold_records);
        let mut updates = sources;
        updates.retain(|source| !source.outcome.checkpoint.is_empty());
        let upgrades = &work.views.upgrades;
        let restamped = &work.standing.restamped;
        let declared = self.options.declared.as_ref();
        let is_known = commit::is_known(declared, &work.snapshot)?;
        let is_judged = state == self.state;
        if updates.is_empty()
            && upgrades.is_empty()
            && restamped.is_empty()
            && is_known
            && is_judged
        {
            return Ok(());
        }
        let transaction = self.store.write()?;
        if !is_judged {
            self.state = state;
            transaction.put(STATE, "", &self.state)?;
        }
        if let Some(declared) = declared {
            transaction.put(JOB, "", declared)?;
        }
        upgrades.write(&transaction)?;
        work.standing.record(&transaction)?;
        for source in updates {
            let update = &source.outcome.checkpoint;
            transaction.update_checkpoint(source.connector, &source.source, update)?;
        }
        Ok(transaction.commit()?)
    }

    fn prepare(&self, work: &EpochPlan, inputs: &[SourceInputs]) -> Result<Epoch, RunError> {
        let next = self.state.epoch + 1;
        let paths = paths(&self.directory.layout, &work.tables);
        commit::remove_orphans(&self.directory.layout, next)?;
        let staging = Staging::for_state(paths.iter().map(PathBuf::as_path), &self.state.id, next)?;
        self.progress.stages_in(&staging);
        let intakes: Vec<Arc<Intake>> = inputs.iter().flat_map(SourceInputs::intakes).collect();
        for intake in &intakes {
            self.progress
                .bytes_total
                .fetch_add(intake.bytes_total(), Ordering::Relaxed);
        }
        let sources = self.job.sources.iter();
        Ok(Epoch {
            graphs: EpochGraphs {
                resumed: work.views.kept.clone(),
                rebuilt: work.views.rebuilt.clone(),
                sources: sources.map(|source| source.spec.name.clone()).collect(),
                state: Some(Arc::clone(&work.snapshot)),
            },
            intakes,
            tables: work.tables.clone(),
            staging,
            counts: Arc::default(),
            progress: self.progress.clone(),
            faults: Faults::default(),
        })
    }

    /// Runs the graphs, and writes the updates of their state.
    fn compute(
        &self,
        epoch: Epoch,
        work: &EpochPlan,
        transaction: &StateTransaction,
    ) -> Result<Computed, RunError> {
        drop_parts(transaction, &work.views, &work.snapshot)?;
        let computed = compute(epoch, transaction, self.options.run.workers)?;
        finalize(&self.job, &work.views, transaction, &work.snapshot)?;
        Ok(computed)
    }

    /// An error of the graphs. If an expression failed on a row of a source, the row's place is added.
    fn located(&self, error: RunError, work: &EpochPlan, inputs: &[SourceInputs]) -> RunError {
        let intakes: Vec<Arc<Intake>> = inputs.iter().flat_map(SourceInputs::intakes).collect();
        located(&self.job, error, &intakes, &|source, spec| {
            work.look_again(&self.job, source, spec)
        })
    }

    /// The outcome of the epoch for each source. Without `inputs`, nothing was read.
    ///
    /// # Errors
    /// When a source had too many bad rows, or was not read to its end.
    fn outcomes(
        &self,
        work: &EpochPlan,
        inputs: Option<&[SourceInputs]>,
    ) -> Result<Vec<CommittedSource>, RunError> {
        let sources = self.job.sources.iter().zip(&work.changes).enumerate();
        let outcomes = sources.map(|(at, (source, changes))| {
            let inputs = inputs.and_then(|inputs| inputs.get(at));
            CommittedSource::of(source, changes.as_ref(), inputs)
        });
        outcomes.collect()
    }
}

/// The warnings of readers and of sources.
fn all_warnings(intakes: &[Arc<Intake>], sources: &[CommittedSource]) -> Vec<String> {
    let mut all = warnings(intakes);
    let of_sources = sources.iter().flat_map(|source| &source.outcome.warnings);
    all.extend(of_sources.cloned());
    all.sort();
    all
}
