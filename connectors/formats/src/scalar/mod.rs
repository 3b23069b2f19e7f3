//! Parses values of columns from text, by the same rules for all formats: numbers, dates, times, timestamps and
//! booleans.
//!
//! 1. A text is parsed exactly or rejected: no digit is lost, nothing overflows, and every rejection has a reason.
//! 2. White space around a value is ignored. Forms other than the plain ones need an option of the source.
//! 3. CSV, JSON Lines and Parquet agree on what a text or an instant means in a column. Tests check it.

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
