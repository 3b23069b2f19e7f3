//! "Did you mean …?"

/// The candidate nearest to `name` by edit distance, if it is close enough.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let allowed = ((wanted.chars().count() + 1) / 3).min(3);
    let distances = candidates.into_iter().map(|candidate| {
        let edits = strsim::osa_distance(&wanted, &candidate.to_lowercase());
        (edits, candidate)
    });
    distances
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let columns = ["amount", "region", "category"];
        assert_eq!(nearest("amout", columns), Some("amount"));
        assert_eq!(nearest("REGOIN", columns), Some("region"));
        assert_eq!(nearest("sub_category_name", columns), None);
        assert_eq!(
            nearest("x", ["t"]),
            None,
            "a single letter is near to nothing"
        );
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest("금엑", ["금액"]), Some("금액"));
    }
}
