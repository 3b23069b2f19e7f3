//! Sorts items by their keys, which are bytes somewhere in memory.
//!
//! A comparison sort would read two keys a comparison. Here each key is read once for the eight bytes after the common
//! prefix, which sort as an integer beside the item. Keys that agree in them are sorted by the next eight bytes.
//!
//! Shorter keys are padded with zeros. A key with a lesser word is thus less, and keys with equal words are compared as
//! a whole in the end.

/// So few items are compared as a whole.
const COMPARED_MAX: usize = 16;
/// After this many words keys are compared as a whole.
const WORDS_MAX: usize = 8;
const WORD_BYTES: usize = size_of::<u64>();

/// The items in the order of their keys.
pub fn in_key_order<'a, T>(items: impl Iterator<Item = T>, key: impl Fn(&T) -> &'a [u8]) -> Vec<T> {
    let mut words: Vec<(u64, T)> = items.map(|item| (0, item)).collect();
    let mut keys = words.iter().map(|(_, item)| key(item));
    let Some(first) = keys.next() else {
        return Vec::new();
    };
    let shared = keys.fold(first.len(), |shared, key| {
        let bytes = first[..shared].iter().zip(key);
        bytes.take_while(|(one, other)| one == other).count()
    });
    sort_from(shared, WORDS_MAX, &mut words, &key);
    words.into_iter().map(|(_, item)| item).collect()
}

/// Sorts items whose keys are equal in the first `from` bytes, by up to this many words.
fn sort_from<'a, T>(
    from: usize,
    words: usize,
    items: &mut [(u64, T)],
    key: &impl Fn(&T) -> &'a [u8],
) {
    if words == 0 || items.len() <= COMPARED_MAX {
        items.sort_unstable_by(|(_, one), (_, other)| key(one).cmp(key(other)));
        return;
    }
    for (word, item) in items.iter_mut() {
        *word = word_at(key(item), from);
    }
    items.sort_unstable_by_key(|(word, _)| *word);
    for equal in items.chunk_by_mut(|(one, _), (other, _)| one == other) {
        if equal.len() > 1 {
            sort_from(from + WORD_BYTES, words - 1, equal, key);
        }
    }
}

/// The eight bytes from `from` on, padded with zeros.
#[inline]
fn word_at(key: &[u8], from: usize) -> u64 {
    let rest = key.get(from..).unwrap_or_default();
    if let Some(word) = rest.first_chunk() {
        return u64::from_be_bytes(*word);
    }
    let mut word = [0; WORD_BYTES];
    word[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of few different bytes and many lengths, so that words tie, end and are padded in every way.
    #[test]
    fn items_are_sorted_like_their_keys() {
        let mut state = 5_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for prefix in [0, 3, 8, 100] {
            for (count, length, bytes) in [
                (0, 1, 1),
                (1, 30, 2),
                (COMPARED_MAX, 9, 2),
                (500, 3, 3),
                (500, 40, 1),
                (500, 200, 2),
                (5000, 20, 3),
                (5000, 12, 256),
            ] {
                let keys: Vec<Vec<u8>> = (0..count)
                    .map(|_| {
                        let rest = (0..random(length)).map(|_| random(bytes).to_le_bytes()[0]);
                        vec![7; prefix].into_iter().chain(rest).collect()
                    })
                    .collect();
                let sorted = in_key_order(0..count, |&at| &keys[at]);
                let mut expected: Vec<&Vec<u8>> = keys.iter().collect();
                expected.sort();
                let found: Vec<&Vec<u8>> = sorted.iter().map(|&at| &keys[at]).collect();
                assert_eq!(found, expected, "{count} keys of up to {length} bytes");
            }
        }
    }

    /// More keys with a long common part than are compared at once.
    #[test]
    fn long_keys_are_compared_in_the_end() {
        let key = |at: usize| {
            let head = [b"a".as_slice(), &vec![0; 1000], &at.to_be_bytes()].concat();
            if at == 0 { b"b".to_vec() } else { head }
        };
        let keys: Vec<Vec<u8>> = (0..100).map(key).collect();
        let sorted = in_key_order((0..100).rev(), |&at| &keys[at]);
        assert_eq!(sorted, (1..100).chain([0]).collect::<Vec<_>>());
    }
}
