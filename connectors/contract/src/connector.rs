//! Sources: a connector parses their declarations, opens them, and says how far they were read.
//!
//! 1. A checkpoint changes only with a commit: a source whose epoch is not committed is read from the last checkpoint again.
//! 2. What a checkpoint refers to is durable once [`SourceChanges::sync`] has returned, and stays until no checkpoint
//!    refers to it.
//! 3. Rows of [`InputPart::Retracted`] are those that were inserted before, value for value.
//! 4. Which of the rows with one key counts is a function of their place columns, not of the order in which they were
//!    read ([`KeyOrder`]).

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{FieldRef, SchemaRef};

use crate::checkpoint::{Checkpoint, CheckpointUpdate};
use crate::declaration::{DeclarationError, ParsedSource, SourceDeclaration};
use crate::error::SourceError;
use crate::source::{Reader, SourceSpec};
use crate::status::SourceStatus;

/// The directory in a state's directory that connectors have theirs in, unless they say otherwise.
pub const SOURCES: &str = "sources";

/// A kind of systems that rows come from.
pub trait SourceConnector: Debug + Send + Sync {
    /// Its name in a state: checkpoints of its sources are stored under it. Never changes.
    fn name(&self) -> &'static str;

    /// The connector's own directory in a state's directory.
    fn directory(&self) -> PathBuf {
        Path::new(SOURCES).join(self.name())
    }

    /// Whether a location is one of the connector's.
    fn accepts(&self, location: &str) -> bool;

    /// Parses a declaration whose location it accepts. Opens nothing.
    ///
    /// # Errors
    /// All mistakes of the declaration.
    fn parse(
        &self,
        declaration: &SourceDeclaration<'_>,
    ) -> Result<ParsedSource, Vec<DeclarationError>>;

    /// Removes content from the connector's `directory` of a state that no checkpoint refers to; `checkpoints` are those
    /// of all sources that the connector ever had in the state.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_unused(
        &self,
        _directory: &Path,
        _checkpoints: &[Checkpoint],
    ) -> Result<(), SourceError> {
        Ok(())
    }
}

/// A source of rows, as its declaration says.
pub trait Source: Debug + Send + Sync {
    /// Its connector.
    fn connector(&self) -> &'static dyn SourceConnector;

    /// Itself, for its connector to downcast.
    fn as_any(&self) -> &dyn std::any::Any;

    /// The columns that follow a row's own in a source with a primary key: the row's place.
    fn place_fields(&self) -> Vec<FieldRef>;

    /// Which of the rows with one key counts.
    fn key_order(&self) -> KeyOrder;

    /// Checks that rows can be decoded into the declared columns; reads nothing.
    ///
    /// # Errors
    /// When a declared type has no place in the source's format; the error names the column.
    fn check(&self, _spec: &SourceSpec) -> Result<(), SourceError> {
        Ok(())
    }

    /// The columns of decoded batches: those that are read and, in a source with a primary key, the place columns.
    fn decoded_schema(&self, spec: &SourceSpec) -> SchemaRef;

    /// Whether each row has an offset, which [`Decoded::ordinals`](crate::source::Decoded::ordinals) tells.
    fn has_offsets(&self) -> bool {
        false
    }

    /// Opens all that the source holds now, within bounds. Nothing is kept.
    ///
    /// # Errors
    /// When the source cannot be reached, or is not what its declaration says.
    fn open(&self, spec: &SourceSpec, bounds: &ReadBounds) -> Result<Arc<dyn Reader>, SourceError>;

    /// Opens what a state keeps of the source, as of a checkpoint.
    ///
    /// # Errors
    /// When it is not there.
    fn open_kept(
        &self,
        spec: &SourceSpec,
        kept: &SourceState<'_>,
    ) -> Result<Arc<dyn Reader>, SourceError>;

    /// Connects to go on from a checkpoint.
    ///
    /// # Errors
    /// When the source cannot be reached, or the checkpoint's content is not there.
    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError>;

    /// Where the source stands, and what waits. Reads no content.
    ///
    /// # Errors
    /// When the source cannot be looked at.
    fn status(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
    ) -> Result<SourceStatus, SourceError>;
}

/// What a state has of a source.
#[derive(Clone, Debug)]
pub struct SourceState<'a> {
    /// The state's id, which tells it from others.
    pub id: &'a str,
    /// The connector's directory in the state.
    pub directory: &'a Path,
    /// As of the last commit.
    pub checkpoint: &'a Checkpoint,
}

/// Which of the rows with one key counts: rounds, each of which keeps the greatest row of each group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrder {
    /// The rounds, one after the other; the last one groups by the key alone.
    pub rounds: Vec<LatestRound>,
    /// The place column that says that a row deletes its key. The other columns of such a row may be NULL.
    pub deleted: Option<usize>,
}

/// Keeps the greatest row of each group. Columns are indices among the place columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestRound {
    /// Columns that rows are grouped by besides the key.
    pub within: Vec<usize>,
    /// The greatest row comes last in the order of these.
    pub order: Vec<usize>,
    /// Whether rows are never retracted, so that smaller ones are forgotten.
    pub is_append_only: bool,
}

/// Bounds of what is read of a source whose rows have offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBounds {
    /// Rows before this are left out.
    pub from: Option<OffsetBound>,
    /// Rows from this on are left out.
    pub to: Option<OffsetBound>,
    /// Who reads, where the system wants to know.
    pub reader: &'static str,
}

/// A place in each partition of a source whose rows have offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetBound {
    /// An offset.
    Offset(i64),
    /// The first row that is not older than this, in milliseconds since 1970.
    Time(i64),
}

/// A source while a state is open.
pub trait SourceSession: Send {
    /// Compares the source with a checkpoint, that of the last commit. Deliveries modified after `settled_ns` are left for
    /// a later epoch.
    ///
    /// # Errors
    /// When the source cannot be looked at, or changed as it must not.
    fn changes(
        &mut self,
        checkpoint: &Checkpoint,
        settled_ns: i64,
    ) -> Result<Box<dyn SourceChanges>, SourceError>;

    /// The source as a stream, for one whose rows come by themselves; `None` for one that is looked at now and then.
    fn stream(&self) -> Option<Arc<dyn SourceStream>> {
        None
    }

    /// An update of the checkpoint is committed.
    fn committed(&mut self, _update: &CheckpointUpdate) {}
}

/// A source whose rows come by themselves.
pub trait SourceStream: Send + Sync {
    /// Waits until rows are there, but no longer than this; whether some are.
    ///
    /// # Errors
    /// When the stream has failed.
    fn wait(&self, most: Duration) -> Result<bool, SourceError>;

    /// Rows that wait, about.
    fn lag(&self) -> u64;

    /// Why the source is out of reach, where that may pass; `None` when all is well.
    fn trouble(&self) -> Option<String>;

    /// Asks the source whether all is as it was. May take seconds; what is wrong comes with the next read.
    fn watch(&self);
}

/// A part of a source's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputPart {
    /// Rows that are new since the checkpoint.
    Inserted,
    /// Rows that were read before and are gone.
    Retracted,
    /// Rows that were read before and stay.
    Unchanged,
}

/// Until when new rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadUntil {
    /// Until the end, as of now.
    End,
    /// Until the reader is [closed](Reader::close); of a source that is no stream, as [`End`](Self::End).
    Closed,
}

/// What changed of a source since a checkpoint.
pub trait SourceChanges: Send + Sync {
    /// Messages for the user.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether there is nothing to read and nothing to record, but checkpoint entries.
    fn is_empty(&self) -> bool;

    /// Opens a part; `None` where it has no rows. [`InputPart::Inserted`] is opened once.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(
        &self,
        part: InputPart,
        until: ReadUntil,
    ) -> Result<Option<Arc<dyn Reader>>, SourceError>;

    /// The outcome, once what was opened is read. `counts` are the rows of the deliveries of [`InputPart::Inserted`]; none
    /// when it was not opened.
    ///
    /// # Errors
    /// When a delivery was not read to its end.
    fn outcome(&self, counts: &[DeliveryCounts]) -> Result<SourceOutcome, SourceError>;

    /// Makes durable what the outcome's checkpoint refers to.
    ///
    /// # Errors
    /// When the system refuses.
    fn sync(&self, _outcome: &SourceOutcome) -> Result<(), SourceError> {
        Ok(())
    }
}

/// Rows of a delivery that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Rows that were decoded or rejected.
    pub read: u64,
    /// Rows that were rejected.
    pub rejected: u64,
}

/// What an epoch makes of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceOutcome {
    /// What the commit changes in the source's checkpoint.
    pub checkpoint: CheckpointUpdate,
    /// Whether the source has deliveries now.
    pub has_deliveries: bool,
    /// What is recorded of deliveries.
    pub deliveries: Vec<DeliveryChange>,
    /// Rows of all deliveries that are there now, rejected ones included.
    pub rows: u64,
    /// Of these the rejected ones.
    pub rows_rejected: u64,
    /// Whether kept content is unused once the epoch is committed.
    pub has_unused: bool,
    /// Names of content that is to be made durable, for [`SourceChanges::sync`].
    pub unsynced: Vec<String>,
}

/// A delivery that an epoch inserted, replaced or retracted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryChange {
    /// Its name: a path, or a range of offsets.
    pub name: String,
    /// What happened: `new`, `replaced`, `appended`, `renamed`, `withdrawn`, `read`.
    pub kind: &'static str,
    /// Rows that were inserted, quarantined ones included.
    pub rows_in: u64,
    /// Rows that were retracted.
    pub rows_out: u64,
}
