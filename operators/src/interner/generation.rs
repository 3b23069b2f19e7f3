//! The values and tuples that the codes of one generation stand for.

use std::cell::{Ref, RefCell, RefMut};

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::codes::SpaceId;
use super::tuple_space::TupleSpace;
use super::value_space::ValueSpace;
use crate::hash::hash;

/// Codes, of all spaces together, at which a new generation is due.
const CODES_MAX: usize = 1 << 20;

/// The spaces of one generation. Codes keep their meaning as long as it is held.
#[derive(Default)]
pub struct Generation(RefCell<Spaces>);

/// The spaces of a generation, by their ids.
#[derive(Default)]
pub struct Spaces {
    /// The spaces of values.
    pub values: Vec<ValueSpace>,
    /// The spaces of tuples.
    pub tuples: Vec<TupleSpace>,
}

impl Generation {
    /// Its spaces so far.
    pub fn spaces(&self) -> Ref<'_, Spaces> {
        self.0.borrow()
    }

    /// Its spaces, to add to.
    pub fn spaces_mut(&self) -> RefMut<'_, Spaces> {
        self.0.borrow_mut()
    }
}

impl Spaces {
    /// Whether there are so many codes that a new generation is due.
    pub fn is_large(&self) -> bool {
        let values = self.values.iter().map(|space| space.dictionary.len());
        let tuples = self.tuples.iter().map(TupleSpace::len);
        values.chain(tuples).sum::<usize>() > CODES_MAX
    }

    /// Index of the space of the values of columns with this name and type; a new one if necessary.
    ///
    /// # Errors
    /// When values of the type cannot be encoded.
    pub fn value_space(&mut self, name: &str, data_type: &DataType) -> Result<usize, ArrowError> {
        let mut spaces = self.values.iter();
        if let Some(at) = spaces.position(|space| space.belongs_to(name, data_type)) {
            return Ok(at);
        }
        self.values.push(ValueSpace::new(name, data_type)?);
        Ok(self.values.len() - 1)
    }

    /// Index of the space of the tuples of two spaces; a new one if necessary.
    pub fn tuple_space(&mut self, members: [SpaceId; 2]) -> usize {
        let mut spaces = self.tuples.iter();
        spaces
            .position(|space| space.members == members)
            .unwrap_or_else(|| {
                self.tuples.push(TupleSpace::new(members));
                self.tuples.len() - 1
            })
    }

    /// Appends the order-preserving bytes of a value, or of a tuple: its columns one after another, as Arrow encodes a row.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn append(&self, space: SpaceId, code: u32, bytes: &mut Vec<u8>) {
        match space {
            SpaceId::Values(at) => bytes.extend_from_slice(self.values[at].dictionary.get(code)),
            SpaceId::Tuples(at) => {
                let tuples = &self.tuples[at];
                let [first, second] = tuples.get(code);
                self.append(tuples.members[0], first, bytes);
                self.append(tuples.members[1], second, bytes);
            }
        }
    }

    /// The [`hash()`] of those bytes.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn hash(&self, space: SpaceId, code: u32) -> u64 {
        match space {
            SpaceId::Values(at) => self.values[at].dictionary.hash(code),
            SpaceId::Tuples(_) => {
                let mut bytes = Vec::new();
                self.append(space, code, &mut bytes);
                hash(&bytes)
            }
        }
    }
}
