//! Hands out the messages of one epoch, in pieces of one partition each. Pieces are taken from librdkafka under a lock,
//! and the worker that gets a piece decodes it.

use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::begin;
use super::log::MessageLog;
use super::messages::Messages;
use super::position::PartitionPosition;
use super::queue::Fetched;
use super::stream::Stream;
use super::stream_state::{Fetching, Shared, StreamState};
use tidewater_contract::connector::DeliveryCounts;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Dealt, NextPiece, Piece, Reader};

/// A piece is complete when it has this many messages, or bytes.
const PIECE_MESSAGES: usize = 8 << 10;
const PIECE_BYTES: usize = 2 << 20;

/// How long a worker waits for messages before it does other work.
const WAIT: Duration = Duration::from_millis(1);

/// Which messages a reader hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// The messages up to the ends of the partitions as of the last refresh. Under `read_committed` a partition ends
    /// at its first open transaction.
    Ends,
    /// All messages until [`close`](Reader::close) is called, or until this many were handed out.
    Closed {
        /// The most messages to hand out.
        messages_max: u64,
    },
    /// Messages of these partitions, before these offsets, and before the ends as of the last refresh.
    Offsets(BTreeMap<i32, i64>),
}

/// Hands out the messages of one epoch.
pub struct StreamReader {
    shared: Arc<Shared>,
    log: Option<Arc<MessageLog>>,
    messages_max: u64,
    closed: AtomicBool,
    progress: Mutex<ReadProgress>,
    tallies: Arc<Vec<PartitionTally>>,
    /// Pieces that were handed out and are not decoded yet.
    open_pieces: Arc<AtomicUsize>,
}

/// How far a reader has come.
struct ReadProgress {
    shares: BTreeMap<i32, PartitionShare>,
    /// The number of partitions whose limit is not reached.
    unfinished: usize,
    /// Messages that were handed out.
    dealt: u64,
}

/// A reader's part of a partition.
struct PartitionShare {
    /// The partition's index among the reader's partitions.
    index: usize,
    /// The offset at which it ends, exclusive.
    limit: i64,
    position: PartitionPosition,
}

/// How many messages of a partition were decoded, and how many rejected.
#[derive(Default)]
struct PartitionTally {
    rows: AtomicU64,
    rejected: AtomicU64,
}

impl Stream {
    /// A reader that hands out the messages of an epoch to all workers. Each message is appended to `log` before its
    /// row is returned. A reader must be finished before the next one is created.
    pub fn reader(&self, log: Option<Arc<MessageLog>>, until: &Until) -> Arc<StreamReader> {
        Arc::new(StreamReader::open(&self.shared, log, until))
    }
}

impl StreamReader {
    fn open(shared: &Arc<Shared>, log: Option<Arc<MessageLog>>, until: &Until) -> Self {
        let mut state = shared.lock();
        let progress = ReadProgress::new(&state, until);
        if let Err(error) = shared.fetch(&mut state, &progress.wanted()) {
            state.failed.get_or_insert(error);
        }
        drop(state);
        Self {
            shared: Arc::clone(shared),
            log,
            messages_max: match until {
                Until::Closed { messages_max } => *messages_max,
                Until::Ends | Until::Offsets(_) => u64::MAX,
            },
            closed: AtomicBool::new(false),
            tallies: Arc::new(
                progress
                    .shares
                    .iter()
                    .map(|_| PartitionTally::default())
                    .collect(),
            ),
            progress: Mutex::new(progress),
            open_pieces: Arc::default(),
        }
    }

    /// The partitions, in the order of delivery indices.
    pub fn partitions(&self) -> Vec<i32> {
        self.lock().shares.keys().copied().collect()
    }

    /// The number of messages handed out so far.
    pub fn dealt(&self) -> u64 {
        self.lock().dealt
    }

    /// The position of each partition. `first` and `next` say how far it was read; `rows` and `rejected` count this
    /// reader's messages only. `counts` are those of the epoch, by share.
    ///
    /// # Errors
    /// When pieces that were handed out are not decoded yet. An epoch that ended there would lose them.
    pub fn position(
        &self,
        counts: &[DeliveryCounts],
    ) -> Result<BTreeMap<i32, PartitionPosition>, SourceError> {
        let open = self.open_pieces.load(Ordering::Acquire);
        if open > 0 {
            let message = format!("{open} pieces were handed out and not decoded");
            return Err(self.shared.failed(message));
        }
        let progress = self.lock();
        let positions = progress.shares.iter().map(|(&number, share)| {
            let mut position = share.position;
            if let Some(tally) = self.tallies.get(share.index) {
                position.rows = tally.rows.load(Ordering::Relaxed);
                position.rejected = tally.rejected.load(Ordering::Relaxed);
            }
            if let Some(count) = counts.get(share.index) {
                // Rows on which an expression failed were decoded, and rejected later.
                let later = count.rejected.saturating_sub(position.rejected);
                position.rows = position.rows.saturating_sub(later);
                position.rejected += later;
            }
            (number, position)
        });
        Ok(positions.collect())
    }

    fn lock(&self) -> MutexGuard<'_, ReadProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece: consecutive messages of one partition, as far as they have arrived. The piece has no rows if
    /// none arrive within [`WAIT`].
    fn deal(&self, state: &mut StreamState) -> Result<NextPiece, SourceError> {
        let mut progress = self.lock();
        if self.is_complete(&progress) {
            return Ok(NextPiece::Done);
        }
        self.shared.listen()?;
        let mut piece = None;
        state.queue.fill(WAIT);
        while !self.is_complete(&progress)
            && let Some(fetched) = state.queue.front()
            && piece.as_ref().is_none_or(|piece| continues(piece, fetched))
        {
            self.take(state, &mut progress, &mut piece)?;
            state.queue.fill(Duration::ZERO);
        }
        let Some(messages) = piece else {
            let nothing = Box::new(iter::empty());
            return Ok(NextPiece::Dealt(Dealt::new(0, nothing)));
        };
        let share = progress.shares.get(&messages.partition);
        let delivery = share.map_or(0, |share| share.index);
        let piece = self.piece(delivery, messages);
        Ok(NextPiece::Dealt(Dealt::new(delivery, piece)))
    }

    fn is_complete(&self, progress: &ReadProgress) -> bool {
        self.closed.load(Ordering::Acquire)
            || progress.unfinished == 0
            || progress.dealt >= self.messages_max
    }

    /// Takes the next message from the queue. Adds it to the piece if it belongs to this reader.
    fn take(
        &self,
        state: &mut StreamState,
        progress: &mut ReadProgress,
        piece: &mut Option<Messages>,
    ) -> Result<(), SourceError> {
        let StreamState {
            queue,
            partitions,
            warnings,
            ..
        } = state;
        let Some(fetched) = queue.front() else {
            return Ok(());
        };
        let (number, offset) = (fetched.partition(), fetched.offset());
        let partition = partitions.get_mut(&number);
        let Some(partition) = partition.filter(|one| one.fetching == Fetching::Active) else {
            queue.pass();
            return Ok(());
        };
        match fetched.error() {
            Some(code) if code != RDKafkaErrorCode::PartitionEOF => {
                let why = fetched.why();
                queue.pass();
                return self.shared.fault((number, partition.next), code, &why);
            }
            _ if offset < partition.next => {
                let why = begin::began_again(number, partition.next, offset);
                return Err(self.shared.failed(why));
            }
            Some(_) => {
                partition.next = offset;
                if let Some(piece) = piece {
                    piece.next_offset = offset;
                }
            }
            None => {
                if offset > partition.next {
                    let passed = (partition.next, offset);
                    warnings.extend(self.shared.reset(queue, number, passed));
                }
                let limit = progress.limit(number);
                if offset >= limit {
                    partition.next = partition.next.max(limit);
                    progress.reach(number, partition.next);
                    return self.shared.pause(state, number);
                }
                let piece = piece.get_or_insert_with(|| Messages::new(number, partition.next));
                fetched.copy_to(piece);
                partition.next = offset + 1;
                progress.dealt += 1;
            }
        }
        progress.reach(number, partition.next);
        queue.pass();
        Ok(())
    }

    fn piece(&self, index: usize, messages: Messages) -> Box<dyn Piece> {
        self.open_pieces.fetch_add(1, Ordering::AcqRel);
        let open_pieces = Arc::clone(&self.open_pieces);
        let tallies = Arc::clone(&self.tallies);
        let decoder = Arc::clone(&self.shared.decoder);
        let log = self.log.clone();
        Box::new(iter::once_with(move || {
            if let Some(log) = log {
                log.append(&messages)?;
            }
            let decoded = decoder.decode(&messages)?;
            if let Some(tally) = tallies.get(index) {
                let rejected = decoded.rejected.len();
                let rows = messages.len().saturating_sub(rejected);
                tally.rows.fetch_add(count(rows), Ordering::Relaxed);
                tally.rejected.fetch_add(count(rejected), Ordering::Relaxed);
            }
            open_pieces.fetch_sub(1, Ordering::AcqRel);
            Ok(decoded)
        }))
    }
}

impl Reader for StreamReader {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        let mut state = self.shared.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        self.deal(&mut state)
            .inspect_err(|error| state.failed = Some(error.clone()))
    }

    fn deliveries(&self) -> usize {
        self.tallies.len()
    }

    /// Unknown for a stream.
    fn bytes_total(&self) -> u64 {
        0
    }

    /// The warnings of the stream.
    fn warnings(&self) -> Vec<String> {
        self.shared.warnings()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl ReadProgress {
    fn new(state: &StreamState, until: &Until) -> Self {
        let mut shares = BTreeMap::new();
        for (&number, partition) in &state.partitions {
            let limit = match until {
                Until::Ends => partition.edges.end,
                Until::Closed { .. } => i64::MAX,
                Until::Offsets(limits) => match limits.get(&number) {
                    Some(&limit) => limit.min(partition.edges.end),
                    None => continue,
                },
            };
            let share = PartitionShare {
                index: shares.len(),
                limit,
                position: PartitionPosition {
                    first: partition.first,
                    next: partition.next,
                    ..PartitionPosition::default()
                },
            };
            shares.insert(number, share);
        }
        let mut progress = Self {
            shares,
            unfinished: 0,
            dealt: 0,
        };
        progress.unfinished = progress.wanted().len();
        progress
    }

    /// Partitions whose limit is not reached.
    fn wanted(&self) -> Vec<i32> {
        let shares = self.shares.iter();
        let wanted = shares.filter(|(_, share)| share.position.next < share.limit);
        wanted.map(|(number, _)| *number).collect()
    }

    /// The offset at which a partition ends for this reader, exclusive.
    fn limit(&self, number: i32) -> i64 {
        self.shares
            .get(&number)
            .map_or(i64::MIN, |share| share.limit)
    }

    /// Records that a partition was handed out up to an offset.
    fn reach(&mut self, number: i32, next: i64) {
        let Some(share) = self.shares.get_mut(&number) else {
            return;
        };
        if share.position.next < share.limit && next >= share.limit {
            self.unfinished -= 1;
        }
        share.position.next = next;
    }
}

/// Whether the next message may be part of a piece.
fn continues(piece: &Messages, next: &Fetched) -> bool {
    let is_full = piece.len() >= PIECE_MESSAGES || piece.bytes() >= PIECE_BYTES;
    !is_full && next.partition() == piece.partition
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
