//! A Kafka broker for tests: Apache Kafka if it was fetched, otherwise librdkafka's mock cluster.
//!
//! [`Broker::get`] is the broker that all tests of a process share, each with topics of its own.
//! [`Broker::dedicated`] is for a test that stops its broker. With `TIDEWATER_KAFKA=real`, a missing Apache Kafka is
//! an error; with `mock`, the mock cluster is always used. Without the variable, tests never download anything.
//!
//! | | Apache Kafka | the mock cluster |
//! |---|---|---|
//! | messages, keys, headers, timestamps, tombstones | yes | yes |
//! | down and up again, messages kept | yes | yes |
//! | aborted transactions hidden from `read_committed` | yes | no: all is committed at once |
//! | topics deleted, partitions added, records deleted, topic configurations | yes | no |
//! | a partition of more than 5 MB | yes | no: it forgets the oldest messages |
//!
//! A test that needs a feature of Apache Kafka begins with [`Broker::real_or_skip`].

mod consume;
mod kcat;
mod mock;
mod produce;
mod real;
mod topic;

use std::env;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;

pub use consume::{Received, fold};
pub use produce::{Producer, Record};
pub use topic::Topic;

use mock::Mock;
use real::Real;

/// Time limit of a request.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running broker. It ends when it is dropped, and when the test's process ends for any reason.
pub struct Broker {
    bootstrap: String,
    cluster: Cluster,
}

enum Cluster {
    Real(Real),
    Mock(Mock),
}

impl Broker {
    /// The broker that all tests of this process share.
    pub fn get() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::dedicated)
    }

    /// A separate broker of the same kind.
    #[must_use]
    pub fn dedicated() -> Self {
        if real_is_chosen() {
            let (real, bootstrap) = Real::start();
            Self {
                bootstrap,
                cluster: Cluster::Real(real),
            }
        } else {
            let (mock, bootstrap) = Mock::start();
            Self {
                bootstrap,
                cluster: Cluster::Mock(mock),
            }
        }
    }

    /// Its address, for `bootstrap.servers` and `kafka://`. It survives a stop.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Whether it is Apache Kafka.
    pub fn is_real(&self) -> bool {
        matches!(self.cluster, Cluster::Real(_))
    }

    /// Whether it is Apache Kafka. If not, prints that `what` is not tested.
    #[must_use]
    pub fn real_or_skip(&self, what: &str) -> bool {
        if !self.is_real() {
            say(&format!("skipped, since only Apache Kafka does it: {what}"));
        }
        self.is_real()
    }

    /// Stops the broker in an orderly way.
    pub fn stop(&self) {
        match &self.cluster {
            Cluster::Real(real) => real.ask("stop", "stopped"),
            Cluster::Mock(mock) => mock.down(),
        }
    }

    /// Stops the broker as a power failure would. For the mock cluster this makes no difference.
    pub fn kill(&self) {
        match &self.cluster {
            Cluster::Real(real) => real.ask("kill", "killed"),
            Cluster::Mock(mock) => mock.down(),
        }
    }

    /// Starts the broker again after [`stop`](Self::stop) or [`kill`](Self::kill), with the same address and
    /// messages.
    pub fn start(&self) {
        match &self.cluster {
            Cluster::Real(real) => real.ask("start", &format!("bootstrap={}", self.bootstrap)),
            Cluster::Mock(mock) => mock.up(),
        }
    }

    /// The common configuration of all clients.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("reconnect.backoff.max.ms", "500");
        config
    }
}

/// Chooses once for the process, and prints the choice.
fn real_is_chosen() -> bool {
    static CHOSEN: OnceLock<bool> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let wanted = env::var("TIDEWATER_KAFKA").unwrap_or_default();
        let version = match wanted.as_str() {
            "mock" => Err("TIDEWATER_KAFKA=mock".to_owned()),
            "" | "real" => real::version(),
            other => panic!("TIDEWATER_KAFKA={other} is neither real nor mock"),
        };
        match &version {
            Ok(version) => say(&format!("tests run against the real broker, {version}")),
            Err(why) if wanted == "real" => panic!("TIDEWATER_KAFKA=real, but {why}"),
            Err(why) => say(&format!(
                "tests run against librdkafka's mock cluster ({why})"
            )),
        }
        version.is_ok()
    })
}

/// Prints past the output capture, so that the choice is visible when tests pass.
#[allow(clippy::explicit_write)] // eprintln! is what is captured.
fn say(what: &str) {
    writeln!(io::stderr(), "Kafka: {what}").unwrap();
}
