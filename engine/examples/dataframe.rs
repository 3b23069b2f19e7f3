//! A job built with DataFusion's `DataFrame` API instead of SQL text. It is run over a file, and then maintained by
//! hand.
//!
//! ```sh
//! cargo run -p tidewater-engine --example dataframe
//! ```
//!
//! DataFusion only plans. Its executor does not run, so no async runtime is needed.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::{count_distinct, max, sum};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::{SessionContext, col, lit};
use tidewater_connectors::sink::Encoding;
use tidewater_connectors::source::{Format, SourceSpec};
use tidewater_engine::{Job, JobBuilder, Progress, Resident, RunOptions, run};

const SALES: &str = "\
region,customer,amount
Seoul,Kim,120
Seoul,Lee,80
Busan,Kim,45
Seoul,Kim,60
Busan,Park,a lot
Busan,Choi,-10
";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("sales.csv"), SALES)?;
    let job = job(directory.path())?;
    run_once(&job)?;
    maintain(&job)
}

/// One source, a view as an intermediate step, and a published table by region.
fn job(directory: &Path) -> Result<Job, Box<dyn Error>> {
    let source = SourceSpec {
        name: "sales".to_owned(),
        location: directory.join("sales.csv").display().to_string(),
        format: Format::Csv,
        schema: sales_schema(),
        projection: Vec::new(), // of no matter: the job finds out which columns it reads
        options: BTreeMap::new(),
        ordinals: false,
        dictionaries: false,
        source: None,
    };

    let context = SessionContext::new();
    let paid = relation(&context, "sales", sales_schema())?.filter(col("amount").gt(lit(0_i64)))?;

    // A plan reads a view like a source, by its name and columns.
    let paid_schema = Arc::clone(paid.schema().inner());
    let by_region = relation(&context, "paid", paid_schema)?
        .aggregate(
            vec![col("region")],
            vec![
                count_distinct(col("customer")).alias("customers"),
                sum(col("amount")).alias("total"),
                max(col("amount")).alias("largest"),
            ],
        )?
        // The order of the published file. The table itself is a multiset of rows.
        .sort(vec![col("total").sort(false, false)])?;

    // Plans are passed on without optimisation. The builder optimises them, by the rules for maintained tables.
    let csv = Encoding::Csv {
        delimiter: b',',
        null_text: String::new(),
    };
    let job = JobBuilder::new("sales by region")
        .source(source)
        .view("paid", paid.into_unoptimized_plan())
        .materialized_view("by_region", by_region.into_unoptimized_plan())
        .publish("by_region", directory.join("out/by_region"), csv, &[])
        .build()?;
    Ok(job)
}

/// Runs the job once: reads files, and publishes tables and the quarantine.
fn run_once(job: &Job) -> Result<(), Box<dyn Error>> {
    let options = RunOptions {
        workers: 2,
        preview_rows: 10,
        take_over: false,
    };
    let report = run(job, &options, &Progress::default())?;
    println!(
        "run: {} rows read, {} of them quarantined",
        report.rows_read, report.rows_quarantined
    );
    for table in &report.tables {
        println!(
            "{}",
            pretty_format_batches(std::slice::from_ref(&table.preview))?
        );
        for file in fs::read_dir(&table.path)? {
            let file = file?;
            println!("{}:", file.file_name().display());
            println!("{}", fs::read_to_string(file.path())?);
        }
    }
    Ok(())
}

/// The same job as a resident graph. Rows are fed to it epoch by epoch, and it returns the changes of its tables.
fn maintain(job: &Job) -> Result<(), Box<dyn Error>> {
    let mut resident = Resident::start(job, 2)?;

    // Inserted rows of two regions.
    let first = sales(&[
        ("Seoul", "Kim", 120),
        ("Seoul", "Lee", 80),
        ("Busan", "Kim", 45),
    ])?;
    print_epoch(&mut resident, 0, first, 1)?;

    // Retracts Seoul's largest sale, and with it one of its two customers. Busan does not change.
    let correction = sales(&[("Seoul", "Kim", 120)])?;
    print_epoch(&mut resident, 1, correction, -1)
}

/// Feeds `sales` as one epoch with the count `diff`, and prints the changes.
fn print_epoch(
    resident: &mut Resident,
    epoch: u64,
    sales: RecordBatch,
    diff: i64,
) -> Result<(), Box<dyn Error>> {
    let tables = resident.epoch(vec![("sales".to_owned(), sales, diff)])?;
    for (table, changes) in tables {
        for (rows, diff) in changes {
            println!("epoch {epoch}, {table}, {diff:+}:");
            println!("{}", pretty_format_batches(&[rows])?);
        }
    }
    Ok(())
}

/// A source or view to begin a `DataFrame` with. Planning needs only its name and columns.
fn relation(
    context: &SessionContext,
    name: &str,
    schema: SchemaRef,
) -> Result<DataFrame, Box<dyn Error>> {
    let table = provider_as_source(Arc::new(EmptyTable::new(schema)));
    let scan = LogicalPlanBuilder::scan(name, table, None)?.build()?;
    Ok(DataFrame::new(context.state(), scan))
}

fn sales_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("region", DataType::Utf8, true),
        Field::new("customer", DataType::Utf8, true),
        Field::new("amount", DataType::Int64, true),
    ]))
}

/// Rows of the source, with all the columns that it declares.
fn sales(rows: &[(&str, &str, i64)]) -> Result<RecordBatch, Box<dyn Error>> {
    let regions = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let customers = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    let amounts = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(regions), Arc::new(customers), Arc::new(amounts)];
    Ok(RecordBatch::try_new(sales_schema(), columns)?)
}
