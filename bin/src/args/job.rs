//! A job and its variables; `check` and `explain`, which read no data.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A job and its variables.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The job: a SQL file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,

    /// Fill ${NAME} in the job; repeat for more. Otherwise taken from the environment variable NAME
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
}

/// `tidewater check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    tidewater check jobs/card.sql --set input=data --set output=out\n\n\
    Exit code 0 when the job is valid, 2 when it is not.")]
pub struct CheckArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
}

/// `tidewater explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater explain jobs/card.sql\n  \
    tidewater explain jobs/card.sql --format dot | dot -Tsvg > card.svg")]
pub struct ExplainArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,

    /// How to draw the graph
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    pub format: GraphFormat,
}

/// Forms of a plan's graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// An indented tree
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown viewers draw it
    Mermaid,
}

pub(super) fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, for example input=data/transactions".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_split_at_the_first_equals_sign() {
        assert_eq!(
            parse_setting("a=b=c").unwrap(),
            ("a".to_owned(), "b=c".to_owned())
        );
        assert_eq!(
            parse_setting("a=").unwrap(),
            ("a".to_owned(), String::new())
        );
        assert!(parse_setting("a").is_err());
        assert!(parse_setting("=b").is_err());
    }
}
