//! JSON in separate records, such as payloads and keys of messages. Line ends between tokens are white space.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::error::JsonError;
use super::objects::ObjectColumns;
use super::parser::Parser;
use super::{JsonLinesFormat, JsonPlan, begin};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{DecodeRecords, DecodedRecords, RejectedRecord, SourceSpec};

/// Decodes one object from each record.
pub struct JsonRecords {
    plan: Arc<JsonPlan>,
    /// Whether the only column's value may be given without an object.
    bare: bool,
}

impl JsonRecords {
    /// A decoder for a source's columns.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        Ok(Self {
            plan: JsonLinesFormat::new(spec)?.plan,
            bare: false,
        })
    }

    /// Like [`new`](Self::new), and if there is only one column, its value may be given without an object.
    pub fn or_bare(spec: &SourceSpec) -> Result<Self, SourceError> {
        Ok(Self {
            bare: spec.schema.fields().len() == 1,
            ..Self::new(spec)?
        })
    }
}

impl DecodeRecords for JsonRecords {
    fn decode(&self, records: &[&[u8]]) -> DecodedRecords {
        let mut rejected = Vec::new();
        let texts = records.iter().enumerate();
        let texts = texts.map(|(record, text)| (*text, record));
        let tell = |record, fault: Option<JsonError>| {
            rejected.extend(fault.map(|fault| reject(record, fault)));
        };
        let take = |_: &usize, columns: &mut ObjectColumns, parser: &mut Parser<'_>| {
            if self.bare && parser.peek() != Some(b'{') {
                columns.push_bare(parser)
            } else {
                columns.push(parser)
            }
        };
        let batch = self.plan.rows(texts, take, tell);
        match batch {
            Ok(batch) => DecodedRecords { batch, rejected },
            Err(reason) => DecodedRecords {
                batch: RecordBatch::new_empty(Arc::clone(&self.plan.projected)),
                rejected: (0..records.len())
                    .map(|record| reject(record, JsonError::value(reason.as_str())))
                    .collect(),
            },
        }
    }
}

fn reject(record: usize, fault: JsonError) -> RejectedRecord {
    let (column, reason) = fault.into_parts();
    RejectedRecord {
        record,
        column: column.map(Arc::from),
        reason,
    }
}

/// The texts of some fields of an object, or of the object in its field `within` if it has one there. `None` is a
/// field that is missing or `null`. The whole text is checked.
///
/// # Errors
/// The path of the field at fault, if there is one, and the reason.
pub fn members<'a, const N: usize>(
    text: &'a [u8],
    within: &str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], (Option<String>, String)> {
    let mut parser = Parser::default();
    let mut found = [None; N];
    let mut inner = None;
    begin(&mut parser, text)
        .and_then(|()| {
            parser.object(|parser, name| {
                if name == within && parser.peek() == Some(b'{') {
                    let mut members = [None; N];
                    let taken = parser.object(|parser, name| {
                        take_member(parser, name, names, &mut members)
                            .map_err(|fault| fault.in_field(name))
                    });
                    inner = Some(members);
                    return taken.map_err(|fault| fault.in_field(within));
                }
                take_member(parser, name, names, &mut found).map_err(|fault| fault.in_field(name))
            })
        })
        .and_then(|()| parser.end())
        .map_err(JsonError::into_parts)?;
    Ok(inner.unwrap_or(found))
}

fn take_member<'a, const N: usize>(
    parser: &mut Parser<'a>,
    name: &str,
    names: [&str; N],
    found: &mut [Option<&'a str>; N],
) -> Result<(), JsonError> {
    let at = names.iter().position(|wanted| *wanted == name);
    match at.and_then(|at| found.get_mut(at)) {
        Some(member) => *member = parser.raw()?,
        None => parser.skip()?,
    }
    Ok(())
}
