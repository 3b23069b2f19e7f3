//! Writes changes as JSON Lines: one object for each row, repeated by its count, in the order of steps and tables.
//! Within a table deletes come first, so that a reader who stores rows by key ends with the right rows.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use serde_json::json;
use tidewater_engine::Replayed;

use crate::failure::Failure;

/// Writes changes to a stream.
pub struct ChangesWriter {
    to: Box<dyn Write>,
    /// The stream's name, for messages.
    name: String,
}

impl ChangesWriter {
    /// A writer to standard output.
    pub fn to_stdout() -> Self {
        Self {
            to: Box::new(BufWriter::new(io::stdout())),
            name: "standard output".to_owned(),
        }
    }

    /// A writer to a file, whose content is replaced.
    pub fn to_file(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = File::create(path)
            .with_context(|| format!("cannot create {name}: choose another with --changes"))?;
        Ok(Self {
            to: Box::new(BufWriter::new(file)),
            name,
        })
    }

    /// Writes the changes of a step. False if the reader has gone away.
    pub fn write(&mut self, tables: &[String], step: &Replayed) -> Result<bool, Failure> {
        let mut text = Vec::new();
        for (table, changes) in tables.iter().zip(&step.changes) {
            for (op, of) in [("delete", -1), ("insert", 1)] {
                let before = format!(
                    "{{\"step\":{},\"epoch\":{},\"table\":{},\"op\":\"{op}\",\"row\":",
                    json!(step.start),
                    step.epoch,
                    json!(table)
                );
                for (rows, _) in changes.iter().filter(|(_, sign)| *sign == of) {
                    lines(&before, rows, &mut text)
                        .with_context(|| format!("cannot write rows of {table} as JSON"))?;
                }
            }
        }
        let written = self.to.write_all(&text);
        self.judge(written)
    }

    /// Flushes the stream. False if the reader has gone away.
    pub fn finish(mut self) -> Result<bool, Failure> {
        let flushed = self.to.flush();
        self.judge(flushed)
    }

    fn judge(&self, result: io::Result<()>) -> Result<bool, Failure> {
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::failed(format!(
                "cannot write changes to {}: {error}",
                self.name
            ))),
        }
    }
}

/// Appends each row as an object, after `before` and followed by a brace. JSON objects contain no line breaks.
fn lines(before: &str, rows: &RecordBatch, to: &mut Vec<u8>) -> anyhow::Result<()> {
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    for row in writer.into_inner().split(|&byte| byte == b'\n') {
        if !row.is_empty() {
            to.extend_from_slice(before.as_bytes());
            to.extend_from_slice(row);
            to.extend_from_slice(b"}\n");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_row_is_a_line() {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("n", Arc::new(Int64Array::from(vec![Some(1), None])), true),
            ("t", Arc::new(StringArray::from(vec!["a\n}", "\""])), true),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut text = Vec::new();
        lines("{\"row\":", &rows, &mut text).unwrap();
        let expected =
            "{\"row\":{\"n\":1,\"t\":\"a\\n}\"}}\n{\"row\":{\"n\":null,\"t\":\"\\\"\"}}\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
