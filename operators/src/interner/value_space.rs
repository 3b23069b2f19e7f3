//! The codes of the values of columns with one name and type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, new_null_array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::codes::InternError;
use crate::dictionary::{DictionaryFull, KeyDictionary};

/// Recent integers whose codes are found without a hash table.
const RECENT: usize = 1 << 12;

/// The values of columns with one name and type.
pub struct ValueSpace {
    name: String,
    data_type: DataType,
    converter: RowConverter,
    /// Order-preserving bytes, ascending, NULL first.
    pub dictionary: KeyDictionary,
    /// The codes of integers.
    integers: IntegerCodes,
    /// The code of NULL, if it has one.
    null: Option<u32>,
}

impl ValueSpace {
    /// An empty space.
    ///
    /// # Errors
    /// When values of the type cannot be encoded.
    pub fn new(name: &str, data_type: &DataType) -> Result<Self, ArrowError> {
        Ok(Self {
            name: name.to_owned(),
            data_type: data_type.clone(),
            converter: RowConverter::new(vec![SortField::new(data_type.clone())])?,
            dictionary: KeyDictionary::default(),
            integers: IntegerCodes::default(),
            null: None,
        })
    }

    /// Whether columns with this name and type have their codes here.
    pub fn belongs_to(&self, name: &str, data_type: &DataType) -> bool {
        self.name == name && self.data_type == *data_type
    }

    /// The code of each row.
    ///
    /// # Errors
    /// When codes run out.
    pub fn intern(&mut self, column: &ArrayRef) -> Result<Vec<u32>, InternError> {
        macro_rules! integers {
            ($($data_type:pat => $native:ty),+ $(,)?) => {
                match column.data_type() {
                    $($data_type => self.intern_integers(column.as_primitive::<$native>()),)+
                    _ => self.intern_rows(column),
                }
            };
        }
        integers! {
            DataType::Int8 => Int8Type,
            DataType::Int16 => Int16Type,
            DataType::Int32 => Int32Type,
            DataType::Int64 => Int64Type,
            DataType::UInt8 => UInt8Type,
            DataType::UInt16 => UInt16Type,
            DataType::UInt32 => UInt32Type,
            DataType::Date32 => Date32Type,
            DataType::Timestamp(TimeUnit::Second, _) => TimestampSecondType,
            DataType::Timestamp(TimeUnit::Millisecond, _) => TimestampMillisecondType,
            DataType::Timestamp(TimeUnit::Microsecond, _) => TimestampMicrosecondType,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimestampNanosecondType,
        }
    }

    /// The codes of values of any type, which are found by their bytes.
    fn intern_rows(&mut self, column: &ArrayRef) -> Result<Vec<u32>, InternError> {
        let rows = self
            .converter
            .convert_columns(std::slice::from_ref(column))?;
        let mut codes = Vec::with_capacity(column.len());
        let mut last: Option<(&[u8], u32)> = None;
        for row in &rows {
            let row = row.data();
            // Equal values are often adjacent: days and hours are.
            let code = match last {
                Some((bytes, code)) if bytes == row => code,
                _ => self.dictionary.intern(row)?,
            };
            last = Some((row, code));
            codes.push(code);
        }
        Ok(codes)
    }

    /// The codes of integers. Only new ones are encoded as bytes.
    fn intern_integers<T>(&mut self, column: &PrimitiveArray<T>) -> Result<Vec<u32>, InternError>
    where
        T: ArrowPrimitiveType<Native: Into<i64>>,
    {
        let mut fresh: Vec<Option<T::Native>> = Vec::new();
        let mut codes = Vec::with_capacity(column.len());
        let first_fresh = self.dictionary.len();
        self.integers.recent.resize(RECENT, (0, u32::MAX));
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, &value) in column.values().iter().enumerate() {
            let next = || u32::try_from(first_fresh + fresh.len()).map_err(|_| DictionaryFull);
            let code = if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                match self.null {
                    Some(code) => code,
                    None => {
                        let code = next()?;
                        fresh.push(None);
                        *self.null.insert(code)
                    }
                }
            } else if let Some(code) = self.integers.recent(value.into()) {
                code
            } else {
                let next = next()?;
                let code = self.integers.code(value.into(), next);
                if code == next {
                    fresh.push(Some(value));
                }
                code
            };
            codes.push(code);
        }
        if !fresh.is_empty() {
            let fresh = PrimitiveArray::<T>::from_iter(fresh);
            let fresh = fresh.with_data_type(column.data_type().clone());
            for row in &self.converter.convert_columns(&[Arc::new(fresh)])? {
                self.dictionary.intern(row.data())?;
            }
        }
        Ok(codes)
    }

    /// The code of NULL.
    ///
    /// # Errors
    /// When codes run out.
    pub fn intern_null(&mut self) -> Result<u32, InternError> {
        if let Some(code) = self.null {
            return Ok(code);
        }
        let null = self
            .converter
            .convert_columns(&[new_null_array(&self.data_type, 1)])?;
        let code = self.dictionary.intern(null.row(0).data())?;
        Ok(*self.null.insert(code))
    }
}

/// The codes of integers: a hash table behind a direct-mapped cache of recent ones.
#[derive(Default)]
struct IntegerCodes {
    table: HashMap<i64, u32, FixedState>,
    /// [`RECENT`] entries, once there are integers.
    recent: Vec<(i64, u32)>,
}

impl IntegerCodes {
    /// The code of a value in the cache.
    #[inline]
    fn recent(&self, value: i64) -> Option<u32> {
        let (known, code) = self.recent[cache_index(value)];
        (known == value && code != u32::MAX).then_some(code)
    }

    /// The code of a value; `next` if it is new.
    fn code(&mut self, value: i64, next: u32) -> u32 {
        let code = *self.table.entry(value).or_insert(next);
        self.recent[cache_index(value)] = (value, code);
        code
    }
}

/// The cache entry of a value, by Fibonacci hashing (Knuth, vol. 3, 6.4).
#[inline]
fn cache_index(value: i64) -> usize {
    let mixed = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (64 - RECENT.ilog2())).unwrap_or_default()
}
