//! The queue of fetched messages. One queue of librdkafka takes the messages of all partitions, so one bound holds
//! for them together, and one call takes many messages.
//!
//! This module has `unsafe` code, as has only `csv::mask` besides. The safe interface of rdkafka returns one message
//! a call, at several times the cost, and does not give the offset at which a partition ends. That offset is needed
//! to get past offsets after the last message, which belong to control records, aborted transactions or compacted
//! messages.
//!
//! 1. The client outlives its queue and its messages, because each [`FetchQueue`] holds the client as well as both.
//! 2. A [`Fetched`] owns the message that it points to until it is dropped, and nobody writes to it.

use std::collections::VecDeque;
use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr};

use super::client::Consumer;
use super::messages::Messages;

/// The most messages that one call takes from librdkafka.
const BATCH: usize = 1024;

/// The queue that messages of all partitions are forwarded to.
pub(super) struct FetchQueue {
    native: NonNull<RDKafkaQueue>,
    /// Messages taken from librdkafka and not handed out yet.
    taken: VecDeque<Fetched>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka may be called from any thread.
unsafe impl Send for FetchQueue {}

impl FetchQueue {
    /// Creates a queue of a consumer; `None` if there is no memory for it.
    pub(super) fn new(consumer: Arc<Consumer>) -> Option<Self> {
        // SAFETY: the client is alive.
        let native = unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Some(Self {
            native: NonNull::new(native)?,
            taken: VecDeque::new(),
            consumer,
        })
    }

    /// Forwards a partition's messages to this queue. Must be called before the partition is assigned.
    pub(super) fn forward(&self, topic: &CStr, partition: i32) {
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client, the name and both queues are alive. The reference to the partition's queue is released.
        unsafe {
            let queue = native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !queue.is_null() {
                native::rd_kafka_queue_forward(queue, self.native.as_ptr());
                native::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Takes fetched messages from librdkafka, unless some are here already. Waits at most this long for one.
    pub(super) fn fill(&mut self, wait: Duration) {
        if self.taken.is_empty() {
            self.take_over(wait);
        }
    }

    /// The next message. Messages of one partition come in the order of offsets.
    pub(super) fn front(&self) -> Option<&Fetched> {
        self.taken.front()
    }

    /// Drops the next message.
    pub(super) fn pass(&mut self) {
        self.taken.pop_front();
    }

    /// Drops the messages of a partition that were taken from librdkafka.
    pub(super) fn forget(&mut self, partition: i32) {
        self.taken
            .retain(|fetched| fetched.partition() != partition);
    }

    fn take_over(&mut self, wait: Duration) {
        let mut messages = [ptr::null_mut::<RDKafkaMessage>(); BATCH];
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive, and at most as many messages are written as there is room for.
        let count = unsafe {
            let room = messages.as_mut_ptr();
            native::rd_kafka_consume_batch_queue(self.native.as_ptr(), wait_ms, room, BATCH)
        };
        let count = usize::try_from(count).unwrap_or(0);
        let messages = messages.into_iter().take(count);
        self.taken
            .extend(messages.filter_map(NonNull::new).map(Fetched));
    }

    /// The first offset of a partition and the offset after its last, as of the latest response.
    pub(super) fn edges(&self, topic: &CStr, partition: i32) -> Option<(i64, i64)> {
        let client = self.consumer.client().native_ptr();
        let (mut begin, mut end) = (-1, -1);
        // SAFETY: the client and the name are alive.
        let result = unsafe {
            native::rd_kafka_get_watermark_offsets(
                client,
                topic.as_ptr(),
                partition,
                &raw mut begin,
                &raw mut end,
            )
        };
        let known = result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && begin >= 0 && end >= 0;
        known.then_some((begin, end))
    }
}

impl Drop for FetchQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours, and not used again.
        unsafe { native::rd_kafka_queue_destroy(self.native.as_ptr()) };
    }
}

/// A message, the end of a partition, or an error of one.
pub(super) struct Fetched(NonNull<RDKafkaMessage>);

impl Fetched {
    fn native(&self) -> &RDKafkaMessage {
        // SAFETY: invariant 2.
        unsafe { self.0.as_ref() }
    }

    /// Its partition.
    pub(super) fn partition(&self) -> i32 {
        self.native().partition
    }

    /// The message's offset. For the end of a partition, the offset at which it ends.
    pub(super) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// The error code if this is not a message. The end of a partition is such a code too.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        match self.native().err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            error => Some(error.into()),
        }
    }

    /// librdkafka's text for the error.
    pub(super) fn why(&self) -> String {
        // SAFETY: the text is the message's or static, and ends with a zero.
        unsafe {
            let text = native::rd_kafka_message_errstr(self.0.as_ptr());
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        }
    }

    /// Appends the message to a batch.
    pub(super) fn copy_to(&self, messages: &mut Messages) {
        let message = self.native();
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: key and payload belong to the message and have the lengths that it gives, or are null.
        let (timestamp_ms, key, value) = unsafe {
            (
                native::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind),
                bytes(message.key, message.key_len),
                bytes(message.payload, message.len),
            )
        };
        messages.push((message.offset, timestamp_ms), key, value, self.headers());
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut all = ptr::null_mut();
        // SAFETY: the headers belong to the message, which is alive.
        let result = unsafe { native::rd_kafka_message_headers(self.0.as_ptr(), &raw mut all) };
        let some = result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        (0..).map_while(move |at| {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: as above. The name ends with a zero; the value has the length that is given, or is null.
            unsafe {
                let found = some.then(|| {
                    native::rd_kafka_header_get_all(
                        all,
                        at,
                        &raw mut name,
                        &raw mut value,
                        &raw mut len,
                    )
                })?;
                (found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| (CStr::from_ptr(name).to_bytes(), bytes(value, len)))
            }
        })
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: the message is ours, and not used again.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// # Safety
/// `start` is null, or points to `len` bytes that outlive the result and are not written to.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
}
