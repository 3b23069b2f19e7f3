//! Locations of files on this machine: paths, and `file://`.

/// Whether a location is a path of this machine.
pub fn is_local(location: &str) -> bool {
    match location.split_once("://") {
        Some((scheme, _)) => scheme.eq_ignore_ascii_case("file") || !is_scheme(scheme),
        None => true,
    }
}

/// The path of a local location.
///
/// # Errors
/// When it is empty.
pub fn local_path(location: &str) -> Result<String, String> {
    let path = match location.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
            rest.strip_prefix("localhost").unwrap_or(rest)
        }
        _ => location,
    };
    if path.trim().is_empty() {
        Err("the location is empty".to_owned())
    } else {
        Ok(path.to_owned())
    }
}

/// Whether a text can be the scheme of a URL.
pub fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}
