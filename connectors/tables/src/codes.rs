//! Represents text columns with few distinct values by codes, from the shard to the encoder. Grouping, sorting and
//! copying then move four bytes for each text, and the encoder gets the codes that it needs.
//!
//! ```text
//! dictionaries of batches ─ Codes: a shard's own ─ run ─ Coding: all runs of the table ─ dictionary of batches
//! ```
//!
//! 1. A column is coded if its first batch is a dictionary, until it has too many texts.
//! 2. A shard's codes have the same texts in all of its runs. Codes are assigned in the order of arrival, so no
//!    published byte may depend on them.
//! 3. If one run of a table has plain text in a column, all runs are read as plain text there.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;

use tidewater_formats::coded_text;
use tidewater_formats::texts::{NULL, Texts};

/// A column with more texts than this becomes plain.
const TEXTS_MAX: usize = 1 << 16;
/// A column whose texts have more bytes than this becomes plain.
const BYTES_MAX: usize = 4 << 20;

/// The texts of each column; `None` if it is plain.
pub(super) type Dictionaries = Vec<Option<ArrayRef>>;

/// A shard's texts, for each column of its files.
pub(super) struct Codes {
    columns: Vec<CodedColumn>,
}

#[derive(Default)]
struct CodedColumn {
    /// `None` until the column is first coded.
    texts: Option<Texts>,
    /// Whether the column came as plain text or has too many texts.
    is_plain: bool,
}

impl Codes {
    /// Codes for files of this number of columns.
    pub fn new(columns: usize) -> Self {
        let columns = std::iter::repeat_with(CodedColumn::default).take(columns);
        Self {
            columns: columns.collect(),
        }
    }

    /// The codes of a column of a batch; `None` if the column is plain.
    pub fn encode(
        &mut self,
        column: usize,
        rows: &ArrayRef,
    ) -> Result<Option<ArrayRef>, ArrowError> {
        let column = &mut self.columns[column];
        if column.texts.is_none() && *rows.data_type() != coded_text() {
            column.is_plain = true;
        }
        if column.is_plain {
            return Ok(None);
        }
        let mut codes = Vec::new();
        let texts = column.texts.get_or_insert_default();
        texts.number(&plain_or_coded(rows)?, &mut codes)?;
        let nulls = codes.contains(&NULL);
        let nulls = nulls.then(|| NullBuffer::from_iter(codes.iter().map(|code| *code != NULL)));
        Ok(Some(Arc::new(UInt32Array::try_new(codes.into(), nulls)?)))
    }

    /// Whether a coded column has too many texts.
    pub fn are_many(&self) -> bool {
        self.columns.iter().any(CodedColumn::are_many)
    }

    /// Makes columns with too many texts plain from now on.
    pub fn give_up(&mut self) {
        for column in &mut self.columns {
            column.is_plain |= column.are_many();
        }
    }

    /// Which columns are coded at present.
    pub fn coded(&self) -> Vec<bool> {
        let columns = self.columns.iter();
        columns.map(|c| c.texts.is_some() && !c.is_plain).collect()
    }

    /// All texts in the order of their codes. A plain column has the texts from the time when it was coded.
    pub fn dictionaries(&self) -> Dictionaries {
        let texts = self.columns.iter().map(|column| column.texts.as_ref());
        let array = |texts: &Texts| Arc::new(StringArray::from_iter_values(texts.iter())) as _;
        texts.map(|texts| texts.map(array)).collect()
    }
}

impl CodedColumn {
    fn are_many(&self) -> bool {
        let texts = self.texts.as_ref().filter(|_| !self.is_plain);
        texts.is_some_and(|texts| texts.len() > TEXTS_MAX || texts.bytes() > BYTES_MAX)
    }
}

fn plain_or_coded(rows: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if *rows.data_type() == coded_text() {
        return Ok(Arc::clone(rows));
    }
    cast(rows, &DataType::Utf8)
}

/// How the codes of a run are read, for each column; empty if all are plain.
#[derive(Clone, Debug, Default)]
pub(super) struct Coding(Arc<[Option<ColumnCoding>]>);

/// How the codes of a column are read.
#[derive(Clone, Debug)]
struct ColumnCoding {
    texts: ArrayRef,
    /// The index in `texts` of the run's code 0.
    first: u32,
    /// Whether rows stay codes; otherwise they become plain text.
    stay: bool,
}

impl Coding {
    /// How to read the runs of a table, so that all have the same columns. With `stay`, a column that is coded in all
    /// runs stays coded, with one dictionary: the concatenation of the dictionaries of all shards.
    pub fn of_runs(runs: &[&Dictionaries], stay: bool) -> Result<Vec<Self>, ArrowError> {
        let width = runs.first().map_or(0, |run| run.len());
        let mut codings: Vec<Vec<Option<ColumnCoding>>> = runs.iter().map(|_| Vec::new()).collect();
        for column in 0..width {
            let texts: Vec<_> = runs.iter().map(|run| run[column].as_ref()).collect();
            let together = match texts.iter().copied().collect::<Option<Vec<_>>>() {
                Some(texts) if stay => Together::of(&texts)?,
                _ => None,
            };
            for (coding, texts) in codings.iter_mut().zip(texts) {
                coding.push(texts.map(|texts| match &together {
                    Some(together) => together.reading(texts),
                    None => ColumnCoding {
                        texts: Arc::clone(texts),
                        first: 0,
                        stay: false,
                    },
                }));
            }
        }
        Ok(codings
            .into_iter()
            .map(|coding| Self(coding.into()))
            .collect())
    }

    /// The columns of a file as they are read.
    pub fn schema(&self, file: &SchemaRef) -> SchemaRef {
        let stays = |reading: &Option<ColumnCoding>| reading.as_ref().is_some_and(|r| r.stay);
        let stays: Vec<bool> = self.0.iter().map(stays).collect();
        with_codes(file, &stays, &coded_text())
    }

    /// Reads a column of a run.
    pub fn decode(&self, column: usize, rows: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let Some(Some(reading)) = self.0.get(column) else {
            return Ok(Arc::clone(rows));
        };
        let codes = rows.as_primitive::<UInt32Type>();
        let codes = match reading.first {
            0 => codes.clone(),
            first => codes.unary(|code| code.wrapping_add(first)),
        };
        let coded = DictionaryArray::try_new(codes, Arc::clone(&reading.texts))?;
        if reading.stay {
            Ok(Arc::new(coded))
        } else {
            cast(&coded, &DataType::Utf8)
        }
    }
}

/// The dictionaries of several shards, concatenated.
struct Together<'a> {
    texts: ArrayRef,
    /// Each dictionary and where it begins.
    parts: Vec<(&'a ArrayRef, u32)>,
}

impl<'a> Together<'a> {
    /// `None` if one dictionary cannot hold all texts.
    fn of(dictionaries: &[&'a ArrayRef]) -> Result<Option<Self>, ArrowError> {
        let mut parts: Vec<(&ArrayRef, u32)> = Vec::new();
        let (mut texts, mut bytes) = (0, 0);
        for &dictionary in dictionaries {
            if parts.iter().any(|(part, _)| Arc::ptr_eq(part, dictionary)) {
                continue;
            }
            let Ok(begin) = u32::try_from(texts) else {
                return Ok(None);
            };
            parts.push((dictionary, begin));
            texts += dictionary.len();
            bytes += dictionary.as_string::<i32>().values().len();
        }
        if texts.max(bytes) > i32::MAX as usize {
            return Ok(None);
        }
        let arrays: Vec<_> = parts.iter().map(|(part, _)| part.as_ref()).collect();
        let texts = concat(&arrays)?;
        Ok(Some(Self { texts, parts }))
    }

    fn reading(&self, texts: &ArrayRef) -> ColumnCoding {
        let part = self.parts.iter().find(|(part, _)| Arc::ptr_eq(part, texts));
        ColumnCoding {
            texts: Arc::clone(&self.texts),
            first: part.map_or(0, |(_, begin)| *begin),
            stay: true,
        }
    }
}

/// A batch with dictionaries in place of codes, so that its rows can be compared.
pub(super) fn as_dictionaries(
    batch: &RecordBatch,
    dictionaries: &Dictionaries,
) -> Result<RecordBatch, ArrowError> {
    let coded: Vec<bool> = dictionaries.iter().map(Option::is_some).collect();
    let columns = batch.columns().iter().zip(dictionaries);
    let columns = columns.map(|(column, texts)| match texts {
        Some(texts) => {
            let codes = column.as_primitive::<UInt32Type>().clone();
            let coded = DictionaryArray::try_new(codes, Arc::clone(texts))?;
            Ok(Arc::new(coded) as ArrayRef)
        }
        None => Ok(Arc::clone(column)),
    });
    let columns = columns.collect::<Result<_, ArrowError>>()?;
    RecordBatch::try_new(with_codes(&batch.schema(), &coded, &coded_text()), columns)
}

/// A batch with codes in place of dictionaries.
pub(super) fn as_codes(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let coded = |column: &ArrayRef| *column.data_type() == coded_text();
    let columns = batch.columns().iter();
    let columns = columns.map(|column| match column.as_dictionary_opt::<UInt32Type>() {
        Some(coded) => Arc::new(coded.keys().clone()),
        None => Arc::clone(column),
    });
    let coded: Vec<bool> = batch.columns().iter().map(coded).collect();
    let schema = with_codes(&batch.schema(), &coded, &DataType::UInt32);
    RecordBatch::try_new(schema, columns.collect())
}

/// A batch with plain text in place of dictionaries.
pub(super) fn as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let coded = |column: &ArrayRef| *column.data_type() == coded_text();
    let columns = batch.columns().iter().map(text);
    let columns = columns.collect::<Result<_, _>>()?;
    let coded: Vec<bool> = batch.columns().iter().map(coded).collect();
    let schema = with_codes(&batch.schema(), &coded, &DataType::Utf8);
    RecordBatch::try_new(schema, columns)
}

/// A column with dictionaries converted to text.
pub(super) fn text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if *column.data_type() == coded_text() {
        cast(column, &DataType::Utf8)
    } else {
        Ok(Arc::clone(column))
    }
}

/// `schema` with `data_type` for its `coded` columns.
fn with_codes(schema: &SchemaRef, coded: &[bool], data_type: &DataType) -> SchemaRef {
    if !coded.contains(&true) {
        return Arc::clone(schema);
    }
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        if coded.get(at) == Some(&true) {
            Arc::new(Field::clone(field).with_data_type(data_type.clone()))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
