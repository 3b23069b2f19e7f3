//! Dictionary-encoded column chunks for texts that are few and short.
//!
//! The crate's writer looks up the text of every row in a hash table. Here rows of a dictionary are numbered by their
//! codes (see [`Texts`]), and the pages are made from the numbers when the row group is complete. The dictionary has
//! the order of the texts, so that codes compare as texts do. Pages have [`PAGE_ROWS`] rows.
//!
//! 1. The bytes depend only on the rows, not on how they were encoded or batched before.
//! 2. Statistics are exact. None is truncated, since columns with longer texts are left to the crate's writer.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::ArrowNativeType;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType};
use parquet::column::page::{Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::compress::compressed;
use super::hybrid;
use super::options::CHUNK_ROWS;
use crate::texts::{NULL, Texts};

/// Rows of a page.
const PAGE_ROWS: usize = 20 * CHUNK_ROWS;

/// The longest text in bytes. Statistics of that length are short enough to be stored whole.
const TEXT_BYTES_MAX: usize = 64;

/// A column of a row group that is being encoded.
pub(super) struct DictionaryColumn {
    texts: Texts,
    /// The number of each row's text.
    numbers: Vec<u32>,
    dictionary_bytes_max: usize,
}

/// A column chunk, and its metadata.
pub(super) struct TextChunk {
    /// All pages, with their headers.
    pub pages: Bytes,
    pub close: ColumnCloseResult,
}

impl DictionaryColumn {
    /// A column whose dictionary page must be smaller than `dictionary_bytes_max`.
    pub fn new(dictionary_bytes_max: usize) -> Self {
        Self {
            texts: Texts::default(),
            numbers: Vec::new(),
            dictionary_bytes_max,
        }
    }

    /// Appends rows, plain or as a dictionary. Returns `false` when the texts are no longer few and short: all
    /// [rows](Self::rows) must then go to another writer.
    pub fn push(&mut self, rows: &ArrayRef) -> Result<bool, ArrowError> {
        self.texts.number(rows, &mut self.numbers)?;
        let dictionary_bytes = self.texts.bytes() + 4 * self.texts.len();
        let fits = dictionary_bytes < self.dictionary_bytes_max;
        Ok(fits && self.texts.longest() <= TEXT_BYTES_MAX)
    }

    /// Whether any row is not NULL.
    pub fn has_texts(&self) -> bool {
        !self.texts.is_empty()
    }

    /// All rows, in pieces of [`CHUNK_ROWS`].
    pub fn rows(&self) -> impl Iterator<Item = ArrayRef> {
        let text = |&number: &u32| (number != NULL).then(|| self.texts.get(number));
        let piece = move |numbers: &[u32]| StringArray::from_iter(numbers.iter().map(text));
        self.numbers
            .chunks(CHUNK_ROWS)
            .map(move |numbers| Arc::new(piece(numbers)) as ArrayRef)
    }

    /// Encodes the chunk of `column`.
    pub fn finish(self, column: &ColumnDescPtr, compression: Compression) -> Result<TextChunk> {
        let mut texts: Vec<(&str, usize)> = self.texts.iter().zip(0..).collect();
        texts.sort_unstable();
        let mut codes = vec![0; texts.len()];
        for (code, (_, number)) in (0..).zip(&texts) {
            codes[*number] = code;
        }
        let texts: Vec<&str> = texts.into_iter().map(|(text, _)| text).collect();
        let mut chunk = ChunkWriter::new(column, compression, &texts);
        chunk.write_dictionary()?;
        for numbers in self.numbers.chunks(PAGE_ROWS) {
            chunk.write_rows(numbers, &codes)?;
        }
        chunk.finish(self.numbers.len())
    }
}

/// A column chunk while its pages are written.
struct ChunkWriter<'a> {
    column: &'a ColumnDescPtr,
    compression: Compression,
    /// The texts in the order of their codes.
    texts: &'a [&'a str],
    pages: TrackedWrite<Vec<u8>>,
    compressed_bytes: i64,
    plain_bytes: i64,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
    /// The least and the greatest code of each data page that has any text.
    bounds: Vec<(u32, u32)>,
    nulls: usize,
    text_bytes: usize,
    /// Where each data page begins.
    data_pages: Vec<i64>,
}

impl<'a> ChunkWriter<'a> {
    fn new(column: &'a ColumnDescPtr, compression: Compression, texts: &'a [&'a str]) -> Self {
        Self {
            column,
            compression,
            texts,
            pages: TrackedWrite::new(Vec::new()),
            compressed_bytes: 0,
            plain_bytes: 0,
            column_index: ColumnIndexBuilder::new(column.physical_type()),
            offset_index: OffsetIndexBuilder::new(),
            bounds: Vec::new(),
            nulls: 0,
            text_bytes: 0,
            data_pages: Vec::new(),
        }
    }

    fn write_dictionary(&mut self) -> Result<()> {
        let mut bytes = Vec::new();
        for text in self.texts {
            bytes.extend_from_slice(&length(text.len())?.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        self.write(Page::DictionaryPage {
            buf: bytes.into(),
            num_values: length(self.texts.len())?,
            encoding: Encoding::PLAIN,
            is_sorted: true,
        })?;
        Ok(())
    }

    fn write_rows(&mut self, numbers: &[u32], codes: &[u32]) -> Result<()> {
        let present = numbers.iter().filter(|number| **number != NULL);
        let present: Vec<u32> = present.map(|number| codes[number.as_usize()]).collect();
        let mut bytes = Vec::new();
        if self.column.max_def_level() > 0 {
            let levels: Vec<u32> = numbers.iter().map(|n| u32::from(*n != NULL)).collect();
            bytes.extend_from_slice(&[0; 4]);
            hybrid::append(&mut bytes, &levels, 1);
            let level_bytes = length(bytes.len() - 4)?;
            bytes[..4].copy_from_slice(&level_bytes.to_le_bytes());
        }
        let width = hybrid::width(self.texts.len());
        bytes.extend_from_slice(&width.to_le_bytes()[..1]);
        hybrid::append(&mut bytes, &present, width);
        let written = self.write(Page::DataPage {
            buf: bytes.into(),
            num_values: length(numbers.len())?,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })?;
        self.note(&written, &present, numbers.len() - present.len())
    }

    fn write(&mut self, page: Page) -> Result<PageWriteSpec> {
        let page = compressed(page, self.compression)?;
        let written = SerializedPageWriter::new(&mut self.pages).write_page(page)?;
        self.compressed_bytes += signed(written.compressed_size);
        self.plain_bytes += signed(written.uncompressed_size);
        Ok(written)
    }

    /// Adds a data page to the column index and the offset index.
    fn note(&mut self, written: &PageWriteSpec, present: &[u32], nulls: usize) -> Result<()> {
        let bounds = present.iter().min().zip(present.iter().max());
        let [min, max] = bounds.map_or([""; 2], |(min, max)| [self.text(*min), self.text(*max)]);
        let (min, max) = (min.as_bytes().to_vec(), max.as_bytes().to_vec());
        self.column_index
            .append(bounds.is_none(), min, max, signed(nulls));
        let levels = self.levels(present.len(), nulls);
        self.column_index.append_histograms(&None, &levels);

        let begin = i64::try_from(written.offset)?;
        let bytes = i32::try_from(written.compressed_size)?;
        let text_bytes = present.iter().map(|&code| self.text(code).len()).sum();
        self.offset_index
            .append_row_count(signed(present.len() + nulls));
        self.offset_index.append_offset_and_size(begin, bytes);
        let plain = Some(signed(text_bytes));
        self.offset_index
            .append_unencoded_byte_array_data_bytes(plain);

        self.bounds.extend(bounds.map(|(min, max)| (*min, *max)));
        self.nulls += nulls;
        self.text_bytes += text_bytes;
        self.data_pages.push(begin);
        Ok(())
    }

    fn text(&self, code: u32) -> &'a str {
        self.texts[code.as_usize()]
    }

    /// The number of values of each definition level.
    fn levels(&self, present: usize, nulls: usize) -> Option<LevelHistogram> {
        let mut levels = LevelHistogram::try_new(self.column.max_def_level())?;
        levels.increment_by(0, signed(nulls));
        levels.increment_by(1, signed(present));
        Some(levels)
    }

    fn finish(mut self, rows: usize) -> Result<TextChunk> {
        let metadata = self.metadata(rows)?;
        self.column_index.set_boundary_order(order(&self.bounds));
        let pages = self.pages.into_inner()?;
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(pages.len())?,
            rows_written: u64::try_from(rows)?,
            metadata,
            bloom_filter: None,
            column_index: Some(self.column_index.build()?),
            offset_index: Some(self.offset_index.build()),
        };
        Ok(TextChunk {
            pages: pages.into(),
            close,
        })
    }

    fn metadata(&self, rows: usize) -> Result<ColumnChunkMetaData> {
        let bound = |text: Option<&&str>| text.map(|text| ByteArray::from(*text));
        let (min, max) = (bound(self.texts.first()), bound(self.texts.last()));
        let nulls = Some(u64::try_from(self.nulls)?);
        let statistics = ValueStatistics::new(min, max, None, nulls, false);
        let pages = |page_type, encoding, count| PageEncodingStats {
            page_type,
            encoding,
            count,
        };
        let data_pages = i32::try_from(self.data_pages.len())?;
        ColumnChunkMetaData::builder(ColumnDescPtr::clone(self.column))
            .set_compression(self.compression)
            .set_encodings(vec![
                Encoding::PLAIN,
                Encoding::RLE,
                Encoding::RLE_DICTIONARY,
            ])
            .set_page_encoding_stats(vec![
                pages(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                pages(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, data_pages),
            ])
            .set_total_compressed_size(self.compressed_bytes)
            .set_total_uncompressed_size(self.plain_bytes)
            .set_num_values(signed(rows))
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(self.data_pages.first().copied().unwrap_or_default())
            .set_statistics(Statistics::ByteArray(statistics))
            .set_unencoded_byte_array_data_bytes(Some(signed(self.text_bytes)))
            .set_definition_level_histogram(self.levels(rows - self.nulls, self.nulls))
            .build()
    }
}

/// The order of the pages by their bounds.
fn order(bounds: &[(u32, u32)]) -> BoundaryOrder {
    if bounds.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1) {
        BoundaryOrder::ASCENDING
    } else if bounds.is_sorted_by(|a, b| a.0 >= b.0 && a.1 >= b.1) {
        BoundaryOrder::DESCENDING
    } else {
        BoundaryOrder::UNORDERED
    }
}

/// A length or a number of values in Parquet's type.
fn length(length: usize) -> Result<u32> {
    Ok(u32::try_from(length)?)
}

/// A size in the type of Parquet's footer.
fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::compute::{cast, concat};
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

    use super::super::{ParquetEncoder, ParquetWriteOptions};
    use super::*;
    use crate::coded_text;
    use tidewater_contract::sink::EncodeRows;

    const OPTIONS: ParquetWriteOptions = ParquetWriteOptions {
        compression: Compression::SNAPPY,
        row_group_rows: 60_000,
        exact: false,
    };

    /// A file of one column, written in batches of `rows` rows, as dictionaries or plain.
    fn encode(
        texts: &StringArray,
        rows: usize,
        coded: bool,
        options: ParquetWriteOptions,
    ) -> Vec<u8> {
        let column = |array: ArrayRef| {
            let array = if coded {
                cast(&array, &coded_text()).unwrap()
            } else {
                array
            };
            RecordBatch::try_from_iter_with_nullable([("t", array, true)]).unwrap()
        };
        let plain: ArrayRef = Arc::new(texts.clone());
        let schema = RecordBatch::try_from_iter_with_nullable([("t", Arc::clone(&plain), true)]);
        let schema = schema.unwrap().schema();
        let mut encoder = Box::new(ParquetEncoder::new(Vec::new(), &schema, options).unwrap());
        for start in (0..texts.len()).step_by(rows) {
            let rows = rows.min(texts.len() - start);
            encoder.write(&column(plain.slice(start, rows))).unwrap();
        }
        encoder.finish().unwrap()
    }

    /// The rows of a file, and its footer with the page indices.
    fn read(bytes: &[u8]) -> (StringArray, Arc<ParquetMetaData>) {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        let options = ArrowReaderOptions::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .with_encoding_stats_as_mask(false);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        let metadata = Arc::clone(reader.metadata());
        let columns: Vec<ArrayRef> = reader
            .build()
            .unwrap()
            .map(|batch| Arc::clone(batch.unwrap().column(0)))
            .collect();
        let columns: Vec<_> = columns.iter().map(AsRef::as_ref).collect();
        (concat(&columns).unwrap().as_string().clone(), metadata)
    }

    /// Writes `texts` in several ways, checks that the files are equal, and reads one back.
    fn written(texts: &StringArray, options: ParquetWriteOptions) -> Arc<ParquetMetaData> {
        let bytes = encode(texts, usize::MAX, false, options);
        for (rows, coded) in [(usize::MAX, true), (777, false), (777, true), (8192, true)] {
            let other = encode(texts, rows, coded, options);
            assert!(bytes == other, "batches of {rows}, coded: {coded}");
        }
        let (rows, metadata) = read(&bytes);
        assert_eq!(&rows, texts);
        metadata
    }

    fn encodings(metadata: &ParquetMetaData, group: usize) -> Vec<(PageType, Encoding, i32)> {
        let pages = metadata.row_group(group).column(0).page_encoding_stats();
        let pages = pages.unwrap().iter();
        pages
            .map(|pages| (pages.page_type, pages.encoding, pages.count))
            .collect()
    }

    fn few(rows: usize) -> StringArray {
        let values = [
            None,
            Some(""),
            Some("신용"),
            Some("체크"),
            Some("b"),
            Some("a"),
        ];
        (0..rows).map(|at| values[at * 7919 % 65_537 % 6]).collect()
    }

    #[test]
    fn few_texts_are_a_dictionary() {
        let texts = few(150_000);
        let metadata = written(&texts, OPTIONS);
        for (group, pages) in [(0, 3), (1, 3), (2, 2)] {
            let dictionary = (PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1);
            let data = (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, pages);
            assert_eq!(encodings(&metadata, group), [dictionary, data]);
        }
        let column = metadata.row_group(0).column(0);
        let statistics = column.statistics().unwrap();
        let nulls = texts.slice(0, 60_000);
        let nulls = u64::try_from(nulls.null_count()).unwrap();
        assert_eq!(statistics.null_count_opt(), Some(nulls));
        assert_eq!(statistics.min_bytes_opt(), Some(&b""[..]));
        assert_eq!(statistics.max_bytes_opt(), Some("체크".as_bytes()));
        let pages = &metadata.offset_index().unwrap()[0][0].page_locations;
        let rows: Vec<_> = pages.iter().map(|page| page.first_row_index).collect();
        assert_eq!(rows, [0, 20_480, 40_960]);
        assert_eq!(metadata.column_index().unwrap()[0][0].num_pages(), 3);
    }

    #[test]
    fn all_codecs() {
        let texts = few(3_000);
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::LZ4_RAW,
            Compression::ZSTD(parquet::basic::ZstdLevel::default()),
            Compression::GZIP(parquet::basic::GzipLevel::default()),
        ] {
            let options = ParquetWriteOptions {
                compression,
                ..OPTIONS
            };
            let metadata = written(&texts, options);
            let column = metadata.row_group(0).column(0);
            assert_eq!(column.compression(), compression);
        }
    }

    #[test]
    fn pages_that_are_in_order_say_so() {
        let sorted: StringArray = (0..60_000)
            .map(|at| Some(format!("{:03}", at / 100)))
            .collect();
        let order = |texts: &StringArray| {
            let metadata = written(texts, OPTIONS);
            metadata.column_index().unwrap()[0][0].get_boundary_order()
        };
        assert_eq!(order(&sorted), Some(BoundaryOrder::ASCENDING));
        let reversed: StringArray = (0..60_000)
            .map(|at| sorted.value(59_999 - at))
            .map(Some)
            .collect();
        assert_eq!(order(&reversed), Some(BoundaryOrder::DESCENDING));
        let mixed: StringArray = (0..60_000)
            .map(|at| Some(format!("{}", at / 100 % 550)))
            .collect();
        assert_eq!(order(&mixed), Some(BoundaryOrder::UNORDERED));
    }

    #[test]
    fn one_text_and_none() {
        let one: StringArray = (0..50_000).map(|_| Some("approved")).collect();
        assert_eq!(encodings(&written(&one, OPTIONS), 0).len(), 2);
        let empty: StringArray = (0..50_000).map(|_| Some("")).collect();
        written(&empty, OPTIONS);
        let none: StringArray = (0..50_000).map(|_| None::<&str>).collect();
        written(&none, OPTIONS);
        // A page and a row group with nothing but NULL.
        let gap: StringArray = (0..130_000)
            .map(|at| (!(20_480..=125_000).contains(&at)).then_some("a"))
            .collect();
        written(&gap, OPTIONS);
    }

    #[test]
    fn many_or_long_texts_are_not_taken() {
        let many: StringArray = (0..130_000).map(|at| Some(format!("{at}"))).collect();
        let metadata = written(&many, OPTIONS);
        let plain = |(_, encoding, _): &(PageType, Encoding, i32)| *encoding == Encoding::PLAIN;
        assert_eq!(
            encodings(&metadata, 0)
                .iter()
                .filter(|pages| plain(pages))
                .count(),
            2
        );
        let long = "x".repeat(65);
        let late: StringArray = (0..30_000)
            .map(|at| Some(if at == 25_000 { long.as_str() } else { "a" }))
            .collect();
        written(&late, OPTIONS);
    }
}
