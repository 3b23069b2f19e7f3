//! A stack that is large enough for deep syntax trees.
//!
//! Operators of one chain nest as deep as the chain is long: `a = 1 OR a = 2 OR …` with thousands of links is what programs
//! write. The parser, the planner and the optimizer walk trees by recursion. Chains that may be are balanced as soon as they
//! are planned (`dialect`), and others have a limit (`check::depth`); until then the stack has to hold them.

/// What a job without long chains needs.
const BASE: usize = 32 << 20;
/// What an operator needs more, in a build without optimisation.
const PER_OPERATOR: usize = 32 << 10;
/// At most this is reserved. It is not used before it is needed.
const MOST: usize = 4 << 30;

/// Runs `work` on a stack with room for the expressions of `sql`.
pub(super) fn with_room_for<R>(sql: &str, work: impl FnOnce() -> R) -> R {
    let size = BASE.saturating_add(operators(sql).saturating_mul(PER_OPERATOR));
    stacker::grow(size.min(MOST), work)
}

/// Words and signs that may join expressions.
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
