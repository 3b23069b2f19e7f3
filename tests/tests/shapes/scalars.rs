//! Projections, filters and scalar functions of every kind.

use tidewater_tests::shapes::{Shape, check};

const SHAPES: &[Shape] = &[
    ("projection", "SELECT k, v FROM t"),
    ("everything", "SELECT * FROM t"),
    ("filter", "SELECT id, v FROM t WHERE v > 2 AND NOT ok"),
    (
        "filter by nothing known",
        "SELECT id FROM t WHERE v > n OR k = digits",
    ),
    (
        "in, between, like",
        "SELECT id FROM t WHERE k IN ('a', '서울', 'it''s') OR v BETWEEN 1 AND 3 OR contact LIKE '%@example%' OR k ILIKE 'B'",
    ),
    (
        "not in",
        "SELECT id FROM t WHERE k NOT IN ('a', 'b') AND v NOT BETWEEN 0 AND 2 AND contact NOT LIKE '%x%'",
    ),
    (
        "like with wild cards in the text",
        "SELECT id FROM t WHERE k LIKE '\\%\\_' OR k LIKE '_'",
    ),
    (
        "is",
        "SELECT id, v IS NULL AS a, ok IS TRUE AS b, ok IS NOT FALSE AS c, ok IS UNKNOWN AS d, k IS DISTINCT FROM digits AS e, v IS NOT DISTINCT FROM n AS f FROM t",
    ),
    (
        "case",
        "SELECT id, CASE WHEN v < 0 THEN 'low' WHEN v < 5 THEN 'mid' WHEN v IS NULL THEN NULL ELSE 'high' END AS band, CASE k WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS code FROM t",
    ),
    (
        "case guards its branches",
        "SELECT id, CASE WHEN n <> 0 THEN v / n ELSE 0 END AS q FROM t",
    ),
    (
        "null handling",
        "SELECT id, coalesce(v, n, 0) AS a, nullif(v, n) AS b, nvl(k, '-') AS c, greatest(v, n, 1) AS d, least(v, n) AS e FROM t",
    ),
    (
        "three-valued logic",
        "SELECT id, ok AND v > 0 AS a, ok OR v > 0 AS b, NOT ok AS c FROM t",
    ),
    (
        "arithmetic",
        "SELECT id, v + n AS a, v - 1 AS b, v * n AS c, v / 2 AS d, v % 3 AS e, -v AS f, v / 2.0 AS g FROM t",
    ),
    (
        "bits",
        "SELECT id, v & 3 AS a, v | 4 AS b, v ^ n AS c, v << 2 AS d, v >> 1 AS e FROM t",
    ),
    (
        "decimals",
        "SELECT id, price * 2 AS a, price + 0.005 AS b, price / 3 AS c, price * price AS d, round(price, 1) AS e, price % 1 AS f, abs(price) AS g FROM t",
    ),
    (
        "math",
        "SELECT id, abs(v) AS a, round(rate) AS b, ceil(rate) AS c, floor(rate) AS d, trunc(rate, 1) AS e, power(v, 2) AS f, sqrt(abs(rate)) AS g, signum(rate) AS h, exp(rate) AS i FROM t",
    ),
    (
        "more math",
        "SELECT id, ln(abs(rate) + 1) AS a, log10(abs(v) + 1) AS b, sin(rate) AS c, atan2(rate, 2.0) AS d, gcd(v, 6) AS e, factorial(abs(small)) AS f, pi() * v AS g, round(rate * 10, -1) AS h FROM t",
    ),
    (
        "text",
        "SELECT id, upper(k) AS a, lower(k) AS b, length(k) AS c, octet_length(k) AS d, trim(k) AS e, k || '-' || contact AS f, concat(k, NULL, n) AS g, concat_ws('/', k, contact) AS h, reverse(k) AS i FROM t",
    ),
    (
        "parts of text",
        "SELECT id, substr(k, 2) AS a, left(k, 1) AS b, right(contact, 3) AS c, split_part(contact, '@', 2) AS d, strpos(contact, '@') AS e, replace(k, 'a', 'z') AS f, lpad(k, 4, '*') AS g, repeat(k, 2) AS h, starts_with(k, 'a') AS i, initcap(contact) AS j, translate(k, 'ab', 'xy') AS l, chr(65 + abs(n)) AS m, ascii(k) AS o, substring(k FROM 1 FOR 1) AS p, position('@' IN contact) AS q FROM t",
    ),
    (
        "regular expressions",
        "SELECT id, regexp_replace(contact, '[a-z]+@', 'x@') AS a, regexp_like(k, '^[a-b]+$') AS b, regexp_match(contact, '(\\w+)@(\\w+)') AS c, contact ~ '.+@.+' AS d, contact !~* 'KIM' AS e, regexp_count(contact, 'e') AS f FROM t",
    ),
    (
        "encodings",
        "SELECT id, to_hex(ascii(k)) AS a, encode(k::bytea, 'hex') AS b, to_hex(abs(v)) AS c, decode(encode(k::bytea, 'base64'), 'base64') = k::bytea AS d FROM t",
    ),
    (
        "casts",
        "SELECT id, CAST(v AS TEXT) AS a, CAST(digits AS INT) AS b, CAST(numbers AS DOUBLE) AS c, CAST(stamp AS TIMESTAMP) AS d, CAST(rate AS BIGINT) AS e, CAST(price AS DOUBLE) AS f, CAST(rate AS DECIMAL(10, 1)) AS g, CAST(ok AS INT) AS h, CAST(day AS TEXT) AS i, CAST(ts AS DATE) AS j, CAST(price AS DECIMAL(8, 1)) AS l, n::smallint AS m FROM t",
    ),
    (
        "casts that may fail",
        "SELECT id, TRY_CAST(k AS INT) AS a, TRY_CAST(contact AS DATE) AS b, TRY_CAST(digits AS SMALLINT) AS c FROM t",
    ),
    (
        "type of",
        "SELECT id, arrow_typeof(v) AS a, arrow_typeof(k) AS b, arrow_typeof(ts) AS c, arrow_cast(n, 'Int64') AS d FROM t",
    ),
    (
        "quoted identifiers and Hangul",
        "SELECT id AS \"번호\", \"Mixed 이름\" AS \"Mixed \"\"Name\"\"\", k = '서울' AS \"수도?\" FROM t WHERE \"Mixed 이름\" <> '부산'",
    ),
    (
        "constants",
        "SELECT id, 1 AS one, 'text' AS text, NULL AS nothing, TRUE AS yes, 1.50 AS money, DATE '2024-02-29' AS leap, INTERVAL '1 day' AS day FROM t",
    ),
    ("only constants", "SELECT 1 AS one FROM t"),
    (
        "the same column twice",
        "SELECT v AS a, v AS b, v + 0 AS c FROM t",
    ),
    ("filter that is always true", "SELECT id FROM t WHERE TRUE"),
    ("filter that is never true", "SELECT id FROM t WHERE NULL"),
    (
        "a struct of scalars",
        "SELECT id, struct(k, v)['c0'] AS a FROM t",
    ),
    (
        "common expressions",
        "SELECT id, upper(k) || 'x' AS a, upper(k) || 'y' AS b, length(upper(k)) AS c FROM t WHERE length(upper(k)) > 1",
    ),
];

#[test]
fn scalars() {
    check("scalars", SHAPES);
}
