//! Dense numbers for the codes of a pre-aggregation's groups or values.
//!
//! Tables are indexed by these numbers, so they are as large as what is in them. While the codes of a space are few and
//! most of them are met, a code is its own number. Otherwise codes are numbered in the order in which they are met.

use std::rc::Rc;

use crate::dictionary::DictionaryFull;
use crate::interner::ColumnCodes;

/// More codes than this are always renumbered, even if most of them are met.
const IDENTITY_MAX: usize = 1 << 14;
const UNSET: u32 = u32::MAX;

/// Numbers of codes, counted from 0.
#[derive(Default)]
pub struct DenseCodes {
    /// Whether codes are their own numbers.
    is_identity: bool,
    /// The number of each code, unless codes are their own numbers.
    numbers: Vec<u32>,
    /// The code of each number.
    codes: Vec<u32>,
}

impl DenseCodes {
    /// The number of each row.
    ///
    /// # Errors
    /// When there are more codes than a `u32` can number.
    pub fn assign(&mut self, codes: &ColumnCodes) -> Result<Rc<[u32]>, DictionaryFull> {
        let is_first = self.codes.is_empty() && !codes.rows.is_empty();
        let is_few = codes.known <= IDENTITY_MAX;
        if self.is_identity && !is_few {
            self.renumber();
        }
        if !self.is_identity {
            let numbers = self.number(codes)?;
            if !(is_first && is_few && codes.known <= 2 * self.codes.len()) {
                return Ok(numbers);
            }
            self.clear();
            self.is_identity = true;
        }
        let met = number(self.codes.len());
        self.codes.extend(met..number(codes.known));
        Ok(Rc::clone(&codes.rows))
    }

    /// Makes a table of the numbers, which are the codes themselves so far.
    fn renumber(&mut self) {
        self.is_identity = false;
        self.numbers
            .resize(self.numbers.len().max(self.codes.len()), UNSET);
        self.numbers[..self.codes.len()].copy_from_slice(&self.codes);
    }

    fn number(&mut self, codes: &ColumnCodes) -> Result<Rc<[u32]>, DictionaryFull> {
        if self.numbers.len() < codes.known {
            self.numbers.resize(codes.known, UNSET);
        }
        let mut is_fresh = false;
        let known = codes.rows.iter().map(|&code| {
            let number = self.numbers[code as usize];
            is_fresh |= number == UNSET;
            number
        });
        let known: Rc<[u32]> = known.collect();
        if !is_fresh {
            return Ok(known);
        }
        for &code in codes.rows.iter() {
            let known = &mut self.numbers[code as usize];
            if *known == UNSET {
                *known = u32::try_from(self.codes.len()).map_err(|_| DictionaryFull)?;
                self.codes.push(code);
            }
        }
        let rows = codes.rows.iter();
        Ok(rows.map(|&code| self.numbers[code as usize]).collect())
    }

    /// The codes by number.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// Forgets all codes. Costs time in proportion to their number.
    pub fn clear(&mut self) {
        if !std::mem::take(&mut self.is_identity) {
            for &code in &self.codes {
                self.numbers[code as usize] = UNSET;
            }
        }
        self.codes.clear();
    }
}

/// An index as a number, which was checked to fit.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(UNSET)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::interner::SpaceId;

    fn codes(rows: &[u32], known: usize) -> ColumnCodes {
        ColumnCodes {
            space: SpaceId::Values(0),
            rows: rows.into(),
            known,
        }
    }

    /// The numbers of each batch of codes, after checking that they lead back to the codes.
    fn numbered(numbers: &mut DenseCodes, batches: &[ColumnCodes]) -> Vec<Vec<u32>> {
        let assigned: Vec<_> = batches
            .iter()
            .map(|batch| numbers.assign(batch).unwrap())
            .collect();
        for (batch, assigned) in batches.iter().zip(&assigned) {
            let back = assigned
                .iter()
                .map(|&number| numbers.codes()[number as usize]);
            assert!(back.eq(batch.rows.iter().copied()));
        }
        assigned.iter().map(|batch| batch.to_vec()).collect()
    }

    #[test]
    fn codes_are_numbered_is_identity_met() {
        let mut numbers = DenseCodes::default();
        for _ in 0..2 {
            let batches = [
                codes(&[90, 7, 90], 100),
                codes(&[], 100),
                codes(&[3, 7], 200),
            ];
            let expected: [&[u32]; 3] = [&[0, 1, 0], &[], &[2, 1]];
            assert_eq!(numbered(&mut numbers, &batches), expected);
            assert_eq!(numbers.codes(), [90, 7, 3]);
            numbers.clear();
            assert!(numbers.codes().is_empty());
        }
    }

    #[test]
    fn codes_that_are_met_for_the_most_part_stay_is_identity() {
        let mut numbers = DenseCodes::default();
        for _ in 0..2 {
            let batches = [codes(&[3, 1], 4), codes(&[2, 2], 3), codes(&[9, 0], 10)];
            let expected: [&[u32]; 3] = [&[3, 1], &[2, 2], &[9, 0]];
            assert_eq!(numbered(&mut numbers, &batches), expected);
            assert_eq!(numbers.codes().len(), 10);
            numbers.clear();
        }
        // Numbers from before `clear` are not used again.
        assert_eq!(numbered(&mut numbers, &[codes(&[3, 9], 10)]), [[0, 1]]);
    }

    #[test]
    fn many_codes_are_numbered_however_they_began() {
        let mut numbers = DenseCodes::default();
        let many = IDENTITY_MAX + 5;
        let last = many as u32 - 1;
        let batches = [codes(&[0, 2, 1], 4), codes(&[last, 2, last - 1, 4], many)];
        let expected: [&[u32]; 2] = [&[0, 2, 1], &[4, 2, 5, 6]];
        assert_eq!(numbered(&mut numbers, &batches), expected);
        numbers.clear();
        let all: Vec<u32> = (0..many as u32).rev().collect();
        let expected: Vec<u32> = (0..many as u32).collect();
        assert_eq!(numbered(&mut numbers, &[codes(&all, many)]), [expected]);
    }
}
