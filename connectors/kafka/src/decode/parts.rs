//! Messages taken apart: what of them is decoded as what.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::Refused;
use super::keys::Keys;
use crate::debezium::{self, Change};
use crate::options::Envelope;
use crate::{Message, Messages};
use tidewater_contract::source::{DecodeRecords, DecodedRecords};

/// Texts that are decoded alike, each with the place of its message. Places ascend.
#[derive(Default)]
pub(super) struct Part<'a> {
    messages: Vec<usize>,
    texts: Vec<&'a [u8]>,
}

/// Messages, taken apart.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Rows that come.
    pub rows: Part<'a>,
    /// Rows that go, or with a primary key, rows as they were: their key is gone unless the row that comes has it.
    pub before: Part<'a>,
    /// Keys of messages that say that the row of the key is gone.
    pub keys: Part<'a>,
    pub refused: Vec<Refused>,
}

const TOMBSTONE: &str = "a message without payload (a tombstone) deletes the row of its key, and the source has none; \
    declare PRIMARY KEY (…)";

const NO_KEY: &str = "the message deletes the row of its key, and comes without a key";

impl<'a> Parts<'a> {
    pub(super) fn of(messages: &'a Messages, envelope: Envelope, keys: Option<&Keys>) -> Self {
        let mut parts = Self::default();
        parts.rows.reserve(messages.len());
        for (at, message) in messages.iter().enumerate() {
            match (message.value, envelope, keys) {
                (Some(row), Envelope::None, _) => parts.rows.push(at, row),
                (Some(change), Envelope::Debezium, _) => parts.change(at, &message, change, keys),
                (None, _, Some(keys)) => parts.delete(at, &message, keys),
                (None, Envelope::None, None) => parts.refuse(at, None, TOMBSTONE.to_owned()),
                // It follows the change that deletes the row.
                (None, Envelope::Debezium, None) => {}
            }
        }
        parts
    }

    fn delete(&mut self, at: usize, message: &Message<'a>, keys: &Keys) {
        match message.key {
            Some(key) => self.keys.push(at, key),
            // Other parts of the message say it.
            None if keys.of_message.is_none() => self.keys.push(at, &[]),
            None => self.refuse(at, None, NO_KEY.to_owned()),
        }
    }

    fn change(&mut self, at: usize, message: &Message<'a>, change: &'a [u8], keys: Option<&Keys>) {
        match debezium::change(change) {
            Ok(Change::Insert { after }) => self.rows.push(at, after),
            Ok(Change::Update { before, after }) => {
                self.rows.push(at, after);
                match before {
                    Some(before) => self.before.push(at, before),
                    None if keys.is_some() => {}
                    None => self.refuse(at, Some("before"), debezium::NO_BEFORE.to_owned()),
                }
            }
            Ok(Change::Delete { before }) => match (before, keys) {
                (Some(before), _) => self.before.push(at, before),
                (None, Some(keys)) => self.delete(at, message, keys),
                (None, None) => self.refuse(at, Some("before"), debezium::NO_BEFORE.to_owned()),
            },
            Err((column, reason)) => self.refuse(at, column.as_deref(), reason),
        }
    }

    fn refuse(&mut self, message: usize, column: Option<&str>, reason: String) {
        self.refused.push(Refused {
            message,
            column: column.map(Arc::from),
            reason,
        });
    }
}

impl<'a> Part<'a> {
    fn reserve(&mut self, count: usize) {
        self.messages.reserve_exact(count);
        self.texts.reserve_exact(count);
    }

    fn push(&mut self, message: usize, text: &'a [u8]) {
        self.messages.push(message);
        self.texts.push(text);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn messages(&self) -> &[usize] {
        &self.messages
    }

    /// The rows that the texts are, with the places of their messages. Messages whose text is none are refused.
    pub(super) fn decode(
        &self,
        decoder: &dyn DecodeRecords,
        refused: &mut Vec<Refused>,
    ) -> (RecordBatch, Vec<usize>) {
        let DecodedRecords { batch, rejected } = decoder.decode(&self.texts);
        if rejected.is_empty() {
            return (batch, self.messages.clone());
        }
        let mut of = Vec::with_capacity(batch.num_rows());
        let mut rejected = rejected.into_iter().peekable();
        for (record, message) in self.messages.iter().enumerate() {
            match rejected.next_if(|rejected| rejected.record == record) {
                Some(rejected) => refused.push(Refused {
                    message: *message,
                    column: rejected.column,
                    reason: rejected.reason,
                }),
                None => of.push(*message),
            }
        }
        (batch, of)
    }
}
