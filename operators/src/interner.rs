//! Column values by number, shared by all operators of a worker.
//!
//! A dozen views that group by the same columns look at each value once: the first to ask has the column interned, the
//! others find its codes in the cache. Values of one type share a dictionary, whatever their column.
//!
//! 1. A code means the same value for as long as its [`Generation`] is held.
//! 2. Memory is bounded: when a dictionary has grown large a new generation begins, and the old one goes when the last
//!    operator that counts in its codes has let go of it.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use crate::dictionary::{Dictionary, DictionaryFull};

/// Values of a type at which a new generation is due.
const VALUES_MAX: usize = 1 << 20;
/// Columns whose codes are remembered.
const CACHED_COLUMNS: usize = 32;

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
    /// The columns asked for last, oldest first.
    cache: Vec<(ArrayRef, Rc<[u32]>)>,
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
        let Inner { generation, cache } = &mut *self.0.borrow_mut();
        if let Some((_, codes)) = cache.iter().find(|(known, _)| Arc::ptr_eq(known, column)) {
            return Ok(Rc::clone(codes));
        }
        let mut values = generation.values(column.data_type())?;
        let codes: Rc<[u32]> = values.intern(column)?.into();
        if cache.len() == CACHED_COLUMNS {
            cache.remove(0);
        }
        cache.push((Arc::clone(column), Rc::clone(&codes)));
        Ok(codes)
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
                });
                types.len() - 1
            }
        };
        Ok(RefMut::map(types, |types| &mut types[at]))
    }
}

impl Values {
    fn intern(&mut self, column: &ArrayRef) -> Result<Vec<u32>, InternError> {
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
