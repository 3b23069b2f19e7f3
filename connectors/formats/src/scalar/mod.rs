//! Values of columns from text, by one rule for all formats: numbers, dates, times, timestamps and booleans.
//!
//! 1. A text is read exactly or refused: no digit is lost, nothing wraps, and every refusal says why.
//! 2. White space around a value is no part of it. Other forms than the plain ones are options of a source.
//! 3. CSV, JSON Lines and Parquet agree on what a text or an instant means in a column. The tests hold them to it.

mod clock;
mod iso;
pub(crate) mod number;
mod number_style;
mod time_format;
pub(crate) mod timestamp;
mod value;

#[cfg(test)]
mod tests;

pub use number_style::NumberStyle;
pub use time_format::{Offsets, TimeFormat, TimeFormats, TimeRules};
pub(crate) use value::{BadValue, FieldText, OUT_OF_RANGE, boolean, reason, sql_name};
