//! Random nested tables, as arrow-json writes them, and with broken rows.

use super::*;

fn nested_fields() -> Vec<Field> {
    let element = item(vec![
        Field::new("price", DataType::Decimal128(20, 3), true),
        Field::new("tags", list(DataType::Utf8), true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Millisecond, Some("+09:00".into())),
            true,
        ),
    ]);
    let pair = Arc::new(Field::new("item", DataType::Int32, true));
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("big", DataType::UInt64, true),
        Field::new("ratio", DataType::Float64, true),
        Field::new("yes", DataType::Boolean, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("items", list(element.clone()), true),
        Field::new("one", element, true),
        Field::new("pair", DataType::FixedSizeList(pair, 2), true),
        Field::new(
            "large",
            DataType::LargeList(Arc::new(Field::new("item", map(DataType::Int64), true))),
            true,
        ),
    ]
}

/// A random JSON value of `field`'s type, as arrow-json's own reader would take it.
fn random_value(field: &Field, rng: &mut ChaCha8Rng) -> String {
    if field.is_nullable() && rng.random_range(0..5) == 0 {
        return "null".to_owned();
    }
    let elements = |field: &Field, count: usize, rng: &mut ChaCha8Rng| {
        let values: Vec<_> = (0..count).map(|_| random_value(field, rng)).collect();
        format!("[{}]", values.join(","))
    };
    match field.data_type() {
        DataType::Boolean => rng.random::<bool>().to_string(),
        DataType::Int32 => rng.random::<i32>().to_string(),
        DataType::Int64 => rng.random::<i64>().to_string(),
        DataType::UInt64 => rng.random::<u64>().to_string(),
        DataType::Float64 => format!("{:e}", (rng.random::<f64>() - 0.5) * 1e12),
        DataType::Decimal128(..) => {
            format!("{}.{:03}", rng.random::<i32>(), rng.random_range(0..1000))
        }
        DataType::Utf8 => {
            let length = rng.random_range(0..6);
            let letters: String = (0..length)
                .map(|_| ["a", "쿠", "\\n", "\\\"", "\\u0001"][rng.random_range(0..5)])
                .collect();
            format!("\"{letters}\"")
        }
        DataType::Date32 => format!(
            "\"2024-0{}-1{}\"",
            rng.random_range(1..10),
            rng.random_range(0..10)
        ),
        DataType::Timestamp(..) => format!(
            "\"2024-05-1{}T01:02:03.{:03}\"",
            rng.random_range(0..10),
            rng.random_range(0..1000)
        ),
        DataType::List(element) | DataType::LargeList(element) => {
            let count = rng.random_range(0..4);
            elements(element, count, rng)
        }
        DataType::FixedSizeList(element, _) => elements(element, 2, rng),
        DataType::Struct(fields) => {
            let members: Vec<_> = fields
                .iter()
                .map(|field| format!("\"{}\":{}", field.name(), random_value(field, rng)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        DataType::Map(..) => format!(
            "{{\"k{}\":{}}}",
            rng.random_range(0..3),
            rng.random::<i64>()
        ),
        other => unreachable!("{other}"),
    }
}

/// A random table, made by arrow-json's reader, which is an independent implementation.
fn random_table(spec: &SourceSpec, rows: usize, rng: &mut ChaCha8Rng) -> RecordBatch {
    let row = Field::new("row", DataType::Struct(spec.schema.fields().clone()), false);
    let lines: String = (0..rows).map(|_| random_value(&row, rng) + "\n").collect();
    let reader =
        arrow::json::ReaderBuilder::new(Arc::clone(&spec.schema)).with_batch_size(rows.max(1));
    let mut reader = reader.build(lines.as_bytes()).unwrap();
    reader
        .next()
        .transpose()
        .unwrap()
        .unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&spec.schema)))
}

#[test]
fn what_arrow_writes_is_read_back_however_it_is_cut() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = spec(nested_fields(), &[]);
        let rows = rng.random_range(0..60);
        let table = random_table(&spec, rows, &mut rng);
        let explicit = rng.random::<bool>();
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(explicit)
            .build::<_, LineDelimited>(Vec::new());
        writer.write(&table).unwrap();
        writer.finish().unwrap();
        let text = writer.into_inner();
        let decoded = decode_cut(&spec, &text, || rng.random_range(0..4) == 0);
        assert!(
            decoded.iter().all(|part| part.rejected.is_empty()),
            "seed {seed}: {:?}",
            decoded[0].rejected
        );
        assert_eq!(
            decoded.iter().map(|part| part.bytes).sum::<u64>(),
            text.len() as u64
        );
        let batches: Vec<_> = decoded.iter().map(|part| &part.batch).collect();
        assert_eq!(
            concat_batches(&spec.schema, batches).unwrap(),
            table,
            "seed {seed}"
        );
    }
}

#[test]
fn broken_rows_are_rejected_and_their_neighbours_are_not() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = spec(nested_fields(), &[]);
        let row = Field::new("row", DataType::Struct(spec.schema.fields().clone()), false);
        let (mut text, mut good_text, mut bad_lines) = (String::new(), String::new(), Vec::new());
        for line in 1..=40 {
            let value = random_value(&row, &mut rng);
            if rng.random_range(0..3) == 0 {
                // A strict prefix of an object is never one.
                let ends: Vec<_> = value.char_indices().map(|(at, _)| at).skip(1).collect();
                text += &value[..ends[rng.random_range(0..ends.len())]];
                bad_lines.push(line);
            } else {
                text += &value;
                good_text = good_text + &value + "\n";
            }
            text.push('\n');
        }
        let decoded = decode_cut(&spec, text.as_bytes(), || rng.random_range(0..5) == 0);
        let found: Vec<_> = decoded
            .iter()
            .flat_map(|part| part.rejected.iter().map(|row| row.line))
            .collect();
        assert_eq!(found, bad_lines, "seed {seed}");
        let good = decode(&spec, &good_text).batch;
        let batches: Vec<_> = decoded.iter().map(|part| &part.batch).collect();
        assert_eq!(
            concat_batches(&spec.schema, batches).unwrap(),
            good,
            "seed {seed}"
        );
    }
}
