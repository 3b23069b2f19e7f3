//! From the types that a file has to those that the job declares.
//!
//! Only what loses nothing is converted: types that never could are refused for the whole file, values that happen
//! not to fit are faults of their row. Where a value converts, it is what Arrow's cast kernel (so DataFusion) makes
//! of it.
//!
//! Invariants:
//! 1. [`Target::apply`] without faults gives an array of exactly the declared type and length; only text that is
//!    [left coded](Target::coded) comes as a dictionary.
//! 2. With faults its array is a placeholder: take those rows out of the source, and apply again.

use std::sync::Arc;

use arrow::array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, Int64Array, MapArray,
    OffsetSizeTrait, StructArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::allowed;

/// A value that does not convert.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its index in the array that was converted.
    pub(super) index: usize,
    /// From the array's own column to the value: empty, or like `[2].price`.
    pub(super) path: String,
    pub(super) reason: String,
}

/// Why a file's type cannot become the declared one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// From the column to the type at fault: empty, or like `.price`.
    pub(super) path: String,
    pub(super) message: String,
}

/// A declared field, and how the file's array becomes its values.
#[derive(Debug)]
pub(super) struct Target {
    field: FieldRef,
    conversion: Conversion,
}

#[derive(Debug)]
enum Conversion {
    /// The types are the same.
    Same,
    /// All NULL, whatever the array holds.
    Null,
    /// The values of a dictionary.
    Decoded(DataType, Box<Target>),
    /// One cast, whose nulls are values that do not fit.
    Cast,
    /// A cast to a coarser unit, exact when the divisor divides.
    Coarser(i64),
    /// Lists of any layout, after a cast to this one.
    List(DataType, Box<Target>),
    Map(Box<Target>, Box<Target>),
    /// Each field with its place in the file's struct.
    Struct(Vec<(Option<usize>, Target)>),
}

impl Target {
    /// How `from` becomes `field`. `nulls_for_missing`: fields of structs that the file lacks are NULL.
    pub(super) fn plan(
        from: &DataType,
        field: &FieldRef,
        nulls_for_missing: bool,
    ) -> Result<Self, Mismatch> {
        let to = field.data_type();
        let child = |from: &DataType, field: &FieldRef| {
            Self::plan(from, field, nulls_for_missing).map(Box::new)
        };
        let conversion = match (from, to) {
            (from, to) if from == to => Conversion::Same,
            (DataType::Null, _) => Conversion::Null,
            (DataType::Dictionary(_, values), _) => {
                Conversion::Decoded(values.as_ref().clone(), child(values, field)?)
            }
            (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => {
                match units(*from) / units(*to) {
                    0 | 1 => Conversion::Cast,
                    divisor => Conversion::Coarser(divisor),
                }
            }
            (DataType::FixedSizeList(_, from), DataType::FixedSizeList(_, to)) if from != to => {
                return Err(refusal(format!(
                    "lists of {from} elements, but declared as lists of {to}"
                )));
            }
            (DataType::Map(from, _), DataType::Map(to, _)) => {
                let (from_key, from_value) = entry_types(from)?;
                let (to_key, to_value) = entry_types(to)?;
                Conversion::Map(
                    child(from_key.data_type(), to_key).map_err(|error| error.within(".key"))?,
                    child(from_value.data_type(), to_value)
                        .map_err(|error| error.within(".value"))?,
                )
            }
            (DataType::Struct(from), DataType::Struct(to)) => {
                Conversion::Struct(plan_fields(from, to, nulls_for_missing)?)
            }
            (from, to) => match (list_element(from), list_element(to)) {
                (Some(from), Some(element)) => {
                    let target =
                        child(from.data_type(), element).map_err(|error| error.within("[]"))?;
                    Conversion::List(with_element(to, from), target)
                }
                _ if allowed::is_lossless(from, to) => Conversion::Cast,
                _ => return Err(refusal(format!("is {from} in the file, but declared {to}"))),
            },
        };
        Ok(Self {
            field: Arc::clone(field),
            conversion,
        })
    }

    /// A column that the file lacks: all NULL.
    pub(super) fn missing(field: &FieldRef) -> Result<Self, Mismatch> {
        if !field.is_nullable() {
            return Err(refusal(
                "is declared NOT NULL, but is not in the file".to_owned(),
            ));
        }
        Ok(Self {
            field: Arc::clone(field),
            conversion: Conversion::Null,
        })
    }

    /// A column of text that comes as a dictionary.
    pub(super) fn coded(field: &FieldRef) -> Self {
        Self {
            field: Arc::clone(field),
            conversion: Conversion::Same,
        }
    }

    /// `rows` NULLs.
    pub(super) fn all_null(&self, rows: usize) -> ArrayRef {
        new_null_array(self.field.data_type(), rows)
    }

    /// The declared values of `array`. `owner`: validity of the struct that holds the array, where one does.
    pub(super) fn apply(
        &self,
        array: &ArrayRef,
        owner: Option<&NullBuffer>,
        faults: &mut Vec<Fault>,
    ) -> Result<ArrayRef, ArrowError> {
        if !self.field.is_nullable() {
            refuse_nulls(array, owner, faults);
        }
        let to = self.field.data_type();
        match &self.conversion {
            Conversion::Same => Ok(Arc::clone(array)),
            Conversion::Null => Ok(self.all_null(array.len())),
            Conversion::Decoded(values, target) => {
                target.apply(&cast(array, values)?, owner, faults)
            }
            Conversion::Cast => cast_checked(array, to, faults),
            Conversion::Coarser(divisor) => {
                refuse_remainders(array, *divisor, to, faults)?;
                cast_checked(array, to, faults)
            }
            Conversion::List(layout, element) => {
                let lists = if array.data_type() == layout {
                    Arc::clone(array)
                } else {
                    cast_checked(array, layout, faults)?
                };
                apply_list(&lists, element, faults)
            }
            Conversion::Map(key, value) => self.apply_map(array.as_map(), key, value, faults),
            Conversion::Struct(fields) => {
                self.apply_struct(array.as_struct(), fields, owner, faults)
            }
        }
    }

    fn apply_struct(
        &self,
        array: &StructArray,
        fields: &[(Option<usize>, Self)],
        owner: Option<&NullBuffer>,
        faults: &mut Vec<Fault>,
    ) -> Result<ArrayRef, ArrowError> {
        let valid = NullBuffer::union(array.nulls(), owner);
        let mut children = Vec::with_capacity(fields.len());
        for (source, target) in fields {
            let before = faults.len();
            children.push(match source {
                Some(index) => target.apply(array.column(*index), valid.as_ref(), faults)?,
                None => target.all_null(array.len()),
            });
            for fault in &mut faults[before..] {
                fault.path = format!(".{}{}", target.field.name(), fault.path);
            }
        }
        let (DataType::Struct(declared), true) = (self.field.data_type(), faults.is_empty()) else {
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
        faults: &mut Vec<Fault>,
    ) -> Result<ArrayRef, ArrowError> {
        let before = faults.len();
        let keys = key.apply(array.keys(), None, faults)?;
        let values = value.apply(array.values(), None, faults)?;
        raise(&mut faults[before..], array.offsets());
        let (DataType::Map(entries, sorted), true) = (self.field.data_type(), faults.is_empty())
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

impl Mismatch {
    fn within(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

fn refusal(message: String) -> Mismatch {
    Mismatch {
        path: String::new(),
        message,
    }
}

fn plan_fields(
    from: &Fields,
    to: &Fields,
    nulls_for_missing: bool,
) -> Result<Vec<(Option<usize>, Target)>, Mismatch> {
    let plan_field = |field: &FieldRef| match from.find(field.name()) {
        Some((index, found)) => Ok((
            Some(index),
            Target::plan(found.data_type(), field, nulls_for_missing)?,
        )),
        None if nulls_for_missing => Ok((None, Target::missing(field)?)),
        None => {
            let names: Vec<_> = from.iter().map(|field| field.name().as_str()).collect();
            Err(refusal(format!(
                "is not in the file, whose fields here are {}",
                names.join(", ")
            )))
        }
    };
    let plan_named = |field: &FieldRef| {
        plan_field(field).map_err(|error| error.within(&format!(".{}", field.name())))
    };
    to.iter().map(plan_named).collect()
}

fn entry_types(entries: &FieldRef) -> Result<(&FieldRef, &FieldRef), Mismatch> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Ok((&fields[0], &fields[1])),
        other => Err(refusal(format!(
            "has map entries of {other}, not of key and value"
        ))),
    }
}

fn list_element(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => Some(element),
        _ => None,
    }
}

/// The layout of the list type `to`, with the elements of another.
fn with_element(to: &DataType, element: &FieldRef) -> DataType {
    let element = Arc::clone(element);
    match to {
        DataType::LargeList(_) => DataType::LargeList(element),
        // Elements below a NULL list are NULL here.
        DataType::FixedSizeList(_, size) => DataType::FixedSizeList(
            Arc::new(element.as_ref().clone().with_nullable(true)),
            *size,
        ),
        _ => DataType::List(element),
    }
}

fn apply_list(
    array: &ArrayRef,
    element: &Target,
    faults: &mut Vec<Fault>,
) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::LargeList(_) => apply_variable(array.as_list::<i64>(), element, faults),
        DataType::FixedSizeList(..) => apply_fixed(array.as_fixed_size_list(), element, faults),
        _ => apply_variable(array.as_list::<i32>(), element, faults),
    }
}

fn apply_variable<O: OffsetSizeTrait>(
    array: &GenericListArray<O>,
    element: &Target,
    faults: &mut Vec<Fault>,
) -> Result<ArrayRef, ArrowError> {
    let before = faults.len();
    let values = element.apply(array.values(), None, faults)?;
    raise(&mut faults[before..], array.offsets());
    if !faults.is_empty() {
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
    element: &Target,
    faults: &mut Vec<Fault>,
) -> Result<ArrayRef, ArrowError> {
    let before = faults.len();
    let size = usize::try_from(array.value_length()).unwrap_or_default();
    let owner = array.nulls().map(|nulls| nulls.expand(size));
    let values = element.apply(array.values(), owner.as_ref(), faults)?;
    for fault in &mut faults[before..] {
        fault.path = format!("[{}]{}", fault.index % size, fault.path);
        fault.index /= size;
    }
    if !faults.is_empty() {
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

/// Turns faults of elements into faults of the lists that hold them.
fn raise<O: OffsetSizeTrait>(faults: &mut [Fault], offsets: &[O]) {
    for fault in faults {
        let list = offsets
            .partition_point(|offset| offset.as_usize() <= fault.index)
            .saturating_sub(1);
        fault.path = format!("[{}]{}", fault.index - offsets[list].as_usize(), fault.path);
        fault.index = list;
    }
}

fn refuse_nulls(array: &ArrayRef, owner: Option<&NullBuffer>, faults: &mut Vec<Fault>) {
    let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) else {
        return;
    };
    let owned = |index: &usize| owner.is_none_or(|owner| owner.is_valid(*index));
    let indices = (0..array.len())
        .filter(|index| nulls.is_null(*index))
        .filter(owned);
    faults.extend(indices.map(|index| Fault {
        index,
        path: String::new(),
        reason: "is NULL, but declared NOT NULL".to_owned(),
    }));
}

/// Casts; values that become NULL are faults.
fn cast_checked(
    array: &ArrayRef,
    to: &DataType,
    faults: &mut Vec<Fault>,
) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let converted = cast_with_options(array, to, &options)?;
    if converted.null_count() > array.null_count() {
        let lost =
            (0..array.len()).filter(|index| converted.is_null(*index) && array.is_valid(*index));
        refuse(array, lost, &format!("does not fit {to}"), faults)?;
    }
    Ok(converted)
}

/// Timestamps with digits that a unit coarser by `divisor` would lose are faults.
fn refuse_remainders(
    array: &ArrayRef,
    divisor: i64,
    to: &DataType,
    faults: &mut Vec<Fault>,
) -> Result<(), ArrowError> {
    let units = units_of(array)?;
    let lossy = (0..units.len())
        .filter(|index| units.is_valid(*index) && units.value(*index) % divisor != 0);
    refuse(
        array,
        lossy,
        &format!("has more decimals than {to} holds"),
        faults,
    )
}

fn refuse(
    array: &ArrayRef,
    indices: impl Iterator<Item = usize>,
    why: &str,
    faults: &mut Vec<Fault>,
) -> Result<(), ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    faults.extend(indices.map(|index| {
        let shown = formatter.value(index).try_to_string();
        let value = shown.unwrap_or_else(|_| "the value".to_owned());
        Fault {
            index,
            path: String::new(),
            reason: format!("{value} {why}"),
        }
    }));
    Ok(())
}

/// A timestamp array's counts of its unit.
fn units_of(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => Ok(array
            .as_primitive::<TimestampSecondType>()
            .reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(array
            .as_primitive::<TimestampMillisecondType>()
            .reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array
            .as_primitive::<TimestampMicrosecondType>()
            .reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(array
            .as_primitive::<TimestampNanosecondType>()
            .reinterpret_cast()),
        other => Err(ArrowError::CastError(format!("{other} is no timestamp"))),
    }
}

/// Units in a second.
fn units(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
