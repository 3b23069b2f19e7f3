//! Plans conversions from a file's types to the declared types.
//!
//! Only lossless conversions are planned. A type that never fits is refused for the whole file. A single value that
//! does not fit rejects its row. A converted value is the same as from Arrow's cast kernel, which DataFusion uses.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;

use crate::scalar::sql_name;

use super::allowed;
use super::columns::{field_names, joined_names};
use super::footer::is_uuid;
use super::values::units_per_second;
use crate::names;

/// Bytes of a UUID.
const UUID_BYTES: i32 = 16;

/// Why a file's type cannot be converted to the declared type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The path from the column to the type at fault: empty, or like `.price`.
    pub(super) path: String,
    pub(super) message: String,
}

/// A source's options about conversions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConversionRules {
    /// Whether struct fields that the file does not have are NULL.
    pub(super) nulls_for_missing: bool,
    /// Whether instants in a column without a time zone are read in UTC.
    pub(super) convert_offsets: bool,
}

/// A declared field, and the conversion of the file's array.
#[derive(Debug)]
pub(super) struct ColumnConversion {
    pub(super) field: FieldRef,
    pub(super) conversion: Conversion,
}

#[derive(Debug)]
pub(super) enum Conversion {
    /// The types are the same.
    Same,
    /// All NULL, whatever the array holds.
    Null,
    /// A cast that never fails (such as from a dictionary to its values), then another conversion.
    Through(DataType, Box<ColumnConversion>),
    /// A cast. New NULLs are values that do not fit.
    Cast {
        may_fail: bool,
    },
    /// A cast to a coarser unit, which is exact if the value is a multiple of the divisor.
    Coarser(i64),
    /// Floats of the same or a larger type.
    Float,
    /// Milliseconds since 1970 to days.
    Date,
    /// Any unit to nanoseconds after midnight.
    Time,
    /// Sixteen bytes to the text of a UUID.
    UuidText,
    /// Lists of any layout, after a cast to this one.
    List(DataType, Box<ColumnConversion>),
    Map(Box<ColumnConversion>, Box<ColumnConversion>),
    Struct(Vec<StructField>),
}

/// A field of a declared struct.
#[derive(Debug)]
pub(super) struct StructField {
    /// Its index in the file's struct; `None` if the struct does not have it.
    pub(super) place: Option<usize>,
    pub(super) conversion: ColumnConversion,
}

impl ColumnConversion {
    /// Plans the conversion of the file's field `from` to `field`.
    ///
    /// # Errors
    /// When its type does not fit.
    pub(super) fn plan(
        from: &FieldRef,
        field: &FieldRef,
        rules: ConversionRules,
    ) -> Result<Self, Mismatch> {
        Ok(Self {
            field: Arc::clone(field),
            conversion: plan(from, field, rules)?,
        })
    }

    /// The conversion for a column that the file does not have: all NULL.
    ///
    /// # Errors
    /// When it is declared NOT NULL.
    pub(super) fn missing(field: &FieldRef) -> Result<Self, Mismatch> {
        if !field.is_nullable() {
            return Err(Mismatch::new(
                "is declared NOT NULL, but is not in the file",
            ));
        }
        Ok(Self {
            field: Arc::clone(field),
            conversion: Conversion::Null,
        })
    }

    /// The conversion for a text column that is a dictionary.
    pub(super) fn coded(field: &FieldRef) -> Self {
        Self {
            field: Arc::clone(field),
            conversion: Conversion::Same,
        }
    }

    /// An array of `rows` NULLs.
    pub(super) fn all_null(&self, rows: usize) -> ArrayRef {
        new_null_array(self.field.data_type(), rows)
    }

    /// Whether a value may be bad, judged by the types and by the number of NULLs in `chunk`, its column chunk.
    pub(super) fn may_reject(&self, chunk: Option<&ColumnChunkMetaData>) -> bool {
        let may_be_null = || chunk.is_none_or(|chunk| !is_without_nulls(chunk));
        if !self.field.is_nullable() && may_be_null() {
            return true;
        }
        match &self.conversion {
            Conversion::Same | Conversion::Null | Conversion::Float | Conversion::UuidText => false,
            Conversion::Through(_, then) => then.may_reject(chunk),
            Conversion::Cast { may_fail } => *may_fail,
            Conversion::Coarser(_) | Conversion::Date | Conversion::Time => true,
            Conversion::List(_, element) => element.may_reject(None),
            Conversion::Map(key, value) => key.may_reject(None) || value.may_reject(None),
            Conversion::Struct(fields) => {
                fields.iter().any(|field| field.conversion.may_reject(None))
            }
        }
    }
}

fn is_without_nulls(chunk: &ColumnChunkMetaData) -> bool {
    let counted = chunk.statistics().and_then(Statistics::null_count_opt);
    chunk.column_descr().max_def_level() == 0 || counted == Some(0)
}

fn plan(from: &FieldRef, field: &FieldRef, rules: ConversionRules) -> Result<Conversion, Mismatch> {
    let child = |from: &FieldRef, field: &FieldRef| {
        ColumnConversion::plan(from, field, rules).map(Box::new)
    };
    let through = |data_type: &DataType| {
        let values = Arc::new(from.as_ref().clone().with_data_type(data_type.clone()));
        Ok(Conversion::Through(
            data_type.clone(),
            child(&values, field)?,
        ))
    };
    match (from.data_type(), field.data_type()) {
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time64(TimeUnit::Nanosecond)) => {
            Ok(Conversion::Time)
        }
        (from, to) if from == to && from.is_floating() => Ok(Conversion::Float),
        (from, to) if from == to && !holds_floats(from) => Ok(Conversion::Same),
        (DataType::Null, _) => Ok(Conversion::Null),
        (DataType::Dictionary(_, values), _) => through(values),
        (DataType::Timestamp(unit, from_zone), DataType::Timestamp(to_unit, to_zone)) => {
            if from_zone.is_some() && to_zone.is_none() && !rules.convert_offsets {
                return Err(Mismatch::new(
                    "holds instants, but is declared TIMESTAMP, which has no time zone: declare it TIMESTAMP WITH TIME \
                     ZONE, or set offsets to 'convert' to read it in UTC",
                ));
            }
            Ok(match units_per_second(*unit) / units_per_second(*to_unit) {
                0 => Conversion::Cast { may_fail: true },
                1 => Conversion::Cast { may_fail: false },
                divisor => Conversion::Coarser(divisor),
            })
        }
        (DataType::Date64, DataType::Date32) => Ok(Conversion::Date),
        (DataType::FixedSizeBinary(UUID_BYTES), DataType::Utf8) if is_uuid(from) => {
            Ok(Conversion::UuidText)
        }
        (DataType::FixedSizeBinary(_), DataType::Binary) => {
            Ok(Conversion::Cast { may_fail: false })
        }
        (DataType::FixedSizeBinary(_), DataType::Utf8) => through(&DataType::Binary),
        (DataType::FixedSizeList(_, from), DataType::FixedSizeList(_, to)) if from != to => {
            Err(Mismatch::new(format!(
                "lists of {from} elements, but declared as lists of {to}"
            )))
        }
        (DataType::Map(from, _), DataType::Map(to, _)) => {
            let (from_key, from_value) = entry_fields(from)?;
            let (to_key, to_value) = entry_fields(to)?;
            let key = child(from_key, to_key).map_err(|error| error.within(".key"))?;
            let value = child(from_value, to_value).map_err(|error| error.within(".value"))?;
            Ok(Conversion::Map(key, value))
        }
        (DataType::Struct(from), DataType::Struct(to)) => {
            Ok(Conversion::Struct(plan_fields(from, to, rules)?))
        }
        (from, to) => match (list_element(from), list_element(to)) {
            (Some(from), Some(element)) => {
                let planned = child(from, element).map_err(|error| error.within("[]"))?;
                Ok(Conversion::List(with_element(to, from), planned))
            }
            _ if allowed::is_lossless(from, to) && to.is_floating() => Ok(Conversion::Float),
            _ if allowed::is_lossless(from, to) => Ok(Conversion::Cast {
                may_fail: allowed::may_fail(from, to),
            }),
            _ => Err(other_type(from, to)),
        },
    }
}

fn other_type(from: &DataType, to: &DataType) -> Mismatch {
    let (found, declared) = (sql_name(from), sql_name(to));
    // Types without a name in SQL keep Arrow's name.
    let hint = if found == from.to_string() {
        String::new()
    } else {
        format!(": declare it {found}, and CAST in SQL")
    };
    Mismatch::new(format!(
        "is {found} in the file, but declared {declared}{hint}"
    ))
}

impl Mismatch {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            message: message.into(),
        }
    }

    fn within(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

fn plan_fields(
    from: &Fields,
    to: &Fields,
    rules: ConversionRules,
) -> Result<Vec<StructField>, Mismatch> {
    let find = |name: &str| {
        let places = names::positions(&field_names(from), name);
        places
            .first()
            .and_then(|place| Some((*place, from.get(*place)?)))
    };
    let plan_field = |field: &FieldRef| match find(field.name()) {
        Some((place, found)) => Ok(StructField {
            place: Some(place),
            conversion: ColumnConversion::plan(found, field, rules)?,
        }),
        None if rules.nulls_for_missing => Ok(StructField {
            place: None,
            conversion: ColumnConversion::missing(field)?,
        }),
        None => Err(Mismatch::new(format!(
            "is not in the file, whose fields here are {}",
            joined_names(from)
        ))),
    };
    let plan_named = |field: &FieldRef| {
        plan_field(field).map_err(|error| error.within(&format!(".{}", field.name())))
    };
    to.iter().map(plan_named).collect()
}

fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        DataType::Map(entries, _) => holds_floats(entries.data_type()),
        other => list_element(other).map_or_else(
            || other.is_floating(),
            |element| holds_floats(element.data_type()),
        ),
    }
}

fn entry_fields(entries: &FieldRef) -> Result<(&FieldRef, &FieldRef), Mismatch> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Ok((&fields[0], &fields[1])),
        other => Err(Mismatch::new(format!(
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

/// The list type `to`, with another element type.
fn with_element(to: &DataType, element: &FieldRef) -> DataType {
    // Marks that the footer added are not part of the arrays' types.
    let element = Arc::new(element.as_ref().clone().with_metadata([].into()));
    match to {
        DataType::LargeList(_) => DataType::LargeList(element),
        // In lists of fixed size, elements below a NULL list are NULL.
        DataType::FixedSizeList(_, size) => DataType::FixedSizeList(
            Arc::new(element.as_ref().clone().with_nullable(true)),
            *size,
        ),
        _ => DataType::List(element),
    }
}
