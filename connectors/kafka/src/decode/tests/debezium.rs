//! Changes in Debezium's envelope.

use super::*;
use crate::debezium::{DebeziumChange, change};

const DEBEZIUM: [(&str, &str); 1] = [("envelope", "debezium")];

fn unkeyed() -> SourceSpec {
    let columns = [("id!", DataType::Int64), ("n", DataType::Int64)];
    spec(Format::JsonLines, &columns, &DEBEZIUM)
}

fn keyed() -> SourceSpec {
    let columns = [("id!*", DataType::Int64), ("n", DataType::Int64)];
    spec(Format::JsonLines, &columns, &DEBEZIUM)
}

fn wrapped(payload: &str) -> String {
    format!(r#"{{"schema":{{"type":"struct","fields":[]}},"payload":{payload}}}"#)
}

#[test]
fn changes_are_found_alone_and_beside_their_schema() {
    for (payload, expected) in [
        (
            r#"{"before":null,"after":{"a":1},"op":"c","source":{"op":"x"}}"#,
            DebeziumChange::Insert {
                after: br#"{"a":1}"#,
            },
        ),
        (
            r#"{"after":{},"op":"r"}"#,
            DebeziumChange::Insert { after: b"{}" },
        ),
        (
            r#"{ "op" : "u" , "after" : { "a" : "}" } , "before" : [1, 2] }"#,
            DebeziumChange::Update {
                before: Some(b"[1, 2]"),
                after: br#"{ "a" : "}" }"#,
            },
        ),
        (
            r#"{"op":"u","before":null,"after":{}}"#,
            DebeziumChange::Update {
                before: None,
                after: b"{}",
            },
        ),
        (
            r#"{"op":"d","before":{},"after":null}"#,
            DebeziumChange::Delete {
                before: Some(b"{}"),
            },
        ),
        (r#"{"op":"d"}"#, DebeziumChange::Delete { before: None }),
    ] {
        assert_eq!(change(payload.as_bytes()), Ok(expected), "{payload}");
        let wrapped = wrapped(payload);
        assert_eq!(change(wrapped.as_bytes()), Ok(expected), "{wrapped}");
    }
    for (payload, column, says) in [
        ("", None, "not JSON"),
        ("[]", None, "expected an object"),
        ("{", None, "not JSON"),
        (r#"{"op":"c","after":{}} x"#, None, "expected the end"),
        (r#"{"op":"c","after":{},"more":tru}"#, None, "not JSON"),
        (r#"{"op":"c","after":{},"op":"c"}"#, Some("op"), "twice"),
        (
            r#"{"op":"c","after":{"a":1,"a":2}}"#,
            Some("after.a"),
            "twice",
        ),
        (r#"{"id":1}"#, Some("op"), "write 'envelope' 'none'"),
        (
            r#"{"op":null,"after":{}}"#,
            Some("op"),
            "write 'envelope' 'none'",
        ),
        (r#"{"op":"c","after":null}"#, Some("after"), "is missing"),
        (r#"{"op":"u","before":{}}"#, Some("after"), "is missing"),
        (r#"{"op":"t"}"#, Some("op"), "was emptied"),
        (r#"{"op":"m"}"#, Some("op"), "\"m\" is not a known change"),
        (r#"{"op":1}"#, Some("op"), "1 is not a known change"),
        (r#"{"payload":null}"#, Some("op"), "is missing"),
        (
            r#"{"payload":{"op":"c","after":{"a":1,"a":2}}}"#,
            Some("payload.after.a"),
            "twice",
        ),
    ] {
        let (found, reason) = change(payload.as_bytes()).unwrap_err();
        assert_eq!(found.as_deref(), column, "{payload}: {reason}");
        assert!(reason.contains(says), "{payload}: {reason}");
    }
}

#[test]
fn without_a_key_the_row_before_is_retracted() {
    let snapshot = wrapped(r#"{"op":"r","before":null,"after":{"id":1,"n":1}}"#);
    check(
        &unkeyed(),
        &messages(&[
            (None, Some(&snapshot)),
            (None, Some(r#"{"op":"c","after":{"id":2,"n":2}}"#)),
            (
                None,
                Some(r#"{"op":"u","before":{"id":2,"n":2},"after":{"id":2,"n":3}}"#),
            ),
            (None, Some(r#"{"op":"d","before":{"id":2,"n":3}}"#)),
            // The tombstone after a deletion is neither a row nor rejected.
            (Some(r#"{"id":2}"#), None),
        ]),
        &["1|1|3|21", "2|2|3|23", "2|3|3|25", "2|2|3|24", "2|3|3|26"],
        &[],
    );
}

#[test]
fn a_change_counts_whole_or_not_at_all() {
    check(
        &unkeyed(),
        &messages(&[
            (None, Some(r#"{"op":"u","before":null,"after":{"id":1}}"#)),
            (None, Some(r#"{"op":"d","before":null}"#)),
            (
                None,
                Some(r#"{"op":"u","before":{"n":1},"after":{"id":1}}"#),
            ),
            (
                None,
                Some(r#"{"op":"u","before":{"id":1},"after":{"id":"1"}}"#),
            ),
            (None, Some(r#"{"op":"u","before":{},"after":{}}"#)),
            (None, Some(r#"{"op":"u","before":7,"after":{"id":1}}"#)),
            (None, Some(r#"{"op":"t"}"#)),
            (
                None,
                Some(r#"{"op":"u","before":{"id":8},"after":{"id":9}}"#),
            ),
        ]),
        &["9|∅|3|35", "8|∅|3|34"],
        &[
            ("10 before", "REPLICA IDENTITY FULL"),
            ("11 before", "declare PRIMARY KEY"),
            ("12 id", "is missing"),
            ("13 id", "expected a number"),
            ("14 id", "is missing"),
            ("15 -", "expected an object"),
            ("16 op", "was emptied"),
        ],
    );
    // A batch of rejected messages only has no retractions.
    let bad = messages(&[(None, Some(r#"{"op":"u","before":{"id":1},"after":{}}"#))]);
    check(&unkeyed(), &bad, &[], &[("10 id", "is missing")]);
}

#[test]
fn with_a_key_changes_are_upserts() {
    let key = wrapped(r#"{"id":6}"#);
    check(
        &keyed(),
        &messages(&[
            (None, Some(r#"{"op":"r","after":{"id":1,"n":1}}"#)),
            (
                None,
                Some(r#"{"op":"u","before":null,"after":{"id":1,"n":2}}"#),
            ),
            (
                None,
                Some(r#"{"op":"u","before":{"id":1,"n":2},"after":{"id":1,"n":3}}"#),
            ),
            // The change has another key: the old key is deleted at the same place.
            (
                None,
                Some(r#"{"op":"u","before":{"id":1,"n":3},"after":{"id":4,"n":4}}"#),
            ),
            (
                Some("no key"),
                Some(r#"{"op":"d","before":{"id":4,"n":"not looked at"}}"#),
            ),
            (Some(r#"{"id":5}"#), Some(r#"{"op":"d","before":null}"#)),
            (Some(&key), None),
            (Some("7"), None),
        ]),
        &[
            "1|1|1000|3|10|false",
            "1|2|1100|3|11|false",
            "1|3|1200|3|12|false",
            "4|4|1300|3|13|false",
            "5|∅|1500|3|15|true",
            "6|∅|1600|3|16|true",
            "7|∅|1700|3|17|true",
            "1|∅|1300|3|13|true",
            "4|∅|1400|3|14|true",
        ],
        &[],
    );
    check(
        &keyed(),
        &messages(&[
            (None, Some(r#"{"op":"d","before":null}"#)),
            (Some("{}"), Some(r#"{"op":"d"}"#)),
            (None, Some(r#"{"op":"d","before":{"n":1}}"#)),
            (
                None,
                Some(r#"{"op":"u","before":{"n":1},"after":{"id":1}}"#),
            ),
            (
                None,
                Some(r#"{"op":"u","before":{"id":2},"after":{"n":1}}"#),
            ),
            (None, Some(r#"{"op":"c","after":{"id":null}}"#)),
            (None, None),
        ]),
        &[],
        &[
            ("10 -", "without a key"),
            ("11 id", "is missing"),
            ("12 id", "is missing"),
            ("13 id", "is missing"),
            ("14 id", "is missing"),
            ("15 id", "is null"),
            ("16 -", "without a key"),
        ],
    );
}

#[test]
fn keys_are_compared_as_values() {
    let columns = [("id*", DataType::Utf8), ("d*", DataType::Decimal128(9, 2))];
    let some = spec(Format::JsonLines, &columns, &DEBEZIUM);
    check(
        &some,
        &payloads(&[
            r#"{"op":"u","before":{"id":"a","d":1.0},"after":{"d":1,"id":"\u0061"}}"#,
            r#"{"op":"u","before":{"id":"a","d":1.0},"after":{"d":1.1,"id":"a"}}"#,
        ]),
        &[
            "a|1.00|1000|3|10|false",
            "a|1.10|1100|3|11|false",
            "a|1.00|1100|3|11|true",
        ],
        &[],
    );
}

#[test]
fn keys_of_the_message_never_change() {
    let columns = [("id*", DataType::Utf8), ("n", DataType::Int64)];
    let options = [DEBEZIUM[0], ("column.id", "key")];
    check(
        &spec(Format::JsonLines, &columns, &options),
        &messages(&[
            (
                Some("a"),
                Some(r#"{"op":"u","before":{"n":1},"after":{"n":2}}"#),
            ),
            (Some("a"), Some(r#"{"op":"d","before":{"n":2}}"#)),
            (Some("a"), None),
        ]),
        &[
            "a|2|1000|3|10|false",
            "a|∅|1200|3|12|true",
            "a|∅|1100|3|11|true",
        ],
        &[],
    );
}
