//! Statements of a job as connectors see them: texts, before anything is looked up.

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
    /// Indices into `schema`: of the rows with equal values in them only the latest counts. None: all rows count.
    pub primary_key: &'a [usize],
    /// `OPTIONS (…)`, keys in lower case.
    pub options: &'a BTreeMap<String, String>,
}

/// A source, as its connector parsed it.
#[derive(Clone, Debug)]
pub struct ParsedSource {
    /// The location, in the connector's spelling.
    pub location: String,
    /// The options that are left for the source's format.
    pub format_options: BTreeMap<String, String>,
    /// Whether columns of text come as dictionaries where they have few values.
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

/// What a declaration's mistake is about, so that a message can point there.
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
    /// What it is about.
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
