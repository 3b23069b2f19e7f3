//! Messages as sources meet them.
#![allow(clippy::unwrap_used)]
