//! The jobs that come with Tidewater.

use super::*;

const CARD: &str = include_str!("../../../../jobs/card.sql");
const LIBRARY: &str = include_str!("../../../../jobs/library.sql");
const EMPLOYEES: &str = include_str!("../../../../jobs/employees.sql");

fn job(sql: &str) -> Job {
    Job::parse("job.sql", sql, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_card_job_has_the_tables_of_its_contract() {
    const TABLES: [(&str, &str, &str); 13] = [
        (
            "daily_category_summary",
            "txn_date category txn_count unique_cards total_amount avg_amount max_amount min_amount",
            "txn_date",
        ),
        (
            "merchant_ranking",
            "merchant category sub_category txn_count unique_customers total_revenue avg_transaction revenue_10k_won",
            "",
        ),
        (
            "hourly_pattern",
            "txn_hour txn_count total_amount avg_amount unique_cards time_slot",
            "",
        ),
        (
            "regional_analysis",
            "region category txn_count total_amount avg_amount unique_cards",
            "region",
        ),
        (
            "regional_hourly",
            "region window_start txn_date txn_count total_amount avg_amount unique_cards",
            "txn_date",
        ),
        (
            "monthly_trend",
            "txn_year txn_month txn_count total_amount avg_amount unique_cards unique_merchants",
            "",
        ),
        (
            "partitioned_transactions",
            "transaction_id transaction_date card_no card_type merchant sub_category category amount installment_months \
             approval_status region txn_date txn_hour txn_day_of_week txn_year txn_month",
            "txn_year txn_month",
        ),
        (
            "quarterly_category_summary",
            "txn_year txn_quarter category txn_count total_amount avg_amount unique_cards",
            "txn_year txn_quarter",
        ),
        (
            "quarterly_merchant_top10",
            "txn_year txn_quarter merchant category txn_count total_revenue unique_customers rank",
            "txn_year txn_quarter",
        ),
        (
            "quarterly_growth",
            "txn_year txn_quarter txn_count total_amount unique_cards prev_amount prev_count amount_growth_rate count_growth_rate",
            "",
        ),
        (
            "quarterly_card_type",
            "txn_year txn_quarter card_type txn_count total_amount avg_amount",
            "",
        ),
        (
            "quarterly_region",
            "txn_year txn_quarter region txn_count total_amount",
            "",
        ),
        (
            "quarterly_installment",
            "txn_year txn_quarter installment_months txn_count total_amount",
            "",
        ),
    ];
    let job = job(CARD);
    assert_eq!(job.sinks.len(), TABLES.len());
    for (name, columns, partition_by) in TABLES {
        let sink = job.sinks.iter().find(|sink| sink.view == name).expect(name);
        let field = |index: &usize| sink.schema.field(*index).name().clone();
        let all: Vec<String> = (0..sink.schema.fields().len())
            .map(|index| field(&index))
            .collect();
        assert_eq!(all.join(" "), columns, "{name}");
        assert_eq!(
            sink.directory()
                .unwrap()
                .partition_by
                .iter()
                .map(field)
                .collect::<Vec<_>>()
                .join(" "),
            partition_by,
            "{name}"
        );
        assert_eq!(job.view(name).expect(name).schema, sink.schema, "{name}");
    }
    assert_eq!(job.warnings, []);
}

#[test]
fn the_other_jobs_are_planned() {
    let library = job(LIBRARY);
    assert_eq!(
        library
            .views
            .iter()
            .map(|view| view.name.as_str())
            .collect::<Vec<_>>(),
        ["shown", "search_results", "book_demand", "tag_demand"]
    );
    assert_eq!(
        library.source("searches").unwrap().spec.projection,
        [0, 1, 2, 4, 5],
        "nobody reads the query"
    );
    let employees = job(EMPLOYEES);
    assert_eq!(
        employees.source("employees").unwrap().spec.projection,
        [2, 4, 5, 6, 7]
    );
    assert_eq!((library.warnings, employees.warnings), (vec![], vec![]));
}

/// Every variable may be set, to paths with blanks too.
#[test]
fn variables_reach_the_paths() {
    for sql in [CARD, LIBRARY, EMPLOYEES] {
        let job = Job::parse("job.sql", sql, &|name| Some(format!("some where/{name}")))
            .unwrap_or_else(|errors| panic!("{errors}"));
        assert!(job.sources[0].spec.location.starts_with("some where/input"));
        assert!(job.sinks.iter().all(|sink| {
            sink.directory()
                .unwrap()
                .path
                .starts_with("some where/output")
        }));
    }
}
