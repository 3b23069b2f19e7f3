//! Common to all producers: their configuration, the errors that librdkafka reports, and what those errors mean.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tidewater_contract::sink_connector::KeepTrying;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};

/// How long a call may block before the caller is asked whether to continue.
pub(super) const STEP: Duration = Duration::from_secs(1);
/// Pause between a failed call and the next, since librdkafka may report the reason a moment later.
const PAUSE: Duration = Duration::from_millis(100);

/// Defaults for speed with little memory: at most 64 MiB of messages are queued. A job may override all of them.
const DEFAULTS: &[(&str, &str)] = &[
    ("compression.type", "lz4"),
    ("linger.ms", "20"),
    ("queue.buffering.max.kbytes", "65536"),
    ("reconnect.backoff.max.ms", "1000"),
    // The partitioner of Java's producers, so that a key goes to the same partition.
    ("partitioner", "murmur2_random"),
];

/// The configuration of a client: our defaults, then the job's properties, then those that a job must not set.
pub(super) fn config(
    brokers: &str,
    client: &BTreeMap<String, String>,
    fixed: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    let given = client
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let all = DEFAULTS.iter().copied().chain(given);
    for (key, value) in all.chain(fixed.iter().copied()) {
        config.set(key, value);
    }
    config
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("allow.auto.create.topics", "false")
        .set("delivery.report.only.error", "true");
    config
}

/// Receives the events of a client.
#[derive(Default)]
pub(super) struct Listener {
    heard: Mutex<Heard>,
    failed: Mutex<Option<Failed>>,
}

/// The errors reported about brokers.
#[derive(Default)]
struct Heard {
    /// The last error. The client does not report the same error again soon.
    wrong: Option<String>,
    /// Whether an error was reported since the last call of [`news`](Listener::news).
    is_news: bool,
}

/// A message that was not delivered.
pub(super) struct Failed {
    /// Why.
    pub error: KafkaError,
    /// Where it should have gone.
    pub topic: String,
    /// Its key, as text.
    pub key: String,
    /// Bytes of its value.
    pub bytes: usize,
}

impl Listener {
    /// The last error, if one was reported since the previous call.
    pub fn news(&self) -> Option<String> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = std::mem::take(&mut heard.is_news);
        heard.wrong.clone().filter(|_| is_news)
    }

    /// The last error.
    fn wrong(&self) -> Option<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.wrong.clone()
    }

    /// Clears the errors.
    fn forget(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Heard::default();
    }

    /// The first message that was not delivered.
    pub fn failed(&self) -> Option<Failed> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_news = true;
        // An error of one broker says more than "all brokers are down".
        let says_less = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if heard.wrong.is_none() || !says_less {
            heard.wrong = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Listener {}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else {
            return;
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert_with(|| Failed {
            error: error.clone(),
            topic: message.topic().to_owned(),
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            bytes: message.payload_len(),
        });
    }
}

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum ProducerTrouble<E> {
    /// Retry with the same client.
    Again(String),
    /// Retry with a new client.
    NewClient(String),
    /// Retrying does not help. What happened, and what to do.
    Lasting(String),
    /// A retry was possible, but `keep_trying` gave up.
    GivenUp(String),
    /// Something else went wrong.
    Other(E),
}

impl<E> ProducerTrouble<E> {
    /// Classifies an error of a client.
    pub fn of(error: &KafkaError) -> Self {
        if let Some(message) = error.rdkafka_error_code().and_then(lasting) {
            return Self::Lasting(message);
        }
        let text = text(error);
        match error {
            KafkaError::ClientConfig(_, why, property, value) => {
                Self::Lasting(format!("'kafka.{property}' cannot be '{value}': {why}"))
            }
            KafkaError::ClientCreation(why) => {
                Self::Lasting(format!("the client cannot be set up: {why}"))
            }
            KafkaError::Transaction(error) if !error.is_retriable() => Self::NewClient(text),
            KafkaError::MessageProduction(_) => Self::NewClient(text),
            _ => Self::Again(text),
        }
    }

    /// Classifies an error of a producer. A fatal error hides its cause, which is looked up.
    pub fn of_producer(error: &KafkaError, producer: &BaseProducer<Listener>) -> Self {
        match producer.client().fatal_error() {
            Some((code, text)) => match lasting(code) {
                Some(message) => Self::Lasting(message),
                None => Self::NewClient(text),
            },
            None => Self::of(error),
        }
    }
}

fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

/// What happened and what to do, for errors that a retry does not cure.
fn lasting(code: RDKafkaErrorCode) -> Option<String> {
    use RDKafkaErrorCode as Code;
    Some(
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
                "another process has begun to write for this state, or the broker ended a transaction that took \
                 longer than transaction.timeout.ms. End the other process (it may use a copy of the state), or set \
                 'kafka.transaction.timeout.ms' to more; then run again, which continues where this run ended"
            }
            Code::TopicAuthorizationFailed => {
                "the broker does not allow it: give this user READ, WRITE and DESCRIBE on the topic"
            }
            Code::TransactionalIdAuthorizationFailed => {
                "the broker does not allow it: give this user WRITE and DESCRIBE on the transactional ids that begin with \
                 'tidewater-'"
            }
            Code::GroupAuthorizationFailed => {
                "the broker does not allow it: give this user READ on the groups that begin with 'tidewater-'"
            }
            Code::ClusterAuthorizationFailed => {
                "the broker does not allow it: give this user IDEMPOTENT_WRITE on the cluster"
            }
            Code::InvalidTransactionTimeout => {
                "the broker allows no transaction of this length: set 'kafka.transaction.timeout.ms' to no more than its \
                 transaction.max.timeout.ms"
            }
            Code::UnsupportedVersion | Code::UnsupportedFeature => {
                "the broker is too old: transactions need Kafka 0.11 or newer, and tables in Kafka 2.5"
            }
            Code::InvalidRecord => {
                "the broker refuses a message: a compacted topic accepts none without a key. Write 'key' \
                 'column, …', or set its cleanup.policy to delete"
            }
            Code::InvalidTopic => "the broker refuses the name of the topic: choose another",
            Code::PolicyViolation => "the broker's policy refuses it: ask who runs it",
            _ => return None,
        }
        .to_owned(),
    )
}

/// Calls `step`, which blocks for at most [`STEP`], until it succeeds, fails for good, or `keep_trying` gives up.
pub(super) fn persist<T, E>(
    producer: &BaseProducer<Listener>,
    keep_trying: &mut KeepTrying<'_>,
    mut step: impl FnMut() -> Result<T, ProducerTrouble<E>>,
) -> Result<T, ProducerTrouble<E>> {
    let listener = producer.context();
    loop {
        let text = match step() {
            Err(ProducerTrouble::Again(text)) => text,
            done => {
                listener.forget();
                return done;
            }
        };
        producer.poll(PAUSE);
        let text = listener.wrong().unwrap_or(text);
        if !keep_trying(&text) {
            return Err(ProducerTrouble::GivenUp(text));
        }
    }
}
