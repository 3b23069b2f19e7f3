//! Numbers distinct texts in the order in which they first occur, for columns of few values, plain or as
//! dictionaries.
//!
//! Rows of a dictionary are numbered by their codes. Each value is looked up once, as long as the same dictionary is
//! used.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::{ArrowNativeType, DataType, UInt32Type};
use arrow::error::ArrowError;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The number of NULL.
pub const NULL: u32 = u32::MAX;

/// Marks a dictionary's value that no row had yet.
const UNMET: u32 = u32::MAX - 1;

/// Distinct texts, each with a number.
#[derive(Default)]
pub struct Texts {
    hasher: RandomState,
    numbers: HashTable<u32>,
    text: String,
    /// The end of each text in `text`.
    ends: Vec<usize>,
    longest: usize,
    /// The last dictionary, and the numbers of its values.
    known: Option<(StringArray, Vec<u32>)>,
}

impl Texts {
    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Total length of all texts in bytes.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Length of the longest text in bytes.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The text with a number.
    pub fn get(&self, number: u32) -> &str {
        text_of(&self.text, &self.ends, number)
    }

    /// All texts, by number.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends);
        ranges.map(|(start, &end)| &self.text[start..end])
    }

    /// Numbers the rows of a column of plain text, or of a text dictionary with four-byte codes.
    ///
    /// # Errors
    /// When the column has another type.
    pub fn number(&mut self, column: &ArrayRef, numbers: &mut Vec<u32>) -> Result<(), ArrowError> {
        numbers.reserve(column.len());
        if let Some(coded) = column.as_dictionary_opt::<UInt32Type>()
            && let Some(values) = coded.values().as_string_opt::<i32>()
        {
            self.number_coded(coded, values, numbers);
        } else if *column.data_type() == DataType::Utf8 {
            let rows = column.as_string::<i32>().iter();
            numbers.extend(rows.map(|row| row.map_or(NULL, |text| self.number_of(text))));
        } else {
            let message = format!("{} where text was expected", column.data_type());
            return Err(ArrowError::InvalidArgumentError(message));
        }
        Ok(())
    }

    fn number_coded(
        &mut self,
        coded: &DictionaryArray<UInt32Type>,
        values: &StringArray,
        numbers: &mut Vec<u32>,
    ) {
        let known = self.known.take().filter(|(last, _)| is_same(last, values));
        let (values, mut known) =
            known.unwrap_or_else(|| (values.clone(), vec![UNMET; values.len()]));
        let mut number = |code: u32| {
            let code = code.as_usize();
            if known[code] == UNMET {
                known[code] = if values.is_valid(code) {
                    self.number_of(values.value(code))
                } else {
                    NULL
                };
            }
            known[code]
        };
        if coded.keys().null_count() == 0 {
            numbers.extend(coded.keys().values().iter().map(|&code| number(code)));
        } else {
            numbers.extend(
                coded
                    .keys()
                    .iter()
                    .map(|code| code.map_or(NULL, &mut number)),
            );
        }
        self.known = Some((values, known));
    }

    fn number_of(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let of = |number: &u32| text_of(&self.text, &self.ends, *number);
        let entry = self.numbers.entry(
            hash,
            |number| of(number) == text,
            |number| self.hasher.hash_one(of(number)),
        );
        match entry {
            Entry::Occupied(met) => *met.get(),
            Entry::Vacant(new) => {
                let number = u32::try_from(self.ends.len()).unwrap_or(UNMET);
                new.insert(number);
                self.text.push_str(text);
                self.ends.push(self.text.len());
                self.longest = self.longest.max(text.len());
                number
            }
        }
    }
}

fn text_of<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number.as_usize();
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &text[start..ends[number]]
}

/// Whether two arrays use the same memory, and so are certainly equal.
fn is_same(one: &StringArray, other: &StringArray) -> bool {
    let nulls = match (one.nulls(), other.nulls()) {
        (None, None) => true,
        (Some(one), Some(other)) => one.inner().ptr_eq(other.inner()),
        _ => false,
    };
    nulls && one.offsets().ptr_eq(other.offsets()) && one.values().ptr_eq(other.values())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::UInt32Array;

    use super::*;

    fn coded(values: &[Option<&str>], codes: &[Option<u32>]) -> ArrayRef {
        let values = Arc::new(StringArray::from(values.to_vec()));
        Arc::new(DictionaryArray::new(
            UInt32Array::from(codes.to_vec()),
            values,
        ))
    }

    fn number(texts: &mut Texts, column: &ArrayRef) -> Vec<u32> {
        let mut numbers = Vec::new();
        texts.number(column, &mut numbers).unwrap();
        numbers
    }

    #[test]
    fn a_text_has_one_number_however_it_comes() {
        let mut texts = Texts::default();
        let plain: ArrayRef = Arc::new(StringArray::from(vec![
            Some("b"),
            None,
            Some(""),
            Some("b"),
        ]));
        assert_eq!(number(&mut texts, &plain), [0, NULL, 1, 0]);
        let first = coded(
            &[Some("a"), None, Some("b")],
            &[Some(2), Some(1), None, Some(0), Some(2)],
        );
        assert_eq!(number(&mut texts, &first), [0, NULL, NULL, 2, 0]);
        assert_eq!(number(&mut texts, &first.slice(3, 2)), [2, 0]);
        let other = coded(&[Some("신용"), Some("a")], &[Some(1), Some(0)]);
        assert_eq!(number(&mut texts, &other), [2, 3]);
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["b", "", "a", "신용"]);
        assert_eq!((texts.len(), texts.longest(), texts.bytes()), (4, 6, 8));
        assert_eq!(texts.get(3), "신용");
    }

    #[test]
    fn other_types_are_refused() {
        let numbers: ArrayRef = Arc::new(UInt32Array::from(vec![1]));
        assert!(Texts::default().number(&numbers, &mut Vec::new()).is_err());
    }
}
