//! Dates and times: parts, windows in event time, zones and changes of daylight-saving time.

use tidewater_tests::shapes::{Shape, check};

const PARTS: &[Shape] = &[
    (
        "parts",
        "SELECT id, date_part('year', ts) AS y, extract(month FROM ts) AS m, date_part('dow', day) AS dow, date_part('quarter', ts) AS q, extract(hour FROM ts) AS h, date_part('doy', day) AS doy, date_part('epoch', ts) AS e, date_part('week', day) AS w FROM t",
    ),
    (
        "truncation",
        "SELECT id, date_trunc('hour', ts) AS h, date_trunc('day', ts) AS d, date_trunc('month', day) AS m, date_trunc('week', ts) AS w, date_trunc('quarter', at) AS q FROM t",
    ),
    (
        "bins",
        "SELECT id, date_bin(INTERVAL '15 minutes', ts) AS b, date_bin(INTERVAL '1 day', ts, TIMESTAMP '2024-01-01 06:00:00') AS d FROM t",
    ),
    (
        "arithmetic",
        "SELECT id, ts + INTERVAL '1 hour' AS a, day + INTERVAL '1 month' AS b, day - DATE '2024-01-01' AS c, ts - INTERVAL '90 minutes' AS d, ts - TIMESTAMP '2024-01-01 00:00:00' AS e FROM t",
    ),
    (
        "comparison",
        "SELECT id FROM t WHERE ts >= '2024-01-01' AND ts < TIMESTAMP '2024-03-10 07:00:00' OR day = '2024-02-29'",
    ),
    (
        "text of times",
        "SELECT id, to_char(ts, '%Y/%m/%d %H:%M') AS a, CAST(ts AS TEXT) AS b, CAST(at AS TEXT) AS c, to_char(day, '%d.%m.%y') AS d FROM t",
    ),
    (
        "times of text",
        "SELECT id, CAST(stamp AS TIMESTAMP) AS a, CAST(stamp AS TIMESTAMPTZ) AS z, to_date(substr(stamp, 1, 10)) AS b, make_date(2024, abs(n) + 1, 5) AS d, from_unixtime(v) AS e FROM t",
    ),
    (
        "nanoseconds",
        "SELECT id, CAST(ts AS TIMESTAMP(9)) AS a, CAST(ts AS TIMESTAMP(0)) AS b, CAST(ts AS TIMESTAMP(3)) AS c FROM t",
    ),
];

const WINDOWS: &[Shape] = &[
    (
        "hours",
        "SELECT date_trunc('hour', ts) AS start, k, count(*) AS c, sum(v) AS s, count(DISTINCT n) AS d FROM t GROUP BY 1, 2",
    ),
    (
        "tumbling",
        "SELECT date_bin(INTERVAL '30 minutes', ts) AS start, count(*) AS c, max(v) AS hi FROM t GROUP BY 1",
    ),
    (
        "tumbling from an origin",
        "SELECT date_bin(INTERVAL '1 hour', ts, TIMESTAMP '2024-01-01 00:20:00') AS start, count(*) AS c FROM t GROUP BY 1",
    ),
    (
        "hopping",
        "SELECT start, count(*) AS c, sum(v) AS s FROM (SELECT v, unnest(hop(ts, INTERVAL '15 minutes', INTERVAL '1 hour')) AS start FROM t) GROUP BY start",
    ),
    (
        "hopping with gaps",
        "SELECT start, k, count(*) AS c FROM (SELECT k, unnest(hop(ts, INTERVAL '1 hour', INTERVAL '20 minutes')) AS start FROM t) GROUP BY start, k",
    ),
    (
        "hopping from an origin",
        "SELECT id, hop(ts, INTERVAL '1 hour', INTERVAL '90 minutes', TIMESTAMP '2024-01-01 00:10:00') AS starts FROM t",
    ),
    (
        "months",
        "SELECT date_part('year', day) AS y, date_part('month', day) AS m, count(*) AS c, sum(price) AS s FROM t GROUP BY 1, 2",
    ),
];

const ZONES: &[Shape] = &[
    (
        "days in Seoul",
        "SELECT CAST(at AT TIME ZONE 'Asia/Seoul' AS DATE) AS day, count(*) AS c FROM t GROUP BY 1",
    ),
    (
        "hours in Seoul",
        "SELECT date_trunc('hour', at AT TIME ZONE 'Asia/Seoul') AS h, count(*) AS c, sum(v) AS s FROM t GROUP BY 1",
    ),
    (
        "days in New York",
        "SELECT date_trunc('day', at AT TIME ZONE 'America/New_York') AS d, count(*) AS c FROM t GROUP BY 1",
    ),
    (
        "wall clocks in New York",
        "SELECT id, to_local_time(at AT TIME ZONE 'America/New_York') AS wall, date_part('hour', at AT TIME ZONE 'America/New_York') AS h FROM t",
    ),
    (
        "hours on New York's wall",
        "SELECT date_trunc('hour', to_local_time(at AT TIME ZONE 'America/New_York')) AS h, count(*) AS c FROM t GROUP BY 1",
    ),
    (
        "tumbling in New York",
        "SELECT date_bin(INTERVAL '1 day', to_local_time(at AT TIME ZONE 'America/New_York')) AS d, count(*) AS c FROM t GROUP BY 1",
    ),
    (
        "local into instants",
        "SELECT id, ts AT TIME ZONE 'Asia/Seoul' AS i, CAST(ts AT TIME ZONE 'Asia/Seoul' AS TIMESTAMPTZ) AS u FROM t",
    ),
    (
        "hopping in Seoul",
        "SELECT start, count(*) AS c FROM (SELECT unnest(hop(to_local_time(at AT TIME ZONE 'Asia/Seoul'), INTERVAL '12 hours', INTERVAL '1 day')) AS start FROM t) GROUP BY start",
    ),
    (
        "hopping instants",
        "SELECT start, count(*) AS c FROM (SELECT unnest(hop(at, INTERVAL '30 minutes', INTERVAL '1 hour')) AS start FROM t) GROUP BY start",
    ),
    (
        "days across the change",
        "SELECT id, at AT TIME ZONE 'America/New_York' + INTERVAL '1 day' AS next, date_trunc('day', at AT TIME ZONE 'America/New_York') AS d FROM t",
    ),
    (
        "instants joined",
        "SELECT t.id, u.id AS uid FROM t JOIN u ON CAST(t.at AT TIME ZONE 'UTC' AS DATE) = CAST(u.since AS DATE)",
    ),
];

#[test]
fn parts() {
    check("parts of time", PARTS);
}

#[test]
fn windows() {
    check("windows", WINDOWS);
}

#[test]
fn zones() {
    check("zones", ZONES);
}
