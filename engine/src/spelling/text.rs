//! Translates texts that contain Arrow's names.

use std::borrow::Cow;

use super::quoted;

/// `text` with Arrow's types and literals spelled as in SQL: `sum(Utf8)` becomes `sum(TEXT)`, and `Utf8("web") =
/// Int64(1)` becomes `'web' = 1`.
pub fn in_sql(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = leading_word(rest);
        if word.is_empty() {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let after = &rest[word.len()..];
        let arguments = parenthesised(after);
        match spelled(word, arguments) {
            Some((spelled, with_arguments)) => {
                out.push_str(&spelled);
                let consumed = arguments
                    .filter(|_| with_arguments)
                    .map_or(0, |inner| inner.len() + 2);
                rest = &after[consumed..];
            }
            None => {
                out.push_str(word);
                rest = after;
            }
        }
    }
    out
}

fn leading_word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// The content of the parentheses that `text` begins with.
fn parenthesised(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?;
    let mut depth = 0_usize;
    let mut in_quotes = false;
    let mut characters = inner.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' if in_quotes => drop(characters.next()),
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '(' => depth += 1,
            ')' if depth == 0 => return Some(&inner[..at]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The SQL spelling of a word, and whether the spelling includes its arguments.
fn spelled<'a>(word: &str, arguments: Option<&'a str>) -> Option<(Cow<'a, str>, bool)> {
    if word == "__unnest_placeholder" {
        let list = arguments?.split(",depth=").next()?;
        return Some((format!("unnest({})", in_sql(list)).into(), true));
    }
    let name = scalar_type(word);
    match (name, arguments) {
        (Some(name), None) => Some((name.into(), false)),
        (Some(name), Some(arguments)) => Some((literal(name, arguments), true)),
        (None, Some(arguments)) => compound_type(word, arguments).map(|name| (name.into(), true)),
        (None, None) => None,
    }
}

/// Types without parameters.
fn scalar_type(word: &str) -> Option<&'static str> {
    Some(match word {
        "Boolean" => "BOOLEAN",
        "Int8" => "TINYINT",
        "Int16" => "SMALLINT",
        "Int32" => "INT",
        "Int64" => "BIGINT",
        "UInt8" => "TINYINT UNSIGNED",
        "UInt16" => "SMALLINT UNSIGNED",
        "UInt32" => "INT UNSIGNED",
        "UInt64" => "BIGINT UNSIGNED",
        "Float16" => "HALF",
        "Float32" => "REAL",
        "Float64" => "DOUBLE",
        "Utf8" | "LargeUtf8" | "Utf8View" => "TEXT",
        "Binary" | "LargeBinary" | "BinaryView" => "BYTEA",
        "Date32" | "Date64" => "DATE",
        "IntervalMonthDayNano" | "IntervalDayTime" | "IntervalYearMonth" => "INTERVAL",
        "TimestampSecond"
        | "TimestampMillisecond"
        | "TimestampMicrosecond"
        | "TimestampNanosecond" => "TIMESTAMP",
        "Time32Second" | "Time32Millisecond" | "Time64Microsecond" | "Time64Nanosecond" => "TIME",
        _ => return None,
    })
}

/// A literal: `Utf8("web")`, `Int64(1)`, `Date32("2024-03-01")`.
fn literal<'a>(type_name: &str, arguments: &'a str) -> Cow<'a, str> {
    if arguments == "NULL" {
        return "NULL".into();
    }
    let text = arguments
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match (type_name, text) {
        ("TEXT", text) => quoted(text.unwrap_or(arguments)).into(),
        ("DATE" | "TIME" | "BYTEA", Some(text)) => format!("{type_name} '{text}'").into(),
        ("TIMESTAMP", _) => {
            let number = arguments.split(',').next().unwrap_or(arguments);
            format!("TIMESTAMP {number}").into()
        }
        ("INTERVAL", _) => format!("INTERVAL '{}'", interval(text.unwrap_or(arguments))).into(),
        (_, Some(text)) => text.into(),
        (_, None) => arguments.into(),
    }
}

/// `IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 }` in words.
fn interval(text: &str) -> String {
    const NANOS_PER_SECOND: i64 = 1_000_000_000;
    let mut parts = Vec::new();
    let fields = text
        .split_once('{')
        .map_or(text, |(_, fields)| fields.trim_end_matches('}'));
    for field in fields.split(',') {
        let Some((unit, number)) = field.split_once(':') else {
            return text.to_owned();
        };
        let Ok(number) = number.trim().parse::<i64>() else {
            return text.to_owned();
        };
        match (number, unit.trim()) {
            (0, _) => {}
            (number, "nanoseconds") if number % NANOS_PER_SECOND == 0 => {
                parts.push(format!("{} seconds", number / NANOS_PER_SECOND));
            }
            (number, unit) => parts.push(format!("{number} {unit}")),
        }
    }
    if parts.is_empty() {
        "0 days".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Types that have arguments: `Timestamp(µs, "UTC")`, `Decimal128(12, 2)`, `List(Utf8)`.
fn compound_type(word: &str, arguments: &str) -> Option<String> {
    Some(match word {
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => decimal(arguments),
        "Timestamp" => {
            let zoned = arguments
                .split_once(',')
                .is_some_and(|(_, zone)| zone.trim() != "None");
            if zoned { "TIMESTAMPTZ" } else { "TIMESTAMP" }.to_owned()
        }
        "Time32" | "Time64" => "TIME".to_owned(),
        "Interval" => "INTERVAL".to_owned(),
        "Duration" => "DURATION".to_owned(),
        "FixedSizeBinary" => "BYTEA".to_owned(),
        "Dictionary" => in_sql(arguments.split_once(',')?.1.trim()),
        "List" | "LargeList" | "ListView" | "LargeListView" | "FixedSizeList" => {
            format!("{}[]", in_sql(list_item(arguments)))
        }
        "Struct" => format!("STRUCT<{}>", struct_fields(arguments)),
        "Map" => "MAP".to_owned(),
        _ => return None,
    })
}

/// A decimal type, `12, 2`, or a literal, `Some(150),10,2`.
fn decimal(arguments: &str) -> String {
    let Some(rest) = arguments.strip_prefix("Some(") else {
        return match arguments.split_once(',') {
            Some((precision, _)) if precision.trim() == "None" => "NULL".to_owned(),
            _ => format!("DECIMAL({arguments})"),
        };
    };
    let number = rest.split(')').next().unwrap_or(rest);
    let scale = rest
        .rsplit(',')
        .next()
        .and_then(|scale| scale.trim().parse::<usize>().ok());
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    match scale {
        Some(scale) if scale > 0 => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        _ => number.to_owned(),
    }
}

/// The item's type in `Int64`, `non-null Int64` and `Int64, field: 'item'`.
fn list_item(arguments: &str) -> &str {
    let item = arguments.strip_prefix("non-null ").unwrap_or(arguments);
    item.split(", field: ").next().unwrap_or(item)
}

/// `"a": Int32, "b": non-null Utf8` as `a INT, b TEXT`.
fn struct_fields(arguments: &str) -> String {
    let mut out = String::new();
    for (at, part) in arguments.split('"').enumerate() {
        if at % 2 == 1 {
            out.push_str(&super::identifier(part));
        } else {
            let types = part.strip_prefix(": ").map_or_else(
                || part.to_owned(),
                |rest| format!(" {}", rest.strip_prefix("non-null ").unwrap_or(rest)),
            );
            out.push_str(&types);
        }
    }
    in_sql(&out)
}
