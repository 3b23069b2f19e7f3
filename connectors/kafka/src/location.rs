//! `kafka://host:port,host:port/topic`.

use std::fmt;

const SCHEME: &str = "kafka://";
/// The default port of brokers.
const PORT: &str = "9092";
/// The longest topic name that Kafka allows.
const TOPIC_BYTES_MAX: usize = 249;

/// A topic and its brokers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// `host:port`, separated by commas: librdkafka's `bootstrap.servers`.
    pub brokers: String,
    /// The topic's name.
    pub topic: String,
}

impl Location {
    /// Whether a location has Kafka's scheme.
    pub fn is_kafka(location: &str) -> bool {
        let scheme = location.get(..SCHEME.len());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// Parses a location.
    ///
    /// # Errors
    /// What is wrong with it, as the second half of a sentence.
    pub fn parse(location: &str) -> Result<Self, String> {
        let rest = location.get(SCHEME.len()..).unwrap_or_default();
        let (brokers, topic) = rest.split_once('/').unwrap_or((rest, ""));
        let brokers: Vec<String> = brokers
            .split(',')
            .map(str::trim)
            .filter(|broker| !broker.is_empty())
            .map(with_port)
            .collect::<Result<_, _>>()?;
        if brokers.is_empty() {
            return Err("names no broker".to_owned());
        }
        check_topic(topic)?;
        Ok(Self {
            brokers: brokers.join(","),
            topic: topic.to_owned(),
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.brokers, self.topic)
    }
}

fn with_port(broker: &str) -> Result<String, String> {
    // An IPv6 address is written in brackets.
    let after_address = broker.rfind(']').map_or(0, |end| end + 1);
    match broker[after_address..].rsplit_once(':') {
        None => Ok(format!("{broker}:{PORT}")),
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(broker.to_owned()),
        Some((_, port)) => Err(format!("has the broker {broker}, and {port} is not a port")),
    }
}

fn check_topic(topic: &str) -> Result<(), String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match topic {
        "" => Err("names no topic".to_owned()),
        "." | ".." => Err(format!("has {topic} for a topic")),
        _ if topic.len() > TOPIC_BYTES_MAX => Err(format!(
            "has a topic of {} characters, and {TOPIC_BYTES_MAX} is the most",
            topic.len()
        )),
        _ if topic.bytes().all(is_name) => Ok(()),
        _ => Err(format!(
            "has the topic '{topic}'; topics have letters, digits, '.', '_' and '-'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_topics_are_told_apart() {
        for (text, brokers, topic) in [
            ("kafka://localhost:9092/orders", "localhost:9092", "orders"),
            ("KAFKA://a/orders", "a:9092", "orders"),
            ("kafka://a:1, b:2 ,c/x.y_z-1", "a:1,b:2,c:9092", "x.y_z-1"),
            ("kafka://[::1]/t", "[::1]:9092", "t"),
            ("kafka://[::1]:77/t", "[::1]:77", "t"),
        ] {
            assert!(Location::is_kafka(text));
            let found = Location::parse(text).map(|at| (at.brokers, at.topic));
            assert_eq!(found, Ok((brokers.to_owned(), topic.to_owned())), "{text}");
        }
        for other in ["data/x.csv", "kafka", "s3://kafka://", "파일이름이길다/x"] {
            assert!(!Location::is_kafka(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_place_says_why() {
        for (text, why) in [
            ("kafka://", "no broker"),
            ("kafka:///orders", "no broker"),
            ("kafka://localhost:9092", "no topic"),
            ("kafka://localhost:9092/", "no topic"),
            ("kafka://localhost:port/t", "port is not a port"),
            ("kafka://localhost:0/t", "0 is not a port"),
            ("kafka://localhost/a/b", "topic 'a/b'"),
            ("kafka://localhost/..", ".."),
            ("kafka://localhost/주문", "topic '주문'"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let long = format!("kafka://a/{}", "x".repeat(250));
        assert!(Location::parse(&long).unwrap_err().contains("250"));
    }
}
