//! Reads a log: frames are found and read under a lock, checked and decoded by the worker that takes them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::frame::{FrameHeader, HEADER_BYTES};
use super::{damaged, length, open_kept, path};
use crate::{MessageDecoder, PartitionPosition, Segment};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Dealt, Decoded, NextPiece, Reader, SourceSpec};

/// Frames of one partition are handed out together, up to this size.
const PIECE_BYTES: usize = 256 << 10;

/// The log of a source, open for reading.
pub struct LogReader {
    decoder: Arc<MessageDecoder>,
    directory: PathBuf,
    partitions: BTreeMap<i32, (usize, PartitionPosition)>,
    bytes_total: u64,
    cursor: Mutex<LogCursor>,
}

/// The reading position.
struct LogCursor {
    waiting: VecDeque<Segment>,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    path: Arc<Path>,
    file: File,
    at: u64,
    end: u64,
}

/// A frame as it was read, and not checked yet.
struct Frame {
    path: Arc<Path>,
    at: u64,
    header: FrameHeader,
    said: [u8; HEADER_BYTES],
    body: Vec<u8>,
}

impl LogReader {
    /// Opens the `segments` of a log. Its deliveries are the `partitions`, in ascending order.
    ///
    /// # Errors
    /// When a segment is missing or too short, or `spec` declares columns that messages cannot be decoded to.
    pub fn open(
        spec: &SourceSpec,
        directory: &Path,
        segments: &[Segment],
        partitions: &BTreeMap<i32, PartitionPosition>,
    ) -> Result<Arc<dyn Reader>, SourceError> {
        for segment in segments {
            let path = path(directory, segment.number);
            let length = length(&path, &open_kept(&path)?)?;
            if length < segment.bytes {
                return Err(damaged(&path, length, "is cut short"));
            }
        }
        let by_number = partitions.iter().enumerate();
        Ok(Arc::new(Self {
            decoder: Arc::new(MessageDecoder::new(spec)?),
            directory: directory.to_owned(),
            partitions: by_number
                .map(|(index, (partition, position))| (*partition, (index, *position)))
                .collect(),
            bytes_total: segments.iter().map(|segment| segment.bytes).sum(),
            cursor: Mutex::new(LogCursor {
                waiting: segments.iter().copied().collect(),
                open: None,
            }),
        }))
    }

    /// The delivery that a frame belongs to.
    fn delivery(&self, frame: &Frame) -> Result<usize, SourceError> {
        let FrameHeader {
            partition,
            first_offset,
            next_offset,
            ..
        } = frame.header;
        let read = self
            .partitions
            .get(&partition)
            .filter(|(_, position)| position.first <= first_offset && next_offset <= position.next);
        read.map(|(index, _)| *index)
            .ok_or_else(|| frame.damaged("has a frame of a partition that was not read"))
    }
}

impl Reader for LogReader {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = cursor.next(&self.directory)? else {
            return Ok(NextPiece::Done);
        };
        let delivery = self.delivery(&first)?;
        let (partition, mut bytes) = (first.header.partition, first.body.len());
        let mut frames = vec![first];
        while bytes < PIECE_BYTES
            && let Some(header) = cursor.peek()?
            && header.partition == partition
            && let Some(frame) = cursor.next(&self.directory)?
        {
            self.delivery(&frame)?;
            bytes += frame.body.len();
            frames.push(frame);
        }
        let decoder = Arc::clone(&self.decoder);
        let decoded = frames.into_iter().map(move |frame| frame.decode(&decoder));
        Ok(NextPiece::Dealt(Dealt::new(delivery, Box::new(decoded))))
    }

    fn deliveries(&self) -> usize {
        self.partitions.len()
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl LogCursor {
    /// The next frame.
    fn next(&mut self, directory: &Path) -> Result<Option<Frame>, SourceError> {
        loop {
            if let Some(open) = self.open.as_mut().filter(|open| open.at < open.end) {
                return open.next().map(Some);
            }
            let Some(segment) = self.waiting.pop_front() else {
                return Ok(None);
            };
            let path = path(directory, segment.number);
            self.open = Some(OpenSegment {
                file: open_kept(&path)?,
                path: path.into(),
                at: 0,
                end: segment.bytes,
            });
        }
    }

    /// The header of the next frame, if it is in the segment that is being read.
    fn peek(&self) -> Result<Option<FrameHeader>, SourceError> {
        let open = self.open.as_ref().filter(|open| open.at < open.end);
        let header = open.map(OpenSegment::header).transpose()?;
        Ok(header.map(|(header, _)| header))
    }
}

impl OpenSegment {
    fn header(&self) -> Result<(FrameHeader, [u8; HEADER_BYTES]), SourceError> {
        let mut said = [0; HEADER_BYTES];
        self.read(&mut said, self.at)?;
        let header = FrameHeader::read(&said)
            .ok_or_else(|| damaged(&self.path, self.at, "has bytes that are not a frame"))?;
        Ok((header, said))
    }

    fn next(&mut self) -> Result<Frame, SourceError> {
        let at = self.at;
        let (header, said) = self.header()?;
        let body_at = at + HEADER_BYTES as u64;
        let end = body_at + u64::from(header.length);
        if end > self.end {
            return Err(damaged(&self.path, at, "has a frame that is cut short"));
        }
        let mut body = vec![0; usize::try_from(header.length).unwrap_or(usize::MAX)];
        self.read(&mut body, body_at)?;
        self.at = end;
        Ok(Frame {
            path: Arc::clone(&self.path),
            at,
            header,
            said,
            body,
        })
    }

    fn read(&self, to: &mut [u8], at: u64) -> Result<(), SourceError> {
        if at + to.len() as u64 > self.end {
            return Err(damaged(&self.path, at, "has a frame that is cut short"));
        }
        self.file.read_exact_at(to, at).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                damaged(&self.path, at, "is cut short")
            } else {
                SourceError::io("read", &self.path, error)
            }
        })
    }
}

impl Frame {
    fn decode(self, decoder: &MessageDecoder) -> Result<Decoded, SourceError> {
        let messages = self.header.messages(&self.said, &self.body);
        let messages = messages.map_err(|message| self.damaged(message))?;
        Ok(Decoded {
            bytes: (HEADER_BYTES + self.body.len()) as u64,
            ..decoder.decode(&messages)?
        })
    }

    fn damaged(&self, message: &str) -> SourceError {
        damaged(&self.path, self.at, message)
    }
}
