//! Turns panics of the `parquet` and `arrow` crates into errors. They panic over some damaged files, where they
//! should return an error: negative offsets, impossible types in the embedded Arrow schema, bit widths beyond 64,
//! truncated dictionaries.
//!
//! Every call into them that reads bytes of a file goes through [`guarded`]. It is the last resort:
//! [`open`](super::open) first checks what can be checked in a footer. The closures contain only calls of these
//! crates, so that a panic of our own is never mistaken for damage.
//!
//! The process's panic hook runs before the panic is caught. A program with a hook of its own calls [`is_guarded`] in
//! it, and prints nothing if it returns true.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in a guarded call, in which a panic becomes an error that names the file.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs `call`, and turns its panics into errors. After an error, everything that `call` borrowed must be dropped
/// unused.
///
/// # Errors
/// The error of `call`, or its panic.
pub(crate) fn guarded<T, E: From<ParquetError>>(
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    result.unwrap_or_else(|panic| {
        let message = format!("its content is not valid ({})", describe(panic.as_ref()));
        Err(ParquetError::General(message).into())
    })
}

/// The items of `inner`, with panics turned into errors. Ends after the first error.
pub(crate) fn guarded_iter<T>(
    mut inner: impl Iterator<Item = Result<T, ArrowError>>,
) -> impl Iterator<Item = Result<T, ArrowError>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let item = guarded(|| inner.next().transpose()).transpose();
        failed = matches!(item, Some(Err(_)));
        item
    })
}

fn describe(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .and_then(|text| text.lines().next())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn panics_become_errors_and_leave_no_trace() {
        let error = guarded::<(), ParquetError>(|| panic!("column start is negative"));
        let message = error.map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err("Parquet error: its content is not valid (column start is negative)".to_owned())
        );
        assert!(!is_guarded());
        assert_eq!(
            guarded(|| Ok::<_, ParquetError>(is_guarded())).ok(),
            Some(true)
        );
    }

    #[test]
    fn an_iterator_ends_with_its_panic() {
        let mut next = 0;
        let numbers = std::iter::from_fn(|| {
            next += 1;
            assert!(next < 3, "broken");
            Some(Ok(next))
        });
        let read: Vec<_> = guarded_iter(numbers).map(Result::ok).collect();
        assert_eq!(read, [Some(1), Some(2), None]);
    }
}
