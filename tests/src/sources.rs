//! Sources with known rows. Each file is a list of rows from a pool and of bad lines, written as CSV, JSON Lines or
//! Parquet.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use rand_chacha::ChaCha8Rng;

use crate::{draw, packed};

/// The format of a source's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With a header; compressed if the name ends in `.gz`.
    Csv,
    /// Compressed if the name ends in `.gz`.
    JsonLines,
    /// Without bad rows.
    Parquet,
}

impl Format {
    /// The name after `STORED AS`.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON",
            Self::Parquet => "PARQUET",
        }
    }

    /// The extension of files.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A row, by its index in the source's pool.
    Row(u32),
    /// A row that cannot be decoded.
    Broken,
    /// A row without a key.
    Keyless,
}

/// A file of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its lines.
    pub lines: Vec<Line>,
    /// An incomplete line at the end. It does not count in sources that are appended to.
    pub unfinished: Option<Line>,
    /// When it was last modified.
    pub modified_s: u64,
}

/// A source.
pub struct Source {
    /// Its name, and its directory in the input.
    pub name: &'static str,
    /// The format of its files.
    pub format: Format,
    /// The columns of its primary key; empty if it has none.
    pub key: Vec<&'static str>,
    /// Whether its files grow.
    pub appends: bool,
    /// Its possible rows.
    pub pool: RecordBatch,
}

/// The columns of a source of sales.
#[must_use]
pub fn sales() -> SchemaRef {
    schema(&[
        ("k", DataType::Utf8),
        ("stamp", DataType::Utf8),
        ("day", DataType::Date32),
        ("v", DataType::Int32),
        ("amount", DataType::Decimal128(8, 2)),
        ("x", DataType::Float64),
        (
            "at",
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
        ),
    ])
}

/// The columns of a source of shops.
#[must_use]
pub fn shops() -> SchemaRef {
    schema(&[("region", DataType::Utf8), ("w", DataType::Int16)])
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let columns = columns.iter();
    let columns = columns.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    let key = Field::new("code", DataType::Int64, false);
    let fields: Vec<Field> = [key].into_iter().chain(columns).collect();
    Arc::new(Schema::new(fields))
}

impl Source {
    /// A source with a random pool.
    pub fn draw(
        rng: &mut ChaCha8Rng,
        name: &'static str,
        format: Format,
        schema: &SchemaRef,
    ) -> Self {
        Self {
            name,
            format,
            key: Vec::new(),
            appends: false,
            pool: draw::rows(rng, schema, 24),
        }
    }

    /// Declares a primary key. Its columns have no NULL, which would make a row bad.
    pub fn key_by(&mut self, rng: &mut ChaCha8Rng, key: Vec<&'static str>) {
        let schema = self.pool.schema();
        let fields = schema.fields().iter().map(|field| {
            let is_key = key.contains(&field.name().as_str());
            let is_nullable = field.is_nullable() && !is_key;
            field.as_ref().clone().with_nullable(is_nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.pool = draw::rows(rng, &schema, self.pool.num_rows());
        self.key = key;
    }

    /// Its `CREATE EXTERNAL TABLE` statement.
    #[must_use]
    pub fn declaration(&self) -> String {
        let schema = self.pool.schema();
        let columns = schema.fields().iter().map(|field| {
            let name = match field.data_type() {
                DataType::Int64 => "BIGINT".to_owned(),
                DataType::Int32 => "INT".to_owned(),
                DataType::Int16 => "SMALLINT".to_owned(),
                DataType::Utf8 => "TEXT".to_owned(),
                DataType::Date32 => "DATE".to_owned(),
                DataType::Float64 => "DOUBLE".to_owned(),
                DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
                DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
                other => panic!("no name for {other}"),
            };
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {name}{null}", field.name())
        });
        let mut columns: Vec<String> = columns.collect();
        if !self.key.is_empty() {
            columns.push(format!("PRIMARY KEY ({})", self.key.join(", ")));
        }
        let on_change = if self.appends { "append" } else { "replace" };
        // Files are added, removed and damaged at random.
        let options = format!(
            " OPTIONS ('on_change' '{on_change}', 'min_good_rows' '0', 'max_withdrawn_ratio' '1')"
        );
        format!(
            "CREATE EXTERNAL TABLE {} ({}) STORED AS {} LOCATION '${{input}}/{}'{options};\n",
            self.name,
            columns.join(", "),
            self.format.keyword(),
            self.name
        )
    }

    /// The bytes of a file with this name.
    #[must_use]
    pub fn render(&self, name: &str, file: &File) -> Vec<u8> {
        let bytes = match self.format {
            Format::Csv => {
                let schema = self.pool.schema();
                let header = schema.fields().iter().map(|field| field.name().as_str());
                self.text(header.collect::<Vec<_>>().join(",") + "\n", file)
            }
            Format::JsonLines => self.text(String::new(), file),
            Format::Parquet => self.parquet(file),
        };
        if Path::new(name).extension() == Some("gz".as_ref()) && !bytes.is_empty() {
            packed::gzip(&bytes)
        } else {
            bytes
        }
    }

    fn text(&self, header: String, file: &File) -> Vec<u8> {
        let mut text = header;
        for line in &file.lines {
            text += &self.line(*line);
            text.push('\n');
        }
        if let Some(line) = file.unfinished {
            let line = self.line(line);
            text.extend(line.chars().take(line.chars().count() / 2 + 1));
        }
        text.into_bytes()
    }

    fn line(&self, line: Line) -> String {
        let others = self.pool.num_columns() - 1;
        match (self.format, line) {
            (Format::Csv, Line::Row(row)) => self.cells(row, |text| {
                text.map_or(String::new(), |text| {
                    format!("\"{}\"", text.replace('"', "\"\""))
                })
            }),
            (Format::Csv, Line::Broken) => "1,too few".to_owned(),
            (Format::Csv, Line::Keyless) => format!("none{}", ",".repeat(others)),
            (_, Line::Row(row)) => {
                let cells = self.cells(row, |text| serde_json::to_string(&text).unwrap());
                format!("{{{cells}}}")
            }
            (_, Line::Broken) => "{\"code\": 1,".to_owned(),
            (_, Line::Keyless) => "{\"code\": null}".to_owned(),
        }
    }

    fn cells(&self, row: u32, text: fn(Option<&str>) -> String) -> String {
        let row = usize::try_from(row).unwrap();
        let columns = self
            .pool
            .columns()
            .iter()
            .zip(self.pool.schema_ref().fields());
        let cells = columns.map(|(column, field)| {
            let shown = ArrayFormatter::try_new(column, &FormatOptions::new()).unwrap();
            let shown = column.is_valid(row).then(|| shown.value(row).to_string());
            let is_number = field.data_type().is_numeric() && shown.is_some();
            let shown = if is_number {
                shown.unwrap_or_default()
            } else {
                text(shown.as_deref())
            };
            match self.format {
                Format::Csv => shown,
                _ => format!("\"{}\": {shown}", field.name()),
            }
        });
        cells.collect::<Vec<_>>().join(",")
    }

    fn parquet(&self, file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, self.pool.schema(), None).unwrap();
        let rows = file.lines.iter().filter_map(|line| match line {
            Line::Row(row) => Some(*row),
            _ => None,
        });
        writer.write(&self.pick(rows)).unwrap();
        writer.close().unwrap();
        bytes
    }

    /// The rows of these files that count.
    #[must_use]
    pub fn present(&self, files: &BTreeMap<String, File>) -> RecordBatch {
        let mut order: Vec<(&String, &File)> = files.iter().collect();
        order.sort_by_key(|(name, file)| (file.modified_s, *name));
        let rows = order.iter().flat_map(|(_, file)| {
            let lines = file.lines.iter().chain(if self.appends {
                None
            } else {
                file.unfinished.as_ref()
            });
            lines.filter_map(|line| match line {
                Line::Row(row) => Some(*row),
                _ => None,
            })
        });
        let mut rows: Vec<u32> = rows.collect();
        if !self.key.is_empty() {
            // The last row of each key.
            let keys: Vec<Vec<String>> = rows.iter().map(|row| self.key_of(*row)).collect();
            let mut places: Vec<usize> = (0..rows.len()).collect();
            places.sort_by_key(|place| (keys[*place].clone(), Reverse(*place)));
            places.dedup_by_key(|place| keys[*place].clone());
            rows = places.into_iter().map(|place| rows[place]).collect();
        }
        self.pick(rows.into_iter())
    }

    fn key_of(&self, row: u32) -> Vec<String> {
        let row = usize::try_from(row).unwrap();
        let columns = self.key.iter().map(|name| {
            let column = self.pool.column_by_name(name).unwrap();
            let shown = ArrayFormatter::try_new(column, &FormatOptions::new()).unwrap();
            format!("{} {}", column.is_valid(row), shown.value(row))
        });
        columns.collect()
    }

    fn pick(&self, rows: impl Iterator<Item = u32>) -> RecordBatch {
        take_record_batch(&self.pool, &UInt32Array::from_iter_values(rows)).unwrap()
    }
}
