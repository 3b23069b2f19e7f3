//! x

pub mod encode;
