//! The quality gate of the card job: the counts of its checks on known rows, and the limits on both sides.

use serde_json::Value;
use tidewater_tests::binary::tidewater;

use crate::place::Place;

const JOB: &str = "card-quality.sql";
const NOW: [&str; 3] = ["--set", "now=2024-06-01 02:00:00", "--json"];
const HEADER: &str = "transaction_id,transaction_date,card_no,card_type,merchant,sub_category,category,amount,installment_months,\
    approval_status,region\n";

/// Six rows, each with several faults.
const FAULTY: &str = "\
T1,2024-03-01 10:00:00,****-****-****-1111,신용,쿠팡,온라인,쇼핑,1000,0,approved,서울
T1,2024-03-01 10:00:00,****-****-****-1111,신용,쿠팡,온라인,쇼핑,1000,0,approved,서울
T3,2024-03-01 10:00:00,****-****-****-1111,신용,쿠팡,온라인,쇼핑,-5,0,approved,서울
T4,2024/03/01 10:00,****-****-****-1111,현금,쿠팡,온라인,가구,0,0,voided,울산
T5,2024-13-01 10:00:00,1234-5678-1234-5678,체크,CU,편의점,식비,20000000,x,declined,서울
,2099-01-01 00:00:00,****-****-****-2222,체크,,편의점,식비,abc,0,declined,null
";

/// The number of broken rows and the verdict of each check with any, for [`FAULTY`].
const FOUND: [(&str, u64, &str); 18] = [
    ("null_transaction_id", 1, "accepted"),
    ("null_merchant", 1, "accepted"),
    ("null_region", 1, "accepted"),
    ("null_amount", 1, "accepted"),
    ("null_installment_months", 1, "accepted"),
    ("duplicate_id", 1, "accepted"),
    ("double_payment", 1, "warn"),
    ("amount_negative", 1, "accepted"),
    ("amount_excessive", 1, "warn"),
    ("amount_zero", 1, "warn"),
    ("date_format", 2, "accepted"),
    ("date_future", 1, "warn"),
    ("category_valid", 1, "accepted"),
    ("card_type_valid", 1, "accepted"),
    ("approval_status_valid", 1, "accepted"),
    ("region_valid", 2, "accepted"),
    ("card_no_masked", 1, "accepted"),
    ("decline_rate", 2, "warn"),
];

/// The checks that do not pass.
fn open(summary: &Value) -> Vec<(String, u64, String)> {
    let assertions = summary["assertions"].as_array().unwrap();
    assert_eq!(assertions.len(), 25);
    let open = assertions.iter().filter(|one| one["verdict"] != "pass");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let open = open.map(|one| {
        let broken = one["broken"].as_u64().unwrap();
        (text(&one["name"]), broken, text(&one["verdict"]))
    });
    open.collect()
}

fn good(number: usize) -> String {
    let at = format!(
        "2024-03-{:02} 10:00:{:02}",
        number / 60 % 28 + 1,
        number % 60
    );
    format!(
        "T{number},{at},****-****-****-{number:04},신용,쿠팡,온라인,쇼핑,1000,0,approved,서울\n"
    )
}

#[test]
fn each_check_counts_what_breaks_it() {
    let place = Place::new();
    place.deliver("six.csv", format!("{HEADER}{FAULTY}"));
    let refused = place.run(JOB, &NOW).code(3);
    let failing = FOUND
        .iter()
        .filter(|(_, _, verdict)| *verdict == "accepted");
    for (name, _, _) in failing.clone() {
        assert!(
            refused.stderr.contains(&format!("assertion {name} fails")),
            "{name}"
        );
    }
    let _ = refused.says(&["in/six.csv line 7: ", "13 assertions fail of 25"]);
    let mut accept = [&NOW[..], &["--because", "a test"]].concat();
    failing.for_each(|(name, _, _)| accept.extend(["--accept", name]));
    let ran = place.run(JOB, &accept).code(0);
    let expected =
        FOUND.map(|(name, broken, verdict)| (name.to_owned(), broken, verdict.to_owned()));
    assert_eq!(open(&ran.json()), expected);
}

#[test]
fn shares_of_exactly_the_limit_are_within_it() {
    // (rows, rows with an empty merchant, declined rows, the exit code, the checks that do not pass)
    for (rows, empty, declined, code, expected) in [
        (1_000, 0, 0, 0, vec![]),
        (1_000, 10, 100, 0, vec![("null_merchant", 10, "warn")]),
        (1_000, 11, 0, 3, vec![]),
        (1_000, 0, 101, 0, vec![("decline_rate", 101, "warn")]),
    ] {
        let place = Place::new();
        let row = |number: usize| {
            let row = good(number);
            let row = if number < empty {
                row.replace("쿠팡", "")
            } else {
                row
            };
            if number < declined {
                row.replace("approved", "declined")
            } else {
                row
            }
        };
        let rows: String = (0..rows).map(row).collect();
        place.deliver("day.csv", format!("{HEADER}{rows}"));
        let ran = place.run(JOB, &NOW).code(code);
        if code == 0 {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, broken, verdict): (&str, u64, &str)| {
                    (name.to_owned(), broken, verdict.to_owned())
                })
                .collect();
            assert_eq!(open(&ran.json()), expected);
        } else {
            let _ = ran.says(&["null_merchant", "11 of 1000 rows break it"]);
        }
    }
}

#[test]
fn generated_transactions_pass_and_no_rows_fail() {
    let place = Place::new();
    let input = place.path("in");
    let generate = ["generate", "--records", "20000", "--quiet", "--out"];
    let _ = tidewater(&[&generate[..], &[input.to_str().unwrap()]].concat()).code(0);
    let ran = place.run(JOB, &["--json"]).code(0).json();
    assert_eq!(open(&ran), []);
    let place = Place::new();
    place.deliver("empty.csv", HEADER);
    let _ = place
        .run(JOB, &NOW)
        .code(3)
        .says(&["assertion row_count fails"]);
}
