//! An expression that may fail is evaluated only for rows that reach it. Random guarded expressions are compared with
//! a reference that evaluates row by row. The oracle, which is set up as `tidewater verify` is, must give the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tidewater_engine::{Job, Resident};
use tidewater_tests::oracle::Oracle;
use tidewater_tests::seed;

const SOURCES: &str = "CREATE EXTERNAL TABLE g (id BIGINT NOT NULL, a BIGINT, b BIGINT, s TEXT) STORED AS CSV LOCATION 'g';
CREATE EXTERNAL TABLE h (a BIGINT) STORED AS CSV LOCATION 'h';
CREATE MATERIALIZED VIEW v AS ";

/// Rows of `g`: enough that expressions are evaluated by distinct values too.
const ROWS: i64 = 160;

#[derive(Clone, Debug)]
struct Row {
    id: i64,
    a: Option<i64>,
    b: Option<i64>,
    s: Option<&'static str>,
}

/// An integer expression.
enum Number {
    A,
    B,
    Literal(i64),
    Quotient(Box<Number>, Box<Number>),
    Rest(Box<Number>, Box<Number>),
    Sum(Box<Number>, Box<Number>),
    /// `CAST(s AS BIGINT)`.
    Cast,
    Case(Box<Condition>, Box<Number>, Box<Number>),
}

enum Condition {
    Less(Number, Number),
    Equal(Number, Number),
    IsNull(Number),
    IsNumber,
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Case(Box<Condition>, Box<Condition>, Box<Condition>),
}

/// A row on which an expression fails.
struct Failed;

type Value<T> = Result<Option<T>, Failed>;

impl Number {
    fn draw(rng: &mut ChaCha8Rng, depth: u32) -> Self {
        let number = |rng: &mut ChaCha8Rng| Box::new(Self::draw(rng, depth - 1));
        match if depth == 0 {
            rng.random_range(0..4)
        } else {
            rng.random_range(0..8)
        } {
            0 => Self::A,
            1 => Self::B,
            2 => Self::Literal(rng.random_range(-2..4)),
            3 => Self::Cast,
            4 => Self::Quotient(number(rng), number(rng)),
            5 => Self::Rest(number(rng), number(rng)),
            6 => Self::Sum(number(rng), number(rng)),
            _ => Self::Case(
                Box::new(Condition::draw(rng, depth - 1)),
                number(rng),
                number(rng),
            ),
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::A => "g.a".to_owned(),
            Self::B => "g.b".to_owned(),
            Self::Literal(value) => format!("({value})"),
            Self::Quotient(left, right) => format!("({} / {})", left.sql(), right.sql()),
            Self::Rest(left, right) => format!("({} % {})", left.sql(), right.sql()),
            Self::Sum(left, right) => format!("({} + {})", left.sql(), right.sql()),
            Self::Cast => "CAST(g.s AS BIGINT)".to_owned(),
            Self::Case(when, then, otherwise) => {
                format!(
                    "CASE WHEN {} THEN {} ELSE {} END",
                    when.sql(),
                    then.sql(),
                    otherwise.sql()
                )
            }
        }
    }

    fn value(&self, row: &Row) -> Value<i64> {
        let both = |left: &Self, right: &Self| Ok(left.value(row)?.zip(right.value(row)?));
        Ok(match self {
            Self::A => row.a,
            Self::B => row.b,
            Self::Literal(value) => Some(*value),
            Self::Quotient(left, right) => match both(left, right)? {
                Some((left, right)) => Some(left.checked_div(right).ok_or(Failed)?),
                None => None,
            },
            Self::Rest(left, right) => match both(left, right)? {
                Some((left, right)) => Some(left.checked_rem(right).ok_or(Failed)?),
                None => None,
            },
            Self::Sum(left, right) => both(left, right)?.map(|(left, right)| left + right),
            Self::Cast => match row.s {
                Some(text) => Some(text.parse().map_err(|_| Failed)?),
                None => None,
            },
            Self::Case(when, then, otherwise) => {
                if when.value(row)? == Some(true) {
                    then.value(row)?
                } else {
                    otherwise.value(row)?
                }
            }
        })
    }
}

impl Condition {
    fn draw(rng: &mut ChaCha8Rng, depth: u32) -> Self {
        let part = |rng: &mut ChaCha8Rng| Box::new(Self::draw(rng, depth - 1));
        match if depth == 0 {
            rng.random_range(0..4)
        } else {
            rng.random_range(0..9)
        } {
            0 => Self::Less(
                Number::draw(rng, depth.saturating_sub(1)),
                Number::draw(rng, 0),
            ),
            1 => Self::Equal(
                Number::draw(rng, depth.saturating_sub(1)),
                Number::draw(rng, 0),
            ),
            2 => Self::IsNull(Number::draw(rng, 0)),
            3 => Self::IsNumber,
            4 | 5 => Self::And(part(rng), part(rng)),
            6 => Self::Or(part(rng), part(rng)),
            7 => Self::Not(part(rng)),
            _ => Self::Case(part(rng), part(rng), part(rng)),
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::Less(left, right) => format!("({} < {})", left.sql(), right.sql()),
            Self::Equal(left, right) => format!("({} = {})", left.sql(), right.sql()),
            Self::IsNull(value) => format!("({} IS NULL)", value.sql()),
            Self::IsNumber => "(g.s ~ '^[0-9]+$')".to_owned(),
            Self::And(left, right) => format!("({} AND {})", left.sql(), right.sql()),
            Self::Or(left, right) => format!("({} OR {})", left.sql(), right.sql()),
            Self::Not(value) => format!("(NOT {})", value.sql()),
            Self::Case(when, then, otherwise) => {
                format!(
                    "(CASE WHEN {} THEN {} ELSE {} END)",
                    when.sql(),
                    then.sql(),
                    otherwise.sql()
                )
            }
        }
    }

    fn value(&self, row: &Row) -> Value<bool> {
        Ok(match self {
            Self::Less(left, right) => {
                let (left, right) = (left.value(row)?, right.value(row)?);
                left.zip(right).map(|(left, right)| left < right)
            }
            Self::Equal(left, right) => {
                let (left, right) = (left.value(row)?, right.value(row)?);
                left.zip(right).map(|(left, right)| left == right)
            }
            Self::IsNull(value) => Some(value.value(row)?.is_none()),
            Self::IsNumber => row
                .s
                .map(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())),
            Self::And(left, right) => match left.value(row)? {
                Some(false) => Some(false),
                left => match right.value(row)? {
                    Some(false) => Some(false),
                    right => left.zip(right).map(|_| true),
                },
            },
            Self::Or(left, right) => match left.value(row)? {
                Some(true) => Some(true),
                left => match right.value(row)? {
                    Some(true) => Some(true),
                    right => left.zip(right).map(|_| false),
                },
            },
            Self::Not(value) => value.value(row)?.map(|value| !value),
            Self::Case(when, then, otherwise) => {
                if when.value(row)? == Some(true) {
                    then.value(row)?
                } else {
                    otherwise.value(row)?
                }
            }
        })
    }
}

/// A query with guarded expressions, and its result for each row: an id and a value, or nothing.
struct Query {
    sql: String,
    give: Box<dyn Fn(&Row) -> Result<Option<(i64, Option<i64>)>, Failed>>,
}

fn query(rng: &mut ChaCha8Rng) -> Query {
    let (first, second) = (Condition::draw(rng, 3), Condition::draw(rng, 3));
    let number = Number::draw(rng, 3);
    let holds = |condition: &Condition, row: &Row| Ok(condition.value(row)? == Some(true));
    match rng.random_range(0..5) {
        0 => Query {
            sql: format!("SELECT g.id, {} AS x FROM g", number.sql()),
            give: Box::new(move |row| Ok(Some((row.id, number.value(row)?)))),
        },
        1 => Query {
            sql: format!(
                "SELECT g.id, 0 AS x FROM g WHERE {} AND {}",
                first.sql(),
                second.sql()
            ),
            give: Box::new(move |row| {
                // A first condition that is NULL decides nothing.
                let first = first.value(row)?;
                let holds = first != Some(false) && holds(&second, row)?;
                Ok((holds && first == Some(true)).then_some((row.id, Some(0))))
            }),
        },
        2 => Query {
            sql: format!(
                "SELECT id, x FROM (SELECT g.id, {} AS x FROM g WHERE {}) AS q WHERE x > 0",
                number.sql(),
                first.sql()
            ),
            give: Box::new(move |row| {
                if !holds(&first, row)? {
                    return Ok(None);
                }
                let value = number.value(row)?;
                Ok(value
                    .filter(|value| *value > 0)
                    .map(|value| (row.id, Some(value))))
            }),
        },
        3 => Query {
            sql: format!(
                "SELECT g.id, sum({number}) FILTER (WHERE {first}) AS x, count({number}) FILTER (WHERE {first}) AS n, max({number}) FILTER (WHERE {second}) AS m FROM g GROUP BY g.id",
                number = number.sql(),
                first = first.sql(),
                second = second.sql()
            ),
            give: Box::new(move |row| {
                if holds(&second, row)? {
                    number.value(row)?;
                }
                let value = if holds(&first, row)? {
                    number.value(row)?
                } else {
                    None
                };
                Ok(Some((row.id, value)))
            }),
        },
        _ => Query {
            sql: format!(
                "SELECT g.id, 0 AS x FROM g JOIN h ON g.a = h.a WHERE {}",
                first.sql()
            ),
            // `h` holds 0 and 1.
            give: Box::new(move |row| {
                let joins = matches!(row.a, Some(0 | 1));
                Ok((joins && holds(&first, row)?).then_some((row.id, Some(0))))
            }),
        },
    }
}

fn rows(rng: &mut ChaCha8Rng) -> Vec<Row> {
    const TEXTS: [Option<&str>; 6] = [Some("1"), Some("12"), Some("0"), Some("x"), Some(""), None];
    let number = |rng: &mut ChaCha8Rng| rng.random_bool(0.9).then(|| rng.random_range(-1..3));
    (0..ROWS)
        .map(|id| Row {
            id,
            a: number(rng),
            b: number(rng),
            s: TEXTS[rng.random_range(0..TEXTS.len())],
        })
        .collect()
}

fn batch(job: &Job, source: &str, columns: &BTreeMap<&str, ArrayRef>) -> Option<RecordBatch> {
    let declared = job.sources.iter().chain(&job.unread_sources);
    let mut declared = declared.map(|source| &source.spec);
    let schema = Arc::clone(&declared.find(|spec| spec.name == source)?.schema);
    let columns = schema
        .fields()
        .iter()
        .map(|field| Arc::clone(&columns[field.name().as_str()]));
    let columns = columns.collect();
    Some(RecordBatch::try_new(schema, columns).unwrap())
}

/// The rows of the sources, by name.
fn sources(job: &Job, rows: &[Row]) -> BTreeMap<String, RecordBatch> {
    let numbers = |of: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Int64Array>())
    };
    let texts: StringArray = rows.iter().map(|row| row.s).collect();
    let g = BTreeMap::from([
        ("id", numbers(|row| Some(row.id))),
        ("a", numbers(|row| row.a)),
        ("b", numbers(|row| row.b)),
        ("s", Arc::new(texts) as ArrayRef),
    ]);
    let h = BTreeMap::from([("a", Arc::new(Int64Array::from(vec![0, 1])) as ArrayRef)]);
    let tables = [("g", &g), ("h", &h)];
    let read = tables
        .into_iter()
        .filter_map(|(source, columns)| Some((source.to_owned(), batch(job, source, columns)?)));
    read.collect()
}

fn values<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> BTreeMap<i64, Option<i64>> {
    let mut found = BTreeMap::new();
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let values = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            found.insert(
                ids.value(row),
                values.is_valid(row).then(|| values.value(row)),
            );
        }
    }
    found
}

/// The rows by the engine, which the oracle must confirm.
fn run(sql: &str, rows: &[Row]) -> Result<BTreeMap<i64, Option<i64>>, String> {
    let sql = format!("{SOURCES}{sql}");
    let job = Job::parse("guards", &sql, &|_| None).map_err(|errors| errors.to_string())?;
    let sources = sources(&job, rows);
    let oracle = Oracle::new(&sql).map_err(|error| error.to_string())?;
    let expected = oracle.run(&sources).map_err(|error| error.to_string())?;
    let read = sources
        .into_iter()
        .filter(|(source, _)| job.source(source).is_some());
    let deliveries = read.map(|(source, rows)| (source, rows, 1));
    let mut resident = Resident::start(&job, 2).map_err(|error| error.to_string())?;
    let changed = resident
        .epoch(deliveries.collect())
        .map_err(|error| error.to_string())?;
    let found = values(changed.values().flatten().map(|(batch, _)| batch));
    assert_eq!(found, values(expected.values()), "the oracle: {sql}");
    Ok(found)
}

#[test]
fn guards_keep_rows_from_what_would_fail_on_them() {
    for seed in seed::seeds(120) {
        let mut rng = seed::generator(seed, "guards");
        let query = query(&mut rng);
        let mut rows = rows(&mut rng);
        // Rows that fail by the reference are removed. No other row may fail.
        rows.retain(|row| (query.give)(row).is_ok());
        let expected: BTreeMap<i64, Option<i64>> = rows
            .iter()
            .filter_map(|row| (query.give)(row).ok().flatten())
            .collect();
        let found = run(&query.sql, &rows);
        assert_eq!(found.as_ref(), Ok(&expected), "seed {seed}: {}", query.sql);
    }
}

#[test]
fn reported_guards_hold() {
    let row = |id, s| Row {
        id,
        a: Some(id),
        b: Some(6),
        s: Some(s),
    };
    let rows = [row(0, "abc"), row(1, "30"), row(2, "")];
    for (sql, expected) in [
        (
            "SELECT id, 0 AS x FROM g WHERE CASE WHEN s ~ '^[0-9]+$' THEN CAST(s AS INT) > 0 ELSE false END",
            vec![(1, 0)],
        ),
        (
            "SELECT id, sum(n) AS x FROM (SELECT id, CAST(s AS BIGINT) AS n FROM g WHERE a = 1) AS q WHERE n > 5 GROUP BY id",
            vec![(1, 30)],
        ),
        (
            "SELECT a AS id, sum(CAST(s AS BIGINT)) FILTER (WHERE a = 1) AS x FROM g WHERE a > 0 AND a < 2 GROUP BY a",
            vec![(1, 30)],
        ),
        (
            "SELECT id, CASE WHEN CASE WHEN a <> 0 THEN b / a > 3 ELSE false END THEN 1 ELSE 0 END AS x FROM g",
            vec![(0, 0), (1, 1), (2, 0)],
        ),
        (
            "SELECT id, 0 AS x FROM g WHERE a <> 0 AND b / a > 3",
            vec![(1, 0)],
        ),
        (
            "SELECT id, 0 AS x FROM g WHERE a = 0 OR b / a > 3",
            vec![(0, 0), (1, 0)],
        ),
        (
            "SELECT id, x FROM (SELECT id, b / a AS x FROM (SELECT * FROM g WHERE a <> 0) AS p) AS q WHERE x > 3",
            vec![(1, 6)],
        ),
        (
            "SELECT g.id, 0 AS x FROM g JOIN h ON g.a = h.a WHERE CAST(g.s AS BIGINT) > 1 AND g.a = 1",
            vec![(1, 0)],
        ),
        // The optimizer merges the divisions, and drops the condition that comes first.
        (
            "SELECT id, CASE WHEN (a = 1 AND b / a > 3) OR (a = 2 AND b / a > 3) THEN 1 ELSE 0 END AS x FROM g",
            vec![(0, 0), (1, 1), (2, 0)],
        ),
        (
            "SELECT id, CASE WHEN CASE WHEN a = 1 THEN b / a > 3 WHEN a = 2 THEN b / a > 3 ELSE false END THEN 1 ELSE 0 END AS x FROM g",
            vec![(0, 0), (1, 1), (2, 0)],
        ),
        (
            "SELECT id, CASE WHEN a <> 0 AND (b / a > 3 AND a <> 0) THEN 1 ELSE 0 END AS x FROM g",
            vec![(0, 0), (1, 1), (2, 0)],
        ),
    ] {
        let expected: BTreeMap<i64, Option<i64>> =
            expected.into_iter().map(|(id, x)| (id, Some(x))).collect();
        assert_eq!(run(sql, &rows).as_ref(), Ok(&expected), "{sql}");
    }
}
