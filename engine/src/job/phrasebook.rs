//! Functions and clauses of Spark, Flink, Postgres, DuckDB and others, with their equivalents here.

/// The statements of a job.
pub(super) const WHAT_A_JOB_HAS: &str = "a job has CREATE EXTERNAL TABLE, CREATE VIEW, CREATE MATERIALIZED VIEW, CREATE ASSERTION and COPY … TO";

/// An entry: names in other systems, and an expression that does the same here. A test plans every expression.
struct Phrase {
    names: &'static [&'static str],
    here: &'static str,
}

const fn phrase(names: &'static [&'static str], here: &'static str) -> Phrase {
    Phrase { names, here }
}

/// Functions of other systems. The expressions are over `x` and `y` (DOUBLE), `n` (BIGINT), `s` (TEXT), `ok` (BOOLEAN), `day`
/// (DATE), `ts` (TIMESTAMP), `at` (TIMESTAMPTZ) and `list` (TEXT[]).
const FUNCTIONS: &[Phrase] = &[
    phrase(&["year"], "date_part('year', ts)"),
    phrase(&["quarter"], "date_part('quarter', ts)"),
    phrase(&["month"], "date_part('month', ts)"),
    phrase(
        &["week", "weekofyear", "week_of_year", "yearweek"],
        "date_part('week', ts)",
    ),
    phrase(
        &["day", "dayofmonth", "day_of_month"],
        "date_part('day', ts)",
    ),
    phrase(
        &["dayofweek", "day_of_week", "weekday"],
        "date_part('dow', ts)",
    ),
    phrase(&["dayofyear", "day_of_year"], "date_part('doy', ts)"),
    phrase(&["hour"], "date_part('hour', ts)"),
    phrase(&["minute"], "date_part('minute', ts)"),
    phrase(&["second"], "date_part('second', ts)"),
    phrase(&["dayname"], "to_char(ts, '%A')"),
    phrase(&["monthname"], "to_char(ts, '%B')"),
    phrase(&["if", "iff", "iif"], "CASE WHEN ok THEN x ELSE y END"),
    phrase(&["isnull"], "s IS NULL"),
    phrase(&["notnull", "isnotnull"], "s IS NOT NULL"),
    phrase(&["zeroifnull"], "coalesce(x, 0)"),
    phrase(
        &[
            "datediff",
            "date_diff",
            "timestampdiff",
            "timestamp_diff",
            "days_between",
        ],
        "(date_part('epoch', ts) - date_part('epoch', day)) / 86400",
    ),
    phrase(
        &[
            "date_add",
            "dateadd",
            "adddate",
            "timestampadd",
            "timestamp_add",
        ],
        "day + INTERVAL '7 days'",
    ),
    phrase(
        &["date_sub", "datesub", "subdate"],
        "day - INTERVAL '7 days'",
    ),
    phrase(&["add_months"], "day + INTERVAL '1 month'"),
    phrase(
        &["last_day"],
        "date_trunc('month', ts) + INTERVAL '1 month' - INTERVAL '1 day'",
    ),
    phrase(
        &["months_between"],
        "(date_part('year', ts) * 12 + date_part('month', ts)) - (date_part('year', day) * 12 + date_part('month', day))",
    ),
    phrase(
        &["trunc_date", "timestamp_trunc", "datetime_trunc"],
        "date_trunc('month', ts)",
    ),
    phrase(
        &["from_utc_timestamp", "convert_timezone", "convert_tz"],
        "to_local_time(at AT TIME ZONE 'Asia/Seoul')",
    ),
    phrase(
        &["to_utc_timestamp"],
        "CAST(ts AT TIME ZONE 'Asia/Seoul' AS TIMESTAMPTZ)",
    ),
    phrase(
        &[
            "strftime",
            "format_datetime",
            "format_timestamp",
            "format_date",
            "timestamp_format",
        ],
        "to_char(ts, '%Y-%m')",
    ),
    phrase(
        &[
            "strptime",
            "try_strptime",
            "str_to_date",
            "parse_datetime",
            "parse_timestamp",
            "date_parse",
            "to_datetime",
        ],
        "to_timestamp(s, '%d.%m.%Y %H:%M')",
    ),
    phrase(&["parse_date", "str_to_day"], "to_date(s, '%d.%m.%Y')"),
    phrase(
        &["unix_timestamp", "epoch", "to_epoch"],
        "date_part('epoch', ts)",
    ),
    phrase(
        &["epoch_ms", "unix_millis", "to_unix_timestamp"],
        "date_part('epoch', ts) * 1000",
    ),
    phrase(
        &["timestamp_millis", "from_unixtime_millis"],
        "to_timestamp_millis(n)",
    ),
    phrase(&["timestamp_micros"], "to_timestamp_micros(n)"),
    phrase(&["timestamp_seconds"], "to_timestamp_seconds(n)"),
    phrase(&["count_if", "countif"], "count(*) FILTER (WHERE ok)"),
    phrase(&["sum_if", "sumif"], "sum(n) FILTER (WHERE ok)"),
    phrase(&["avg_if", "avgif"], "avg(n) FILTER (WHERE ok)"),
    phrase(&["any_value", "arbitrary", "any"], "min(s)"),
    phrase(&["product"], "exp(sum(ln(x)))"),
    phrase(&["every"], "min(CASE WHEN ok THEN 1 ELSE 0 END) = 1"),
    phrase(
        &[
            "count_distinct",
            "uniq",
            "uniqexact",
            "approx_count_distinct",
        ],
        "count(DISTINCT s)",
    ),
    phrase(&["mod", "modulo"], "n % 3"),
    phrase(&["div", "intdiv"], "n / 3"),
    phrase(&["safe_divide", "try_divide", "div0"], "x / nullif(y, 0)"),
    phrase(&["truncate"], "trunc(x)"),
    phrase(&["sgn", "sign"], "signum(x)"),
    phrase(&["split_index", "strsplit"], "split_part(s, '-', 2)"),
    phrase(
        &[
            "regexp_extract",
            "regexp_substr",
            "regexp_extract_all",
            "rlike_extract",
        ],
        "regexp_match(s, 'id=([0-9]+)')[1]",
    ),
    phrase(
        &["rlike", "regexp", "regexp_matches", "regexp_contains"],
        "s ~ '^[0-9]+$'",
    ),
    phrase(&["locate", "charindex", "strindex"], "strpos(s, 'x')"),
    phrase(&["len", "strlen", "lengthb"], "length(s)"),
    phrase(&["size", "array_size", "arraysize"], "array_length(list)"),
    phrase(&["list_get", "get"], "list[1]"),
    phrase(
        &["array_contains_any"],
        "array_has_any(list, make_array('x'))",
    ),
    phrase(
        &["explode", "explode_outer", "posexplode", "flatten_list"],
        "unnest(list)",
    ),
    phrase(&["ucase"], "upper(s)"),
    phrase(&["lcase"], "lower(s)"),
    phrase(&["sequence"], "generate_series(1, 10)"),
    phrase(&["date", "to_day"], "CAST(ts AS DATE)"),
    phrase(&["timestamp", "datetime"], "CAST(day AS TIMESTAMP)"),
    phrase(
        &[
            "to_number",
            "todecimal",
            "to_decimal",
            "decimal",
            "parse_number",
        ],
        "CAST(s AS DECIMAL(12, 2))",
    ),
    phrase(
        &[
            "int",
            "bigint",
            "toint",
            "toint64",
            "to_int",
            "safe_cast_int",
        ],
        "CAST(s AS BIGINT)",
    ),
    phrase(
        &["double", "float", "todouble", "to_double"],
        "CAST(s AS DOUBLE)",
    ),
    phrase(
        &["string", "str", "tostring", "to_string"],
        "CAST(n AS TEXT)",
    ),
    phrase(
        &[
            "tumble",
            "tumble_start",
            "window",
            "time_bucket",
            "time_slice",
        ],
        "date_bin(INTERVAL '1 hour', ts)",
    ),
    phrase(
        &["hop_start", "slide", "cumulate"],
        "unnest(hop(ts, INTERVAL '15 minutes', INTERVAL '1 hour'))",
    ),
    phrase(
        &["monotonically_increasing_id", "rownum", "row_id"],
        "row_number() OVER (ORDER BY ts, n)",
    ),
    phrase(
        &[
            "hash",
            "farm_fingerprint",
            "xxhash64",
            "murmur_hash",
            "sha",
            "sha1",
            "sha2",
            "crc32",
        ],
        "sha256(s)",
    ),
    phrase(&["typeof", "pg_typeof"], "arrow_typeof(s)"),
    phrase(
        &["printf", "format", "format_string"],
        "concat(s, '-', CAST(n AS TEXT))",
    ),
    phrase(&["bround"], "round(x)"),
    phrase(&["ratio_to_report"], "x / sum(x) OVER ()"),
];

/// Functions without an equivalent expression here, with advice.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &[
            "first", "last", "min_by", "max_by", "arg_min", "arg_max", "argmin", "argmax",
        ],
        FIRST_INSTEAD,
    ),
    (
        &[
            "collect_list",
            "collect_set",
            "group_concat",
            "listagg",
            "list",
            "grouparray",
            "json_agg",
            "jsonb_agg",
            "array_concat_agg",
        ],
        LIST_INSTEAD,
    ),
    (
        &[
            "quantile",
            "quantile_cont",
            "quantile_disc",
            "percentile",
            "percentile_disc",
            "approx_quantile",
            "approx_percentile",
            "mode",
            "mad",
        ],
        MEDIAN_INSTEAD,
    ),
    (
        &[
            "get_json_object",
            "json_extract",
            "json_extract_scalar",
            "json_extract_string",
            "json_value",
            "json_query",
            "jsonextractstring",
            "get_json",
        ],
        "declare the fields where the source is read: item STRUCT<sku TEXT, qty INT>, and write item['sku']",
    ),
    (
        &["session", "session_window", "session_start"],
        "mark where a session begins in a view, CASE WHEN ts - lag(ts) OVER (PARTITION BY key ORDER BY ts) > INTERVAL '30 minutes' THEN 1 ELSE 0 END, and number sessions with sum(…) OVER (PARTITION BY key ORDER BY ts)",
    ),
    (
        &[
            "proctime",
            "localtimestamp",
            "sysdate",
            "getdate",
            "clock_timestamp",
            "current_datetime",
            "transaction_timestamp",
            "statement_timestamp",
            "curdate",
            "curtime",
        ],
        "give the moment as a variable: TIMESTAMP '${now}', and --set now='2024-03-01 00:00:00'",
    ),
    (
        &[
            "randn",
            "setseed",
            "generate_uuid",
            "gen_random_uuid",
            "newid",
        ],
        "derive it from a key, so that a row keeps its value: md5(key)",
    ),
];

const FIRST_INSTEAD: &str = "number the rows in a view, row_number() OVER (PARTITION BY … ORDER BY …) AS n, and take WHERE n = 1";
const LIST_INSTEAD: &str = "publish one row for each value; a few of them as columns: max(CASE WHEN n = 1 THEN x END) over row_number() OVER (PARTITION BY key ORDER BY x) AS n in a view";
const MEDIAN_INSTEAD: &str = "number the rows in a view, row_number() OVER (PARTITION BY key ORDER BY x) AS n and count(*) OVER (PARTITION BY key) AS c; the median is avg(x) FILTER (WHERE n IN ((c + 1) / 2, (c + 2) / 2))";
const VARIANCE_INSTEAD: &str = "compute it from sum(x * x), sum(x) and count(x)";
const COVARIANCE_INSTEAD: &str =
    "compute it from sum(x * y), sum(x), sum(y), sum(x * x), sum(y * y) and count(*)";
const BITS_INSTEAD: &str = "take each bit by min(…) or max(…): max((x >> 0) & 1) is bit 0 of an OR";

/// Advice for scalar subqueries.
pub(super) const SCALAR_SUBQUERY_INSTEAD: &str = "for a total over the same rows write sum(x) OVER (), beside GROUP BY sum(sum(x)) OVER (); a value of another table is joined: give both sides 1 AS one and JOIN … ON a.one = b.one, or join on a key after GROUP BY";
/// Advice for `ASOF JOIN`.
pub(super) const ASOF_INSTEAD: &str = "unite both tables with UNION ALL in a view, number the stretches that begin with a right row, count(price) OVER (PARTITION BY key ORDER BY ts) AS n, and take max(price) OVER (PARTITION BY key, n)";
/// Advice for `MATCH_RECOGNIZE`.
pub(super) const MATCH_RECOGNIZE_INSTEAD: &str = "compare rows in a view with lag(x) and lead(x) OVER (PARTITION BY key ORDER BY ts), and filter in the next";
const TUMBLE_INSTEAD: &str = "group by the window: SELECT date_bin(INTERVAL '1 hour', ts) AS window_start, … GROUP BY window_start";
const HOP_INSTEAD: &str = "unnest the windows in a view, SELECT unnest(hop(ts, INTERVAL '15 minutes', INTERVAL '1 hour')) AS window_start, …, and GROUP BY window_start in the next";
const FILES_INSTEAD: &str =
    "declare a source: CREATE EXTERNAL TABLE name (…) STORED AS CSV LOCATION 'path'";

/// What to write instead of a function that does not exist.
pub(super) fn instead_of_function(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let phrase = FUNCTIONS
        .iter()
        .find(|phrase| phrase.names.contains(&name.as_str()));
    if let Some(phrase) = phrase {
        return Some(format!("write {}", phrase.here));
    }
    let advice = ADVICE
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()));
    advice.map(|(_, advice)| (*advice).to_owned())
}

/// What to write instead of a function in `FROM`.
pub(super) fn instead_of_table_function(name: &str) -> &'static str {
    match name {
        "tumble" | "window" => TUMBLE_INSTEAD,
        "hop" | "cumulate" => HOP_INSTEAD,
        "session" => {
            "mark where a session begins with lag(ts) OVER (PARTITION BY key ORDER BY ts) in a view, and number sessions with sum(…) OVER"
        }
        "read_csv" | "read_csv_auto" | "read_parquet" | "parquet_scan" | "read_json"
        | "read_json_auto" => FILES_INSTEAD,
        _ => {
            "list the rows, VALUES (1), (2), or unnest a list in the SELECT list: SELECT unnest(range(1, 4)) AS n"
        }
    }
}

/// What to write instead of an aggregate of DataFusion that is not maintained.
pub(super) fn instead_of_aggregate(name: &str) -> Option<&'static str> {
    Some(match name {
        "approx_distinct" => "count(DISTINCT x) is exact, and maintained",
        "bool_and" => "write min(CASE WHEN x THEN 1 ELSE 0 END) = 1",
        "bool_or" => "write max(CASE WHEN x THEN 1 ELSE 0 END) = 1",
        "bit_and" | "bit_or" | "bit_xor" => BITS_INSTEAD,
        "first_value" | "last_value" | "nth_value" => FIRST_INSTEAD,
        "any_value" => "write min(x)",
        "array_agg" | "string_agg" => LIST_INSTEAD,
        "median"
        | "percentile_cont"
        | "approx_percentile_cont"
        | "approx_percentile_cont_with_weight"
        | "approx_median" => MEDIAN_INSTEAD,
        "var" | "var_pop" | "var_samp" | "stddev" | "stddev_pop" | "stddev_samp" => {
            VARIANCE_INSTEAD
        }
        "grouping" => "write one GROUP BY for each grouping and unite them with UNION ALL",
        name if name.starts_with("covar") || name.starts_with("regr_") || name == "corr" => {
            COVARIANCE_INSTEAD
        }
        _ => return None,
    })
}

/// The name of another system's option here.
pub(super) fn option(name: &str) -> Option<&'static str> {
    Some(match name.strip_prefix("format.").unwrap_or(name) {
        "header" | "csv_header" => "has_header",
        "sep" | "separator" | "delim" | "field_delimiter" | "fielddelimiter" => "delimiter",
        "quotechar" | "quote_char" | "quotecharacter" => "quote",
        "nullstr" | "null" | "nullvalue" | "null_string" | "na_values" => "null_value",
        "dateformat" => "date_format",
        "timestampformat" | "datetime_format" => "timestamp_format",
        "codec" | "compression_codec" => "compression",
        "max_errors" | "maxerrors" | "badrows" => "max_bad_rows",
        "startingoffsets" | "scan.startup.mode" | "auto.offset.reset" => "start",
        "primary_key" | "primarykey" => "key",
        _ => return None,
    })
}

/// What to write instead of a clause that does not parse, by its first word.
pub(super) fn instead_of_clause(word: &str) -> Option<(&'static str, &'static str)> {
    Some(match word {
        "ASOF" => ("ASOF JOIN is not supported", ASOF_INSTEAD),
        "TUMBLE" => (
            "windows as a table, TUMBLE(…), are not supported",
            TUMBLE_INSTEAD,
        ),
        "HOP" | "CUMULATE" => ("windows as a table, HOP(…), are not supported", HOP_INSTEAD),
        "SESSION" => (
            "windows as a table, SESSION(…), are not supported",
            "mark where a session begins with lag(ts) OVER (PARTITION BY key ORDER BY ts) in a view, and number sessions with sum(…) OVER",
        ),
        "PIVOT" => (
            "PIVOT is not supported",
            "write one aggregate for each value: sum(x) FILTER (WHERE channel = 'web') AS web, … and GROUP BY the other columns",
        ),
        "UNPIVOT" => (
            "UNPIVOT is not supported",
            "write one SELECT for each column, and unite them with UNION ALL",
        ),
        "MATCH_RECOGNIZE" => ("MATCH_RECOGNIZE is not supported", MATCH_RECOGNIZE_INSTEAD),
        "EMIT" => (
            "EMIT is not supported: a table shows every window, and its rows are amended",
            "remove it; windows close with COPY … OPTIONS ('retain' '7 days')",
        ),
        "WATERMARK" => (
            "WATERMARK is not supported: late rows amend their windows",
            "remove it; windows close with COPY … OPTIONS ('retain' '7 days')",
        ),
        "TABLESAMPLE" => (
            "TABLESAMPLE is not supported",
            "take rows by a digest of their key: WHERE md5(key) < '1a' keeps about a tenth",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
