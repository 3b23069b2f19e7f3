//! The client of librdkafka: how it is set up, and what it says while it is at work.

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

/// What we begin with. A job may say otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "tidewater"),
    // Bounds what is fetched and not taken in yet, of all partitions together: 64 MiB, and a response of each broker.
    ("queued.max.messages.kbytes", "65536"),
    ("queued.min.messages", "10000000"),
    ("fetch.max.bytes", "16777216"),
    // How long a full queue keeps the fetcher from looking again. It is a second unless said, in which a queue runs dry.
    ("fetch.queue.backoff.ms", "10"),
    // A message larger than a fetch is sent all the same; this is what a response may have at most.
    ("receive.message.max.bytes", "1000000000"),
    ("reconnect.backoff.max.ms", "5000"),
    ("check.crcs", "true"),
];

/// The setting of what encrypts connections.
const PROTOCOL: &str = "security.protocol";

/// A consumer that tells the [`Context`] how it is.
pub(super) type Consumer = BaseConsumer<Context>;

/// Sets up a consumer. It connects on its own, and tries again for ever.
///
/// # Errors
/// When a property is unknown, has no such value, or asks for what is not built in.
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

/// Why no client was made.
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

/// An error of a topic.
pub(super) fn failed(location: &Location, message: impl Into<String>) -> SourceError {
    SourceError::Kafka {
        location: location.to_string(),
        message: message.into(),
    }
}

/// Whether an error passes by itself: brokers are away, or change places. The client goes on trying.
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

/// Whether an error is about the consumer group. Nothing but tools for lag depends on it.
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

/// What the client said.
#[derive(Default)]
pub(super) struct Context {
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    /// Why a broker was not reached, last.
    reason: Option<String>,
    /// Why none is reached.
    trouble: Option<String>,
    /// Why an offset was not committed to the group, first.
    not_committed: Option<String>,
    /// Whether the user has heard of that.
    warned: bool,
}

impl Context {
    /// All is well: a broker has answered.
    pub(super) fn well(&self) {
        let mut said = self.lock();
        (said.reason, said.trouble) = (None, None);
    }

    /// Brokers are out of reach: for the reason that was given last, or else this one.
    pub(super) fn unreached(&self, why: &str) {
        let mut said = self.lock();
        let reason = said.reason.clone().unwrap_or_else(|| why.to_owned());
        said.trouble = Some(reason);
    }

    /// Why no broker is reached.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Why a broker was not reached, last.
    pub(super) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    /// The group is of no use.
    pub(super) fn group_failed(&self, why: String) {
        self.lock().not_committed.get_or_insert(why);
    }

    /// Why offsets do not reach the group; told once.
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
