//! The values of `min` and `max` in a worker's own representation, ordered like their bytes.

use arrow::datatypes::DataType;

use super::error::AggregateError;
use super::sort_pairs::ValueReader;
use crate::row::EncodedRow;

/// Reads and writes values of `min` and `max`.
pub trait ValueCodec: ValueReader {
    /// The value with these bytes; `None` when they are not those of a value.
    fn decode(bytes: &[u8]) -> Option<Self::Value>;

    /// Appends the value's bytes.
    fn encode(value: &Self::Value, bytes: &mut Vec<u8>);
}

/// Represents values of any type by their order-preserving bytes.
pub struct BytesCodec;

impl ValueReader for BytesCodec {
    type Value = EncodedRow;

    fn read(&mut self, bytes: &[u8]) -> Result<EncodedRow, AggregateError> {
        Ok(EncodedRow::from(bytes))
    }
}

impl ValueCodec for BytesCodec {
    fn decode(bytes: &[u8]) -> Option<EncodedRow> {
        Some(EncodedRow::from(bytes))
    }

    fn encode(value: &EncodedRow, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(value.as_bytes());
    }
}

/// Represents values of eight bytes by one integer. Pairs are then sorted by digits, and take a third of the memory.
pub struct NumberCodec;

/// Arrow's row format puts this byte before a value that is not NULL. NULL is never in a pair.
const PRESENT: u8 = 1;

impl NumberCodec {
    /// Whether values of this type have eight bytes.
    pub fn supports(data_type: &DataType) -> bool {
        matches!(
            data_type,
            DataType::Int64
                | DataType::UInt64
                | DataType::Float64
                | DataType::Timestamp(..)
                | DataType::Date64
                | DataType::Time64(_)
                | DataType::Decimal64(..)
        )
    }
}

impl ValueReader for NumberCodec {
    type Value = u64;

    fn read(&mut self, bytes: &[u8]) -> Result<u64, AggregateError> {
        Self::decode(bytes).ok_or(AggregateError::ValueBytes(bytes.len()))
    }
}

impl ValueCodec for NumberCodec {
    fn decode(bytes: &[u8]) -> Option<u64> {
        let (&PRESENT, value) = bytes.split_first()? else {
            return None;
        };
        value.try_into().ok().map(u64::from_be_bytes)
    }

    fn encode(value: &u64, bytes: &mut Vec<u8>) {
        bytes.push(PRESENT);
        bytes.extend_from_slice(&value.to_be_bytes());
    }
}
