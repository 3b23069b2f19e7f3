//! Compresses pages that we make ourselves. The crate offers its codecs only through its column writers. So we write
//! a page's bytes as the one value of a column of byte arrays of that length; the crate writes it unencoded in a page
//! of its own.

use std::sync::Arc;

use parquet::basic::{Compression, Repetition, Type as PhysicalType};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, FixedLenByteArray, FixedLenByteArrayType};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

/// Compresses the bytes of `page`.
pub(super) fn compressed(mut page: Page, compression: Compression) -> Result<CompressedPage> {
    let bytes = page.buffer().clone();
    let plain_bytes = bytes.len();
    let length = i32::try_from(plain_bytes).map_err(|_| general("a page is too large"))?;
    let field = Type::primitive_type_builder("page", PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_length(length)
        .with_repetition(Repetition::REQUIRED)
        .build()?;
    let column = ColumnDescriptor::new(Arc::new(field), 0, 0, ColumnPath::from("page"));
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut captured = None;
    let capture = Box::new(Capture(&mut captured));
    let mut writer = ColumnWriterImpl::<FixedLenByteArrayType>::new(
        Arc::new(column),
        Arc::new(properties),
        capture,
    );
    let value = FixedLenByteArray::from(ByteArray::from(bytes));
    writer.write_batch(&[value], None, None)?;
    writer.close()?;
    let captured = captured.ok_or_else(|| general("a page was not written"))?;
    let (Page::DataPage { buf, .. }
    | Page::DataPageV2 { buf, .. }
    | Page::DictionaryPage { buf, .. }) = &mut page;
    *buf = captured.compressed_page().buffer().clone();
    Ok(CompressedPage::new(page, plain_bytes))
}

fn general(message: &str) -> ParquetError {
    ParquetError::General(message.to_owned())
}

/// Captures the page that is written.
struct Capture<'a>(&'a mut Option<CompressedPage>);

impl PageWriter for Capture<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        *self.0 = Some(page);
        Ok(PageWriteSpec::new())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
