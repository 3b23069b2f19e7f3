//! Helpers for the targets: sources of many types, and decoding of files, whole and in blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use tidewater_contract::source::{
    Decoded, DecodeText, Format, Rejected, SourceSpec, TextBlock, TextFormat,
};

/// A source of `fields` with `options`. Every other column is read.
pub fn spec(format: Format, fields: Vec<Field>, options: &[(&str, &str)]) -> SourceSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    SourceSpec {
        name: "fuzz".to_owned(),
        location: "fuzz".to_owned(),
        format,
        projection: (0..fields.len()).step_by(2).collect(),
        schema: Arc::new(Schema::new(fields)),
        options: options.collect::<BTreeMap<_, _>>(),
        ordinals: true,
        dictionaries: true,
        source: None,
    }
}

/// Columns of all scalar types.
pub fn scalar_fields() -> Vec<Field> {
    let types = [
        DataType::Utf8,
        DataType::Int64,
        DataType::Decimal128(10, 2),
        DataType::Float64,
        DataType::Boolean,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Int16,
        DataType::Decimal256(50, 3),
    ];
    let fields = types.into_iter().enumerate();
    let fields = fields.map(|(at, data_type)| {
        let name = char::from(b'a' + u8::try_from(at).unwrap_or_default());
        Field::new(name, data_type, at % 3 > 0)
    });
    fields.collect()
}

/// The result of decoding a text.
#[derive(Debug, PartialEq)]
struct Outcome {
    rows: RecordBatch,
    rejected: Vec<Rejected>,
    ordinals: Vec<u64>,
}

/// Checks that a text gives the same rows however it is cut into blocks, and that every row has a distinct place.
pub fn check_text_format(format: &dyn TextFormat, text: &[u8], block_bytes: &[usize]) {
    let name = "fuzz".into();
    let Ok(head) = format.begin(&name, text) else {
        return;
    };
    assert!(head.header_bytes <= text.len(), "a header longer than the file");
    let decode = |block_bytes| decode(&head.decoder, text, head.header_bytes, block_bytes);
    let whole = decode(usize::MAX);
    let mut places = whole.ordinals.clone();
    places.extend(whole.rejected.iter().map(|row| row.byte_offset));
    assert!(whole.ordinals.is_sorted_by(|one, next| one < next), "places of rows");
    assert!(places.iter().all(|place| *place <= text.len() as u64), "places behind the end");
    for bytes in block_bytes {
        let cut = decode(*bytes);
        assert_eq!(whole, cut, "blocks of {bytes} bytes");
    }
}

fn decode(
    decoder: &Arc<dyn DecodeText>,
    text: &[u8],
    header: usize,
    block_bytes: usize,
) -> Outcome {
    let whole_records = |bytes: &[u8]| decoder.whole_records(bytes);
    let mut decoded: Vec<Decoded> = Vec::new();
    let lines = |bytes: &[u8]| decoder.line_end().count(bytes) as u64;
    let (mut at, mut line) = (header, lines(&text[..header]) + 1);
    loop {
        let rest = &text[at..];
        let mut length = block_bytes.min(rest.len());
        // Like a reader, adds bytes until there is a whole record.
        while length < rest.len() && whole_records(&rest[..length]) == 0 {
            length = (length.max(1) * 2).min(rest.len());
        }
        let is_last = length == rest.len();
        if !is_last {
            length = whole_records(&rest[..length]);
        }
        if length == 0 {
            break;
        }
        let bytes = &rest[..length];
        let block = TextBlock {
            file: "fuzz".into(),
            first_line: line,
            byte_offset: at as u64,
            bytes: bytes.to_vec(),
            stored_bytes: length as u64,
        };
        let (of_block, block) = (Arc::clone(decoder), Arc::new(block));
        decoded.extend(if is_last {
            of_block.last_steps(block)
        } else {
            of_block.steps(block)
        });
        line += lines(bytes);
        at += length;
        if is_last {
            break;
        }
    }
    outcome(decoded)
}

fn outcome(decoded: Vec<Decoded>) -> Outcome {
    let plain = decoded.iter().map(|step| plain(&step.batch));
    let batches: Vec<RecordBatch> = plain.collect();
    let rows = match batches.first() {
        Some(first) => concat_batches(&first.schema(), &batches).expect("batches of one schema"),
        None => RecordBatch::new_empty(Arc::new(Schema::empty())),
    };
    let ordinals: Vec<u64> = decoded.iter().flat_map(|step| step.ordinals.clone().unwrap_or_default()).collect();
    assert_eq!(ordinals.len(), rows.num_rows(), "a place for each row");
    Outcome {
        rows,
        ordinals,
        rejected: decoded.into_iter().flat_map(|step| step.rejected).collect(),
    }
}

/// `batch` with plain columns instead of dictionaries.
pub fn plain(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(_, values) => arrow::compute::cast(column, values).expect("a dictionary of its values"),
        _ => Arc::clone(column),
    });
    let columns: Vec<_> = columns.collect();
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).expect("the columns of a batch")
}

/// A choice by the first byte, and the rest.
pub fn choose<'a, T: Copy>(data: &'a [u8], choices: &[T]) -> Option<(T, &'a [u8])> {
    let (first, rest) = data.split_first()?;
    let choice = choices.get(usize::from(*first) % choices.len())?;
    Some((*choice, rest))
}
