//! Messages as librdkafka's threads fetched them: those of all partitions in one queue, so that one bound holds for all
//! of them, and many for one call.
//!
//! This is, but for a load of bytes in `csv::mask`, the one place with `unsafe` code. The safe interface of rdkafka gives
//! a message a call, at several times the cost, and does not tell the offset at which a partition ends. Without it nothing
//! is known of the offsets behind the last message: those of control records, of aborted transactions, and of what was
//! compacted away.
//!
//! 1. The client outlives its queue and its messages: both are in a [`FetchQueue`], which holds the client.
//! 2. What a [`Fetched`] points to is its own until it is dropped, and is not written to.

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

/// Messages that are taken over with one call at most.
const BATCH: usize = 1024;

/// The queue that messages of all partitions are forwarded to.
pub(super) struct FetchQueue {
    native: NonNull<RDKafkaQueue>,
    /// Taken over, and not dealt yet.
    taken: VecDeque<Fetched>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka may be called from any thread.
unsafe impl Send for FetchQueue {}

impl FetchQueue {
    /// A queue of a consumer; `None` when there is no memory for it.
    pub(super) fn new(consumer: Arc<Consumer>) -> Option<Self> {
        // SAFETY: the client is alive.
        let native = unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Some(Self {
            native: NonNull::new(native)?,
            taken: VecDeque::new(),
            consumer,
        })
    }

    /// Forwards what will be fetched of a partition to this queue. To be called before the partition is assigned.
    pub(super) fn forward(&self, topic: &CStr, partition: i32) {
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client, the name and both queues are alive. The reference to the partition's queue is given back.
        unsafe {
            let queue = native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !queue.is_null() {
                native::rd_kafka_queue_forward(queue, self.native.as_ptr());
                native::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Takes over what was fetched, unless something is there already. Waits so long for it.
    pub(super) fn fill(&mut self, wait: Duration) {
        if self.taken.is_empty() {
            self.take_over(wait);
        }
    }

    /// What comes next of all that was taken over. Of a partition it comes in the order of offsets.
    pub(super) fn front(&self) -> Option<&Fetched> {
        self.taken.front()
    }

    /// Goes on behind what comes next.
    pub(super) fn pass(&mut self) {
        self.taken.pop_front();
    }

    /// Drops what was taken over of a partition.
    pub(super) fn forget(&mut self, partition: i32) {
        self.taken
            .retain(|fetched| fetched.partition() != partition);
    }

    fn take_over(&mut self, wait: Duration) {
        let mut messages = [ptr::null_mut::<RDKafkaMessage>(); BATCH];
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive, and no more is written than there is room for.
        let count = unsafe {
            let room = messages.as_mut_ptr();
            native::rd_kafka_consume_batch_queue(self.native.as_ptr(), wait_ms, room, BATCH)
        };
        let count = usize::try_from(count).unwrap_or(0);
        let messages = messages.into_iter().take(count);
        self.taken
            .extend(messages.filter_map(NonNull::new).map(Fetched));
    }

    /// The first offset of a partition and the one behind its last, as the latest response had them.
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
        // SAFETY: it is ours and not written to.
        unsafe { self.0.as_ref() }
    }

    /// Its partition.
    pub(super) fn partition(&self) -> i32 {
        self.native().partition
    }

    /// Its offset; of a partition's end, the offset that is behind all there is.
    pub(super) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// What it is if not a message: the end of a partition is an error, too.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        match self.native().err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            error => Some(error.into()),
        }
    }

    /// What librdkafka says of an error.
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

    /// Appends the message to others.
    pub(super) fn copy_to(&self, messages: &mut Messages) {
        let message = self.native();
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: key and payload are of the message and as long as it says, or null.
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
        // SAFETY: they are the message's, and read where it holds them.
        let result = unsafe { native::rd_kafka_message_headers(self.0.as_ptr(), &raw mut all) };
        let some = result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        (0..).map_while(move |at| {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: as above; the name ends with a zero, and the value is as long as it is said to be, or null.
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
        // SAFETY: it is ours, and not used again.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// # Safety
/// `start` is null, or has `len` bytes that outlive the result and are not written to.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
}
