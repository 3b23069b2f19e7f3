//! Rewords messages of the planner so that they say what to write.

use super::syntax_error::lower_first;
use crate::spelling::{identifier, in_sql};

/// A message, and what to write instead.
pub(super) struct Reworded {
    pub message: String,
    pub hint: Option<String>,
}

impl Reworded {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

/// The planner's message in better words, or unchanged if there are none.
pub(super) fn reworded(message: &str) -> Reworded {
    better_words(message).unwrap_or_else(|| Reworded {
        message: lower_first(&in_sql(message.trim())),
        hint: None,
    })
}

/// Better words for a known message.
pub(super) fn better_words(message: &str) -> Option<Reworded> {
    let message = message.trim();
    let rules = [
        two_columns_of_a_name,
        sum_of_null,
        field_of_struct,
        operands,
        interval_operands,
        frame_offset,
        ordered_by,
        wildcard,
        having,
        syntax_tree,
    ];
    rules.into_iter().find_map(|rule| rule(message))
}

/// `Projections require unique expression names but the expression "a" at position 0 and "b AS a" at position 1 …`
fn two_columns_of_a_name(message: &str) -> Option<Reworded> {
    let rest = message
        .split_once("require unique expression names but the expression \"")?
        .1;
    let (first, rest) = rest.split_once("\" at position ")?;
    let second = rest
        .split_once(" and \"")
        .and_then(|(_, second)| second.split_once("\" at position "));
    let name = |expression: &str| {
        let name = expression.rsplit(" AS ").next().unwrap_or(expression);
        in_sql(name)
    };
    let second = second.map_or(first, |(second, _)| second);
    let name = name(if second.contains(" AS ") {
        second
    } else {
        first
    });
    Some(Reworded::new(
        format!("two columns of one SELECT are named '{name}'"),
        "give one of them another name with AS; where GROUP BY names a column of the SELECT, see that it is no aggregate",
    ))
}

/// `[return_type] SUM not supported for Null`
fn sum_of_null(message: &str) -> Option<Reworded> {
    let (before, found) = message.split_once(" not supported for ")?;
    if !found.trim_end_matches('.').ends_with("Null") {
        return None;
    }
    let function = before.rsplit(' ').next().unwrap_or(before).to_lowercase();
    Some(Reworded::new(
        format!("{function} of NULL has no type"),
        format!("say which: {function}(CAST(NULL AS BIGINT))"),
    ))
}

/// `Field emailaddress not found in struct`
fn field_of_struct(message: &str) -> Option<Reworded> {
    let field = message
        .split_once("Field ")?
        .1
        .split_once(" not found in struct")?
        .0;
    Some(Reworded::new(
        format!("there is no field '{field}'"),
        "write the name as it is declared, in brackets: item['emailAddress']; fields differ in case",
    ))
}

/// `Cannot coerce arithmetic expression Int64 + List(Utf8) to valid types`
fn operands(message: &str) -> Option<Reworded> {
    let marks = [
        "Cannot coerce arithmetic expression ",
        "Cannot infer common argument type for comparison operation ",
        "Cannot infer common argument type for logical boolean operation ",
        "Cannot infer common argument type for regex operation ",
        "Cannot infer common argument type for operation ",
        "Cannot infer common type for bitwise operation ",
        "Cannot infer common string type for string concat operation ",
    ];
    let operation = marks
        .iter()
        .find_map(|mark| message.split_once(mark).map(|(_, rest)| rest))?;
    let operation = operation
        .split(" to valid types")
        .next()
        .unwrap_or(operation);
    Some(Reworded::new(
        format!("there is no {}", in_sql(operation)),
        "CAST one side to the type of the other",
    ))
}

/// `Cannot get result type for temporal operation Interval(MonthDayNano) * Int64: Invalid argument error: …`
fn interval_operands(message: &str) -> Option<Reworded> {
    let rest = message
        .split_once("Cannot get result type for temporal operation ")?
        .1;
    let operation = rest.split(": Invalid").next().unwrap_or(rest);
    Some(Reworded::new(
        format!("there is no {}", in_sql(operation)),
        "write the interval as a constant, or count in numbers: date_part('epoch', t) + 60 * n",
    ))
}

/// `Cannot cast string '1.5' to value of UInt64 type` and `Invalid window frame: frame offsets for …`, about a frame.
fn frame_offset(message: &str) -> Option<Reworded> {
    if message.contains("window frame: frame offsets for ROWS / GROUPS")
        || message.contains("' to value of UInt64 type")
    {
        return Some(Reworded::new(
            "a frame of ROWS or GROUPS counts in whole numbers, 0 or more",
            "write ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
        ));
    }
    message
        .contains("window frame: frame offsets for RANGE")
        .then(|| {
            Reworded::new(
                "the distance of a RANGE is a constant, 0 or more",
                "write RANGE BETWEEN 5 PRECEDING AND CURRENT ROW, or an INTERVAL for times",
            )
        })
}

/// `Cannot run range queries on datatype: Duration(µs)`, about the `ORDER BY` of a window.
fn ordered_by(message: &str) -> Option<Reworded> {
    let of = message
        .split_once("Cannot run range queries on datatype: ")?
        .1;
    let of = of.lines().next().unwrap_or(of).trim_end_matches('.');
    Some(Reworded::new(
        format!("a window cannot be ordered by a {}", in_sql(of)),
        "order by a number, a text or a time; for a difference of times date_part('epoch', t - u)",
    ))
}

fn wildcard(message: &str) -> Option<Reworded> {
    message
        .contains("SELECT * with no tables specified")
        .then(|| Reworded::new("SELECT * has no table to select from", "add FROM name"))
}

/// `HAVING clause references: x must appear in the GROUP BY clause or be used in an aggregate function`
fn having(message: &str) -> Option<Reworded> {
    let column = message
        .split_once("HAVING clause references: ")?
        .1
        .split_once(" must appear")?
        .0;
    let column = in_sql(column);
    Some(Reworded::new(
        format!("{column} in HAVING is neither in GROUP BY nor inside an aggregate"),
        format!("filter rows with WHERE {column}, or add its columns to GROUP BY"),
    ))
}

/// A message that is a dump of the syntax tree. Only the name of the construct is kept.
fn syntax_tree(message: &str) -> Option<Reworded> {
    let (before, dump) = message.split_once(" { ")?;
    if !(dump.contains("span") || dump.contains("Ident {") || dump.len() > 200) {
        return None;
    }
    let name = before.rsplit(' ').next().unwrap_or(before);
    let words = name
        .char_indices()
        .fold(String::new(), |mut words, (at, c)| {
            if at > 0 && c.is_uppercase() {
                words.push(' ');
            }
            words.extend(c.to_lowercase());
            words
        });
    Some(Reworded::new(
        format!(
            "this construct ({}) is not supported",
            identifier(&words).trim_matches('"')
        ),
        "say it with SELECT, JOIN, GROUP BY, CASE and UNION ALL",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_to_write() {
        let cases = [
            (
                "Projections require unique expression names but the expression \"count(Int64(1))\" at position 0 and \"count(Int64(1))\" at position 1 have the same name.",
                "two columns of one SELECT are named 'count(1)'",
                "with AS",
            ),
            (
                "[return_type] SUM not supported for Null",
                "sum of NULL has no type",
                "CAST(NULL AS BIGINT)",
            ),
            (
                "Field emailaddress not found in struct",
                "there is no field 'emailaddress'",
                "brackets",
            ),
            (
                "Cannot coerce arithmetic expression Int64 + List(Utf8) to valid types",
                "there is no BIGINT + TEXT[]",
                "CAST",
            ),
            (
                "Unsupported ast node MatchRecognize { table: Table { name: Ident { value: \"t\" } } } in create_relation",
                "this construct (match recognize) is not supported",
                "SELECT",
            ),
            (
                "Cannot get result type for temporal operation Interval(MonthDayNano) * Int64: Invalid argument error: Invalid",
                "there is no INTERVAL * BIGINT",
                "constant",
            ),
            (
                "Cannot cast string '1.5' to value of UInt64 type",
                "a frame of ROWS or GROUPS counts in whole numbers, 0 or more",
                "ROWS",
            ),
            (
                "Cannot run range queries on datatype: Duration(µs).\nThis issue was likely caused by a bug",
                "a window cannot be ordered by a DURATION",
                "epoch",
            ),
            ("This is plain", "this is plain", ""),
        ];
        for (message, expected, hint) in cases {
            let reworded = reworded(message);
            assert_eq!(reworded.message, expected);
            assert!(
                reworded.hint.unwrap_or_default().contains(hint),
                "{message}"
            );
        }
    }
}
