//! Compares names of columns, files and folders.
//!
//! Unicode spells many letters in two ways: `é` is one character (composed, NFC) or an `e` and an accent (decomposed,
//! NFD). Keyboards write the first, macOS delivers the second, and they look the same. So names are equal if their
//! composed spellings are. A name that is spelled exactly alike takes precedence.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// The composed spelling of a text (NFC).
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Whether two names are the same, in whatever spelling.
pub fn is_same(one: &str, other: &str) -> bool {
    // A name in ASCII has one spelling, and so has a name without marks.
    one == other || !(one.is_ascii() || other.is_ascii()) && composed(one) == composed(other)
}

/// Whether two names differ at most in case and spelling.
pub fn is_same_in_any_case(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || !(one.is_ascii() && other.is_ascii())
            && composed(one).to_lowercase() == composed(other).to_lowercase()
}

/// The indices of the names that are `name`: those that are spelled exactly so or, if there are none, those that are
/// the same in another spelling.
pub(crate) fn positions<'a>(
    names: &(impl Iterator<Item = &'a str> + Clone),
    name: &str,
) -> Vec<usize> {
    let matching = |is_match: &dyn Fn(&str) -> bool| {
        let found = names
            .clone()
            .enumerate()
            .filter(|(_, other)| is_match(other));
        found.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let exact = matching(&|other| other == name);
    if exact.is_empty() && !name.is_ascii() {
        return matching(&|other| is_same(other, name));
    }
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "금액";
    const DECOMPOSED: &str = "\u{1100}\u{1173}\u{11b7}\u{110b}\u{1162}\u{11a8}";

    #[test]
    fn spellings_of_a_name_are_the_same() {
        let cases = [
            (COMPOSED, DECOMPOSED, true),
            ("é", "e\u{301}", true),
            ("Å", "\u{212b}", true),
            ("a", "a", true),
            ("é", "e", false),
            ("é", "É", false),
            ("ﬁ", "fi", false),
            ("", "금", false),
        ];
        for (one, other, same) in cases {
            assert_eq!(is_same(one, other), same, "{one} {other}");
            assert_eq!(is_same(other, one), same, "{other} {one}");
        }
        assert!(is_same_in_any_case("É", "e\u{301}"));
        assert!(is_same_in_any_case("ID", "id"));
        assert!(!is_same_in_any_case("É", "e"));
        assert_eq!(composed(DECOMPOSED), COMPOSED);
    }

    #[test]
    fn an_exact_spelling_takes_precedence() {
        let positions = |names: &[&str], name| positions(&names.iter().copied(), name);
        assert_eq!(positions(&[DECOMPOSED, COMPOSED], COMPOSED), [1]);
        assert_eq!(positions(&[DECOMPOSED, COMPOSED], DECOMPOSED), [0]);
        assert_eq!(positions(&["id", DECOMPOSED], COMPOSED), [1]);
        assert_eq!(positions(&["id", COMPOSED], DECOMPOSED), [1]);
        assert_eq!(positions(&["id", "id", "x"], "id"), [0, 1]);
        assert_eq!(positions(&["id"], COMPOSED), [0_usize; 0]);
    }
}
