//! The table of the assertions' results follows the input like any other, and `tidewater quality` shows its history.

use std::collections::BTreeMap;

use rand::RngExt;
use tidewater_tests::binary::Ran;
use tidewater_tests::maintained::Maintained;
use tidewater_tests::seed::{generator, seeds};

const SQL: &str =
    "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount BIGINT, src TEXT) STORED AS CSV LOCATION '${input}/t'
    OPTIONS ('column.src' 'file_name');
CREATE MATERIALIZED VIEW sums AS SELECT region, sum(amount) AS total FROM t GROUP BY region;
COPY sums TO '${output}/sums' STORED AS CSV;
COPY QUALITY TO '${output}/quality' STORED AS CSV;
CREATE ASSERTION quarter ON t CHECK (amount > 0) OPTIONS ('max_ratio' '0.25', 'describe' 'It''s few.');
CREATE ASSERTION both ON t CHECK (amount > 0) OPTIONS ('max_ratio' '0.5', 'max_rows' '2', 'warn_rows' '1');
CREATE ASSERTION files ON t CHECK (amount > 0) OPTIONS ('scope' 'delivery', 'delivery' 'src', 'severity' 'warn', 'max_ratio' '.3');
CREATE ASSERTION ids CHECK (NOT EXISTS (SELECT id FROM t GROUP BY id HAVING count(*) > 1));
CREATE ASSERTION some CHECK ((SELECT count(*) FROM t) > 0) OPTIONS ('severity' 'warn');";

const ACCEPT: [&str; 8] = [
    "--accept",
    "quarter",
    "--accept",
    "both",
    "--accept",
    "ids",
    "--because",
    "a test",
];

/// Rows of which the first `broken` break the rules about amounts.
fn rows(first: u64, rows: u64, broken: u64) -> String {
    let rows = (0..rows).map(|at| {
        let amount = if at < broken { -1 } else { 1 };
        format!("{},seoul,{amount}\n", first + at)
    });
    format!("id,region,amount\n{}", rows.collect::<String>())
}

fn published(place: &Maintained) -> String {
    let tables = place.tables();
    let mut files = tables.iter();
    let is_quality =
        |path: &std::path::Path| path.starts_with("quality") && path.ends_with("part-00000.csv");
    let (_, content) = files.find(|(path, _)| is_quality(path)).unwrap();
    String::from_utf8(content.clone()).unwrap()
}

fn quality(place: &Maintained, more: &[&str]) -> Ran {
    place.command_of("quality", more).output().unwrap().into()
}

#[test]
fn a_share_of_exactly_the_limit_is_within_it() {
    // (rows, broken rows, results of `quarter`, `both`, `files`)
    for (number, broken, verdicts) in [
        (4, 0, ["pass", "pass", "pass"]),
        (4, 1, ["warn", "pass", "pass"]),
        (10, 3, ["fail", "fail", "pass"]),
        (12, 3, ["warn", "fail", "pass"]),
        (11, 3, ["fail", "fail", "pass"]),
        (4, 2, ["fail", "warn", "warn"]),
        (3, 2, ["fail", "fail", "warn"]),
    ] {
        let place = Maintained::new(SQL);
        place.deliver("t/a.csv", rows(1, number, broken), 0);
        let _ = place.commits(&[&["--quiet"], &ACCEPT[..]].concat());
        let found = published(&place);
        let verdict = |name: &str| {
            let mut lines = found.lines();
            let line = lines
                .find(|line| line.starts_with(&format!("{name},")))
                .unwrap();
            line.split(',').nth(2).unwrap().to_owned()
        };
        let found = ["quarter", "both", "files"].map(verdict);
        assert_eq!(found, verdicts, "{broken} of {number}");
    }
}

#[test]
fn its_rows_are_as_documented() {
    let place = Maintained::new(SQL);
    place.deliver("t/a.csv", rows(1, 4, 1), 0);
    place.deliver("t/b.csv", rows(4, 2, 0), 1);
    let _ = place.run(&[]).code(3).says(&["assertion ids fails"]);
    let _ = place.commits(&["--quiet", "--accept", "ids", "--because", "why"]);
    assert_eq!(
        published(&place),
        "assertion,delivery,verdict,severity,broken,rows,rule,describe\n\
         both,,pass,error,1,6,amount > 0,\n\
         files,a.csv,pass,warn,1,4,amount > 0,\n\
         files,b.csv,pass,warn,0,2,amount > 0,\n\
         ids,,fail,error,1,,NOT EXISTS (SELECT id FROM t GROUP BY id HAVING count(*) > 1),\n\
         quarter,,warn,error,1,6,amount > 0,It's few.\n\
         some,,pass,warn,0,,(SELECT count(*) FROM t) > 0,\n"
    );
    let verified = place.command_of("verify", &[]).output().unwrap();
    let _ = Ran::from(verified).code(0).prints(&["_quality"]);
}

#[test]
fn any_history_comes_to_what_one_run_comes_to() {
    for seed in seeds(6) {
        let mut draw = generator(seed, "quality");
        let place = Maintained::new(SQL);
        for step in 0..6 {
            let is_there = |name: &str| place.path(&format!("in/t/{name}.csv")).exists();
            // A directory without files is an error of its own, so one file stays.
            let are_several = ["a", "b", "c"].iter().filter(|name| is_there(name)).count() > 1;
            let name = ["a", "b", "c"][draw.random_range(0..3)];
            let is_withdrawn = draw.random_bool(0.25) && are_several && is_there(name);
            let name = format!("t/{name}.csv");
            if is_withdrawn {
                place.withdraw(&name);
            } else {
                let (first, number) = (draw.random_range(0..8), draw.random_range(0..5));
                let broken = draw.random_range(0..=number);
                place.deliver(&name, rows(first, number, broken), step * 60);
            }
            let audited = place.audit(&["--allow", "withdrawn"]);
            let ran = place.run(&["--allow", "withdrawn"]).no_panic();
            assert_eq!(audited.code, ran.code, "seed {seed}");
            if ran.code == Some(3) && draw.random_bool(0.5) {
                let _ =
                    place.commits(&[&["--quiet", "--allow", "withdrawn"], &ACCEPT[..]].concat());
            }
        }
        let _ = place.commits(&[&["--quiet", "--allow", "withdrawn"], &ACCEPT[..]].concat());
        place.assert_cold_with(&ACCEPT);
    }
}

#[test]
fn its_history_has_scores() {
    let place = Maintained::new(SQL);
    let _ = quality(&place, &[]).code(1).says(&["no state"]);
    place.deliver("t/a.csv", rows(1, 10, 0), 0);
    let _ = place.commits(&["--quiet"]);
    place.deliver("t/a.csv", rows(1, 10, 2), 60);
    let _ = place.commits(&["--quiet"]);
    // Two warnings of weight 3 count half: (3 / 2 + 3 / 2 + 1 + 3 + 1) / 11.
    let said = quality(&place, &["--json"]).code(0).json();
    assert_eq!(said["score"], 72);
    assert_eq!(said["overall_status"], "WARN");
    assert_eq!(said["total_records"], 10);
    let trend = said["trend"].as_array().unwrap();
    assert_eq!(
        (&trend[0]["score"], &trend[0]["pass"]),
        (&100.into(), &5.into())
    );
    assert_eq!(
        (&trend[1]["score"], &trend[1]["warn"]),
        (&72.into(), &2.into())
    );
    let check = &said["checks"][0];
    assert_eq!(check["check"], "It's few.");
    assert_eq!(
        (&check["issue_count"], &check["issue_ratio"]),
        (&2.into(), &20.0.into())
    );
    let _ = quality(&place, &["--last", "1"])
        .code(0)
        .prints(&["WARN, score 72, at epoch 2"]);
    // For other tools: a test or an assertion for each rule.
    let tests = quality(&place, &["--format", "dbt"]).code(0).json();
    let results = tests["results"].as_array().unwrap();
    let statuses: Vec<&str> = results
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["warn", "warn", "pass", "pass", "pass"]);
    assert_eq!(results[0]["failures"], 2);
    assert_eq!(results[0]["relation_name"], "t");
    assert!(
        results[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("2 rows break it")
    );
    let event = quality(&place, &["--format", "openlineage"]).code(0).json();
    let inputs = event["inputs"].as_array().unwrap();
    let asserted = inputs.iter().flat_map(|input| {
        let facet = &input["inputFacets"]["dataQualityAssertions"];
        facet["assertions"].as_array().unwrap()
    });
    assert_eq!(asserted.filter(|one| one["success"] == true).count(), 5);
    assert!(inputs.iter().any(|input| input["name"] == "t"));
    // A job without assertions has no quality.
    place.declare(SQL.split("COPY QUALITY").next().unwrap());
    let _ = quality(&place, &[])
        .code(2)
        .says(&["the job has no assertion"]);
}

#[test]
fn a_rule_holds_without_the_deliveries_that_it_names_and_not_without_fewer() {
    for seed in seeds(8) {
        let mut draw = generator(seed, "blame");
        let limit =
            ["'max_rows' '0'", "'max_rows' '2'", "'max_ratio' '0.3'"][draw.random_range(0..3)];
        let place = Maintained::new(&format!(
            "CREATE EXTERNAL TABLE t (id BIGINT, region TEXT, amount BIGINT) STORED AS CSV LOCATION '${{input}}/t';
             COPY t TO '${{output}}/t';
             CREATE ASSERTION positive ON t CHECK (amount > 0) OPTIONS ({limit});"
        ));
        let mut contents = BTreeMap::new();
        for name in ["t/a.csv", "t/b.csv", "t/c.csv", "t/d.csv"] {
            let number = draw.random_range(1..9);
            // One good file stays, since a directory without files is an error of its own.
            let broken = if name == "t/d.csv" { 0 } else { number / 2 };
            let content = rows(1, number, draw.random_range(0..=broken));
            place.deliver(name, &content, 0);
            contents.insert(format!("in/{name}"), content);
        }
        let said = place.audit(&["--json"]).no_panic();
        if said.code == Some(0) {
            continue;
        }
        let said = said.code(3).json();
        let named = said["assertions"][0]["holds_without"].as_array().unwrap();
        let named: Vec<&str> = named.iter().map(|name| name.as_str().unwrap()).collect();
        let withdraw = |names: &[&str], code: i32| {
            for name in names {
                place.withdraw(name.strip_prefix("in/").unwrap());
            }
            let _ = place.audit(&[]).code(code);
            for name in names {
                place.deliver(name.strip_prefix("in/").unwrap(), &contents[*name], 0);
            }
        };
        withdraw(&named, 0);
        for at in 0..named.len() {
            let fewer = [&named[..at], &named[at + 1..]].concat();
            withdraw(&fewer, 3);
        }
    }
}
