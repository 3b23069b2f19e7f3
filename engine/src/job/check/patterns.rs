//! Warns about date patterns in the style of other engines, which `to_char` returns unchanged.

use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{Expr, LogicalPlan};

use super::super::tokens::Find;
use super::Refusal;

/// The warning about a pattern that has letters and no `%`, which gives every row the pattern's own text.
pub(super) fn surprise(expr: &Expr, _: &LogicalPlan) -> Option<Refusal> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
        return None;
    };
    let (is_format, pattern) = match (func.name(), args.as_slice()) {
        ("to_char", [_, pattern]) => (true, pattern),
        (
            "to_timestamp" | "to_date" | "to_timestamp_millis" | "to_timestamp_micros",
            [_, pattern],
        ) => (false, pattern),
        _ => return None,
    };
    let Expr::Literal(pattern, _) = pattern else {
        return None;
    };
    let pattern = pattern.try_as_str().flatten()?;
    if pattern.contains('%') || !pattern.contains(|letter: char| letter.is_ascii_alphabetic()) {
        return None;
    }
    let names = std::iter::once(func.name()).chain(func.aliases().iter().map(String::as_str));
    let mut finds: Vec<Find> = vec![Find::Text(pattern.to_owned())];
    finds.extend(names.map(|name| Find::Call(name.to_owned())));
    let message = if is_format {
        format!("'{pattern}' has no %, so every row gets this text itself")
    } else {
        format!("'{pattern}' has no %, so no text fits it")
    };
    let hint = match strftime(pattern) {
        Some(pattern) => format!("patterns are strftime's: '{pattern}'"),
        None => "patterns are strftime's, such as '%Y-%m-%d %H:%M:%S'".to_owned(),
    };
    Some(Refusal::new(finds, message, hint))
}

/// The strftime equivalent of a pattern of Postgres, Java or Oracle; `None` if it has unknown letters.
fn strftime(pattern: &str) -> Option<String> {
    // Longer words first. Java writes minutes `mm` and months `MM`, Postgres minutes `mi` in either case.
    const WORDS: [(&str, &str); 33] = [
        ("HH24", "%H"),
        ("hh24", "%H"),
        ("HH12", "%I"),
        ("hh12", "%I"),
        ("Month", "%B"),
        ("MMMM", "%B"),
        ("MMM", "%b"),
        ("Mon", "%b"),
        ("yyyy", "%Y"),
        ("YYYY", "%Y"),
        ("EEEE", "%A"),
        ("Day", "%A"),
        ("EEE", "%a"),
        ("DDD", "%j"),
        ("SSSSSS", "%6f"),
        ("SSS", "%3f"),
        ("yy", "%y"),
        ("YY", "%y"),
        ("MM", "%m"),
        ("MI", "%M"),
        ("mi", "%M"),
        ("mm", "%M"),
        ("dd", "%d"),
        ("DD", "%d"),
        ("HH", "%H"),
        ("hh", "%I"),
        ("ss", "%S"),
        ("SS", "%S"),
        ("MS", "%3f"),
        ("US", "%6f"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("a", "%p"),
    ];
    // Postgres also accepts a pattern all in lower case. Its first `mm` is the month.
    let is_lower = !pattern.contains(|letter: char| letter.is_ascii_uppercase());
    let mut month_is_open = is_lower && pattern.contains("dd");
    let mut written = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let end = quoted.find('\'')?;
            written.push_str(&quoted[..end]);
            rest = &quoted[end + 1..];
        } else if !letter.is_ascii_alphabetic() {
            written.push(letter);
            rest = &rest[letter.len_utf8()..];
        } else if let Some(after) = rest.strip_prefix("mm").filter(|_| month_is_open) {
            month_is_open = false;
            written.push_str("%m");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('T').filter(|_| !written.is_empty()) {
            written.push('T');
            rest = after;
        } else {
            let (word, meaning) = WORDS.iter().find(|(word, _)| rest.starts_with(word))?;
            written.push_str(meaning);
            rest = &rest[word.len()..];
        }
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn patterns_of_other_engines() {
        for (pattern, expected) in [
            ("yyyy-MM-dd", Some("%Y-%m-%d")),
            ("yyyy-MM-dd HH:mm:ss", Some("%Y-%m-%d %H:%M:%S")),
            ("yyyy-MM-dd'T'HH:mm:ss.SSS", Some("%Y-%m-%dT%H:%M:%S.%3f")),
            ("YYYY-MM", Some("%Y-%m")),
            ("YYYY-MM-DD HH24:MI:SS", Some("%Y-%m-%d %H:%M:%S")),
            ("yyyy-mm-dd hh24:mi:ss", Some("%Y-%m-%d %H:%M:%S")),
            ("HH:mm", Some("%H:%M")),
            ("dd/MM/yy", Some("%d/%m/%y")),
            ("Q", None),
        ] {
            assert_eq!(strftime(pattern).as_deref(), expected, "{pattern}");
        }
    }
}
