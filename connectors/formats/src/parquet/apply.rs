//! Applies conversions to the arrays of a batch.
//!
//! Invariants:
//! 1. Without bad values, [`ColumnConversion::apply`] gives an array of exactly the declared type and length. Only
//!    text that is [left coded](ColumnConversion::coded) is a dictionary.
//! 2. With bad values, the array is a placeholder. The caller must remove those rows from the source, and apply the
//!    conversion again.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait,
    StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::convert::{ColumnConversion, Conversion, StructField};
use super::values::{self, UnfitValue, cast_checked, refuse_nulls, refuse_remainders};

impl ColumnConversion {
    /// Converts `array` to the declared type. `owner` is the validity of the struct that contains the array, if there
    /// is one.
    ///
    /// # Errors
    /// When an array does not match its type.
    pub(super) fn apply(
        &self,
        array: &ArrayRef,
        owner: Option<&NullBuffer>,
        bad: &mut Vec<UnfitValue>,
    ) -> Result<ArrayRef, ArrowError> {
        if !self.field.is_nullable() {
            refuse_nulls(array, owner, bad);
        }
        let to = self.field.data_type();
        match &self.conversion {
            Conversion::Same => Ok(Arc::clone(array)),
            Conversion::Null => Ok(self.all_null(array.len())),
            Conversion::Through(values, then) => then.apply(&cast(array, values)?, owner, bad),
            Conversion::Cast { .. } => cast_checked(array, to, bad),
            Conversion::Coarser(divisor) => {
                refuse_remainders(array, *divisor, bad)?;
                cast_checked(array, to, bad)
            }
            Conversion::Float => values::floats(array, to, bad),
            Conversion::Date => values::dates(array, bad),
            Conversion::Time => values::times(array, bad),
            Conversion::UuidText => Ok(Arc::new(values::uuid_text(array.as_fixed_size_binary()))),
            Conversion::List(layout, element) => {
                let lists = if array.data_type() == layout {
                    Arc::clone(array)
                } else {
                    cast_checked(array, layout, bad)?
                };
                apply_list(&lists, element, bad)
            }
            Conversion::Map(key, value) => self.apply_map(array.as_map(), key, value, bad),
            Conversion::Struct(fields) => self.apply_struct(array.as_struct(), fields, owner, bad),
        }
    }

    fn apply_struct(
        &self,
        array: &StructArray,
        fields: &[StructField],
        owner: Option<&NullBuffer>,
        bad: &mut Vec<UnfitValue>,
    ) -> Result<ArrayRef, ArrowError> {
        let valid = NullBuffer::union(array.nulls(), owner);
        let mut children = Vec::with_capacity(fields.len());
        for StructField { place, conversion } in fields {
            let before = bad.len();
            children.push(match place {
                Some(place) => conversion.apply(array.column(*place), valid.as_ref(), bad)?,
                None => conversion.all_null(array.len()),
            });
            for value in &mut bad[before..] {
                value.path = format!(".{}{}", conversion.field.name(), value.path);
            }
        }
        let (DataType::Struct(declared), true) = (self.field.data_type(), bad.is_empty()) else {
            return Ok(Arc::new(array.clone()));
        };
        let nulls = array.nulls().cloned();
        let array =
            StructArray::try_new_with_length(declared.clone(), children, nulls, array.len())?;
        Ok(Arc::new(array))
    }

    fn apply_map(
        &self,
        array: &MapArray,
        key: &Self,
        value: &Self,
        bad: &mut Vec<UnfitValue>,
    ) -> Result<ArrayRef, ArrowError> {
        let before = bad.len();
        let keys = key.apply(array.keys(), None, bad)?;
        let values = value.apply(array.values(), None, bad)?;
        raise(&mut bad[before..], array.offsets());
        let (DataType::Map(entries, sorted), true) = (self.field.data_type(), bad.is_empty())
        else {
            return Ok(Arc::new(array.clone()));
        };
        let DataType::Struct(entry_fields) = entries.data_type() else {
            return Ok(Arc::new(array.clone()));
        };
        let structs = StructArray::try_new(entry_fields.clone(), vec![keys, values], None)?;
        let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
        let array = MapArray::try_new(Arc::clone(entries), offsets, structs, nulls, *sorted)?;
        Ok(Arc::new(array))
    }
}

fn apply_list(
    array: &ArrayRef,
    element: &ColumnConversion,
    bad: &mut Vec<UnfitValue>,
) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::LargeList(_) => apply_variable(array.as_list::<i64>(), element, bad),
        DataType::FixedSizeList(..) => apply_fixed(array.as_fixed_size_list(), element, bad),
        _ => apply_variable(array.as_list::<i32>(), element, bad),
    }
}

fn apply_variable<O: OffsetSizeTrait>(
    array: &GenericListArray<O>,
    element: &ColumnConversion,
    bad: &mut Vec<UnfitValue>,
) -> Result<ArrayRef, ArrowError> {
    let before = bad.len();
    let values = element.apply(array.values(), None, bad)?;
    raise(&mut bad[before..], array.offsets());
    if !bad.is_empty() {
        return Ok(Arc::new(array.clone()));
    }
    let (field, offsets) = (Arc::clone(&element.field), array.offsets().clone());
    Ok(Arc::new(GenericListArray::try_new(
        field,
        offsets,
        values,
        array.nulls().cloned(),
    )?))
}

fn apply_fixed(
    array: &FixedSizeListArray,
    element: &ColumnConversion,
    bad: &mut Vec<UnfitValue>,
) -> Result<ArrayRef, ArrowError> {
    let before = bad.len();
    let size = usize::try_from(array.value_length()).unwrap_or_default();
    let owner = array.nulls().map(|nulls| nulls.expand(size));
    let values = element.apply(array.values(), owner.as_ref(), bad)?;
    for value in &mut bad[before..] {
        value.path = format!("[{}]{}", value.index % size, value.path);
        value.index /= size;
    }
    if !bad.is_empty() {
        return Ok(Arc::new(array.clone()));
    }
    let (field, nulls) = (Arc::clone(&element.field), array.nulls().cloned());
    let length = array.value_length();
    Ok(Arc::new(FixedSizeListArray::try_new_with_length(
        field,
        length,
        values,
        nulls,
        array.len(),
    )?))
}

/// Turns bad values of elements into bad values of the lists that hold them.
fn raise<O: OffsetSizeTrait>(bad: &mut [UnfitValue], offsets: &[O]) {
    for value in bad {
        let list = offsets
            .partition_point(|offset| offset.as_usize() <= value.index)
            .saturating_sub(1);
        value.path = format!("[{}]{}", value.index - offsets[list].as_usize(), value.path);
        value.index = list;
    }
}
