//! Runs work on a stack that is large enough for deep syntax trees.
//!
//! The operators of a chain nest as deep as the chain is long, and programs write `a = 1 OR a = 2 OR …` with
//! thousands of links. The parser, the planner and the optimizer walk trees by recursion. Associative chains are
//! balanced as soon as they are planned (`dialect`), and other expressions have a depth limit (`check::depth`). Until
//! then, the stack has to hold them.

/// Stack for a job without long chains.
const BASE: usize = 32 << 20;
/// Further stack for each operator, in a build without optimisation.
const PER_OPERATOR: usize = 32 << 10;
/// Most stack that is reserved. Unused pages take no memory.
const MOST: usize = 4 << 30;

/// Runs `work` on a stack with room for the expressions of `sql`.
pub(super) fn with_room_for<R>(sql: &str, work: impl FnOnce() -> R) -> R {
    let size = BASE.saturating_add(operators(sql).saturating_mul(PER_OPERATOR));
    stacker::grow(size.min(MOST), work)
}

/// Counts words and signs that may join expressions.
fn operators(sql: &str) -> usize {
    let words = sql.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_operator = |word: &&str| {
        ["and", "or", "not", "union"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    };
    let signs = sql.bytes().filter(|byte| b"+-*/%|".contains(byte)).count();
    words.filter(is_operator).count() + signs
}
