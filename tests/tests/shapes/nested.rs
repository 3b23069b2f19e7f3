//! Lists and structs: `UNNEST`, fields, elements.

use tidewater_tests::shapes::{Shape, check};

const SHAPES: &[Shape] = &[
    ("unnest", "SELECT id, unnest(tags) AS tag FROM t"),
    ("unnest alone", "SELECT unnest(nums) AS num FROM t"),
    (
        "unnest of structs",
        "SELECT id, item['sku'] AS sku, item['qty'] AS qty FROM (SELECT id, unnest(items) AS item FROM t)",
    ),
    (
        "unnest of lists of lists",
        "SELECT id, unnest(inner_list) AS x FROM (SELECT id, unnest(matrix) AS inner_list FROM t)",
    ),
    (
        "unnest one level",
        "SELECT id, unnest(matrix) AS inner_list FROM t",
    ),
    (
        "two lists side by side",
        "SELECT id, unnest(tags) AS tag, unnest(nums) AS num FROM t",
    ),
    (
        "unnest, then count",
        "SELECT tag, count(*) AS c, count(DISTINCT id) AS d FROM (SELECT id, unnest(tags) AS tag FROM t) GROUP BY tag",
    ),
    (
        "unnest, then sum",
        "SELECT item['sku'] AS sku, sum(item['qty']) AS qty, min(item['qty']) AS lo FROM (SELECT unnest(items) AS item FROM t) GROUP BY item['sku']",
    ),
    (
        "unnest, then where",
        "SELECT id, tag FROM (SELECT id, unnest(tags) AS tag FROM t) WHERE tag <> 'a'",
    ),
    (
        "where, then unnest",
        "SELECT id, unnest(tags) AS tag FROM t WHERE ok",
    ),
    (
        "unnest, then join",
        "SELECT e.id, u.id AS uid FROM (SELECT id, unnest(tags) AS tag FROM t) e JOIN u ON e.tag = u.k",
    ),
    (
        "unnest of a distinct list",
        "SELECT id, unnest(array_distinct(tags)) AS tag FROM t",
    ),
    ("unnest of a struct", "SELECT id, unnest(place) FROM t"),
    (
        "fields",
        "SELECT id, place['city'] AS city, place['lat'] * 2 AS lat2 FROM t",
    ),
    (
        "elements",
        "SELECT id, tags[1] AS first, tags[-1] AS last, nums[2] AS second, matrix[1][1] AS corner FROM t",
    ),
    (
        "list functions",
        "SELECT id, cardinality(tags) AS c, array_length(nums) AS l, array_sort(nums) AS sorted, array_to_string(tags, ',') AS text FROM t",
    ),
    ("list has", "SELECT id FROM t WHERE array_has(tags, '서울')"),
    (
        "fields in groups",
        "SELECT place['city'] AS city, count(*) AS c, avg(place['lat']) AS a FROM t GROUP BY place['city']",
    ),
    (
        "lists carried",
        "SELECT id, tags, items, matrix, place FROM t WHERE v > 0",
    ),
    (
        "lists made",
        "SELECT id, make_array(v, n) AS pair, struct(k, v) AS both, named_struct('x', v, 'y', k) AS named FROM t",
    ),
    (
        "union of lists",
        "SELECT tags AS list FROM t UNION ALL SELECT make_array(k, label) FROM u",
    ),
    (
        "count distinct lists",
        "SELECT ok, count(DISTINCT tags) AS d FROM t GROUP BY ok",
    ),
];

#[test]
fn nested() {
    check("nested", SHAPES);
}
