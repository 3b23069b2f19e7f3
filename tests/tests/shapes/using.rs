//! Columns that `USING` and `NATURAL` merge, and comparisons with lists that have NULLs: what the standard says, as
//! literals, since DataFusion's planner says otherwise.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use arrow::util::display::array_value_to_string;
use tidewater_engine::{Job, Resident};

const SOURCES: &str = "CREATE EXTERNAL TABLE z (p INT, k TEXT) STORED AS CSV LOCATION 'z';
CREATE EXTERNAL TABLE a (q INT, k TEXT) STORED AS CSV LOCATION 'a';
CREATE EXTERNAL TABLE l (id INT, list INT[]) STORED AS JSON LOCATION 'l';
CREATE MATERIALIZED VIEW v AS ";

fn table(name: &str, numbers: Vec<i32>, keys: Vec<Option<&str>>) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (name, Arc::new(Int32Array::from(numbers)), true),
        ("k", Arc::new(StringArray::from(keys)), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn lists() -> RecordBatch {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        Some(vec![Some(2)]),
        Some(vec![]),
        None,
    ]);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int32Array::from(vec![1, 2, 3, 4])), true),
        ("list", Arc::new(lists), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The names of a query's columns, and its rows as sorted text.
fn answer(query: &str) -> (String, Vec<String>) {
    let job = Job::parse("using", &format!("{SOURCES}{query}"), &|_| None);
    let job = job.unwrap_or_else(|errors| panic!("{query}\n{errors}"));
    let sources = [
        (
            "z",
            table("p", vec![1, 2, 3], vec![Some("x"), Some("y"), None]),
        ),
        (
            "a",
            table("q", vec![7, 8, 9], vec![Some("y"), Some("w"), None]),
        ),
        ("l", lists()),
    ];
    let read = sources.into_iter().filter_map(|(name, batch)| {
        let source = job.source(name)?;
        let columns = source.spec.schema.fields().iter();
        let columns = columns.map(|field| Arc::clone(batch.column_by_name(field.name()).unwrap()));
        let types = source.spec.schema.fields().iter().zip(columns);
        let columns =
            types.map(|(field, column)| arrow::compute::cast(&column, field.data_type()).unwrap());
        let batch = RecordBatch::try_new(Arc::clone(&source.spec.schema), columns.collect());
        Some((name.to_owned(), batch.unwrap(), 1))
    });
    let mut resident = Resident::start(&job, 2).unwrap();
    let changed = resident.epoch(read.collect()).unwrap();
    let names = job.view("v").unwrap().schema.fields().iter();
    let names: Vec<&str> = names.map(|field| field.name().as_str()).collect();
    let names = names.join(" ");
    let mut rows = Vec::new();
    for (batch, diff) in changed.into_values().flatten() {
        assert_eq!(diff, 1);
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| {
                if column.is_null(row) {
                    "NULL".to_owned()
                } else {
                    array_value_to_string(column, row).unwrap()
                }
            });
            rows.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    rows.sort();
    (names, rows)
}

#[test]
fn merged_columns_come_first_and_have_the_value_of_the_kept_side() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("SELECT * FROM z JOIN a USING (k)", "k p q", &["y 2 7"]),
        ("SELECT * FROM z NATURAL JOIN a", "k p q", &["y 2 7"]),
        (
            "SELECT * FROM z LEFT JOIN a USING (k)",
            "k p q",
            &["NULL 3 NULL", "x 1 NULL", "y 2 7"],
        ),
        (
            "SELECT * FROM z RIGHT JOIN a USING (k)",
            "k p q",
            &["NULL NULL 9", "w NULL 8", "y 2 7"],
        ),
        (
            "SELECT * FROM a NATURAL RIGHT JOIN z",
            "k q p",
            &["NULL NULL 3", "x NULL 1", "y 7 2"],
        ),
        (
            "SELECT k, z.k AS zk, a.k AS ak FROM z RIGHT JOIN a USING (k)",
            "k zk ak",
            &["NULL NULL NULL", "w NULL w", "y y y"],
        ),
        (
            "SELECT z.*, q FROM z LEFT JOIN a USING (k) WHERE a.k IS NULL",
            "p k q",
            &["1 x NULL", "3 NULL NULL"],
        ),
        (
            "SELECT k, count(*) AS n, sum(p) AS p FROM z RIGHT JOIN a USING (k) GROUP BY k HAVING k IS NOT NULL",
            "k n p",
            &["w 1 NULL", "y 1 2"],
        ),
        (
            "SELECT upper(k) AS u FROM z RIGHT JOIN a USING (k) WHERE k > 'a' ORDER BY u",
            "u",
            &["W", "Y"],
        ),
        (
            "SELECT * EXCEPT (p) FROM z RIGHT JOIN a USING (k)",
            "k q",
            &["NULL 9", "w 8", "y 7"],
        ),
        (
            "SELECT * REPLACE (k || '!' AS k) FROM z RIGHT JOIN a USING (k)",
            "k p q",
            &["NULL NULL 9", "w! NULL 8", "y! 2 7"],
        ),
        // One key through three tables, of which the second keeps its rows.
        (
            "SELECT * FROM z RIGHT JOIN a USING (k) LEFT JOIN (SELECT p AS r, k FROM z) c USING (k)",
            "k p q r",
            &["NULL NULL 9 NULL", "w NULL 8 NULL", "y 2 7 2"],
        ),
        // Subqueries without a name, common table expressions, and joins in parentheses.
        (
            "SELECT * FROM (SELECT k, p FROM z) RIGHT JOIN (SELECT q, k FROM a) USING (k)",
            "k p q",
            &["NULL NULL 9", "w NULL 8", "y 2 7"],
        ),
        (
            "WITH c AS (SELECT * FROM z RIGHT JOIN a USING (k)) SELECT * FROM c JOIN z USING (k, p)",
            "k p q",
            &["y 2 7"],
        ),
        (
            "SELECT * FROM z LEFT JOIN (a JOIN (SELECT q, p AS r FROM a JOIN z USING (k)) b USING (q)) USING (k)",
            "k p q r",
            &["NULL 3 NULL NULL", "x 1 NULL NULL", "y 2 7 2"],
        ),
        (
            "SELECT j.k, j.q FROM (z RIGHT JOIN a USING (k)) AS j WHERE j.p IS NULL",
            "k q",
            &["NULL 9", "w 8"],
        ),
    ];
    for (query, names, rows) in cases {
        let (found, answer) = answer(query);
        assert_eq!(found, *names, "{query}");
        assert_eq!(answer, *rows, "{query}");
    }
}

#[test]
fn comparisons_with_lists_have_three_values() {
    // The lists are (1, NULL), (2), () and NULL.
    for (expr, expected) in [
        ("1 = ANY(list)", ["true", "false", "false", "NULL"]),
        ("2 = ANY(list)", ["NULL", "true", "false", "NULL"]),
        ("2 = SOME(list)", ["NULL", "true", "false", "NULL"]),
        ("1 <> ANY(list)", ["NULL", "true", "false", "NULL"]),
        ("0 < ANY(list)", ["true", "true", "false", "NULL"]),
        ("1 < ANY(list)", ["NULL", "true", "false", "NULL"]),
        ("1 >= ANY(list)", ["true", "false", "false", "NULL"]),
        ("0 >= ANY(list)", ["NULL", "false", "false", "NULL"]),
        ("NULL = ANY(list)", ["NULL", "NULL", "false", "NULL"]),
        ("2 <> ALL(list)", ["NULL", "false", "true", "NULL"]),
        ("1 = ALL(list)", ["NULL", "false", "true", "NULL"]),
        ("id = ANY(ARRAY[2, NULL])", ["NULL", "true", "NULL", "NULL"]),
        ("id IN (2, NULL)", ["NULL", "true", "NULL", "NULL"]),
        ("id NOT IN (2, NULL)", ["NULL", "false", "NULL", "NULL"]),
        (
            "(id, 1) IN ((2, 1), (3, NULL))",
            ["false", "true", "NULL", "false"],
        ),
        (
            "(id, 1) NOT IN ((2, 1), (3, NULL))",
            ["true", "false", "NULL", "true"],
        ),
    ] {
        let (_, rows) = answer(&format!("SELECT id, {expr} AS x FROM l"));
        let expected: Vec<String> = (1..)
            .zip(expected)
            .map(|(id, x)| format!("{id} {x}"))
            .collect();
        assert_eq!(rows, expected, "{expr}");
    }
}
