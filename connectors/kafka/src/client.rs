//! The client of librdkafka: its configuration, and the errors that it reports while it runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Statistics, TopicPartitionList};

use super::location::Location;
use super::options::{Isolation, KafkaOptions, LostOffsets};
use tidewater_contract::error::SourceError;

/// Our defaults. A job may override them.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "tidewater"),
    // Bounds the messages that are fetched and not yet handed out, of all partitions together: 64 MiB, plus one
    // response of each broker.
    ("queued.max.messages.kbytes", "65536"),
    ("queued.min.messages", "10000000"),
    ("fetch.max.bytes", "16777216"),
    // How long the fetcher pauses when the queue is full. The default is a second, in which a queue runs dry.
    ("fetch.queue.backoff.ms", "10"),
    // Brokers send a message that is larger than a fetch anyway. This is the limit of a response.
    ("receive.message.max.bytes", "1000000000"),
    ("reconnect.backoff.max.ms", "5000"),
    ("check.crcs", "true"),
];

/// The property that selects encryption.
const PROTOCOL: &str = "security.protocol";

/// A consumer that reports to a [`Context`].
pub(super) type Consumer = BaseConsumer<Context>;

/// Creates a consumer. It connects in the background and retries for ever.
///
/// # Errors
/// When a property is unknown, has an invalid value, or needs a feature that is not built in.
pub(super) fn consumer(
    location: &Location,
    options: &KafkaOptions,
    group: &str,
) -> Result<Consumer, SourceError> {
    let mut config = config(location, &options.client);
    config.set("group.id", group);
    config.set("isolation.level", isolation(options.isolation));
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config.set("allow.auto.create.topics", "false");
    let reset = match options.lost_offsets {
        LostOffsets::Fail => "error",
        LostOffsets::Skip => "earliest",
    };
    config.set("auto.offset.reset", reset);
    let consumer: KafkaResult<Consumer> = config.create_with_context(Context::default());
    consumer.map_err(|error| refused(location, &config, &error))
}

fn config(location: &Location, client: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (property, value) in DEFAULTS {
        config.set(*property, *value);
    }
    for (property, value) in client {
        config.set(property, value);
    }
    config.set("bootstrap.servers", &location.brokers);
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

fn isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    }
}

/// The error when no client could be created.
fn refused(location: &Location, config: &ClientConfig, error: &KafkaError) -> SourceError {
    let features = ClientConfig::new()
        .create_native_config()
        .and_then(|native| native.get("builtin.features"));
    let has = |feature| {
        features
            .as_ref()
            .is_ok_and(|features| features.split(',').any(|built_in| built_in == feature))
    };
    let protocol = config.get(PROTOCOL).unwrap_or_default().to_lowercase();
    let lacks = match protocol.as_str() {
        "ssl" | "sasl_ssl" if !has("ssl") => Some("TLS"),
        "sasl_plaintext" if !has("sasl") => Some("SASL"),
        _ => None,
    };
    let message = match (lacks, error) {
        (Some(lacks), _) => format!(
            "'kafka.{PROTOCOL}' '{protocol}' needs {lacks}, which is not built in; connect to a listener without it, \
             or through a proxy"
        ),
        (None, KafkaError::ClientConfig(_, why, property, _)) => {
            format!("'kafka.{property}': {why}")
        }
        (None, error) => error.to_string(),
    };
    failed(location, message)
}

/// An error about a topic.
pub(super) fn failed(location: &Location, message: impl Into<String>) -> SourceError {
    SourceError::Kafka {
        location: location.to_string(),
        message: message.into(),
    }
}

/// Whether an error is temporary, such as brokers that are away or change roles. The client keeps trying.
pub(super) fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::PreferredLeaderNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::KafkaStorageError
            | Code::DestroyBroker
            | Code::WaitCache
            | Code::ThrottlingQuotaExceeded
    )
}

/// Whether an error is about the consumer group. Only tools that show lag depend on the group.
pub(super) fn is_of_group(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::InvalidGroupId
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::GroupMaxSizeReached
            | Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress
    )
}

/// The latest errors that the client reported.
#[derive(Default)]
pub(super) struct Context {
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    /// Why a broker was not reached, last.
    reason: Option<String>,
    /// Why no broker can be reached.
    trouble: Option<String>,
    /// The first reason why an offset was not committed to the group.
    not_committed: Option<String>,
    /// Whether the user was warned about it.
    warned: bool,
}

impl Context {
    /// Clears the errors, after a broker has answered.
    pub(super) fn well(&self) {
        let mut said = self.lock();
        (said.reason, said.trouble) = (None, None);
    }

    /// Records that no broker can be reached, for the reason reported last, or else for this one.
    pub(super) fn unreached(&self, why: &str) {
        let mut said = self.lock();
        let reason = said.reason.clone().unwrap_or_else(|| why.to_owned());
        said.trouble = Some(reason);
    }

    /// Why no broker can be reached.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Why a broker was not reached, last.
    pub(super) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    /// Records that the group cannot be used.
    pub(super) fn group_failed(&self, why: String) {
        self.lock().not_committed.get_or_insert(why);
    }

    /// Why offsets cannot be committed to the group. Returned once.
    pub(super) fn take_not_committed(&self) -> Option<String> {
        let mut said = self.lock();
        let news = said.not_committed.clone().filter(|_| !said.warned);
        said.warned |= news.is_some();
        news
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.unreached(reason),
            Some(code) if is_of_group(code) => self.group_failed(reason.to_owned()),
            _ => self.lock().reason = Some(plain(reason)),
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.group_failed(error.to_string());
        }
    }
}

/// A reason without the client's own measurements: `… (after 0ms in state CONNECT, 1 identical error(s) suppressed)`.
fn plain(reason: &str) -> String {
    let end = reason.find(" (after ").unwrap_or(reason.len());
    reason[..end].to_owned()
}
