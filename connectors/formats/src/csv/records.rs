//! CSV that comes record by record, such as payloads of messages: without a header, columns in declared order.
//!
//! Records that are well formed are joined into one block and decoded like a file's. A record that is not is rejected
//! before, so that it does no harm to the next one.

use std::sync::Arc;

use memchr::memchr;

use super::Csv;
use super::decode::Decoder;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{
    DecodeRecords, DecodeText, DecodedRecords, RejectedRecord, SourceSpec, TextBlock,
};

/// Rows, a row a record. One line end may follow it.
pub struct CsvRecords {
    decoder: Arc<Decoder>,
}

/// Why a record is not one row.
type Flaw = (Option<Arc<str>>, String);

impl CsvRecords {
    /// Records of a source's columns.
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
        // Where in the block a record begins, and which one it is.
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
