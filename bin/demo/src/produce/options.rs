//! What to send to a topic, and how.

use clap::{Args, ValueEnum};

/// What to send, and how.
#[derive(Clone, Debug, Args)]
pub struct ProduceOptions {
    /// A file, a directory or a glob, of CSV with a header or of JSON Lines
    #[arg(value_name = "FILES")]
    pub files: String,

    /// The topic
    #[arg(long, value_name = "kafka://HOST:PORT/TOPIC")]
    pub to: String,

    /// Create the topic with N partitions if it does not exist
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,

    /// Rows a second [default: as fast as possible]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// Send the text of this column as the key of each message
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,

    /// Send this column as text even where it looks like a number; repeat for more
    #[arg(long, value_name = "COLUMN")]
    pub text: Vec<String>,

    /// Send records of CSV files as JSON objects or as they are
    #[arg(long = "as", value_enum, value_name = "FORMAT", default_value_t = Payload::Json)]
    pub payload: Payload,
}

/// The payload of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Payload {
    /// An object.
    Json,
    /// A record, without its line end.
    Csv,
}
