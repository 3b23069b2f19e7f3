//! Jobs built in Rust. A separate planner makes the plans, as a `SessionContext` would.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::logical_plan::builder::LogicalTableSource;
use datafusion_expr::{LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion_functions_aggregate::expr_fn::{median, sum};
use tidewater_connectors::sink::Encoding;
use tidewater_connectors::source::{Format, SourceSpec};

use super::super::JobBuilder;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("region", DataType::Utf8, true),
        Field::new("amount", DataType::Int64, true),
    ]))
}

fn sales() -> SourceSpec {
    SourceSpec {
        name: "sales".to_owned(),
        location: "sales.csv".to_owned(),
        format: Format::Csv,
        schema: schema(),
        projection: vec![],
        options: BTreeMap::new(),
        ordinals: false,
        dictionaries: false,
        source: None,
    }
}

fn scan(name: &str, schema: SchemaRef) -> LogicalPlanBuilder {
    LogicalPlanBuilder::scan(name, Arc::new(LogicalTableSource::new(schema)), None).unwrap()
}

fn totals() -> LogicalPlan {
    let total = sum(col("amount")).alias("total");
    scan("sales", schema())
        .filter(col("id").gt(lit(3_i64)))
        .unwrap()
        .aggregate(vec![col("region")], vec![total])
        .unwrap()
        .build()
        .unwrap()
}

#[test]
fn a_job_of_plans_is_checked_and_pruned_like_any_other() {
    let big = |schema: SchemaRef| {
        scan("totals", schema)
            .filter(col("total").gt(lit(100_i64)))
            .unwrap()
            .project(vec![col("region")])
            .unwrap()
            .build()
            .unwrap()
    };
    let columns = Arc::new(Schema::new(vec![
        Field::new("region", DataType::Utf8, true),
        Field::new("total", DataType::Int64, true),
    ]));
    let job = JobBuilder::new("sales")
        .source(sales())
        .view("totals", totals())
        .materialized_view("big", big(columns))
        .publish("big", "out/big", Encoding::JsonLines, &[])
        .build()
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        job.views
            .iter()
            .map(|v| (v.name.as_str(), v.materialized))
            .collect::<Vec<_>>(),
        [("totals", false), ("big", true)]
    );
    assert_eq!(job.source("sales").unwrap().spec.projection, [0, 1, 2]);
    assert_eq!(job.sinks[0].view, "big");
}

#[test]
fn its_mistakes_name_the_view() {
    let other = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let wrong = || JobBuilder::new("sales").source(sales());
    let median = scan("sales", schema())
        .aggregate(vec![col("region")], vec![median(col("amount"))])
        .unwrap()
        .build()
        .unwrap();
    let cases = [
        (
            wrong().materialized_view("v", scan("sale", schema()).build().unwrap()),
            "no table or view 'sale'",
            "did you mean 'sales'?",
        ),
        (
            wrong().materialized_view("v", scan("sales", other).build().unwrap()),
            "v: 'sales' has other columns",
            "id BIGINT, region TEXT, amount BIGINT",
        ),
        (
            wrong().materialized_view("v", median),
            "v: median is not supported",
            "row_number()",
        ),
        (
            wrong().view("sales", totals()),
            "'sales' is defined twice",
            "",
        ),
        (
            wrong().publish("salse", "x", Encoding::JsonLines, &[]),
            "no table or view 'salse'",
            "'sales'",
        ),
        (
            wrong().publish("sales", "x", Encoding::JsonLines, &["Region"]),
            "no column 'Region'",
            "'region'",
        ),
        (
            wrong()
                .publish("sales", "x", Encoding::JsonLines, &[])
                .publish("sales", "x", Encoding::JsonLines, &[]),
            "already where",
            "",
        ),
    ];
    for (builder, message, hint) in cases {
        let errors = builder.build().expect_err(message);
        let [error] = errors.errors() else {
            panic!("{errors}")
        };
        assert!(
            error.line == 0
                && error.message.contains(message)
                && error.hint.as_deref().unwrap_or_default().contains(hint),
            "{errors}"
        );
    }
}
