//! Sources. A connector parses their declarations, opens them, and reports how far they were read.
//!
//! 1. A checkpoint changes only with a commit. If an epoch is not committed, the source is read from the last
//!    checkpoint again.
//! 2. Content that a checkpoint refers to is durable once [`SourceChanges::sync`] has returned, and stays until no
//!    checkpoint refers to it.
//! 3. Rows of [`InputPart::Retracted`] are those that were inserted before, value for value.
//! 4. Place columns alone decide which of the rows with one key counts; the order of reading does not matter
//!    ([`KeyOrder`]).

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{FieldRef, SchemaRef};

use crate::checkpoint::{Checkpoint, CheckpointUpdate};
use crate::declaration::{DeclarationError, ParsedSource, SourceDeclaration};
use crate::error::SourceError;
use crate::hold::{HeldDelivery, HoldReason};
use crate::source::{Reader, SourceSpec};
use crate::status::SourceStatus;

/// The directory, inside the state's directory, that holds the connectors' own directories by default.
pub const SOURCES: &str = "sources";

/// A kind of system that rows come from.
pub trait SourceConnector: Debug + Send + Sync {
    /// The connector's name in a state. Checkpoints of its sources are stored under it, so it never changes.
    fn name(&self) -> &'static str;

    /// The connector's own directory in a state's directory.
    fn directory(&self) -> PathBuf {
        Path::new(SOURCES).join(self.name())
    }

    /// Whether this connector handles a location.
    fn accepts(&self, location: &str) -> bool;

    /// Parses a declaration whose location the connector accepts. Opens nothing.
    ///
    /// # Errors
    /// All mistakes of the declaration.
    fn parse(
        &self,
        declaration: &SourceDeclaration<'_>,
    ) -> Result<ParsedSource, Vec<DeclarationError>>;

    /// Removes content that no checkpoint refers to from the connector's `directory` in a state. `checkpoints` are
    /// those of all sources that the connector ever had in the state.
    ///
    /// # Errors
    /// When content cannot be removed.
    fn remove_unused(
        &self,
        _directory: &Path,
        _checkpoints: &[Checkpoint],
    ) -> Result<(), SourceError> {
        Ok(())
    }
}

/// A source of rows, as declared.
pub trait Source: Debug + Send + Sync {
    /// The source's connector.
    fn connector(&self) -> &'static dyn SourceConnector;

    /// The value itself, so that its connector can downcast it.
    fn as_any(&self) -> &dyn std::any::Any;

    /// Texts that describe what determines the source's rows besides its columns and the options of its format. Views
    /// are rebuilt if one of them changes.
    fn row_rules(&self) -> Vec<String> {
        Vec::new()
    }

    /// The place columns, which say where a row comes from. In a source with a primary key, or of
    /// [changes](Self::changes), they follow the row's own columns.
    fn place_fields(&self) -> Vec<FieldRef>;

    /// Set if the rows of a source without a primary key are changes; `None` if they are plain rows.
    fn changes(&self) -> Option<ChangePlaces> {
        None
    }

    /// Which of the rows with one key counts.
    fn key_order(&self) -> KeyOrder;

    /// Checks that rows can be decoded into the declared columns. Reads nothing.
    ///
    /// # Errors
    /// When a declared type has no place in the source's format; the error names the column.
    fn check(&self, _spec: &SourceSpec) -> Result<(), SourceError> {
        Ok(())
    }

    /// The columns of decoded batches: the columns that are read, then the place columns if the source has a primary
    /// key.
    fn decoded_schema(&self, spec: &SourceSpec) -> SchemaRef;

    /// The columns that hold the name of a row's delivery, for sources whose deliveries can be held.
    fn delivery_columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether each row has an offset, given in [`Decoded::ordinals`](crate::source::Decoded::ordinals).
    fn has_offsets(&self) -> bool {
        false
    }

    /// Opens everything that the source holds now, within bounds. Keeps nothing.
    ///
    /// # Errors
    /// When the source cannot be reached, or does not match its declaration.
    fn open(&self, spec: &SourceSpec, bounds: &ReadBounds) -> Result<Arc<dyn Reader>, SourceError>;

    /// Opens the source's content that a state keeps, as of a checkpoint.
    ///
    /// # Errors
    /// When the content is missing.
    fn open_kept(
        &self,
        spec: &SourceSpec,
        kept: &SourceState<'_>,
    ) -> Result<Arc<dyn Reader>, SourceError>;

    /// Connects, to continue from a checkpoint.
    ///
    /// # Errors
    /// When the source cannot be reached, or the checkpoint's content is missing.
    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError>;

    /// How far the source was read, and what waits. With `rehash`, the content of all deliveries is compared, even if
    /// they look unchanged.
    ///
    /// # Errors
    /// When the source cannot be inspected.
    fn status(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
        rehash: bool,
    ) -> Result<SourceStatus, SourceError>;
}

/// What a state holds about a source.
#[derive(Clone, Debug)]
pub struct SourceState<'a> {
    /// The state's id, unique among states.
    pub id: &'a str,
    /// The connector's directory in the state.
    pub directory: &'a Path,
    /// The checkpoint of the last commit.
    pub checkpoint: &'a Checkpoint,
}

/// Which of the rows with one key counts. The order is a sequence of rounds; each round keeps the greatest row of
/// each group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrder {
    /// The rounds, in sequence. The last one groups by the key alone.
    pub rounds: Vec<LatestRound>,
    /// The place column that marks a row that deletes its key. The other columns of such a row may be NULL.
    pub deleted: Option<usize>,
}

/// Keeps the greatest row of each group. Columns are indices among the place columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestRound {
    /// Columns that rows are grouped by besides the key.
    pub within: Vec<usize>,
    /// Columns to order by; the greatest row comes last.
    pub order: Vec<usize>,
    /// Whether rows are never retracted, so that smaller ones are forgotten.
    pub is_append_only: bool,
}

/// The place columns of changes. Each row of the source inserts a row, or retracts an equal row that was inserted
/// before. All declared columns are read. Both fields are indices among the place columns; the columns are BIGINT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePlaces {
    /// The partition. Changes of different partitions have no order.
    pub partition: usize,
    /// The position in its partition: twice the offset of the change, plus one for an inserted row.
    pub position: usize,
    /// The log of the changes.
    pub log: PartitionedLog,
}

/// The partitioned log that changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionedLog {
    /// Its name, such as a topic's.
    pub name: String,
    /// Why a change is quarantined if it retracts a row that was never read, and what to do.
    pub unmatched: &'static str,
}

/// The range to read, for a source whose rows have offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBounds {
    /// Rows before this bound are skipped.
    pub from: Option<OffsetBound>,
    /// Rows at this bound and after it are skipped.
    pub to: Option<OffsetBound>,
    /// The reader's name, for systems that ask for one.
    pub reader: &'static str,
}

/// A place in each partition of a source whose rows have offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetBound {
    /// An offset.
    Offset(i64),
    /// The first row at or after this time, in milliseconds since 1970.
    Time(i64),
}

/// How a source is compared with a checkpoint.
#[derive(Clone, Copy)]
pub struct ChangeRules<'a> {
    /// Deliveries modified after this, in nanoseconds since 1970, are left for a later epoch.
    pub settled_ns: i64,
    /// Whether the content of all deliveries is compared, even if they look unchanged.
    pub rehash: bool,
    /// Whether a held delivery stays held; otherwise it is judged as if it were new. `None` if no rule of the job holds
    /// deliveries of the source.
    pub stays_held: Option<&'a dyn Fn(&str, &HoldReason) -> bool>,
}

/// A source while a state is open.
pub trait SourceSession: Send {
    /// Compares the source with the checkpoint of the last commit.
    ///
    /// # Errors
    /// When the source cannot be inspected, or changed in a way that is not allowed.
    fn changes(
        &mut self,
        checkpoint: &Checkpoint,
        rules: ChangeRules<'_>,
    ) -> Result<Box<dyn SourceChanges>, SourceError>;

    /// The source as a stream, if its rows arrive by themselves. `None` if the source is polled.
    fn stream(&self) -> Option<Arc<dyn SourceStream>> {
        None
    }

    /// Called after an update of the checkpoint has been committed.
    fn committed(&mut self, _update: &CheckpointUpdate) {}
}

/// A source whose rows arrive by themselves.
pub trait SourceStream: Send + Sync {
    /// Waits for rows, at most this long. Returns whether there are any.
    ///
    /// # Errors
    /// When the stream has failed.
    fn wait(&self, most: Duration) -> Result<bool, SourceError>;

    /// About how many rows wait.
    fn lag(&self) -> u64;

    /// Why the source is out of reach, if that may be temporary. `None` when all is well.
    fn trouble(&self) -> Option<String>;

    /// Asks the source whether anything about it has changed. May take seconds. The next read reports what is wrong.
    fn watch(&self);
}

/// A part of a source's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputPart {
    /// Rows that are new since the checkpoint.
    Inserted,
    /// Rows that were read before and are gone.
    Retracted,
    /// Rows that were read before and stay. Deliveries that were [set aside](Reader::set_aside) stay so.
    Unchanged,
    /// The same rows for views that have none of them yet. Each delivery is judged as if it were new.
    JudgedAgain,
}

/// How long new rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadUntil {
    /// Up to the end, as of now.
    End,
    /// Until the reader is [closed](Reader::close). For a source that is no stream, the same as [`End`](Self::End).
    Closed,
}

/// What changed in a source since a checkpoint.
pub trait SourceChanges: Send + Sync {
    /// Messages for the user.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether there is nothing to read and nothing to record, apart from checkpoint entries.
    fn is_empty(&self) -> bool;

    /// Opens a part; `None` if it has no rows. [`InputPart::Inserted`] is opened once.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(
        &self,
        part: InputPart,
        until: ReadUntil,
    ) -> Result<Option<Arc<dyn Reader>>, SourceError>;

    /// The inserted and the unchanged deliveries, opened again to search for a row, held ones included. Nothing is stored.
    /// Empty if the
    /// source cannot be read twice.
    fn look_again(&self, _spec: &Arc<SourceSpec>) -> Vec<Arc<dyn Reader>> {
        Vec::new()
    }

    /// The deliveries that stay and are not held, opened to judge them by rules that have changed. Nothing is stored.
    /// `None` if there are none.
    ///
    /// # Errors
    /// When they cannot be read.
    fn judge_again(&self) -> Result<Option<Arc<dyn Reader>>, SourceError> {
        Ok(None)
    }

    /// Holds deliveries that stay: their rows are retracted in this epoch. Called before parts are opened.
    fn hold(&mut self, _deliveries: Vec<HeldDelivery>) {}

    /// The outcome, once everything that was opened has been read. `counts` are the rows that were read.
    ///
    /// # Errors
    /// When a delivery was not read to its end.
    fn outcome(&self, counts: &EpochCounts) -> Result<SourceOutcome, SourceError>;

    /// Makes the content durable that the outcome's checkpoint refers to.
    ///
    /// # Errors
    /// When the system refuses.
    fn sync(&self, _outcome: &SourceOutcome) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The rows that an epoch read of a source, delivery by delivery. A part that was not opened has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCounts {
    /// Rows of [`InputPart::Inserted`].
    pub inserted: Vec<DeliveryCounts>,
    /// Rows of [`InputPart::JudgedAgain`].
    pub judged_again: Vec<DeliveryCounts>,
}

/// How many rows of a delivery were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Rows that were decoded or rejected.
    pub read: u64,
    /// Rows that were rejected.
    pub rejected: u64,
}

/// The result of an epoch for a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceOutcome {
    /// The commit's changes to the source's checkpoint.
    pub checkpoint: CheckpointUpdate,
    /// Whether the source has deliveries now.
    pub has_deliveries: bool,
    /// Whether all of its deliveries are set aside. `false` if it has none.
    pub is_all_set_aside: bool,
    /// The deliveries that are held now, in order.
    pub held: Vec<HeldDelivery>,
    /// Names of deliveries that the source no longer has.
    pub gone: Vec<String>,
    /// The history entries of deliveries.
    pub deliveries: Vec<DeliveryChange>,
    /// Rows of all current deliveries that are not held, rejected rows included.
    pub rows: u64,
    /// The rejected rows among them.
    pub rows_rejected: u64,
    /// Whether the commit leaves kept content unused.
    pub has_unused: bool,
    /// Messages for the user.
    pub warnings: Vec<String>,
    /// Names of content that [`SourceChanges::sync`] must make durable.
    pub unsynced: Vec<String>,
}

/// A delivery that an epoch inserted, replaced or retracted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryChange {
    /// Its name: a path, or a range of offsets.
    pub name: String,
    /// What happened: `new`, `replaced`, `appended`, `renamed`, `withdrawn`, `held`, `released`, `read`.
    pub kind: &'static str,
    /// Rows that were inserted, quarantined ones included.
    pub rows_in: u64,
    /// The quarantined ones of these.
    pub rejected: u64,
    /// Rows that were retracted.
    pub rows_out: u64,
}
