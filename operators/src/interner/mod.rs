//! Codes for the values of columns, and for the tuples of several columns, shared by all operators of a worker.
//!
//! A dozen views that group by the same columns read each value once: the first view has a column interned, and the
//! others find its codes in the cache. Tuples of columns are shared likewise: views by quarter and region, and by quarter
//! and category, share the quarters.
//!
//! All columns of the same name and type share one dictionary. Columns that are named alike mostly hold the same few
//! values, so tables indexed by code stay small.
//!
//! 1. A code keeps its meaning as long as its [`Generation`] is held.
//! 2. Memory is bounded: when there are many codes a new generation begins. The old one is freed when the last operator
//!    that uses its codes lets go of it.

mod cache;
mod codes;
mod generation;
mod tuple_space;
mod value_space;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray};
use arrow::compute::take;
use arrow::datatypes::UInt32Type;

use self::cache::CodeCache;
use self::value_space::ValueSpace;

pub use self::codes::{ColumnCodes, InternError, SpaceId};
pub use self::generation::{Generation, Spaces};

/// When a dictionary has more than this many values per row, only the values of the rows are interned.
const VALUES_PER_ROW: usize = 4;

/// Interns columns. Clones share everything.
#[derive(Clone, Default)]
pub struct Interner(Rc<RefCell<InternerState>>);

#[derive(Default)]
struct InternerState {
    generation: Rc<Generation>,
    columns: CodeCache<ArrayKey>,
    /// Dictionaries of columns: the batches of a source share them.
    dictionaries: CodeCache<ArrayKey>,
    /// By the codes of both members.
    tuples: CodeCache<[Rc<[u32]>; 2]>,
}

/// An array whose values belong to a space.
struct ArrayKey {
    space: usize,
    array: ArrayRef,
}

impl Interner {
    /// The current generation: all codes belong to it until the next call.
    pub fn generation(&self) -> Rc<Generation> {
        let mut state = self.0.borrow_mut();
        if state.generation.spaces().is_large() {
            *state = InternerState::default();
        }
        Rc::clone(&state.generation)
    }

    /// The codes of a column with this name, in the current generation.
    ///
    /// # Errors
    /// When values of the type cannot be encoded, or codes run out.
    pub fn column(&self, name: &str, column: &ArrayRef) -> Result<ColumnCodes, InternError> {
        self.0.borrow_mut().column(name, column)
    }

    /// The codes of several columns together, each with its name; `None` without columns.
    ///
    /// # Errors
    /// When values of a type cannot be encoded, or codes run out.
    pub fn columns<'a>(
        &self,
        columns: impl IntoIterator<Item = (&'a str, &'a ArrayRef)>,
    ) -> Result<Option<ColumnCodes>, InternError> {
        let state = &mut *self.0.borrow_mut();
        let mut tuples: Option<ColumnCodes> = None;
        for (name, column) in columns {
            let next = state.column(name, column)?;
            tuples = Some(match tuples {
                None => next,
                Some(first) => state.tuples(&first, &next)?,
            });
        }
        Ok(tuples)
    }
}

impl InternerState {
    fn column(&mut self, name: &str, column: &ArrayRef) -> Result<ColumnCodes, InternError> {
        let spaces = &mut *self.generation.spaces_mut();
        let dictionary = column.as_dictionary_opt::<UInt32Type>();
        let data_type = dictionary
            .map_or(column, DictionaryArray::values)
            .data_type();
        let space = spaces.value_space(name, data_type)?;
        let is_cached = |key: &ArrayKey| key.space == space && Arc::ptr_eq(&key.array, column);
        if let Some(codes) = self.columns.get(is_cached) {
            return Ok(codes);
        }
        let values = &mut spaces.values[space];
        let rows = match dictionary {
            Some(dictionary) => {
                codes_of_dictionary(dictionary, space, values, &mut self.dictionaries)?
            }
            None => values.intern(column)?.into(),
        };
        let codes = ColumnCodes {
            space: SpaceId::Values(space),
            rows,
            known: values.dictionary.len(),
        };
        let array = Arc::clone(column);
        self.columns.put(ArrayKey { space, array }, &codes);
        Ok(codes)
    }

    fn tuples(
        &mut self,
        first: &ColumnCodes,
        second: &ColumnCodes,
    ) -> Result<ColumnCodes, InternError> {
        let is_cached = |[one, other]: &[Rc<[u32]>; 2]| {
            Rc::ptr_eq(one, &first.rows) && Rc::ptr_eq(other, &second.rows)
        };
        if let Some(codes) = self.tuples.get(is_cached) {
            return Ok(codes);
        }
        let spaces = &mut *self.generation.spaces_mut();
        let at = spaces.tuple_space([first.space, second.space]);
        let tuples = &mut spaces.tuples[at];
        let codes = ColumnCodes {
            space: SpaceId::Tuples(at),
            rows: tuples.intern(first, second)?,
            known: tuples.len(),
        };
        let key = [Rc::clone(&first.rows), Rc::clone(&second.rows)];
        self.tuples.put(key, &codes);
        Ok(codes)
    }
}

/// The codes of a dictionary column's rows. Each value of the dictionary is interned once, not once a row.
fn codes_of_dictionary(
    column: &DictionaryArray<UInt32Type>,
    space: usize,
    known: &mut ValueSpace,
    cache: &mut CodeCache<ArrayKey>,
) -> Result<Rc<[u32]>, InternError> {
    let (keys, values) = (column.keys(), column.values());
    let is_cached = |key: &ArrayKey| key.space == space && shares_memory(&key.array, values);
    let of_values = match cache.get(is_cached) {
        Some(codes) => codes.rows,
        None if column.len() < values.len() / VALUES_PER_ROW => {
            return Ok(known.intern(&take(values, keys, None)?)?.into());
        }
        None => {
            let codes = ColumnCodes {
                space: SpaceId::Values(space),
                rows: known.intern(values)?.into(),
                known: known.dictionary.len(),
            };
            let array = Arc::clone(values);
            cache.put(ArrayKey { space, array }, &codes);
            codes.rows
        }
    };
    if keys.null_count() == 0 {
        let codes = keys.values().iter();
        return Ok(codes.map(|&key| of_values[key as usize]).collect());
    }
    let null = known.intern_null()?;
    let codes = keys
        .iter()
        .map(|key| key.map_or(null, |key| of_values[key as usize]));
    Ok(codes.collect())
}

/// Whether two arrays are the same, or strings in the same memory, as the dictionaries of a row group's batches are.
fn shares_memory(one: &ArrayRef, other: &ArrayRef) -> bool {
    if Arc::ptr_eq(one, other) {
        return true;
    }
    let (Some(one), Some(other)) = (one.as_string_opt::<i32>(), other.as_string_opt::<i32>())
    else {
        return false;
    };
    let memory = |strings: &StringArray| {
        let nulls = strings
            .nulls()
            .map(|nulls| (nulls.validity().as_ptr(), nulls.offset()));
        let (offsets, data) = (strings.offsets(), strings.value_data());
        (offsets.as_ptr(), data.as_ptr(), nulls)
    };
    one.len() == other.len() && memory(one) == memory(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use arrow::array::{Int64Array, StringArray, UInt32Array};
    use hashbrown::HashMap;

    use super::*;
    use crate::hash::hash;

    fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    #[test]
    fn equal_values_share_a_code_across_batches() {
        let interner = Interner::default();
        let first: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some("b"),
            Some("a"),
        ]));
        let second: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("c"), None]));
        let of = |name, column| interner.column(name, column).unwrap();
        assert_eq!(*of("x", &first).rows, [0, 1, 2, 0]);
        let codes = of("x", &second);
        assert_eq!((&*codes.rows, codes.known), (&[2, 3, 1][..], 4));
        // Columns with another name, or type, have their own codes.
        assert_eq!(*of("y", &second).rows, [0, 1, 2]);
        let numbers = integers([7, 7]);
        assert_eq!(*of("x", &numbers).rows, [0, 0]);
        assert!(Rc::ptr_eq(&of("x", &first).rows, &of("x", &first).rows));
    }

    /// The same values from a whole dictionary, from few rows, and from another array in the same memory.
    #[test]
    fn dictionaries_have_the_codes_of_plain_columns() {
        let texts = StringArray::from_iter_values((0..100).map(|at| format!("text {at}")));
        let column = |keys: Vec<Option<u32>>, texts: &StringArray| {
            let keys = UInt32Array::from(keys);
            Arc::new(DictionaryArray::new(keys, Arc::new(texts.clone()))) as ArrayRef
        };
        let interner = Interner::default();
        let codes = |column| interner.column("x", &column).unwrap().rows;
        let few = codes(column(vec![Some(7), None, Some(9)], &texts));
        assert_eq!(*few, [0, 1, 2]);
        let all = (0..100).map(Some).chain([None]).collect::<Vec<_>>();
        let all = codes(column(all, &texts));
        assert_eq!((all[7], all[100], all[9]), (0, 1, 2));
        let again = codes(column(vec![Some(9), Some(99)], &texts));
        assert_eq!(*again, [2, all[99]]);
        let other = StringArray::from_iter_values((0..100).map(|at| format!("text {}", 99 - at)));
        let other = codes(column(vec![Some(0); 60], &other));
        assert_eq!(other[0], all[99]);
        let slice = texts.slice(50, 50);
        let slice = codes(column(vec![Some(49); 60], &slice));
        assert_eq!(slice[0], all[99]);
    }

    /// Batches of few and of many random values, compared with a plain table.
    #[test]
    fn tuples_are_numbered_as_they_are_met() {
        let mut state = 7_u64;
        let mut random = move |below: i64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33).cast_signed() % below
        };
        for bounds in [
            &[5][..],
            &[3, 4],
            &[3000, 2000],
            &[2, 5000, 7],
            &[600, 600, 2, 3],
        ] {
            let interner = Interner::default();
            let generation = interner.generation();
            let mut known: HashMap<Vec<i64>, u32> = HashMap::new();
            for _ in 0..5 {
                let columns: Vec<Vec<i64>> = bounds
                    .iter()
                    .map(|&bound| (0..700).map(|_| random(bound)).collect())
                    .collect();
                let arrays: Vec<ArrayRef> = columns
                    .iter()
                    .map(|column| integers(column.clone()))
                    .collect();
                let names = ["a", "b", "c", "d"];
                let named = || names.into_iter().zip(&arrays);
                let codes = interner.columns(named()).unwrap().unwrap();
                let again = interner.columns(named()).unwrap().unwrap();
                assert!(Rc::ptr_eq(&codes.rows, &again.rows));
                for (row, &code) in codes.rows.iter().enumerate() {
                    let tuple: Vec<i64> = columns.iter().map(|column| column[row]).collect();
                    let next = known.len() as u32;
                    assert_eq!(*known.entry(tuple.clone()).or_insert(next), code);
                    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
                    let spaces = generation.spaces();
                    spaces.append(codes.space, code, &mut bytes);
                    assert_eq!(spaces.hash(codes.space, code), hash(&bytes));
                    for value in tuple {
                        expected.push(1);
                        expected.extend((value ^ i64::MIN).to_be_bytes());
                    }
                    assert_eq!(bytes, expected);
                }
                assert_eq!(codes.known, known.len());
            }
        }
        assert!(Interner::default().columns([]).unwrap().is_none());
    }

    #[test]
    fn a_large_dictionary_ends_its_generation() {
        let interner = Interner::default();
        let old = interner.generation();
        let many = interner.column("x", &integers(0..=1 << 20)).unwrap();
        assert_eq!(many.known, (1 << 20) + 1);
        let new = interner.generation();
        assert!(!Rc::ptr_eq(&old, &new));
        let one = interner.column("x", &integers([5])).unwrap();
        assert_eq!((*one.rows).to_vec(), [0]);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        old.spaces().append(many.space, 5, &mut before);
        new.spaces().append(one.space, 0, &mut after);
        assert_eq!(before, after);
    }

    #[test]
    fn many_tuples_end_their_generation() {
        let interner = Interner::default();
        let old = interner.generation();
        for batch in 0..=16 {
            let first = integers((0..1 << 16).map(|row| row % 1024));
            let second = integers((0..1 << 16).map(|row| batch * 64 + row / 1024));
            interner.columns([("x", &first), ("y", &second)]).unwrap();
        }
        assert!(!Rc::ptr_eq(&old, &interner.generation()));
    }
}
