//! `OPTIONS (…)` of a Kafka source, apart from those of its format.

use std::collections::BTreeMap;

use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::Utc;

use tidewater_contract::error::OptionError;
use tidewater_formats::options::values::Values;
use tidewater_formats::options::{MAX_WITHDRAWN_RATIO, ON_BAD_FILE, nearest};

/// Options of a source in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `column.NAME`: declared columns that do not come from the payload, by name.
    pub columns: BTreeMap<String, Metadata>,
    /// `start`: where the first run begins.
    pub start: StartAt,
    /// `isolation`: whether messages of open and aborted transactions are read.
    pub isolation: Isolation,
    /// `envelope`: how a payload holds rows.
    pub envelope: Envelope,
    /// `key_format`: how the key of a tombstone says which row it deletes.
    pub key_format: KeyFormat,
    /// `lost_offsets`: what to do when the topic no longer has messages that were not read yet.
    pub lost_offsets: LostOffsets,
    /// `group`: the consumer group to which offsets are committed for tools that show lag.
    pub group: Option<String>,
    /// `kafka.PROPERTY`: properties of the client, by librdkafka's names.
    pub client: BTreeMap<String, String>,
}

/// The content of a column that does not come from the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// `key`: the message's key.
    Key,
    /// `timestamp`: when the message was created or appended, depending on the topic.
    Timestamp,
    /// `partition`.
    Partition,
    /// `offset`.
    Offset,
    /// `topic`: the topic's name.
    Topic,
    /// `headers`: all headers, as a list of structs of a name and a value.
    Headers,
    /// `header:NAME`: the value of the last header of that name.
    Header(String),
}

impl Metadata {
    /// The value of the option `column.NAME`.
    fn word(&self) -> String {
        match self {
            Self::Key => "key".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Partition => "partition".to_owned(),
            Self::Offset => "offset".to_owned(),
            Self::Topic => "topic".to_owned(),
            Self::Headers => "headers".to_owned(),
            Self::Header(name) => format!("header:{name}"),
        }
    }
}

/// Where the first run begins. Later runs continue where the last commit ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// `earliest`: at the first message of the topic.
    #[default]
    Earliest,
    /// `latest`: at messages that arrive after the first run began.
    Latest,
    /// A time: at the first message that is not older, in milliseconds since 1970.
    Time(i64),
}

/// Which messages are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// `read_committed`: messages of committed transactions, and messages outside transactions.
    #[default]
    ReadCommitted,
    /// `read_uncommitted`: all messages.
    ReadUncommitted,
}

/// How a payload holds rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// `none`: a payload is a row.
    #[default]
    None,
    /// `debezium`: a payload is a change, with the row before and after it.
    Debezium,
}

/// How a message's key is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// `text`: the value of the only column of the primary key. The default, except for Debezium's envelope.
    #[default]
    Text,
    /// `json`: an object with the columns of the primary key. If the primary key is a single column, its value alone
    /// is accepted as well.
    Json,
}

/// What to do about lost offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostOffsets {
    /// `fail`: report them, and change nothing.
    #[default]
    Fail,
    /// `skip`: report them, and continue with the first available offset.
    Skip,
}

const COLUMN: &str = "column.";
const CLIENT: &str = "kafka.";

/// Options of Kafka, other than those with a prefix.
const KEYS: &[&str] = &[
    "start",
    "isolation",
    "envelope",
    "key_format",
    "lost_offsets",
    "group",
];

/// Options that apply to files only.
const OF_FILES: &[&str] = &[
    "has_header",
    "compression",
    "on_change",
    MAX_WITHDRAWN_RATIO,
    ON_BAD_FILE,
];

/// Properties that we set ourselves, and what to write instead.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "name the brokers in the location"),
    ("metadata.broker.list", "name the brokers in the location"),
    ("group.id", "write 'group' 'name'"),
    ("isolation.level", "write 'isolation' 'read_uncommitted'"),
    (
        "auto.offset.reset",
        "write 'start' 'earliest', 'latest' or a time",
    ),
    ("enable.auto.commit", "offsets are part of a commit"),
    ("enable.auto.offset.store", "offsets are part of a commit"),
    (
        "enable.partition.eof",
        "the ends of partitions are watched anyway",
    ),
    ("transactional.id", "it is the state's"),
    ("enable.idempotence", "it is always on"),
];

impl KafkaOptions {
    /// The options that decide which rows messages hold, as texts. Their wording must not change, since views are
    /// rebuilt if it does.
    pub(crate) fn row_rules(&self) -> Vec<String> {
        let envelope = match self.envelope {
            Envelope::None => "none",
            Envelope::Debezium => "debezium",
        };
        let key_format = match self.key_format {
            KeyFormat::Text => "text",
            KeyFormat::Json => "json",
        };
        let options = [
            format!("envelope {envelope}"),
            format!("key_format {key_format}"),
        ];
        let columns = self.columns.iter();
        let columns = columns.map(|(name, of)| format!("column {name} {}", of.word()));
        options.into_iter().chain(columns).collect()
    }

    /// Removes Kafka's options from `options` and leaves those of the format. `schema` has the declared columns.
    ///
    /// # Errors
    /// When a value is invalid, an option applies to files only, or a column does not exist or has another type.
    pub fn take(
        options: &mut BTreeMap<String, String>,
        schema: &Schema,
    ) -> Result<Self, OptionError> {
        let is_ours =
            |key: &str| KEYS.contains(&key) || key.starts_with(COLUMN) || key.starts_with(CLIENT);
        let taken: BTreeMap<String, String> =
            options.extract_if(.., |key, _| is_ours(key)).collect();
        let values = Values::new(&taken)?;
        let envelope = values.choice(
            "envelope",
            Envelope::default(),
            &[("none", Envelope::None), ("debezium", Envelope::Debezium)],
        )?;
        if let Some(key) = options.keys().find(|key| OF_FILES.contains(&key.as_str())) {
            let message = "applies to files only";
            return Err(values.error(key, message, "remove it"));
        }
        Ok(Self {
            columns: columns(&taken, &values, schema)?,
            start: start(&values)?,
            isolation: values.choice(
                "isolation",
                Isolation::default(),
                &[
                    ("read_committed", Isolation::ReadCommitted),
                    ("read_uncommitted", Isolation::ReadUncommitted),
                ],
            )?,
            envelope,
            key_format: values.choice(
                "key_format",
                // Debezium's keys are objects.
                match envelope {
                    Envelope::None => KeyFormat::Text,
                    Envelope::Debezium => KeyFormat::Json,
                },
                &[("text", KeyFormat::Text), ("json", KeyFormat::Json)],
            )?,
            lost_offsets: values.choice(
                "lost_offsets",
                LostOffsets::default(),
                &[("fail", LostOffsets::Fail), ("skip", LostOffsets::Skip)],
            )?,
            group: values.get("group").map(str::to_owned),
            client: client(&taken)?,
        })
    }
}

/// The `kafka.PROPERTY` options of a source or sink, by property. Properties that we set ourselves are refused.
///
/// # Errors
/// When a property is refused.
pub fn client(options: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, OptionError> {
    let mut properties = BTreeMap::new();
    for (key, value) in options {
        let Some(property) = key.strip_prefix(CLIENT) else {
            continue;
        };
        if let Some((_, hint)) = OURS.iter().find(|(name, _)| *name == property) {
            return Err(OptionError {
                option: key.clone(),
                message: "cannot be set".to_owned(),
                hint: Some((*hint).to_owned()),
            });
        }
        properties.insert(property.to_owned(), value.clone());
    }
    Ok(properties)
}

fn columns(
    taken: &BTreeMap<String, String>,
    values: &Values<'_>,
    schema: &Schema,
) -> Result<BTreeMap<String, Metadata>, OptionError> {
    let mut columns = BTreeMap::new();
    for (key, value) in taken {
        let Some(name) = key.strip_prefix(COLUMN) else {
            continue;
        };
        let Ok(field) = schema.field_with_name(name) else {
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let hint = match nearest(name, &names) {
                Some(near) => format!("did you mean 'column.{near}'?"),
                None => format!("declared are {}", names.join(", ")),
            };
            return Err(values.error(key, "does not name a declared column", hint));
        };
        let metadata = metadata(value).ok_or_else(|| {
            values.error(
                key,
                format!("cannot be '{value}'"),
                "write 'key', 'timestamp', 'partition', 'offset', 'topic', 'headers' or 'header:NAME'",
            )
        })?;
        if let Some(types) = wrong_type(&metadata, field) {
            let message = format!("column {name} is {}", field.data_type());
            return Err(values.error(key, message, format!("declare it as {types}")));
        }
        columns.insert(name.to_owned(), metadata);
    }
    Ok(columns)
}

fn metadata(value: &str) -> Option<Metadata> {
    Some(match value {
        "key" => Metadata::Key,
        "timestamp" => Metadata::Timestamp,
        "partition" => Metadata::Partition,
        "offset" => Metadata::Offset,
        "topic" => Metadata::Topic,
        "headers" => Metadata::Headers,
        _ => Metadata::Header(
            value
                .strip_prefix("header:")
                .filter(|name| !name.is_empty())?
                .to_owned(),
        ),
    })
}

/// The types that the column may have, if its type is not one of them.
fn wrong_type(metadata: &Metadata, field: &Field) -> Option<&'static str> {
    let is_text = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
        )
    };
    let is_bytes = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Binary | DataType::BinaryView | DataType::LargeBinary
        )
    };
    let data_type = field.data_type();
    let (fits, types) = match metadata {
        Metadata::Key | Metadata::Header(_) => {
            (is_text(data_type) || is_bytes(data_type), "TEXT or BYTEA")
        }
        Metadata::Topic => (is_text(data_type), "TEXT"),
        Metadata::Timestamp => (
            matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _)),
            "TIMESTAMP or TIMESTAMPTZ",
        ),
        Metadata::Partition => (
            matches!(data_type, DataType::Int32 | DataType::Int64),
            "INT or BIGINT",
        ),
        Metadata::Offset => (matches!(data_type, DataType::Int64), "BIGINT"),
        Metadata::Headers => {
            let fits = |item: &Field| match item.data_type() {
                DataType::Struct(fields) => match fields.as_ref() {
                    [name, value] => {
                        is_text(name.data_type())
                            && (is_text(value.data_type()) || is_bytes(value.data_type()))
                    }
                    _ => false,
                },
                _ => false,
            };
            let fits = matches!(data_type, DataType::List(item) if fits(item));
            (fits, "STRUCT<name TEXT, value TEXT>[]")
        }
    };
    (!fits).then_some(types)
}

fn start(values: &Values<'_>) -> Result<StartAt, OptionError> {
    match values.get("start") {
        None => Ok(StartAt::default()),
        Some(text) if text.eq_ignore_ascii_case("earliest") => Ok(StartAt::Earliest),
        Some(text) if text.eq_ignore_ascii_case("latest") => Ok(StartAt::Latest),
        Some(text) => match string_to_datetime(&Utc, text.trim()) {
            Ok(time) => Ok(StartAt::Time(time.timestamp_millis())),
            Err(_) => Err(values.error(
                "start",
                format!("cannot be '{text}'"),
                "write 'earliest', 'latest', or a time such as '2024-01-31T12:30:00Z'",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let item = DataType::Struct(
            vec![
                Field::new("name", DataType::Utf8, true),
                Field::new("value", DataType::Binary, true),
            ]
            .into(),
        );
        Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new(
                "sent",
                DataType::Timestamp(TimeUnit::Microsecond, None),
                true,
            ),
            Field::new("part", DataType::Int32, true),
            Field::new("at", DataType::Int64, true),
            Field::new("all", DataType::new_list(item, true), true),
        ])
    }

    fn take(
        given: &[(&str, &str)],
    ) -> Result<(KafkaOptions, BTreeMap<String, String>), OptionError> {
        let mut options: BTreeMap<String, String> = given
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        KafkaOptions::take(&mut options, &schema()).map(|taken| (taken, options))
    }

    #[test]
    fn options_of_kafka_are_taken_and_those_of_the_format_left() {
        let (taken, left) = take(&[
            ("column.id", "key"),
            ("column.sent", "timestamp"),
            ("column.part", "partition"),
            ("column.at", "offset"),
            ("column.all", "headers"),
            ("start", "2024-01-01"),
            ("isolation", "read_uncommitted"),
            ("envelope", "debezium"),
            ("key_format", "json"),
            ("lost_offsets", "skip"),
            ("group", "watchers"),
            ("kafka.security.protocol", "ssl"),
            ("timestamp_format", "%Y"),
            ("max_bad_rows", "3"),
        ])
        .unwrap();
        assert_eq!(taken.columns["id"], Metadata::Key);
        assert_eq!(taken.columns.len(), 5);
        assert_eq!(taken.start, StartAt::Time(1_704_067_200_000));
        assert_eq!(taken.isolation, Isolation::ReadUncommitted);
        assert_eq!(taken.envelope, Envelope::Debezium);
        assert_eq!(taken.key_format, KeyFormat::Json);
        assert_eq!(taken.lost_offsets, LostOffsets::Skip);
        assert_eq!(taken.group.as_deref(), Some("watchers"));
        assert_eq!(taken.client["security.protocol"], "ssl");
        let left: Vec<&str> = left.keys().map(String::as_str).collect();
        assert_eq!(left, ["max_bad_rows", "timestamp_format"]);
        let rules = [
            "envelope debezium",
            "key_format json",
            "column all headers",
            "column at offset",
            "column id key",
            "column part partition",
            "column sent timestamp",
        ];
        assert_eq!(taken.row_rules(), rules);
        let (of_debezium, _) = take(&[("envelope", "debezium")]).unwrap();
        assert_eq!(of_debezium.key_format, KeyFormat::Json);
        let (default, _) = take(&[("column.id", "header:trace:id")]).unwrap();
        assert_eq!(default.key_format, KeyFormat::Text);
        assert_eq!(default.start, StartAt::Earliest);
        let rules = [
            "envelope none",
            "key_format text",
            "column id header:trace:id",
        ];
        assert_eq!(default.row_rules(), rules);
        assert_eq!(
            default.columns["id"],
            Metadata::Header("trace:id".to_owned())
        );
    }

    #[test]
    fn what_means_nothing_says_what_to_write() {
        for (key, value, says) in [
            ("column.ids", "key", "did you mean 'column.id'?"),
            ("column.id", "value", "'header:NAME'"),
            ("column.id", "header:", "'header:NAME'"),
            ("column.id", "offset", "BIGINT"),
            ("column.at", "key", "TEXT or BYTEA"),
            ("column.id", "timestamp", "TIMESTAMP"),
            ("column.id", "headers", "STRUCT<name TEXT, value TEXT>[]"),
            ("start", "yesterday", "'earliest'"),
            ("isolation", "serializable", "'read_committed'"),
            ("envelope", "avro", "'debezium'"),
            ("has_header", "true", "remove it"),
            ("on_change", "append", "remove it"),
            ("kafka.group.id", "x", "'group'"),
            ("kafka.bootstrap.servers", "x", "location"),
        ] {
            let error = take(&[(key, value)]).unwrap_err();
            assert!(error.to_string().contains(says), "{key} {value}: {error}");
            assert_eq!(error.option, key);
        }
    }
}
