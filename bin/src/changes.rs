//! `tidewater changes`: the rows that commits inserted into a table and deleted from it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use tidewater_engine::file::sink::{self, PublishedTable};
use tidewater_engine::format::csv::encode::CsvEncoder;
use tidewater_engine::format::json_lines::encode::JsonLinesEncoder;
use tidewater_engine::sink::EncodeRows;
use tidewater_engine::state::{EpochRecord, TableChangeRecord};
use tidewater_engine::{Inspection, Job};

use crate::args::{ChangesArgs, OutputFormat};
use crate::display::{align, count, rows, utc};
use crate::failure::Failure;
use crate::history::{in_words, known_table};
use crate::style::Style;
use crate::table::{Align, TextTable};
use crate::{job, output, staged};

/// Rows shown as a table by default.
const TABLE_ROWS: u64 = 50;

/// Rows of a batch of net changes.
const BATCH_ROWS: usize = 8192;

/// The last column of a file of changes: how often a row was inserted (positive) or deleted (negative).
const COUNT: &str = "_count";

/// Why printing stops.
pub enum Halt {
    /// Rows cannot be read or printed.
    Failed(Failure),
    /// The limit is reached.
    Enough,
}

impl<E: Into<Failure>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A commit and its change of the table.
struct TableCommit<'a> {
    epoch: &'a EpochRecord,
    change: &'a TableChangeRecord,
}

/// Runs the command.
pub fn run(args: &ChangesArgs) -> Result<(), Failure> {
    let (state, tables) = args.state.with_words(args.table.clone());
    let [table] = tables.as_slice() else {
        return Err(Failure::usage(
            "give one table: changes TABLE --state DIR".to_owned(),
        ));
    };
    let state = job::load_state(&state)?;
    if args.staged {
        return staged::print(args, &state, table);
    }
    let job = &state.job.job;
    let inspection = Inspection::open(job, &state.path)?;
    let epochs = inspection.epochs()?;
    known_table(&inspection, &epochs, table)?;
    let last = inspection.state.epoch;
    let until = args.epoch.unwrap_or(last);
    let since = args.since.unwrap_or(until.saturating_sub(1));
    if until > last || since > until {
        return Err(Failure::usage(format!(
            "there are no commits after epoch {since} up to {until}: the last one is epoch {last}."
        )));
    }
    let steps: Vec<TableCommit<'_>> = epochs
        .iter()
        .filter(|epoch| epoch.epoch > since && epoch.epoch <= until)
        .filter_map(|epoch| {
            let mut changes = epoch.tables.iter();
            let change = changes.find(|change| change.table == *table)?;
            Some(TableCommit { epoch, change })
        })
        .collect();
    let mut printer = Printer::new(args);
    if steps.is_empty() {
        printer.say(&unchanged(table, &epochs, since, until));
    }
    let done = if args.net {
        let changes = NetOf {
            job,
            inspection: &inspection,
            table,
            since,
            until,
        };
        changes.print(&steps, &mut printer)
    } else {
        each(&inspection, table, &steps, &mut printer)
    };
    match done {
        Ok(()) | Err(Halt::Enough) => printer.finish(),
        Err(Halt::Failed(failure)) => Err(failure),
    }
}

/// The message for a table that none of the requested commits changed.
fn unchanged(table: &str, epochs: &[EpochRecord], since: u64, until: u64) -> String {
    let which = match until - since {
        0 | 1 => format!("epoch {until} did not change {table}"),
        _ => format!("epochs {} to {until} did not change {table}", since + 1),
    };
    let changed = epochs.iter().rev().find(|epoch| {
        epoch.epoch <= since && epoch.tables.iter().any(|change| change.table == table)
    });
    match changed {
        Some(before) => format!(
            "{which}; before, epoch {} did: --epoch {}",
            before.epoch, before.epoch
        ),
        None => which,
    }
}

/// Prints the changes of each commit.
fn each(
    inspection: &Inspection,
    table: &str,
    steps: &[TableCommit<'_>],
    printer: &mut Printer,
) -> Result<(), Halt> {
    for step in steps {
        let number = step.epoch.epoch;
        if step.change.replaced {
            printer.say(&rebuilt(step));
            continue;
        }
        printer.begin(&format!(
            "epoch {number}, {}: {}",
            utc(step.epoch.committed_at),
            in_words(step.change)
        ))?;
        for batch in sink::changes(table, &inspection.changes(number, table))? {
            printer.print(&counted_first(Some(number), &batch?)?)?;
        }
    }
    Ok(())
}

fn rebuilt(step: &TableCommit<'_>) -> String {
    format!(
        "epoch {} rebuilt the table: its {}",
        step.epoch.epoch,
        count(step.change.inserted, "row")
    )
}

/// The net change of several commits.
struct NetOf<'a> {
    job: &'a Job,
    inspection: &'a Inspection,
    table: &'a str,
    since: u64,
    until: u64,
}

impl NetOf<'_> {
    fn print(&self, steps: &[TableCommit<'_>], printer: &mut Printer) -> Result<(), Halt> {
        let Self {
            job,
            inspection,
            table,
            since,
            until,
        } = *self;
        let from = format!("{table}, net change after epoch {since} up to {until}");
        if let Some(rebuild) = steps.iter().rev().find(|step| step.change.replaced) {
            let number = rebuild.epoch.epoch;
            let advice = |what: &str| {
                Halt::from(Failure::failed(format!(
                    "epoch {number} rebuilt {table}, and {what}; give --since {number}, or a later one"
                )))
            };
            if since > 0 {
                return Err(advice("the rows that it had before are not stored"));
            }
            if until < inspection.state.epoch {
                return Err(advice("only its present rows are stored"));
            }
            printer.say(&rebuilt(rebuild));
            printer.begin(&format!("{from}: all rows that it has"))?;
            return all_rows(job, inspection, table, printer);
        }
        let mut sums = None;
        for step in steps {
            let path = inspection.changes(step.epoch.epoch, table);
            for batch in sink::changes(table, &path)? {
                let batch = batch?;
                match &mut sums {
                    Some(sums) => NetChanges::add(sums, &batch, &path)?,
                    none => NetChanges::add(
                        none.insert(NetChanges::new(&batch.schema())?),
                        &batch,
                        &path,
                    )?,
                }
            }
        }
        if let Some(sums) = sums {
            printer.begin(&from)?;
            sums.print(printer)?;
        }
        Ok(())
    }
}

/// Prints the rows of the published table.
fn all_rows(
    job: &Job,
    inspection: &Inspection,
    table: &str,
    printer: &mut Printer,
) -> Result<(), Halt> {
    let specs = inspection.specs(job).into_iter();
    let Some((spec, shadow)) = specs.into_iter().find(|(spec, _)| *spec.name == *table) else {
        return Err(Halt::from(Failure::failed(format!(
            "the job no longer publishes the table {table}"
        ))));
    };
    let published = PublishedTable::new(spec, shadow)?;
    let partitions = inspection.partitions(table);
    for (partition, content) in partitions? {
        for file in &content.files {
            published.read(&Path::new(&partition).join(&file.name), |batch| {
                let mut fields = batch.schema().fields().to_vec();
                fields.push(Arc::new(Field::new(COUNT, DataType::Int64, false)));
                let mut columns = batch.columns().to_vec();
                columns.push(Arc::new(Int64Array::from(vec![1; batch.num_rows()])));
                let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
                printer.print(&counted_first(None, &batch)?)
            })?;
        }
    }
    Ok(())
}

/// The columns of a file of changes with the count first, and before it the epoch if given.
pub fn counted_first(epoch: Option<u64>, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let last = batch.num_columns().saturating_sub(1);
    let order: Vec<usize> = std::iter::once(last).chain(0..last).collect();
    let batch = batch.project(&order)?;
    let Some(epoch) = epoch else {
        return Ok(batch);
    };
    let mut fields = batch.schema().fields().to_vec();
    fields.insert(0, Arc::new(Field::new("_epoch", DataType::UInt64, false)));
    let mut columns = batch.columns().to_vec();
    columns.insert(
        0,
        Arc::new(UInt64Array::from(vec![epoch; batch.num_rows()])),
    );
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The net change of each row over several commits.
struct NetChanges {
    schema: SchemaRef,
    converter: RowConverter,
    counts: BTreeMap<OwnedRow, i64>,
}

impl NetChanges {
    fn new(schema: &SchemaRef) -> Result<Self, Halt> {
        let fields = schema.fields();
        let columns = &fields[..fields.len().saturating_sub(1)];
        let sorted = columns
            .iter()
            .map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            schema: Arc::clone(schema),
            converter: RowConverter::new(sorted.collect())?,
            counts: BTreeMap::new(),
        })
    }

    fn add(&mut self, batch: &RecordBatch, path: &Path) -> Result<(), Halt> {
        let Some((counts, columns)) = batch.columns().split_last() else {
            return Ok(());
        };
        let counts = counts.as_primitive_opt::<Int64Type>();
        let Some(counts) = counts.filter(|_| batch.schema() == self.schema) else {
            return Err(Halt::from(Failure::failed(format!(
                "{} has other columns than the changes before it",
                path.display()
            ))));
        };
        let rows = self.converter.convert_columns(columns)?;
        for (row, &count) in rows.iter().zip(counts.values()) {
            *self.counts.entry(row.owned()).or_default() += count;
        }
        Ok(())
    }

    fn print(self, printer: &mut Printer) -> Result<(), Halt> {
        let changed: Vec<(OwnedRow, i64)> = self
            .counts
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .collect();
        for part in changed.chunks(BATCH_ROWS) {
            let rows = part.iter().map(|(row, _)| row.row());
            let mut columns = self.converter.convert_rows(rows)?;
            let counts: ArrayRef = Arc::new(
                part.iter()
                    .map(|(_, count)| Some(*count))
                    .collect::<Int64Array>(),
            );
            columns.push(counts);
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            printer.print(&counted_first(None, &batch)?)?;
        }
        Ok(())
    }
}

/// Prints rows in one of the output formats, up to a limit.
pub struct Printer {
    format: OutputFormat,
    left: u64,
    cut: bool,
    schema: Option<SchemaRef>,
    /// The encoder for CSV and JSON.
    encoder: Option<Box<dyn EncodeRows<Stdout>>>,
    /// The rows under the last title.
    table: Option<TextTable>,
}

impl Printer {
    /// A printer for the format and limit of the command line.
    pub fn new(args: &ChangesArgs) -> Self {
        let format = if args.state.json {
            OutputFormat::Jsonl
        } else {
            args.format
        };
        let all = if format == OutputFormat::Table {
            TABLE_ROWS
        } else {
            u64::MAX
        };
        Self {
            format,
            left: args.limit.unwrap_or(all),
            cut: false,
            schema: None,
            encoder: None,
            table: None,
        }
    }

    /// Prints a note that is not a row, where programs that read the rows do not see it.
    pub fn say(&mut self, text: &str) {
        if self.format == OutputFormat::Table {
            self.flush();
            let _ = output::print(&format!("{text}\n"));
        } else {
            output::tell(&format!("{text}\n"));
        }
    }

    /// Begins rows under a title.
    pub fn begin(&mut self, title: &str) -> Result<(), Halt> {
        if self.left == 0 {
            self.cut = true;
            return Err(Halt::Enough);
        }
        if self.format == OutputFormat::Table {
            self.say(title);
        }
        Ok(())
    }

    /// Prints rows, up to the limit.
    pub fn print(&mut self, batch: &RecordBatch) -> Result<(), Halt> {
        let rows_in = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        let taken = usize::try_from(self.left.min(rows_in)).unwrap_or(usize::MAX);
        let batch = batch.slice(0, taken);
        if self.format == OutputFormat::Table {
            self.push(&batch)?;
        } else {
            self.encode(&batch)?;
        }
        self.left = self.left.saturating_sub(rows_in);
        if self.left == 0 {
            self.cut = rows_in > u64::try_from(taken).unwrap_or(u64::MAX) || self.cut;
            if self.cut {
                return Err(Halt::Enough);
            }
        }
        Ok(())
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), Halt> {
        let schema = batch.schema();
        let table = self.table.get_or_insert_with(|| {
            let columns = schema
                .fields()
                .iter()
                .map(|field| (field.name().clone(), align(field)));
            let columns = columns.filter(|(name, _)| name != "_epoch");
            TextTable::new(
                columns
                    .map(|(name, side)| match name.as_str() {
                        COUNT => (String::new(), Align::Right),
                        _ => (name, side),
                    })
                    .collect(),
            )
        });
        let of_epoch = usize::from(schema.column_with_name("_epoch").is_some());
        for row in rows(batch)? {
            let mut cells = row[of_epoch..].to_vec();
            if let Some(count) = cells.first_mut()
                && !count.starts_with('-')
            {
                count.insert(0, '+');
            }
            table.push(&cells);
        }
        Ok(())
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<(), Halt> {
        let schema = self.schema.get_or_insert_with(|| batch.schema());
        if *schema != batch.schema() {
            return Err(Halt::from(Failure::failed(
                "the table's columns changed between these commits: ask for fewer of them with --since and --epoch"
                    .to_owned(),
            )));
        }
        if let Some(nested) = schema
            .fields()
            .iter()
            .find(|field| field.data_type().is_nested())
            && self.format == OutputFormat::Csv
        {
            return Err(Halt::from(Failure::failed(format!(
                "CSV cannot hold the lists of column {}: give --format jsonl",
                nested.name()
            ))));
        }
        if self.encoder.is_none() {
            let out = Stdout(io::stdout());
            self.encoder = Some(match self.format {
                OutputFormat::Csv => Box::new(CsvEncoder::new(out, schema, b',', "")?),
                _ => Box::new(JsonLinesEncoder::new(out)),
            });
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.write(batch)?;
        }
        Ok(())
    }

    /// Prints the table that is complete.
    fn flush(&mut self) {
        if let Some(table) = self.table.take() {
            let _ = output::print(&table.render(Style::stdout(), "  "));
        }
    }

    /// Prints what is left.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.flush();
        if let Some(encoder) = self.encoder.take() {
            encoder.finish()?;
        }
        if self.cut {
            output::tell("… and more rows: --limit gives how many are printed\n");
        }
        Ok(())
    }
}

/// Standard output. It is no error if the reader has closed it.
struct Stdout(io::Stdout);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}
