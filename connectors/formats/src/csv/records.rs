//! CSV in separate records, such as payloads of messages. There is no header, and columns are in declared order.
//!
//! Well-formed records are joined into one block and decoded like a file. Other records are rejected first, so they
//! do not affect the next record.

use std::sync::Arc;

use memchr::memchr;

use super::Csv;
use super::decode::Decoder;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{
    DecodeRecords, DecodeText, DecodedRecords, RejectedRecord, SourceSpec, TextBlock,
};

/// Decodes one row from each record. A record may end with one line end.
pub struct CsvRecords {
    decoder: Arc<Decoder>,
}

/// Why a record is not one row: the column at fault, if there is one, and the reason.
type Flaw = (Option<Arc<str>>, String);

impl CsvRecords {
    /// A decoder for a source's columns.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let csv = Csv::new(spec)?;
        let layout = csv.layout_of_records()?;
        Ok(Self {
            decoder: csv.in_declared_order(layout),
        })
    }

    fn flaw(&self, text: &[u8]) -> Option<Flaw> {
        if text.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return Some((None, "is empty; a row has its fields".to_owned()));
        }
        let dialect = self.decoder.table.dialect;
        if !dialect.is_special(text) && memchr(b'\n', text).is_none() {
            return None;
        }
        let record = dialect.record(text, 0, true, |_| ())?;
        match record.fault {
            Some(fault) => {
                let name = self.decoder.names.get(fault.field).cloned();
                Some((name, fault.reason.to_owned()))
            }
            None if record.is_comment => {
                Some((None, "is a comment; a message holds a row".to_owned()))
            }
            None if record.next < text.len() => Some((
                None,
                "holds more than one record; write one record a message, and quote fields with line ends".to_owned(),
            )),
            None => None,
        }
    }
}

impl DecodeRecords for CsvRecords {
    fn decode(&self, records: &[&[u8]]) -> DecodedRecords {
        let bytes = records.iter().map(|record| record.len() + 1).sum();
        let mut block = Vec::with_capacity(bytes);
        // The offset of each record in the block, and its index.
        let mut joined = Vec::with_capacity(records.len());
        let mut rejected = Vec::new();
        for (record, text) in records.iter().enumerate() {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            if let Some((column, reason)) = self.flaw(text) {
                rejected.push(RejectedRecord {
                    record,
                    column,
                    reason,
                });
                continue;
            }
            joined.push((block.len(), record));
            block.extend_from_slice(text);
            block.push(b'\n');
        }
        let decoded = self.decoder.decode(&TextBlock {
            file: Arc::clone(&self.decoder.table.source),
            first_line: 1,
            byte_offset: 0,
            bytes: block,
            stored_bytes: 0,
        });
        let record_at = |start: u64| {
            let at = joined.partition_point(|(begin, _)| (*begin as u64) < start);
            joined.get(at).map_or(0, |(_, record)| *record)
        };
        rejected.extend(decoded.rejected.into_iter().map(|row| RejectedRecord {
            record: record_at(row.byte_offset),
            column: row.column,
            reason: row.reason,
        }));
        rejected.sort_by_key(|rejected| rejected.record);
        DecodedRecords {
            batch: decoded.batch,
            rejected,
        }
    }
}
