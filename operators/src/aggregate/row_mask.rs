//! The rows of a batch that an aggregate call counts.

use arrow::array::{Array, ArrayRef, BooleanArray};

/// The rows whose filter is true and whose argument is not NULL.
pub struct RowMask(Option<BooleanArray>);

impl RowMask {
    /// The mask of a call with this filter and this argument; without either, all rows count.
    pub fn new(filter: Option<&BooleanArray>, argument: Option<&ArrayRef>) -> Self {
        let valid = argument.and_then(Array::logical_nulls);
        let selected = filter.map(|filter| match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        });
        let both = match (selected, valid) {
            (None, None) => return Self(None),
            (Some(selected), None) => selected,
            (None, Some(valid)) => valid.into_inner(),
            (Some(selected), Some(valid)) => &selected & valid.inner(),
        };
        Self(Some(BooleanArray::new(both, None)))
    }

    /// One bit a row; `None` when all rows count.
    pub fn bits(&self) -> Option<&BooleanArray> {
        self.0.as_ref()
    }

    /// Whether a row counts.
    #[inline]
    pub fn includes(&self, row: usize) -> bool {
        self.0.as_ref().is_none_or(|bits| bits.value(row))
    }
}

#[cfg(test)]
impl From<Option<BooleanArray>> for RowMask {
    fn from(bits: Option<BooleanArray>) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn rows_count_where_the_filter_is_true_and_the_argument_is_not_null() {
        let filter = BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]);
        let argument: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None]));
        let included = |mask: &RowMask| [0, 1, 2, 3].map(|row| mask.includes(row));
        for (filter, argument, expected) in [
            (None, None, [true; 4]),
            (Some(&filter), None, [true, false, false, true]),
            (None, Some(&argument), [true, true, true, false]),
            (Some(&filter), Some(&argument), [true, false, false, false]),
        ] {
            let mask = RowMask::new(filter, argument);
            assert_eq!(included(&mask), expected);
            assert_eq!(mask.bits().is_none(), expected == [true; 4]);
        }
    }
}
