//! Column values by number, and rows of several columns, shared by all operators of a worker.
//!
//! A dozen views that group by the same columns look at each value once: the first to ask has the column interned, the
//! others find its codes in the cache. So it is with what several columns hold together: views by quarter and region, and
//! by quarter and category, share the quarters.
//!
//! Codes of a column come from a dictionary for all columns of its name and type. Columns that are named alike hold the
//! same values, for the most part, and few of them: tables by code are then as large as what is in them.
//!
//! 1. A code means the same for as long as its [`Generation`] is held.
//! 2. Memory is bounded: when there are many codes a new generation begins, and the old one goes when the last
//!    operator that counts in its codes has let go of it.

mod tuples;
mod values;

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray};
use arrow::compute::take;
use arrow::datatypes::{DataType, UInt32Type};
use arrow::error::ArrowError;

use self::tuples::Tuples;
use self::values::Values;
use crate::dictionary::DictionaryFull;
use crate::hash::hash;

/// Codes, of all columns and of what they hold together, at which a new generation is due.
const CODES_MAX: usize = 1 << 20;
/// Columns whose codes are remembered, dictionaries, and columns that were looked at together.
const CACHED: usize = 32;
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
    /// By which values, and the column.
    columns: Cache<(usize, ArrayRef)>,
    /// By which values, and the dictionary of columns that have one: batches of a source share them.
    dictionaries: Cache<(usize, ArrayRef)>,
    /// By the codes of both.
    tuples: Cache<[Rc<[u32]>; 2]>,
}

/// What codes are of, in their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Values.
    Values(usize),
    /// Rows of several columns.
    Tuples(usize),
}

/// The codes of a batch's rows.
#[derive(Clone, Debug)]
pub struct Codes {
    /// What they are codes of.
    pub space: Space,
    /// A code a row.
    pub rows: Rc<[u32]>,
    /// Every one of them is below this.
    pub known: usize,
}

/// Codes that were found already, those used last at the end.
struct Cache<K>(VecDeque<(K, Codes)>);

/// What codes refer to.
#[derive(Default)]
pub struct Generation(RefCell<Spaces>);

/// The values and tuples of a generation, by their spaces.
#[derive(Default)]
pub struct Spaces {
    values: Vec<Values>,
    tuples: Vec<Tuples>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K> Cache<K> {
    fn get(&mut self, is_it: impl Fn(&K) -> bool) -> Option<Codes> {
        let at = self.0.iter().rposition(|(key, _)| is_it(key))?;
        let found = self.0.remove(at)?;
        let codes = found.1.clone();
        self.0.push_back(found);
        Some(codes)
    }

    fn put(&mut self, key: K, codes: &Codes) {
        if self.0.len() == CACHED {
            self.0.pop_front();
        }
        self.0.push_back((key, codes.clone()));
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

impl Interner {
    /// The generation that codes are of from now on.
    pub fn generation(&self) -> Rc<Generation> {
        let mut inner = self.0.borrow_mut();
        if inner.generation.spaces().is_large() {
            *inner = Inner::default();
        }
        Rc::clone(&inner.generation)
    }

    /// A code for each row of a column of that name, of the generation asked for last.
    ///
    /// # Errors
    /// When values of the type cannot be encoded, or codes run out.
    pub fn column(&self, name: &str, column: &ArrayRef) -> Result<Codes, InternError> {
        self.0.borrow_mut().column(name, column)
    }

    /// A code for each row of several columns, each with its name; `None` of none.
    ///
    /// # Errors
    /// When values of a type cannot be encoded, or codes run out.
    pub fn columns<'a>(
        &self,
        columns: impl IntoIterator<Item = (&'a str, &'a ArrayRef)>,
    ) -> Result<Option<Codes>, InternError> {
        let inner = &mut *self.0.borrow_mut();
        let mut all: Option<Codes> = None;
        for (name, column) in columns {
            let next = inner.column(name, column)?;
            all = Some(match all {
                None => next,
                Some(first) => inner.together(&first, &next)?,
            });
        }
        Ok(all)
    }
}

impl Inner {
    fn column(&mut self, name: &str, column: &ArrayRef) -> Result<Codes, InternError> {
        let spaces = &mut *self.generation.0.borrow_mut();
        let dictionary = column.as_dictionary_opt::<UInt32Type>();
        let data_type = dictionary
            .map_or(column, DictionaryArray::values)
            .data_type();
        let at = spaces.values_of(name, data_type)?;
        let is_it = |(of, known): &(usize, ArrayRef)| *of == at && Arc::ptr_eq(known, column);
        if let Some(codes) = self.columns.get(is_it) {
            return Ok(codes);
        }
        let values = &mut spaces.values[at];
        let rows = match dictionary {
            Some(dictionary) => {
                codes_of_dictionary(dictionary, (at, values), &mut self.dictionaries)?
            }
            None => values.intern(column)?.into(),
        };
        let codes = values.codes(at, rows);
        self.columns.put((at, Arc::clone(column)), &codes);
        Ok(codes)
    }

    fn together(&mut self, first: &Codes, second: &Codes) -> Result<Codes, InternError> {
        let is_it = |[one, other]: &[Rc<[u32]>; 2]| {
            Rc::ptr_eq(one, &first.rows) && Rc::ptr_eq(other, &second.rows)
        };
        if let Some(codes) = self.tuples.get(is_it) {
            return Ok(codes);
        }
        let spaces = &mut *self.generation.0.borrow_mut();
        let at = spaces.tuples_of([first.space, second.space]);
        let tuples = &mut spaces.tuples[at];
        let codes = Codes {
            space: Space::Tuples(at),
            rows: tuples.intern(first, second)?,
            known: tuples.len(),
        };
        let key = [Rc::clone(&first.rows), Rc::clone(&second.rows)];
        self.tuples.put(key, &codes);
        Ok(codes)
    }
}

/// The codes of a column's rows. Each value of its dictionary is looked at once, and not each row's.
fn codes_of_dictionary(
    column: &DictionaryArray<UInt32Type>,
    (at, known): (usize, &mut Values),
    cache: &mut Cache<(usize, ArrayRef)>,
) -> Result<Rc<[u32]>, InternError> {
    let (keys, values) = (column.keys(), column.values());
    let of_values = match cache.get(|(of, known)| *of == at && is_same(known, values)) {
        Some(codes) => codes,
        None if column.len() < values.len() / FEW => {
            return Ok(known.intern(&take(values, keys, None)?)?.into());
        }
        None => {
            let codes = known.intern(values)?;
            let codes = known.codes(at, codes.into());
            cache.put((at, Arc::clone(values)), &codes);
            codes
        }
    }
    .rows;
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

impl Values {
    fn codes(&self, at: usize, rows: Rc<[u32]>) -> Codes {
        Codes {
            space: Space::Values(at),
            rows,
            known: self.dictionary.len(),
        }
    }
}

impl Generation {
    /// What its codes are of, as far as there are any.
    pub fn spaces(&self) -> Ref<'_, Spaces> {
        self.0.borrow()
    }
}

impl Spaces {
    fn is_large(&self) -> bool {
        let values = self.values.iter().map(|values| values.dictionary.len());
        let tuples = self.tuples.iter().map(Tuples::len);
        values.chain(tuples).sum::<usize>() > CODES_MAX
    }

    fn values_of(&mut self, name: &str, data_type: &DataType) -> Result<usize, ArrowError> {
        let mut known = self.values.iter();
        if let Some(at) = known.position(|values| values.is_of(name, data_type)) {
            return Ok(at);
        }
        self.values.push(Values::new(name, data_type)?);
        Ok(self.values.len() - 1)
    }

    fn tuples_of(&mut self, of: [Space; 2]) -> usize {
        let mut known = self.tuples.iter();
        known.position(|tuples| tuples.of == of).unwrap_or_else(|| {
            self.tuples.push(Tuples::new(of));
            self.tuples.len() - 1
        })
    }

    /// Appends the order-preserving bytes of a value, or those of a tuple's values: the columns one after another, which
    /// is how Arrow encodes a row.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn append(&self, space: Space, code: u32, bytes: &mut Vec<u8>) {
        match space {
            Space::Values(at) => bytes.extend_from_slice(self.values[at].dictionary.get(code)),
            Space::Tuples(at) => {
                let tuples = &self.tuples[at];
                let [first, second] = tuples.members(code);
                self.append(tuples.of[0], first, bytes);
                self.append(tuples.of[1], second, bytes);
            }
        }
    }

    /// The [`hash`] of those bytes.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn hash(&self, space: Space, code: u32) -> u64 {
        match space {
            Space::Values(at) => self.values[at].dictionary.hash(code),
            Space::Tuples(_) => {
                let mut bytes = Vec::new();
                self.append(space, code, &mut bytes);
                hash(&bytes)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use arrow::array::{Int64Array, StringArray, UInt32Array};
    use hashbrown::HashMap;

    use super::*;

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
        // Of another name, or type, they are numbered apart.
        assert_eq!(*of("y", &second).rows, [0, 1, 2]);
        let numbers = integers([7, 7]);
        assert_eq!(*of("x", &numbers).rows, [0, 0]);
        assert!(Rc::ptr_eq(&of("x", &first).rows, &of("x", &first).rows));
    }

    /// Of the same values: all of a dictionary, those of few rows, those of another array in the same memory.
    #[test]
    fn values_of_dictionaries_are_those_of_rows() {
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

    /// Batches of random values, some few, some many, against a plain table.
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
        let (mut kept, mut begun) = (Vec::new(), Vec::new());
        old.spaces().append(many.space, 5, &mut kept);
        new.spaces().append(one.space, 0, &mut begun);
        assert_eq!(kept, begun);
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
