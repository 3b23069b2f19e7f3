//! A small job with a table of each kind, for tests of failures. Its deliveries add, change and remove partitions.

use crate::maintained::{Maintained, Sizes};

/// Two sources, a view over both, and a table of each encoding. Some are partitioned.
pub const SQL: &str = "
CREATE EXTERNAL TABLE sales (id BIGINT NOT NULL, k TEXT, v BIGINT, day DATE) STORED AS CSV LOCATION '${input}/sales';
CREATE EXTERNAL TABLE shops (k TEXT, region TEXT) STORED AS JSON LOCATION '${input}/shops';
CREATE VIEW placed AS SELECT sales.*, shops.region FROM sales JOIN shops ON sales.k = shops.k;
CREATE MATERIALIZED VIEW entries AS SELECT * FROM sales;
CREATE MATERIALIZED VIEW sums AS SELECT k, count(*) AS c, sum(v) AS s, max(v) AS hi FROM sales GROUP BY k;
CREATE MATERIALIZED VIEW regions AS SELECT region, count(DISTINCT k) AS shops, sum(v) AS s FROM placed GROUP BY region;
COPY entries TO '${output}/entries' STORED AS PARQUET PARTITIONED BY (day);
COPY sums TO '${output}/sums' STORED AS CSV;
COPY regions TO '${output}/regions' STORED AS JSON PARTITIONED BY (region);
";

/// A version of the input: files and their content.
pub type Version = &'static [(&'static str, &'static str)];

/// The first version.
pub const FIRST: Version = &[
    (
        "sales/a.csv",
        "id,k,v,day\n1,a,1,2024-01-01\n2,b,20,2024-01-01\nbad,b,20,2024-01-01\n3,b,,2024-01-02\n",
    ),
    ("sales/b.csv", "id,k,v,day\n4,c,5,2024-01-03\n5,d,7,\n"),
    (
        "shops/s.jsonl",
        "{\"k\":\"a\",\"region\":\"north\"}\n{\"k\":\"b\",\"region\":\"north\"}\n{\"k\":\"c\",\"region\":\"south\"}\n",
    ),
];

/// A later version. A file is corrected, one is removed, one is added. In each partitioned table, a partition is
/// removed, one is added, one changes, and one stays.
pub const SECOND: Version = &[
    (
        "sales/a.csv",
        "id,k,v,day\n1,a,10,2024-01-01\n2,b,20,2024-01-01\nbad,b,2,2024-01-01\n3,b,,2024-01-02\n",
    ),
    (
        "sales/c.csv",
        "id,k,v,day\n6,e,8,2024-01-04\nworse\n5,d,7,\n",
    ),
    (
        "shops/s.jsonl",
        "{\"k\":\"a\",\"region\":\"north\"}\n{\"k\":\"b\",\"region\":\"north\"}\n{\"k\":\"e\",\"region\":\"east\"}\n",
    ),
];

/// Sets the input to `version`. Files that differ are modified `modified_s` seconds after the beginning of 2024.
pub fn deliver(place: &Maintained, version: Version, modified_s: u64) {
    let input = place.path("in");
    for name in ["a", "b", "c"].map(|name| format!("sales/{name}.csv")) {
        if input.join(&name).exists() && !version.iter().any(|(file, _)| *file == name) {
            place.withdraw(&name);
        }
    }
    for (name, content) in version {
        let is_there = std::fs::read_to_string(input.join(name));
        if is_there.ok().as_deref() != Some(content) {
            place.deliver(name, content, modified_s);
        }
    }
}

/// The job with the first deliveries, not run yet.
#[must_use]
pub fn new() -> Maintained {
    let place = Maintained::new(SQL);
    deliver(&place, FIRST, 0);
    place
}

/// The job after its first commit.
#[must_use]
pub fn committed() -> Maintained {
    let place = new();
    let _ = place.commits(&["--quiet"]);
    place
}

/// The two versions of [`large`]. Two files of a partition change, one stays.
pub const LARGE: [Version; 2] = [
    &[FIRST[0], FIRST[2], ("sales/few.csv", FEW)],
    &[SECOND[0], SECOND[2], ("sales/few.csv", FEWER)],
];

const FEW: &str =
    "id,k,v,day\n300,b,1,2024-01-01\n301,b,1,2024-01-01\n302,b,1,2024-01-01\n303,b,1,2024-01-01\n";
const FEWER: &str = "id,k,v,day\n300,b,1,2024-01-01\n302,b,1,2024-01-01\n303,b,1,2024-01-01\n";

/// The job with tables that are maintained like large ones, and a partition of three files.
#[must_use]
pub fn large() -> Maintained {
    let mut place = Maintained::new(SQL);
    place.sizes = Sizes::Small;
    let rows = (100..140).map(|id| format!("{id},b,{id},2024-01-01\n"));
    let many = format!("id,k,v,day\n{}", rows.collect::<String>());
    place.deliver("sales/many.csv", many, 0);
    deliver(&place, &LARGE[0][..2], 0);
    let _ = place.commits(&["--quiet"]);
    deliver(&place, LARGE[0], 0);
    let _ = place.commits(&["--quiet"]);
    place.deliver("sales/one.csv", "id,k,v,day\n400,b,1,2024-01-01\n", 0);
    let _ = place.commits(&["--quiet"]);
    place
}
