//! Values of every type.

use arrow::array::{
    Array, FixedSizeBinaryArray, FixedSizeListArray, LargeListArray, StructArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};

use super::*;

/// A column of every type, with NULL, cast from whole numbers where possible.
fn columns_of_every_type() -> Vec<(String, ArrayRef)> {
    use DataType::{
        Binary, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Float16,
        Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeUtf8, Time32, Time64,
        Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
    };
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(1), Some(100)]));
    let zone = || Some("Asia/Seoul".into());
    let mut types = vec![
        Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
    ];
    types.extend([
        Float16,
        Float32,
        Float64,
        Utf8,
        LargeUtf8,
        Binary,
        LargeBinary,
    ]);
    types.extend([
        Decimal32(9, 2),
        Decimal64(18, 3),
        Decimal128(38, 4),
        Decimal256(76, 0),
    ]);
    types.extend([Date32, Date64]);
    for unit in [TimeUnit::Second, TimeUnit::Millisecond] {
        types.extend([Time32(unit), Timestamp(unit, None), Timestamp(unit, zone())]);
    }
    for unit in [TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        types.extend([Time64(unit), Timestamp(unit, None), Timestamp(unit, zone())]);
    }
    let made = |data_type: &DataType| -> ArrayRef {
        let from = match data_type {
            Timestamp(TimeUnit::Nanosecond, _) => {
                cast(&whole, &Timestamp(TimeUnit::Microsecond, None)).unwrap()
            }
            Date64 => cast(&whole, &Date32).unwrap(),
            Binary | LargeBinary => cast(&whole, &Utf8).unwrap(),
            Date32 | Time32(_) | Decimal32(_, _) => cast(&whole, &Int32).unwrap(),
            _ => Arc::clone(&whole),
        };
        cast(&from, data_type).unwrap()
    };
    let mut columns: Vec<(String, ArrayRef)> =
        types.iter().map(|t| (t.to_string(), made(t))).collect();
    let fixed = vec![
        Some([1_u8, 2].as_slice()),
        None,
        Some(&[3, 4]),
        Some(&[0, 0]),
    ];
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 2).unwrap();
    columns.push(("FixedSizeBinary".into(), Arc::new(fixed)));
    let nan = vec![
        Some(f64::NAN),
        Some(-0.0),
        Some(f64::NEG_INFINITY),
        Some(1.5e300),
    ];
    columns.push(("floats".into(), Arc::new(Float64Array::from(nan))));
    columns.push((
        "wide".into(),
        Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1, 1 << 63])),
    ));
    let nested = columns.clone();
    for (name, values) in nested {
        let field = Arc::new(Field::new("f", values.data_type().clone(), true));
        let nulls = Some(vec![true, false, true, true].into());
        let structs = StructArray::new(vec![Arc::clone(&field)].into(), vec![values], nulls);
        let item = Arc::new(Field::new("item", structs.data_type().clone(), true));
        let offsets = OffsetBuffer::new(vec![0, 2, 2, 3, 4].into());
        let lists = ListArray::new(item, offsets, Arc::new(structs), None);
        columns.push((format!("list of struct of {name}"), Arc::new(lists)));
    }
    let ints = Int32Array::from(vec![1, 2, 3, 4, 5, 6, 7, 8]);
    let item = Arc::new(Field::new("item", Int32, true));
    let sized = FixedSizeListArray::new(Arc::clone(&item), 2, Arc::new(ints.clone()), None);
    columns.push(("FixedSizeList".into(), Arc::new(sized)));
    let offsets = OffsetBuffer::new(vec![0_i64, 2, 2, 3, 8].into());
    columns.push((
        "LargeList".into(),
        Arc::new(LargeListArray::new(item, offsets, Arc::new(ints), None)),
    ));
    columns
}

#[test]
fn values_of_every_type_come_back_bit_by_bit() {
    for format in ["PARQUET", "JSON", "CSV"] {
        for (name, column) in columns_of_every_type() {
            let root = tempfile::tempdir().unwrap();
            let all = batch(vec![("v", column)]);
            let mut spec = spec(root.path().join("t"), &all, &[], format);
            spec.name = "t".into();
            let spec = Arc::new(spec);
            if Layout::new(Arc::clone(&spec)).is_err() {
                continue;
            }
            let shadow = (format != "PARQUET").then(|| root.path().join("state/t"));
            let paths: Vec<&Path> = std::iter::once(spec.path.as_path())
                .chain(shadow.as_deref())
                .collect();
            let mut record = Record::default();
            for (epoch, count, replace) in
                [(1, 1, true), (2, -1, false), (3, 1, false), (4, -1, false)]
            {
                let mut staging = Staging::for_state(paths.iter().copied(), "o", epoch).unwrap();
                let mut shard = TableShard::new(Arc::clone(&spec), &staging, 1 << 20).unwrap();
                let rows = if epoch == 2 {
                    all.slice(1, 3)
                } else {
                    all.clone()
                };
                let rows = if epoch == 3 { all.slice(1, 3) } else { rows };
                shard.push(&rows, count).unwrap();
                let change = TableChange {
                    spec: Arc::clone(&spec),
                    runs: shard.finish().unwrap(),
                    replace,
                    shadow: shadow.clone(),
                    owner: None,
                };
                let staged = stage_changes(
                    &staging,
                    vec![change],
                    &record,
                    &WriteOptions::default(),
                    TINY,
                );
                let staged = staged.unwrap_or_else(|error| panic!("{format} {name}: {error}"));
                staging.keep();
                apply_steps(&staged[0].steps).unwrap();
                record.commit(&staged[0]);
            }
            assert_eq!(record.tables["t"][""].rows(), 0, "{format} {name}");
        }
    }
}
