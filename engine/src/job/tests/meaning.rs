//! Expressions that could only fail, or would mean something else than in other systems: refused, warned about, or
//! given the standard's meaning.

use super::*;

/// The first error of a view that is this query and is published.
fn refused(query: &str) -> String {
    let sql = format!("CREATE MATERIALIZED VIEW v AS {query}; COPY v TO 'out/v' STORED AS PARQUET");
    match with_sources(&sql) {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => {
            let error = &errors.errors()[0];
            format!(
                "{} ({})",
                error.message,
                error.hint.as_deref().unwrap_or_default()
            )
        }
    }
}

#[test]
fn calls_that_could_only_fail_are_refused() {
    for (query, parts) in [
        (
            "SELECT lag(amount, id) OVER (ORDER BY id) AS x FROM t",
            ["lag: the offset must be a constant", "row_number"],
        ),
        (
            "SELECT lead(amount, 1, id) OVER (ORDER BY id) AS x FROM t",
            ["lead: the default must be a constant", "coalesce"],
        ),
        (
            "SELECT lag(amount, NULL) OVER (ORDER BY id) AS x FROM t",
            ["lag: the offset is NULL", "number"],
        ),
        (
            "SELECT ntile(id) OVER (ORDER BY id) AS x FROM t",
            ["ntile: the number of buckets must be a constant", ""],
        ),
        (
            "SELECT lag(amount, 1.5) OVER (ORDER BY id) AS x FROM t",
            ["lag: the offset must be a whole number", "1"],
        ),
        (
            "SELECT lead(amount, 1, 'x') OVER (ORDER BY id) AS x FROM t",
            ["lead: the default 'x' is not a BIGINT", "NULL"],
        ),
        (
            "SELECT sum(amount) OVER (ORDER BY id ROWS BETWEEN 1.5 PRECEDING AND CURRENT ROW) AS x FROM t",
            ["whole numbers", "ROWS BETWEEN 2"],
        ),
        (
            "SELECT row_number() OVER (ORDER BY ts - ts) AS x FROM t",
            ["cannot be ordered by a DURATION", "epoch"],
        ),
        (
            "SELECT avg(arrow_cast(price, 'Decimal256(50, 2)')) AS x FROM t",
            ["avg of DECIMAL(50, 2) is not supported", "DECIMAL(38, s)"],
        ),
        (
            "SELECT ntile(0) OVER (ORDER BY id) AS x FROM t",
            ["ntile", "1 or more"],
        ),
        (
            "SELECT nth_value(amount, id) OVER (ORDER BY id) AS x FROM t",
            ["nth_value: the number of the row must be a constant", ""],
        ),
        (
            "SELECT date_part('fortnight', ts) AS x FROM t",
            ["fortnight", ""],
        ),
        (
            "SELECT date_trunc('fortnight', ts) AS x FROM t",
            ["fortnight", "millennium"],
        ),
        (
            "SELECT date_bin(INTERVAL '1 day' * id, ts) AS x FROM t",
            ["there is no INTERVAL * BIGINT", "constant"],
        ),
        (
            "SELECT date_bin(INTERVAL '0 days', ts) AS x FROM t",
            ["longer than nothing", ""],
        ),
        (
            "SELECT region SIMILAR TO name AS x FROM t JOIN u ON t.id = u.id",
            ["SIMILAR TO takes a constant pattern", ""],
        ),
    ] {
        let error = refused(query);
        assert_ne!(error, "accepted", "{query}");
        for part in parts {
            assert!(error.contains(part), "{query}: no {part:?} in: {error}");
        }
    }
}

#[test]
fn types_that_no_table_holds_are_refused() {
    for (query, part) in [
        ("SELECT ts - ts AS gap FROM t", "date_part('epoch', gap)"),
        ("SELECT ts - ts AS gap FROM t", "of the type DURATION"),
        ("SELECT id, NULL AS nothing FROM t", "NULL without a type"),
        ("SELECT INTERVAL '1 day' AS i, id FROM t", "INTERVAL"),
        ("SELECT map(['a'], [id]) AS m FROM t", "no table holds"),
        (
            "SELECT make_array(NULL) AS l, id FROM t",
            "NULL without a type",
        ),
        (
            "SELECT arrow_cast(price, 'Decimal128(10, -2)') AS d FROM t",
            "no table holds",
        ),
    ] {
        let error = refused(query);
        assert!(error.contains(part), "{query}: no {part:?} in: {error}");
    }
    let job = good(
        "CREATE MATERIALIZED VIEW v AS SELECT arrow_cast(region, 'Dictionary(Int32, Utf8)') AS r, arrow_cast('10:00:00', 'Time32(Second)') AS c FROM t",
    );
    let schema = &job.views[0].schema;
    let types: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(types, ["Utf8", "Time64(µs)"]);
}

#[test]
fn patterns_of_other_engines_are_warned_about() {
    for (query, hint) in [
        ("SELECT to_char(ts, 'YYYY-MM') AS x FROM t", "'%Y-%m'"),
        (
            "SELECT date_format(ts, 'yyyy-MM-dd') AS x FROM t",
            "'%Y-%m-%d'",
        ),
        (
            "SELECT to_timestamp(region, 'dd.MM.yyyy') AS x FROM t",
            "'%d.%m.%Y'",
        ),
        ("SELECT to_char(ts, 'QQQ') AS x FROM t", "strftime's"),
    ] {
        let job = good(&format!("CREATE MATERIALIZED VIEW v AS {query}"));
        let said = job.warnings.iter().any(|warning| {
            warning.message.contains("no %")
                && warning.hint.as_deref().unwrap_or_default().contains(hint)
        });
        assert!(said, "{query}: {:#?}", job.warnings);
    }
    let job = good(
        "CREATE MATERIALIZED VIEW v AS SELECT to_char(ts, '%Y-%m') AS x, to_char(ts, '-') AS y FROM t",
    );
    assert!(
        job.warnings
            .iter()
            .all(|warning| !warning.message.contains("no %")),
        "{:#?}",
        job.warnings
    );
}

/// Long chains, as programs write them, are balanced if the operator allows it, and otherwise refused with a message.
#[test]
fn long_chains_do_not_exhaust_the_stack() {
    let chain = |link: &str, operator: &str| {
        let links: Vec<String> = (0..3_000)
            .map(|n| link.replace('#', &n.to_string()))
            .collect();
        links.join(operator)
    };
    good(&format!(
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE {}",
        chain("region = 'x#'", " OR ")
    ));
    good(&format!(
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE {}",
        chain("region LIKE 'x#%'", " OR ")
    ));
    good(&format!(
        "CREATE MATERIALIZED VIEW v AS SELECT {} AS x FROM t",
        chain("region", " || ")
    ));
    let error = refused(&format!(
        "SELECT {} AS x FROM t",
        chain("(amount + #)", " + ")
    ));
    assert!(error.contains("nested more than"), "{error}");
}

/// Constants are computed while a job is checked, except those that would fill the memory.
#[test]
fn constants_that_explode_are_not_computed() {
    for expr in [
        "repeat('a', 2147483647)",
        "lpad('a', 2147483647)",
        "repeat(repeat('a', 60000), 60000)",
        "array_repeat(1, 2147483647)",
        "range(0, 2147483647)",
    ] {
        let query = format!("SELECT {expr} AS x FROM t");
        match with_sources(&format!("CREATE MATERIALIZED VIEW v AS {query}")) {
            Ok(job) => {
                let plan = job.view("v").unwrap().plan.display_indent().to_string();
                assert!(plan.len() < 1 << 20, "{expr}: {} bytes", plan.len());
            }
            Err(errors) => assert!(errors.to_string().contains("more than"), "{errors}"),
        }
    }
}

/// Rows compare in three-valued logic, as in the standard.
#[test]
fn rows_compare_column_by_column() {
    let given = |expr: &str| plan(&format!("SELECT {expr} AS x FROM t"));
    for expr in [
        "(4, NULL) IN ((4, NULL))",
        "(1, NULL) IN ((1, 1))",
        "(1, NULL) = (1, 1)",
        "(1, NULL) < (1, 1)",
        "(NULL, 1) >= (1, 1)",
    ] {
        let plan = given(expr);
        assert!(plan.contains("NULL"), "{expr}: {plan}");
    }
    for (expr, value) in [
        ("(1, 2) IN ((3, 4), (1, 2))", "Boolean(true)"),
        ("(1, NULL) IN ((2, 1))", "Boolean(false)"),
        ("(1, NULL) < (2, 1)", "Boolean(true)"),
        ("(1, 2) <= (1, 2)", "Boolean(true)"),
        ("(1, 3) <= (1, 2)", "Boolean(false)"),
        ("'hat' SIMILAR TO 'h%'", "Boolean(true)"),
        ("'that' SIMILAR TO 'h%'", "Boolean(false)"),
        ("'h.t' SIMILAR TO 'h.t'", "Boolean(true)"),
        ("'hat' SIMILAR TO 'h.t'", "Boolean(false)"),
    ] {
        let plan = given(expr);
        assert!(plan.contains(value), "{expr}: {plan}");
    }
}

#[test]
fn formats_that_cannot_hold_a_column_are_errors_of_the_job() {
    let sql =
        "CREATE MATERIALIZED VIEW v AS SELECT id, tags FROM t; COPY v TO 'out/v' STORED AS CSV";
    let Err(errors) = with_sources(sql) else {
        panic!("accepted");
    };
    let error = &errors.errors()[0];
    assert_eq!(error.message, "CSV cannot hold 'tags', a TEXT[]");
}

/// A difference of times is compared in the unit of the times, which holds the difference to the year 9999.
#[test]
fn differences_of_times_are_compared_with_intervals() {
    for query in [
        "SELECT id FROM t WHERE ts - ts > INTERVAL '1 hour'",
        "SELECT id FROM t WHERE INTERVAL '1 day' <= ts - ts",
        "SELECT id FROM t WHERE ts - ts = INTERVAL '90 minutes'",
    ] {
        let plan = plan(query);
        assert!(plan.contains("DurationMicrosecond"), "{plan}");
        assert!(!plan.contains("CAST"), "{plan}");
    }
}

#[test]
fn casts_that_cannot_be_are_refused_with_their_place() {
    check_queries(&[
        (
            "SELECT CAST(place AS BIGINT) AS x FROM t",
            13,
            "a STRUCT<lat DOUBLE, lon DOUBLE> cannot become a BIGINT",
            "CAST one of its fields: 'lat', 'lon'",
        ),
        (
            "SELECT TRY_CAST(place AS STRUCT<north DOUBLE>) AS x FROM t",
            17,
            "a STRUCT<lat DOUBLE, lon DOUBLE> cannot become a STRUCT<north DOUBLE>",
            "fields become those of the same name",
        ),
    ]);
    good(
        "CREATE MATERIALIZED VIEW v AS SELECT id, CAST(place AS STRUCT<lon TEXT>) AS x FROM t; COPY v TO 'out/v' STORED AS JSON",
    );
}
