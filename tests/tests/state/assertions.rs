//! Assertions: a run that would break a rule commits nothing, and the counts follow every change of the input.

use serde_json::{Value, json};
use tidewater_tests::binary::{Ran, command};
use tidewater_tests::maintained::Maintained;

const SQL: &str =
    "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount BIGINT, src TEXT) STORED AS CSV LOCATION '${input}/t'
    OPTIONS ('column.src' 'file_name');
CREATE MATERIALIZED VIEW sums AS SELECT region, sum(amount) AS total FROM t GROUP BY region;
COPY sums TO '${output}/sums' STORED AS CSV;
CREATE ASSERTION amount_positive ON t CHECK (amount > 0) OPTIONS ('max_ratio' '0.25', 'warn_rows' '1', 'describe' 'Refunds are another file.');
CREATE ASSERTION region_known ON t CHECK (region IN ('seoul', 'busan')) OPTIONS ('severity' 'warn');
CREATE ASSERTION one_bad_a_file ON t CHECK (amount < 100) OPTIONS ('scope' 'delivery', 'delivery' 'src', 'max_rows' '1');
CREATE ASSERTION ids_unique CHECK (NOT EXISTS (SELECT id FROM t GROUP BY id HAVING count(*) > 1));
CREATE ASSERTION sums_agree CHECK ((SELECT sum(total) FROM sums) = (SELECT sum(amount) FROM t));";

const GOOD: &str = "id,region,amount\n1,seoul,10\n2,busan,20\n3,seoul,30\n4,busan,40\n";

fn place() -> Maintained {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", GOOD, 0);
    place
}

/// The verdict and the number of broken rows of each assertion, as the summary has them.
fn verdicts(summary: &Value) -> Vec<(String, String, u64)> {
    let assertions = summary["assertions"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let verdicts = assertions.map(|one| {
        (
            text(&one["name"]),
            text(&one["verdict"]),
            one["broken"].as_u64().unwrap(),
        )
    });
    verdicts.collect()
}

fn expected(verdicts: [(&str, u64); 5]) -> Vec<(String, String, u64)> {
    let names = [
        "amount_positive",
        "region_known",
        "one_bad_a_file",
        "ids_unique",
        "sums_agree",
    ];
    let named = names.into_iter().zip(verdicts);
    let named = named.map(|(name, (verdict, broken))| (name.into(), verdict.into(), broken));
    named.collect()
}

fn history(place: &Maintained) -> Value {
    let mut command = command(&["history", "job.sql", "--state", "state", "--json"]);
    command.args(["--set", "input=in", "--set", "output=out"]);
    command.current_dir(place.path(""));
    Ran::from(command.output().unwrap()).code(0).json()
}

fn without_state(place: &Maintained, more: &[&str]) -> Ran {
    let mut command = command(&[
        "run",
        "job.sql",
        "--set",
        "input=in",
        "--set",
        "output=cold",
    ]);
    command.args(more).current_dir(place.path(""));
    command.output().unwrap().into()
}

#[test]
fn counts_follow_the_input_down_again() {
    let place = place();
    let pass = expected([("pass", 0); 5]);
    assert_eq!(verdicts(&place.commits(&["--json"]).json()), pass);
    // Within the limits, beyond the warning; the sums still agree.
    place.deliver(
        "t/b.csv",
        "id,region,amount\n5,jeju,-1\n6,seoul,-2\n7,seoul,3\n8,seoul,4\n",
        60,
    );
    let found = expected([
        ("warn", 2),
        ("warn", 1),
        ("pass", 0),
        ("pass", 0),
        ("pass", 0),
    ]);
    let ran = place.commits(&["--json"]);
    assert_eq!(verdicts(&ran.json()), found);
    // A corrected row leaves the counts.
    place.deliver(
        "t/b.csv",
        "id,region,amount\n5,seoul,-1\n6,seoul,2\n7,seoul,3\n8,seoul,4\n",
        120,
    );
    let found = expected([
        ("pass", 1),
        ("pass", 0),
        ("pass", 0),
        ("pass", 0),
        ("pass", 0),
    ]);
    assert_eq!(verdicts(&place.commits(&["--json"]).json()), found);
    place.withdraw("t/b.csv");
    assert_eq!(verdicts(&place.commits(&["--json"]).json()), pass);
    place.assert_cold();
}

#[test]
fn a_failure_publishes_nothing_and_says_what_broke() {
    let bad = "id,region,amount\n5,seoul,-1\n6,seoul,-2\n1,seoul,300\n8,seoul,400\n9,busan,-3\n";
    for workers in ["1", "3"] {
        let place = place();
        let _ = place.commits(&["--quiet"]);
        let (tables, state) = (place.tables(), place.state());
        let footprint = place.footprint();
        place.deliver("t/b.csv", bad, 60);
        let ran = place.run(&["--workers", workers]).code(3).no_panic();
        let _ = ran.says(&[
            "assertion amount_positive fails: CHECK (amount > 0)",
            "Refunds are another file.",
            "3 of 9 rows break it; the limit is a share of 0.25",
            "    in/t/b.csv line 2: {\"id\":5,\"region\":\"seoul\",\"amount\":-1,\"src\":\"b.csv\"}",
            "    in/t/b.csv line 6: ",
            "  without in/t/b.csv, it would hold: 0 of 4 rows would break it",
            "assertion one_bad_a_file fails",
            "b.csv: 2 of 5 rows break it; the limit is 1 row",
            "assertion ids_unique fails",
            "1 row breaks it; the limit is 0 rows",
            "3 assertions fail of 5; nothing was published",
            "--accept amount_positive --because",
        ]);
        assert_eq!(place.tables(), tables);
        assert_eq!(place.footprint(), footprint);
        assert_eq!(place.state(), state);
        // Without a state it is the same, and nothing is left behind.
        let _ = without_state(&place, &[])
            .code(3)
            .says(&["3 assertions fail of 5"]);
        assert!(
            !place.path("cold").exists() || place.path("cold").read_dir().unwrap().next().is_none()
        );
        // A corrected delivery is read as if the refused one had never been.
        place.deliver("t/b.csv", "id,region,amount\n5,seoul,1\n", 90);
        let ran = place.commits(&["--json"]).json();
        assert_eq!(ran["epoch"], 2);
        assert_eq!(verdicts(&ran), expected([("pass", 0); 5]));
        place.assert_cold();
    }
}

#[test]
fn an_accepted_failure_stays_accepted_until_it_grows() {
    let place = place();
    let _ = place.commits(&["--quiet"]);
    place.deliver(
        "t/b.csv",
        "id,region,amount\n1,seoul,500\n6,seoul,600\n",
        60,
    );
    let _ = place.run(&[]).code(3);
    let _ = place
        .run(&["--accept", "ids_unique"])
        .code(2)
        .says(&["--because"]);
    let _ = place
        .run(&["--accept", "ids_uniqe", "--because", "x"])
        .code(2)
        .says(&["no assertion ids_uniqe", "did you mean ids_unique?"]);
    let _ = place
        .run(&["--accept", "ids_unique=b.csv", "--because", "x"])
        .code(2)
        .says(&["judged as a whole"]);
    // The other failure still refuses the run.
    let because = ["--because", "the bank knows"];
    let one = [&["--accept", "ids_unique"], &because[..]].concat();
    let _ = place.run(&one).code(3).says(&["one_bad_a_file"]);
    let both = [
        &[
            "--json",
            "--accept",
            "ids_unique",
            "--accept",
            "one_bad_a_file=b.csv",
        ],
        &because[..],
    ]
    .concat();
    let ran = place.commits(&both).json();
    let accepted = expected([
        ("pass", 0),
        ("pass", 0),
        ("accepted", 2),
        ("accepted", 1),
        ("pass", 0),
    ]);
    assert_eq!(verdicts(&ran), accepted);
    // Later runs need not accept it again.
    place.deliver("t/c.csv", "id,region,amount\n7,seoul,1\n", 90);
    assert_eq!(verdicts(&place.commits(&["--json"]).json()), accepted);
    // One more is a new failure, in either of them.
    place.deliver("t/c.csv", "id,region,amount\n7,seoul,1\n2,seoul,1\n", 120);
    let _ = place
        .run(&[])
        .code(3)
        .says(&["ids_unique", "2 rows break it"]);
    place.deliver(
        "t/c.csv",
        "id,region,amount\n7,seoul,700\n8,seoul,800\n",
        150,
    );
    let _ = place
        .run(&[])
        .code(3)
        .says(&["c.csv: 2 of 2 rows break it"]);
    // A failure that is gone is not accepted in advance.
    place.withdraw("t/b.csv");
    place.deliver("t/c.csv", "id,region,amount\n7,seoul,1\n", 180);
    assert_eq!(
        verdicts(&place.commits(&["--json"]).json()),
        expected([("pass", 0); 5])
    );
    place.deliver("t/b.csv", "id,region,amount\n1,seoul,5\n", 210);
    let _ = place.run(&[]).code(3).says(&["ids_unique"]);
    let history = history(&place);
    let of_accepted = &history["epochs"][1]["assertions"][3];
    assert_eq!(
        *of_accepted,
        json!({"assertion": "ids_unique", "verdict": "accepted", "broken": 1, "rows": null, "because": "the bank knows"})
    );
}

#[test]
fn a_new_rule_is_checked_on_everything_and_rebuilds_nothing_else() {
    let place = place();
    let _ = place.commits(&["--quiet"]);
    let footprint = place.footprint();
    place.declare(&format!(
        "{SQL}\nCREATE ASSERTION small ON t CHECK (amount < 40);"
    ));
    let _ = place.run(&[]).code(3).says(&[
        "assertion small fails",
        "1 of 4 rows breaks it",
        "in/t/a.csv line 5: ",
    ]);
    place.declare(&format!(
        "{SQL}\nCREATE ASSERTION small ON t CHECK (amount < 50);"
    ));
    let ran = place.commits(&["--json"]).json();
    assert_eq!(ran["assertions"].as_array().unwrap().len(), 6);
    assert_eq!(place.footprint(), footprint);
    // Another limit of the same rule rebuilds the results alone, and is judged.
    for (limit, code) in [(3, 0), (1, 0), (0, 3)] {
        let small = format!(
            "CREATE ASSERTION small ON t CHECK (amount < 40) OPTIONS ('max_rows' '{limit}');"
        );
        place.declare(&format!("{SQL}\n{small}"));
        let _ = place.run(&[]).code(code);
        let _ = place.run(&[]).code(code);
    }
    assert_eq!(history(&place)["epochs"].as_array().unwrap().len(), 4);
}

#[test]
fn a_first_run_that_is_refused_leaves_nothing() {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", "id,region,amount\n1,seoul,1\n1,seoul,1\n", 0);
    let _ = place.run(&[]).code(3).says(&["ids_unique"]);
    assert!(!place.path("out/sums").exists());
    place.deliver("t/a.csv", GOOD, 60);
    let ran = place.commits(&["--json"]).json();
    assert_eq!(ran["epoch"], 1);
    place.assert_cold();
}

#[test]
fn a_condition_that_is_null_holds() {
    let place = place();
    place.deliver("t/b.csv", "id,region,amount\n5,,\n", 60);
    let found = expected([("pass", 0); 5]);
    assert_eq!(verdicts(&place.commits(&["--json"]).json()), found);
}

#[test]
fn no_rows_break_no_rule() {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", "id,region,amount\n", 0);
    let found = expected([("pass", 0); 5]);
    assert_eq!(verdicts(&place.commits(&["--json"]).json()), found);
}
