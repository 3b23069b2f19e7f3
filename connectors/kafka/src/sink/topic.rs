//! A table that is published to a topic, as `COPY … TO 'kafka://…' OPTIONS (…)` declares it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::Location;
use crate::options::client;
use tidewater_contract::error::OptionError;
use tidewater_contract::sink::SortKey;
use tidewater_formats::options::nearest;
use tidewater_formats::options::values::Values;

/// A table and the topic that holds its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSpec {
    /// The materialized view's name.
    pub table: Arc<str>,
    /// The topic.
    pub location: Location,
    /// The table's columns.
    pub schema: SchemaRef,
    /// The options of its messages.
    pub options: TopicOptions,
}

/// Options of a table that is published to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// `mode`.
    pub mode: Mode,
    /// `key`: the columns of a message's key, as indices into the table's columns. If empty, messages have no key.
    pub key: Vec<usize>,
    /// `kafka.PROPERTY`: properties of the client, by librdkafka's names.
    pub client: BTreeMap<String, String>,
}

/// How messages represent changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `upsert`: the current row of a key, or a tombstone if it has none any more.
    #[default]
    Upsert,
    /// `changelog`: the row before and after a change.
    Changelog,
}

const KEYS: &[&str] = &["mode", "key"];
const CLIENT: &str = "kafka.";

impl TopicOptions {
    /// Parses the options of a table with these columns.
    ///
    /// # Errors
    /// When an option is unknown, a value is invalid, or a column of the key does not exist or cannot be a key.
    pub fn parse(options: &BTreeMap<String, String>, schema: &Schema) -> Result<Self, OptionError> {
        let values = Values::new(options)?;
        let is_known = |option: &str| KEYS.contains(&option) || option.starts_with(CLIENT);
        if let Some(option) = options.keys().find(|option| !is_known(option)) {
            let near = nearest(option, KEYS).map(|near| format!("did you mean '{near}'? "));
            let hint = format!(
                "{}known are mode, key and kafka.PROPERTY",
                near.unwrap_or_default()
            );
            return Err(values.error(option, "is unknown to tables that go to Kafka", hint));
        }
        let mode = values.choice(
            "mode",
            Mode::default(),
            &[("upsert", Mode::Upsert), ("changelog", Mode::Changelog)],
        )?;
        let key = match values.get("key") {
            Some(text) => key(text, &values, schema)?,
            None if mode == Mode::Changelog => Vec::new(),
            None => {
                let hint = format!(
                    "write 'key' 'column, column' with the columns that tell rows apart, of {}, or 'mode' 'changelog'",
                    names(schema)
                );
                return Err(values.error("key", "is needed to tell which row a message is", hint));
            }
        };
        Ok(Self {
            mode,
            key,
            client: client(options)?,
        })
    }

    /// The order in which changes must come: that of the key, so that rows of one key are adjacent.
    pub fn order(&self) -> Vec<SortKey> {
        let columns = self.key.iter();
        let ascending = |&column| SortKey {
            column,
            descending: false,
            nulls_first: true,
        };
        columns.map(ascending).collect()
    }
}

fn key(text: &str, values: &Values<'_>, schema: &Schema) -> Result<Vec<usize>, OptionError> {
    let mut key = Vec::new();
    for written in text.split(',').map(str::trim) {
        let name = unquoted(written);
        let Some((index, field)) = schema.column_with_name(&name) else {
            let message = format!("names '{name}', which is not a column of the table");
            return Err(values.error("key", message, format!("columns are {}", names(schema))));
        };
        if key.contains(&index) {
            let message = format!("names '{name}' twice");
            return Err(values.error("key", message, "remove one"));
        }
        if holds_floats(field.data_type()) {
            let message = format!("names '{name}', a {}", field.data_type());
            let hint = format!("cast {name} to DECIMAL or TEXT");
            return Err(values.error("key", message, hint));
        }
        key.push(index);
    }
    Ok(key)
}

/// A name by SQL's rule: case matters only in quotes.
fn unquoted(name: &str) -> String {
    let quoted = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    quoted.map_or_else(
        || name.to_ascii_lowercase(),
        |name| name.replace("\"\"", "\""),
    )
}

fn names(schema: &Schema) -> String {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    names.join(", ")
}

/// Whether a type contains floats. They cannot be keys: JSON has no NaN, so NaN and NULL would be the same key.
fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => holds_floats(values),
        DataType::List(item)
        | DataType::ListView(item)
        | DataType::LargeList(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::RunEndEncoded(_, item) => holds_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        other => other.is_floating(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn parse(given: &[(&str, &str)]) -> Result<TopicOptions, OptionError> {
        let schema = Schema::new(vec![
            Field::new("day", DataType::Date32, true),
            Field::new("Region", DataType::Utf8, true),
            Field::new("sales", DataType::Int64, true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("a,b", DataType::Utf8, true),
        ]);
        let options = given
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        TopicOptions::parse(&options.collect(), &schema)
    }

    #[test]
    fn a_mode_a_key_and_what_is_for_the_client() {
        for (given, mode, key) in [
            (&[("key", "day")][..], Mode::Upsert, &[0][..]),
            (&[("key", "DAY, \"Region\"")], Mode::Upsert, &[0, 1]),
            (
                &[("mode", "upsert"), ("key", "sales,day")],
                Mode::Upsert,
                &[2, 0],
            ),
            (&[("mode", "CHANGELOG")], Mode::Changelog, &[]),
            (
                &[("mode", "changelog"), ("key", "day")],
                Mode::Changelog,
                &[0],
            ),
        ] {
            let found = parse(given).unwrap();
            assert_eq!((found.mode, found.key.as_slice()), (mode, key), "{given:?}");
        }
        let found = parse(&[("key", "day"), ("kafka.linger.ms", "7")]).unwrap();
        assert_eq!(found.client["linger.ms"], "7");
        assert_eq!(found.order().len(), 1);
    }

    #[test]
    fn what_means_nothing_says_what_to_write() {
        for (given, option, says) in [
            (&[][..], "key", "of day, Region, sales, ratio, a,b"),
            (&[("mode", "append")], "mode", "'upsert' or 'changelog'"),
            (&[("key", "")], "key", "columns are day, Region"),
            (&[("key", "day, region")], "key", "'region'"),
            (&[("key", "day, day")], "key", "twice"),
            (&[("key", "ratio")], "key", "DECIMAL or TEXT"),
            (
                &[("key", "day"), ("keys", "day")],
                "keys",
                "did you mean 'key'?",
            ),
            (
                &[("key", "day"), ("compression", "x")],
                "compression",
                "kafka.PROPERTY",
            ),
            (
                &[("key", "day"), ("kafka.transactional.id", "x")],
                "kafka.transactional.id",
                "state's",
            ),
        ] {
            let error = parse(given).unwrap_err();
            assert_eq!(error.option, option);
            assert!(error.to_string().contains(says), "{given:?}: {error}");
        }
    }
}
