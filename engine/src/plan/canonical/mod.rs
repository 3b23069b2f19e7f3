//! A stable text of plans, types and table declarations. Fingerprints of stored states are hashes of this text.
//!
//! `Debug` and `Display` of Arrow and `DataFusion` change between versions. This text does not, so an upgrade of
//! either does not rebuild states by its wording alone.
//!
//! 1. Equal plans have equal texts. Plans that differ in their rows, columns or operators' state have different
//!    texts. Lists begin with their length, and strings with their number of bytes.
//! 2. If a change of this module changes a text, it also changes the golden test and [`VERSION`].
//!
//! ```text
//! (name item …)   a node      [2 item item]   a list of two     5:hello   a text of five bytes
//! ```

mod expression;
mod relation;
mod scalar;
#[cfg(test)]
mod tests;
mod types;

use std::fmt::{Display, Write};

use tidewater_operators::hash::hash;

/// Incremented when the same plan gets another text, gets another meaning, or keeps its state in another form. A
/// state whose fingerprints have another version is rebuilt from its stored inputs.
pub const VERSION: u32 = 2;

/// A canonical text under construction.
#[derive(Debug, Default)]
pub struct CanonicalText {
    text: String,
}

/// A value with a canonical text.
pub trait Canonical {
    /// Appends the value's text.
    fn write_to(&self, text: &mut CanonicalText);
}

impl CanonicalText {
    /// The text of `value`.
    pub fn of<T: Canonical + ?Sized>(value: &T) -> Self {
        let mut text = Self::default();
        value.write_to(&mut text);
        text
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text's fingerprint: the version and a hash.
    pub fn fingerprint(&self) -> String {
        format!("{VERSION}-{:016x}", hash(self.text.as_bytes()))
    }

    /// Appends a node.
    pub fn node(&mut self, name: &str, items: impl FnOnce(&mut Self)) {
        self.text.push('(');
        self.text.push_str(name);
        items(self);
        self.text.push(')');
    }

    /// Appends a word or a number. It must not contain blanks, brackets or colons.
    pub fn word(&mut self, word: impl Display) {
        let _ = write!(self.text, " {word}");
    }

    /// Appends a text.
    pub fn string(&mut self, string: &str) {
        let _ = write!(self.text, " {}:{string}", string.len());
    }

    /// Appends bytes, in hex.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = write!(self.text, " x{}:", bytes.len());
        for byte in bytes {
            let _ = write!(self.text, "{byte:02x}");
        }
    }

    /// Appends another value.
    pub fn value<T: Canonical + ?Sized>(&mut self, value: &T) {
        self.text.push(' ');
        value.write_to(self);
    }

    /// Appends a list.
    pub fn list<'a, T: Canonical + 'a>(&mut self, values: impl ExactSizeIterator<Item = &'a T>) {
        let _ = write!(self.text, " [{}", values.len());
        values.for_each(|value| self.value(value));
        self.text.push(']');
    }

    /// Appends a list of numbers.
    pub fn numbers(&mut self, numbers: &[usize]) {
        let _ = write!(self.text, " [{}", numbers.len());
        numbers.iter().for_each(|number| self.word(number));
        self.text.push(']');
    }

    /// Appends a value that may be missing.
    pub fn option<T: Canonical + ?Sized>(&mut self, value: Option<&T>) {
        match value {
            Some(value) => self.value(value),
            None => self.word("none"),
        }
    }
}

impl<T: Canonical + ?Sized> Canonical for Box<T> {
    fn write_to(&self, text: &mut CanonicalText) {
        (**self).write_to(text);
    }
}

impl<T: Canonical + ?Sized> Canonical for std::sync::Arc<T> {
    fn write_to(&self, text: &mut CanonicalText) {
        (**self).write_to(text);
    }
}
