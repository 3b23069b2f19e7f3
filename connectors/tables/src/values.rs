//! The representation in which a table's values are stored, whatever their source type.
//!
//! Dictionaries, run-end encoded and view columns become plain columns, every column may be NULL, `-0.0` becomes
//! `0.0`, and there is one NaN. So rows that are equal in SQL have the same bits.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use arrow::error::ArrowError;

/// `field` in its stored type.
pub(super) fn stored_field(field: &Field) -> Field {
    Field::new(field.name(), stored_type(field.data_type()), true)
}

/// The stored type for `data_type`: the same values in one representation. Dictionaries, views and the planner's
/// nullability therefore do not affect the bytes of a table.
pub(super) fn stored_type(data_type: &DataType) -> DataType {
    let element =
        |item: &FieldRef| Arc::new(Field::new("element", stored_type(item.data_type()), true));
    match data_type {
        DataType::Dictionary(_, values) => stored_type(values),
        DataType::RunEndEncoded(_, values) => stored_type(values.data_type()),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::ListView(item) => DataType::List(element(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(element(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(element(item), *size),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| stored_field(field)).collect())
        }
        other => other.clone(),
    }
}

/// `column` in its stored type.
pub(super) fn to_stored(column: &ArrayRef, stored: &DataType) -> Result<ArrayRef, ArrowError> {
    let column = if column.data_type() == stored {
        Arc::clone(column)
    } else {
        cast(column, stored)?
    };
    if holds_floats(stored) {
        one_zero_one_nan(&column)
    } else {
        Ok(column)
    }
}

fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            holds_floats(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        other => other.is_floating(),
    }
}

fn one_zero_one_nan(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Float64 => {
            let value = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(
                column
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(value),
            )
        }
        DataType::Float32 => {
            let value = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(
                column
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(value),
            )
        }
        DataType::Float16 => cast(
            &one_zero_one_nan(&cast(column, &DataType::Float32)?)?,
            &DataType::Float16,
        )?,
        DataType::List(item) => list(column.as_list::<i32>(), item)?,
        DataType::LargeList(item) => list(column.as_list::<i64>(), item)?,
        DataType::FixedSizeList(item, size) => {
            let lists = column.as_fixed_size_list();
            let values = one_zero_one_nan(lists.values())?;
            Arc::new(FixedSizeListArray::try_new(
                Arc::clone(item),
                *size,
                values,
                lists.nulls().cloned(),
            )?)
        }
        DataType::Struct(fields) => {
            let structs = column.as_struct();
            let columns = structs
                .columns()
                .iter()
                .map(one_zero_one_nan)
                .collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                structs.nulls().cloned(),
            )?)
        }
        _ => Arc::clone(column),
    })
}

fn list<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    item: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let values = one_zero_one_nan(lists.values())?;
    let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
    Ok(Arc::new(GenericListArray::<O>::try_new(
        Arc::clone(item),
        offsets,
        values,
        nulls,
    )?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Float64Array, ListArray, StringArray, StringViewArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Int8Type;

    use super::*;

    fn bits(column: &ArrayRef) -> Vec<u64> {
        column
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .copied()
            .map(f64::to_bits)
            .collect()
    }

    #[test]
    fn one_zero_and_one_nan_however_deep() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            -0.0,
            0.0,
            -f64::NAN,
            f64::NAN,
            -1.5,
            f64::INFINITY,
        ]));
        let expected: Vec<u64> = [0.0, 0.0, f64::NAN, f64::NAN, -1.5, f64::INFINITY]
            .map(f64::to_bits)
            .to_vec();
        assert_eq!(
            bits(&to_stored(&floats, &DataType::Float64).unwrap()),
            expected
        );

        let field = Arc::new(Field::new("f", DataType::Float64, true));
        let structs = StructArray::new(vec![field].into(), vec![floats], None);
        let item = Arc::new(Field::new("item", structs.data_type().clone(), false));
        let lists: ArrayRef = Arc::new(ListArray::new(
            item,
            OffsetBuffer::new(vec![0, 6].into()),
            Arc::new(structs),
            None,
        ));
        let stored = to_stored(&lists, &stored_type(lists.data_type())).unwrap();
        assert_eq!(
            bits(stored.as_list::<i32>().values().as_struct().column(0)),
            expected
        );
    }

    #[test]
    fn representations_of_text_become_one() {
        let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let others: [ArrayRef; 2] = [
            cast(&plain, &dictionary).unwrap(),
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b")])),
        ];
        assert!(others[0].as_dictionary_opt::<Int8Type>().is_some());
        for other in others {
            assert_eq!(stored_type(other.data_type()), DataType::Utf8);
            assert_eq!(&to_stored(&other, &DataType::Utf8).unwrap(), &plain);
        }
    }
}
