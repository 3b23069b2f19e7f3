//! Column values by number, shared by all operators of a worker.
//!
//! A dozen views that group by the same columns look at each value once: the first to ask has the column interned, the
//! others find its codes in the cache. Values of one type share a dictionary, whatever their column.
//!
//! 1. A code means the same value for as long as its [`Generation`] is held.
//! 2. Memory is bounded: when a dictionary has grown large a new generation begins, and the old one goes when the last
//!    operator that counts in its codes has let go of it.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray, StringArray, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::dictionary::{Dictionary, DictionaryFull};

/// Values of a type at which a new generation is due.
const VALUES_MAX: usize = 1 << 20;
/// Columns whose codes are remembered, and dictionaries.
const CACHED: usize = 32;
/// Integers met last whose codes are found without a hash table.
const RECENT: usize = 1 << 12;

/// Of a dictionary of so many times as many values as there are rows, only those of the rows are looked at.
const FEW: usize = 4;

/// Why a column cannot be interned.
#[derive(Debug, thiserror::Error)]
pub enum InternError {
    /// From Arrow.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// Too many values.
    #[error(transparent)]
    Full(#[from] DictionaryFull),
}

/// Interns columns. Clones share everything.
#[derive(Clone, Default)]
pub struct Interner(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    generation: Rc<Generation>,
    /// Columns.
    columns: Cache,
    /// The values of dictionary columns: batches of a source share them.
    dictionaries: Cache,
}

/// The codes of arrays, those used last at the end.
#[derive(Default)]
struct Cache(VecDeque<(ArrayRef, Rc<[u32]>)>);

impl Cache {
    fn get(&mut self, array: &ArrayRef) -> Option<Rc<[u32]>> {
        let at = self
            .0
            .iter()
            .rposition(|(known, _)| is_same(known, array))?;
        let found = self.0.remove(at)?;
        let codes = Rc::clone(&found.1);
        self.0.push_back(found);
        Some(codes)
    }

    fn put(&mut self, array: &ArrayRef, codes: &Rc<[u32]>) {
        if self.0.len() == CACHED {
            self.0.pop_front();
        }
        self.0.push_back((Arc::clone(array), Rc::clone(codes)));
    }
}

/// Whether two arrays are one: the same, or texts in the same memory, as the dictionaries of a row group's batches are.
fn is_same(known: &ArrayRef, array: &ArrayRef) -> bool {
    if Arc::ptr_eq(known, array) {
        return true;
    }
    let (Some(known), Some(array)) = (known.as_string_opt::<i32>(), array.as_string_opt::<i32>())
    else {
        return false;
    };
    let memory = |texts: &StringArray| {
        let nulls = texts
            .nulls()
            .map(|nulls| (nulls.validity().as_ptr(), nulls.offset()));
        (texts.offsets().as_ptr(), texts.value_data().as_ptr(), nulls)
    };
    known.len() == array.len() && memory(known) == memory(array)
}

/// The dictionaries that codes refer to.
#[derive(Default)]
pub struct Generation(RefCell<Vec<Values>>);

/// The values of one type.
pub struct Values {
    data_type: DataType,
    converter: RowConverter,
    /// Order-preserving bytes, ascending, NULL first.
    pub dictionary: Dictionary,
    /// Of integers: the codes of values that are in the dictionary.
    integers: Integers,
    /// The code of NULL, once it is in.
    null: Option<u32>,
}

impl Interner {
    /// The generation that codes are of from now on.
    pub fn generation(&self) -> Rc<Generation> {
        let mut inner = self.0.borrow_mut();
        if inner
            .generation
            .0
            .borrow()
            .iter()
            .any(|values| values.dictionary.len() > VALUES_MAX)
        {
            *inner = Inner::default();
        }
        Rc::clone(&inner.generation)
    }

    /// A code for each row of `column`, of the generation asked for last.
    ///
    /// # Errors
    /// When values of the type cannot be encoded.
    pub fn codes(&self, column: &ArrayRef) -> Result<Rc<[u32]>, InternError> {
        let inner = &mut *self.0.borrow_mut();
        if let Some(codes) = inner.columns.get(column) {
            return Ok(codes);
        }
        let codes: Rc<[u32]> = match column.as_dictionary_opt::<UInt32Type>() {
            Some(dictionary) => inner.codes_of_dictionary(dictionary)?,
            None => {
                let mut values = inner.generation.values(column.data_type())?;
                values.intern(column)?
            }
        }
        .into();
        inner.columns.put(column, &codes);
        Ok(codes)
    }
}

impl Inner {
    /// Looks at each value of a dictionary once, and not at each row's.
    fn codes_of_dictionary(
        &mut self,
        column: &DictionaryArray<UInt32Type>,
    ) -> Result<Vec<u32>, InternError> {
        let values = column.values();
        let known = self.dictionaries.get(values);
        let mut interned = self.generation.values(values.data_type())?;
        let of_values = match known {
            Some(codes) => codes,
            None if column.len() < values.len() / FEW => {
                return interned.intern(&take(values, column.keys(), None)?);
            }
            None => {
                let codes = interned.intern(values)?.into();
                self.dictionaries.put(values, &codes);
                codes
            }
        };
        let keys = column.keys();
        if keys.null_count() == 0 {
            let codes = keys.values().iter();
            return Ok(codes.map(|&key| of_values[key as usize]).collect());
        }
        let null = interned.intern_null()?;
        let codes = keys
            .iter()
            .map(|key| key.map_or(null, |key| of_values[key as usize]));
        Ok(codes.collect())
    }
}

impl Generation {
    /// The values of a type.
    ///
    /// # Errors
    /// When values of the type cannot be encoded.
    pub fn values(&self, data_type: &DataType) -> Result<RefMut<'_, Values>, ArrowError> {
        let mut types = self.0.borrow_mut();
        let at = match types
            .iter()
            .position(|values| values.data_type == *data_type)
        {
            Some(at) => at,
            None => {
                let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
                types.push(Values {
                    data_type: data_type.clone(),
                    converter,
                    dictionary: Dictionary::default(),
                    integers: Integers::default(),
                    null: None,
                });
                types.len() - 1
            }
        };
        Ok(RefMut::map(types, |types| &mut types[at]))
    }
}

impl Values {
    fn intern(&mut self, column: &ArrayRef) -> Result<Vec<u32>, InternError> {
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

    /// Values of any type, by their bytes.
    fn intern_rows(&mut self, column: &ArrayRef) -> Result<Vec<u32>, InternError> {
        let rows = self
            .converter
            .convert_columns(std::slice::from_ref(column))?;
        let mut codes = Vec::with_capacity(column.len());
        let mut last: Option<(&[u8], u32)> = None;
        for row in &rows {
            let row = row.data();
            // Days and hours come in runs.
            let code = match last {
                Some((bytes, code)) if bytes == row => code,
                _ => self.dictionary.intern(row)?,
            };
            last = Some((row, code));
            codes.push(code);
        }
        Ok(codes)
    }

    /// Values that are integers, by themselves: bytes are made of those alone that are new.
    fn intern_integers<T>(&mut self, column: &PrimitiveArray<T>) -> Result<Vec<u32>, InternError>
    where
        T: ArrowPrimitiveType<Native: Into<i64>>,
    {
        let mut fresh: Vec<Option<T::Native>> = Vec::new();
        let mut codes = Vec::with_capacity(column.len());
        let known = self.dictionary.len();
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, &value) in column.values().iter().enumerate() {
            let next = || u32::try_from(known + fresh.len()).map_err(|_| DictionaryFull);
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
    fn intern_null(&mut self) -> Result<u32, InternError> {
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

/// Codes of integers: a table, and before it the values met last, each in the place that its bits lead to.
struct Integers {
    table: HashMap<i64, u32, FixedState>,
    recent: Vec<(i64, u32)>,
}

impl Default for Integers {
    fn default() -> Self {
        Self {
            table: HashMap::default(),
            recent: vec![(0, u32::MAX); RECENT],
        }
    }
}

impl Integers {
    /// The code of a value that was met lately.
    #[inline]
    fn recent(&self, value: i64) -> Option<u32> {
        let (known, code) = self.recent[place(value)];
        (known == value && code != u32::MAX).then_some(code)
    }

    /// The code of a value, `next` if it is new.
    fn code(&mut self, value: i64, next: u32) -> u32 {
        let code = *self.table.entry(value).or_insert(next);
        self.recent[place(value)] = (value, code);
        code
    }
}

/// Where in the memory of recent values a value is: by Fibonacci hashing (Knuth, vol. 3, 6.4).
#[inline]
fn place(value: i64) -> usize {
    let mixed = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (64 - RECENT.ilog2())).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn equal_values_share_a_code_across_columns_and_batches() {
        let interner = Interner::default();
        let first: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some("b"),
            Some("a"),
        ]));
        let second: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("c"), None]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, 7]));
        let generation = interner.generation();
        assert_eq!(*interner.codes(&first).unwrap(), [0, 1, 2, 0]);
        assert_eq!(*interner.codes(&second).unwrap(), [2, 3, 1]);
        assert_eq!(*interner.codes(&numbers).unwrap(), [0, 0]);
        assert!(Rc::ptr_eq(
            &interner.codes(&first).unwrap(),
            &interner.codes(&first).unwrap()
        ));
        assert_eq!(
            generation.values(&DataType::Utf8).unwrap().dictionary.len(),
            4
        );
    }

    /// Of the same values: all of a dictionary, those of few rows, those of another array in the same memory.
    #[test]
    fn values_of_dictionaries_are_those_of_rows() {
        let texts = StringArray::from_iter_values((0..100).map(|at| format!("text {at}")));
        let column = |keys: Vec<Option<u32>>, texts: &StringArray| {
            let keys = arrow::array::UInt32Array::from(keys);
            Arc::new(DictionaryArray::new(keys, Arc::new(texts.clone()))) as ArrayRef
        };
        let interner = Interner::default();
        let few = interner.codes(&column(vec![Some(7), None, Some(9)], &texts));
        assert_eq!(*few.unwrap(), [0, 1, 2]);
        let all = (0..100).map(Some).chain([None]).collect::<Vec<_>>();
        let all = interner.codes(&column(all, &texts)).unwrap();
        assert_eq!((all[7], all[100], all[9]), (0, 1, 2));
        let again = interner.codes(&column(vec![Some(9), Some(99)], &texts));
        assert_eq!(*again.unwrap(), [2, all[99]]);
        let other = StringArray::from_iter_values((0..100).map(|at| format!("text {}", 99 - at)));
        let other = interner.codes(&column(vec![Some(0); 60], &other)).unwrap();
        assert_eq!(other[0], all[99]);
        let slice = texts.slice(50, 50);
        let slice = interner.codes(&column(vec![Some(49); 60], &slice)).unwrap();
        assert_eq!(slice[0], all[99]);
    }

    #[test]
    fn a_large_dictionary_ends_its_generation() {
        let interner = Interner::default();
        let old = interner.generation();
        let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..=1 << 20));
        interner.codes(&many).unwrap();
        let new = interner.generation();
        assert!(!Rc::ptr_eq(&old, &new));
        assert_eq!(
            *interner
                .codes(&(Arc::new(Int64Array::from(vec![5])) as ArrayRef))
                .unwrap(),
            [0]
        );
        assert_eq!(
            old.values(&DataType::Int64).unwrap().dictionary.len(),
            (1 << 20) + 1
        );
    }
}
