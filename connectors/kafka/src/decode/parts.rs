//! Splits messages into the parts that are decoded differently.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::keys::Keys;
use super::rows::Refused;
use crate::debezium::{self, DebeziumChange};
use crate::options::Envelope;
use crate::{Message, Messages};
use tidewater_contract::source::{DecodeRecords, DecodedRecords};

/// Texts that are decoded in the same way, each with the index of its message. Indices ascend.
#[derive(Default)]
pub(super) struct MessageTexts<'a> {
    messages: Vec<usize>,
    texts: Vec<&'a [u8]>,
}

/// Messages, split into parts.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Rows to insert.
    pub rows: MessageTexts<'a>,
    /// Rows before a change. Without a primary key they are retracted. With one, their key is deleted unless the
    /// message inserts it again.
    pub before: MessageTexts<'a>,
    /// Keys of messages that delete the row of their key.
    pub keys: MessageTexts<'a>,
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
                // Debezium's tombstone follows the change that deletes the row.
                (None, Envelope::Debezium, None) => {}
            }
        }
        parts
    }

    fn delete(&mut self, at: usize, message: &Message<'a>, keys: &Keys) {
        match message.key {
            Some(key) => self.keys.push(at, key),
            // Other parts of the message hold the key.
            None if keys.of_message.is_none() => self.keys.push(at, &[]),
            None => self.refuse(at, None, NO_KEY.to_owned()),
        }
    }

    fn change(&mut self, at: usize, message: &Message<'a>, change: &'a [u8], keys: Option<&Keys>) {
        match debezium::change(change) {
            Ok(DebeziumChange::Insert { after }) => self.rows.push(at, after),
            Ok(DebeziumChange::Update { before, after }) => {
                self.rows.push(at, after);
                match before {
                    Some(before) => self.before.push(at, before),
                    None if keys.is_some() => {}
                    None => self.refuse(at, Some("before"), debezium::NO_BEFORE.to_owned()),
                }
            }
            Ok(DebeziumChange::Delete { before }) => match (before, keys) {
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

impl<'a> MessageTexts<'a> {
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

    /// Decodes the texts into rows, with the indices of their messages. A message whose text does not decode is
    /// rejected.
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

    /// Decodes the texts into the key's columns, as [`decode`](Self::decode) does. Without a decoder, there are none.
    pub(super) fn decode_keys(
        &self,
        decoder: Option<&dyn DecodeRecords>,
        refused: &mut Vec<Refused>,
    ) -> (RecordBatch, Vec<usize>) {
        match decoder {
            Some(decoder) => self.decode(decoder, refused),
            None => (
                RecordBatch::new_empty(Arc::new(Schema::empty())),
                self.messages.clone(),
            ),
        }
    }
}
