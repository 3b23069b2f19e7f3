//! The shapes of plans.

use super::*;

/// A plan as the indented kinds of its nodes, without their expressions.
fn shape(query: &str) -> String {
    let kind = |line: &str| {
        let depth = line.len() - line.trim_start().len();
        let word = line
            .trim()
            .split([':', ' '])
            .next()
            .unwrap_or_default()
            .to_owned();
        format!("{}{word}", ".".repeat(depth / 2))
    };
    plan(query).lines().map(kind).collect::<Vec<_>>().join(" ")
}

#[test]
fn supported_queries_have_these_shapes() {
    let cases = [
        ("SELECT id FROM t", "TableScan"),
        (
            "SELECT id + 1 AS x FROM t WHERE ok",
            "Projection .Filter ..TableScan",
        ),
        ("SELECT DISTINCT region FROM t", "Aggregate .TableScan"),
        (
            "SELECT region, count(*) AS n FROM t GROUP BY region",
            "Projection .Aggregate ..TableScan",
        ),
        (
            "SELECT region FROM t GROUP BY region HAVING count(*) > 2",
            "Projection .Filter ..Aggregate ...TableScan",
        ),
        (
            "SELECT id FROM t UNION ALL SELECT id FROM u",
            "Union .TableScan .TableScan",
        ),
        (
            "SELECT id FROM t UNION SELECT id FROM u",
            "Aggregate .Union ..TableScan ..TableScan",
        ),
        (
            "SELECT t.id, name FROM t JOIN u ON t.id = u.id",
            "Projection .Inner ..Filter ...TableScan ..Filter ...TableScan",
        ),
        (
            "SELECT t.id, name FROM t, u WHERE t.id = u.id",
            "Projection .Inner ..Filter ...TableScan ..Filter ...TableScan",
        ),
        (
            "SELECT t.id FROM t JOIN u ON t.id = u.id AND t.ts > u.since",
            "Projection .Filter ..Inner ...Filter ....TableScan ...Filter ....TableScan",
        ),
        (
            "SELECT t.id, name FROM t LEFT JOIN u ON t.id = u.id AND u.name <> 'x'",
            "Projection .Left ..TableScan ..Filter ...TableScan",
        ),
        (
            "SELECT t.id, name FROM t RIGHT JOIN u ON t.id = u.id",
            "Projection .Projection ..Left ...TableScan ...Filter ....TableScan",
        ),
        (
            "SELECT t.id FROM t LEFT JOIN u ON t.id = u.id WHERE name = 'x'",
            "Projection .Inner ..Filter ...TableScan ..Projection ...Filter ....TableScan",
        ),
        (
            "SELECT id, unnest(tags) AS tag FROM t",
            "Projection .Unnest ..Projection ...TableScan",
        ),
        (
            "SELECT id, unnest(items)['sku'] AS sku FROM t",
            "Projection .Unnest ..Projection ...TableScan",
        ),
        (
            "SELECT unnest(range(1, 4)) AS n",
            "Projection .Unnest ..Projection ...EmptyRelation",
        ),
        (
            "SELECT id, rank() OVER (PARTITION BY region ORDER BY amount DESC) AS r FROM t",
            "Projection .WindowAggr ..TableScan",
        ),
        (
            "SELECT id, amount FROM t ORDER BY amount DESC LIMIT 3",
            "Sort .TableScan",
        ),
        ("SELECT id, amount FROM t ORDER BY amount DESC", "TableScan"),
        (
            "SELECT id FROM (SELECT id, ts FROM t ORDER BY ts LIMIT 3) AS s ORDER BY id",
            "SubqueryAlias .Projection ..Sort ...TableScan",
        ),
        (
            "SELECT id FROM (SELECT id FROM t ORDER BY ts) AS s",
            "SubqueryAlias .TableScan",
        ),
        ("SELECT id FROM t ORDER BY id LIMIT 0", "EmptyRelation"),
        (
            "WITH a AS (SELECT id FROM t), b AS (SELECT id FROM a) SELECT id FROM b",
            "SubqueryAlias .SubqueryAlias ..TableScan",
        ),
        (
            "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS s (id, name)",
            "SubqueryAlias .Projection ..Values",
        ),
        ("SELECT 1 AS one", "Projection .EmptyRelation"),
        ("SELECT id FROM t WHERE false", "EmptyRelation"),
        (
            "SELECT count(*) AS n FROM t",
            "Projection .Aggregate ..TableScan",
        ),
        (
            "SELECT sum(amount) FILTER (WHERE ok) AS s, count(DISTINCT region) AS d, mean(rate) AS m FROM t",
            "Projection .Aggregate ..TableScan",
        ),
        (
            "SELECT window_start, count(*) AS n FROM (SELECT unnest(hop(ts, INTERVAL '15 minutes', INTERVAL '1 hour')) AS window_start FROM t) GROUP BY window_start",
            "Projection .Aggregate ..Projection ...Unnest ....Projection .....TableScan",
        ),
    ];
    let mut failures = Vec::new();
    for (query, expected) in cases {
        if shape(query) != expected {
            failures.push(format!(
                "{query}\n  expected {expected}\n  found    {}\n{}",
                shape(query),
                plan(query)
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn nothing_in_a_plan_depends_on_when_or_how_often_it_is_made() {
    let query = "SELECT upper(region) || 'x' AS a, upper(region) || 'y' AS b, sum(amount * 2 + 1) AS s, sum(amount * 2 + 2) AS q FROM t GROUP BY 1, 2";
    assert_eq!(plan(query), plan(query));
}

#[test]
fn every_function_over_a_window_is_planned() {
    let functions = [
        "row_number()",
        "rank()",
        "dense_rank()",
        "percent_rank()",
        "cume_dist()",
        "ntile(4)",
        "lag(amount)",
        "lag(amount, 2, 0)",
        "lead(amount)",
        "first_value(amount)",
        "last_value(amount)",
        "nth_value(amount, 2)",
        "sum(amount)",
        "count(*)",
        "count(amount)",
        "min(amount)",
        "max(amount)",
        "avg(amount)",
    ];
    for function in functions {
        good(&format!(
            "CREATE MATERIALIZED VIEW v AS SELECT id, {function} OVER (PARTITION BY region ORDER BY ts) AS x FROM t"
        ));
    }
    good(
        "CREATE MATERIALIZED VIEW v AS SELECT id, sum(amount) OVER (PARTITION BY region ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS x FROM t",
    );
    good(
        "CREATE MATERIALIZED VIEW v AS SELECT id, rank() OVER w AS x FROM t WINDOW w AS (PARTITION BY region ORDER BY ts)",
    );
    good(
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t QUALIFY row_number() OVER (PARTITION BY region ORDER BY ts) = 1",
    );
}

#[test]
fn relations_keep_only_the_columns_that_someone_reads() {
    let job = good(
        "CREATE MATERIALIZED VIEW b AS SELECT region, sum(x) AS s FROM a GROUP BY region;\n\
         CREATE VIEW a AS SELECT *, amount + id AS x FROM t WHERE ok;\n\
         CREATE MATERIALIZED VIEW c AS SELECT day, count(*) AS n FROM a JOIN u ON a.id = u.id GROUP BY day;\n\
         CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM u",
    );
    let names = |schema: &arrow::datatypes::SchemaRef| {
        schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        job.views
            .iter()
            .map(|view| view.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "c", "n"],
        "in topological order"
    );
    let source = job.source("t").unwrap();
    assert_eq!(
        (
            source.spec.projection.as_slice(),
            names(&source.schema).as_str()
        ),
        (&[0, 1, 3, 6, 11][..], "id region amount ok day")
    );
    assert_eq!(names(&job.view("a").unwrap().schema), "id region day x");
    assert_eq!(
        job.view("a").unwrap().plan.display_indent().to_string(),
        "Projection: t.id, t.region, t.day, +(t.amount, t.id) AS x\n  Filter: t.ok\n    TableScan: t projection=[id, region, amount, ok, day]"
    );
    assert!(
        job.view("b")
            .unwrap()
            .plan
            .display_indent()
            .to_string()
            .contains("TableScan: a projection=[region, x]")
    );
    assert!(
        job.view("n")
            .unwrap()
            .plan
            .display_indent()
            .to_string()
            .contains("TableScan: u projection=[]")
    );
    assert_eq!(
        names(&job.source("u").unwrap().schema),
        "id",
        "at least one column"
    );
    for view in &job.views {
        assert_scans_fit(&job, &view.plan);
    }
}

/// Every scan indexes into its relation's pruned schema.
fn assert_scans_fit(job: &Job, plan: &datafusion_expr::LogicalPlan) {
    if let datafusion_expr::LogicalPlan::TableScan(scan) = plan {
        let name = scan.table_name.table();
        let schema = job
            .source(name)
            .map(|source| &source.schema)
            .or_else(|| job.view(name).map(|view| &view.schema))
            .expect(name);
        assert_eq!(scan.source.schema(), *schema, "{name}");
        let columns = scan.projection.as_ref().expect("a projection");
        for (field, column) in scan.projected_schema.fields().iter().zip(columns) {
            assert_eq!(field.name(), schema.field(*column).name());
        }
    }
    plan.inputs()
        .into_iter()
        .for_each(|input| assert_scans_fit(job, input));
}

#[test]
fn orders_of_published_files() {
    // (query, (column, descending, nulls first))
    let cases: [(&str, &[(usize, bool, bool)]); 8] = [
        ("SELECT id, region FROM t", &[]),
        (
            "SELECT id, region FROM t ORDER BY region, id DESC",
            &[(1, false, false), (0, true, true)],
        ),
        (
            "SELECT id, region FROM t ORDER BY 2 NULLS FIRST",
            &[(1, false, true)],
        ),
        (
            "SELECT id AS a, region FROM t ORDER BY a DESC NULLS LAST",
            &[(0, true, false)],
        ),
        (
            "SELECT region, count(*) AS n FROM t GROUP BY region ORDER BY n DESC",
            &[(1, true, true)],
        ),
        (
            "SELECT region, count(*) FROM t GROUP BY region ORDER BY count(*)",
            &[(1, false, false)],
        ),
        (
            "SELECT id, region FROM t ORDER BY region LIMIT 3",
            &[(1, false, false)],
        ),
        (
            "SELECT id FROM t UNION ALL SELECT id FROM u ORDER BY id",
            &[(0, false, false)],
        ),
    ];
    for (query, expected) in cases {
        let job = good(&format!("CREATE MATERIALIZED VIEW v AS {query}"));
        let keys: Vec<_> = job
            .view("v")
            .unwrap()
            .order_by
            .iter()
            .map(|key| (key.column, key.descending, key.nulls_first))
            .collect();
        assert_eq!(keys, expected, "{query}");
    }
    let job = good(
        "CREATE VIEW v AS SELECT id FROM t ORDER BY ts; CREATE MATERIALIZED VIEW w AS SELECT * FROM v",
    );
    assert_eq!(
        job.view("v").unwrap().order_by,
        [],
        "the order of a view that is not published says nothing"
    );
}

#[test]
fn a_column_list_names_the_columns() {
    let job =
        good("CREATE MATERIALIZED VIEW v (\"A\", b) AS SELECT id, region FROM t ORDER BY region");
    let view = job.view("v").unwrap();
    assert_eq!(
        view.schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect::<Vec<_>>(),
        ["A", "b"]
    );
    assert_eq!(view.order_by[0].column, 1);
}
