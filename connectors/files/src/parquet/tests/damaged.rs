//! Damaged files give an error that names the file and says what to do. They never cause a panic.

use std::fmt::Write as _;

use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// A file with two numbers and no extras.
fn small_file() -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
        .set_offset_index_disabled(true);
    encode(&batch.unwrap(), properties.build())
}

fn encode(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// The result of reading a file of these bytes: its rows as text, or the error, which must name the file and say what
/// to do.
fn outcome(path: &Path, spec: &SourceSpec, bytes: &[u8]) -> Result<String, String> {
    std::fs::write(path, bytes).unwrap();
    let mut text = String::new();
    let mut rows = 0;
    for dictionaries in [false, true] {
        let spec = SourceSpec {
            dictionaries,
            ..spec.clone()
        };
        text.clear();
        rows = 0;
        let decoded = read_as(&spec, &[path.to_path_buf()]).map_err(|error| {
            let message = error.to_string();
            assert!(message.contains(path.to_str().unwrap()), "{message}");
            assert!(!message.contains('\n'), "{message}");
            message
        })?;
        for step in decoded {
            rows += step.batch.num_rows() + step.rejected.len();
            for column in step.batch.columns() {
                for row in 0..column.len() {
                    write!(text, "{},", text_of(&cast_to_text(column), row)).unwrap();
                }
            }
        }
    }
    Ok(format!("{rows}: {text}"))
}

fn cast_to_text(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values).unwrap(),
        _ => Arc::clone(column),
    }
}

/// Whether an error is about damage, or about a file that is not Parquet.
fn says_what_to_do(message: &str) -> bool {
    [
        "; deliver the file again",
        "check STORED AS and LOCATION",
        "deliver it decrypted",
        "which is not read",
        // The name or the type of a column changed.
        "is not in the file, whose columns are",
        "in the file, but declared",
        "set unknown_columns",
        "TIMESTAMP WITH TIME ZONE",
    ]
    .iter()
    .any(|advice| message.contains(advice))
}

#[test]
fn every_flipped_bit_is_an_error_or_a_value() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let spec = spec(vec![Field::new("a", DataType::Int64, true)], &[]);
    let good = small_file();
    assert_eq!(outcome(&path, &spec, &good).as_deref(), Ok("2: 1,2,"));
    let (mut flips, mut errors) = (0, 0);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            flips += 1;
            if let Err(message) = outcome(&path, &spec, &bytes) {
                assert!(says_what_to_do(&message), "byte {at}, bit {bit}: {message}");
                errors += 1;
            }
        }
    }
    assert!(errors > flips / 4, "{errors} errors of {flips} flips");
}

/// `file`, which has one page, with the page's checksum in its header.
fn with_checksum(file: &[u8]) -> Vec<u8> {
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&bytes::Bytes::copy_from_slice(file))
        .unwrap();
    let column = metadata.row_group(0).column(0);
    let (start, length) = column.byte_range();
    let chunk = &file[usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap()];
    // Compact Thrift: type and sizes, then the header of a data page, which is field 5 and thus two after field 3.
    let begins_data_page = |at: &usize| chunk[*at] == 0x2c;
    let at = (0..chunk.len()).find(begins_data_page).unwrap();
    let page = &chunk[chunk.len() - 16..];
    let mut crc = flate2::Crc::new();
    crc.update(page);
    let mut zigzag = (crc.sum() << 1) ^ ((crc.sum().cast_signed() >> 31).cast_unsigned());
    let mut field = vec![0x15];
    while zigzag >= 0x80 {
        field.push(zigzag.to_le_bytes()[0] | 0x80);
        zigzag >>= 7;
    }
    field.push(zigzag.to_le_bytes()[0]);
    let mut out = b"PAR1".to_vec();
    out.extend_from_slice(&chunk[..at]);
    out.extend_from_slice(&field);
    out.push(0x1c);
    out.extend_from_slice(&chunk[at + 1..]);
    let size = column.compressed_size() + i64::try_from(field.len()).unwrap();
    let longer = column.clone().into_builder();
    let longer = longer
        .set_total_compressed_size(size)
        .set_total_uncompressed_size(size)
        .build()
        .unwrap();
    let group = metadata.row_group(0).clone().into_builder();
    let group = group.set_column_metadata(vec![longer]).build().unwrap();
    let metadata = metadata.into_builder().set_row_groups(vec![group]).build();
    ParquetMetaDataWriter::new(&mut out, &metadata)
        .finish()
        .unwrap();
    out
}

#[test]
fn a_page_that_has_a_checksum_is_never_read_with_other_values() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let spec = spec(vec![Field::new("a", DataType::Int64, true)], &[]);
    let good = with_checksum(&small_file());
    assert_eq!(outcome(&path, &spec, &good).as_deref(), Ok("2: 1,2,"));
    let values = good
        .windows(8)
        .position(|window| window == 1_i64.to_le_bytes());
    let values = values.unwrap();
    for at in values..values + 16 {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let message = outcome(&path, &spec, &bytes).unwrap_err();
            assert!(message.contains("checksum"), "{message}");
            assert!(message.ends_with("; deliver the file again"), "{message}");
        }
    }
}

/// A file of many types, and the columns that are declared for it.
fn random_file(random: &mut ChaCha8Rng) -> (Vec<u8>, SourceSpec) {
    let rows = random.random_range(0..60);
    let distinct = random.random_range(1..20);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "n",
            Arc::new(
                (0..rows)
                    .map(|n| (n % 7 > 0).then_some(n % distinct))
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "s",
            Arc::new(
                (0..rows)
                    .map(|n| Some(format!("text {}", n % distinct)))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "d",
            Arc::new(
                (0..rows)
                    .map(|n| Some(i128::from(n)))
                    .collect::<Decimal128Array>(),
            ),
        ),
        (
            "t",
            Arc::new(
                (0..rows)
                    .map(|n| Some(n * 1_000))
                    .collect::<TimestampMicrosecondArray>(),
            ),
        ),
        (
            "l",
            list_of(
                (0..rows)
                    .map(|n| Some(vec![None; usize::try_from(n % 3).unwrap()]))
                    .collect(),
            ),
        ),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(match random.random_range(0..4) {
            0 => Compression::SNAPPY,
            1 => Compression::ZSTD(parquet::basic::ZstdLevel::default()),
            2 => Compression::LZ4_RAW,
            _ => Compression::UNCOMPRESSED,
        })
        .set_dictionary_enabled(random.random_bool(0.5))
        .set_max_row_group_row_count(Some(25))
        .set_writer_version(if random.random_bool(0.5) {
            parquet::file::properties::WriterVersion::PARQUET_1_0
        } else {
            parquet::file::properties::WriterVersion::PARQUET_2_0
        });
    let bytes = encode(&batch, properties.build());
    let fields = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    let mut spec = spec(fields, &[]);
    // Columns that are not read are checked too.
    spec.projection = vec![0, 1, 4];
    (bytes, spec)
}

fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..8) {
        if bytes.is_empty() {
            return;
        }
        // Most of a small file is its footer, where most damage is possible.
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..5) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, random.random()),
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
}

#[test]
fn mutated_files_are_errors_or_values() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    for seed in 0..400 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (good, spec) = random_file(&mut random);
        let whole = outcome(&path, &spec, &good);
        assert!(whole.is_ok(), "seed {seed}: {whole:?}");
        let mut bytes = good.clone();
        mutate(&mut bytes, &mut random);
        if let Err(message) = outcome(&path, &spec, &bytes) {
            assert!(says_what_to_do(&message), "seed {seed}: {message}");
        }
    }
}

#[test]
fn a_file_that_is_cut_short_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let (good, spec) = random_file(&mut ChaCha8Rng::seed_from_u64(7));
    for length in [4, 10, good.len() / 2, good.len() - 8, good.len() - 1] {
        let message = outcome(&path, &spec, &good[..length]).unwrap_err();
        assert!(
            message.contains("damaged or cut short"),
            "{length}: {message}"
        );
    }
}

#[test]
fn an_encrypted_file_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let spec = spec(vec![Field::new("a", DataType::Int64, true)], &[]);
    let mut bytes = small_file();
    let tail = bytes.len() - 4;
    bytes[..4].copy_from_slice(b"PARE");
    bytes[tail..].copy_from_slice(b"PARE");
    let message = outcome(&path, &spec, &bytes).unwrap_err();
    assert!(
        message.contains("is an encrypted Parquet file"),
        "{message}"
    );
}
