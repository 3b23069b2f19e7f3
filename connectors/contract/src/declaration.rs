//! Statements of a job as connectors see them: plain texts, with no name resolved yet.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::connector::Source;
use crate::error::OptionError;

/// A source, as `CREATE EXTERNAL TABLE` declares it.
#[derive(Clone, Debug)]
pub struct SourceDeclaration<'a> {
    /// The table's name in the job.
    pub name: &'a str,
    /// `LOCATION`, as written.
    pub location: &'a str,
    /// The declared columns.
    pub schema: &'a SchemaRef,
    /// The columns of the primary key, as indices into `schema`. Among rows with the same key, only the latest
    /// counts. Without a key, all rows count.
    pub primary_key: &'a [usize],
    /// `PARTITIONED BY (…)`: indices into `schema`, of the columns whose values are in the names of folders.
    pub partitioned_by: &'a [usize],
    /// `OPTIONS (…)`, keys in lower case.
    pub options: &'a BTreeMap<String, String>,
}

/// A source, as its connector parsed it.
#[derive(Clone, Debug)]
pub struct ParsedSource {
    /// The location, in the connector's spelling.
    pub location: String,
    /// The remaining options, which are for the source's format.
    pub format_options: BTreeMap<String, String>,
    /// Whether text columns with few distinct values are read as dictionaries.
    pub dictionaries: bool,
    /// The source.
    pub source: Arc<dyn Source>,
}

/// A table that is published, as `COPY … TO` declares it.
#[derive(Clone, Debug)]
pub struct SinkDeclaration<'a> {
    /// The relation that is published.
    pub relation: &'a str,
    /// The target, as written.
    pub target: &'a str,
    /// `STORED AS`, as written.
    pub stored_as: Option<&'a str>,
    /// `PARTITIONED BY (…)`, as written.
    pub partitioned_by: &'a [String],
    /// The relation's columns.
    pub schema: &'a SchemaRef,
    /// `OPTIONS (…)`, keys in lower case.
    pub options: &'a BTreeMap<String, String>,
}

/// The part of a declaration that is wrong, so that a message can point to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclarationPart {
    /// `LOCATION`, or the target of `COPY`.
    Location,
    /// The name after `STORED AS`.
    StoredAs,
    /// `PARTITIONED BY`.
    PartitionedBy,
    /// The option of that name.
    Option(String),
}

/// A mistake in a declaration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DeclarationError {
    /// The part that is wrong.
    pub part: DeclarationPart,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for DeclarationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let DeclarationPart::Option(option) = &self.part {
            write!(f, "option '{option}': ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl DeclarationError {
    /// A mistake, with a hint.
    pub fn new(part: DeclarationPart, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            part,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

impl From<OptionError> for DeclarationError {
    fn from(error: OptionError) -> Self {
        let OptionError {
            option,
            message,
            hint,
        } = error;
        Self {
            part: DeclarationPart::Option(option),
            message,
            hint,
        }
    }
}
