"""The card job in Polars.

    polars_card.py INPUT OUTPUT [--tables eleven|thirteen] [--format csv|parquet] [--threads N]

As Polars' own users would: a lazy scan with a schema and without inference, of the columns that the tables need, is
collected once on the streaming engine; all aggregations then run in one collect_all. Texts of few values are
categories.
"""

import os

import card

args = card.arguments(__doc__)
os.environ["POLARS_MAX_THREADS"] = str(args.threads)

import polars as pl  # noqa: E402  (reads POLARS_MAX_THREADS once)

SCHEMA = {
    "transaction_id": pl.String, "transaction_date": pl.Datetime("us"), "card_no": pl.String, "card_type": pl.String,
    "merchant": pl.String, "sub_category": pl.String, "category": pl.String, "amount": pl.Int64,
    "installment_months": pl.Int32, "approval_status": pl.String, "region": pl.String,
}
CATEGORIES = ["card_no", "card_type", "merchant", "sub_category", "category", "region"]
ROW_COLUMNS = [*SCHEMA, "txn_date", "txn_hour", "txn_day_of_week", "txn_year", "txn_month"]


def approved(source, form, names):
    """The approved rows and the parts of their date, in memory."""
    if form == "csv":
        scan = pl.scan_csv(card.files(source, form), schema=SCHEMA, try_parse_dates=True)
    else:
        scan = pl.scan_parquet(card.files(source, form))
    at = pl.col("transaction_date")
    columns = [name for name in SCHEMA if name not in ("transaction_id", "approval_status", "transaction_date")]
    parts = {
        "txn_date": at.dt.date(), "txn_hour": at.dt.hour(), "txn_year": at.dt.year(), "txn_month": at.dt.month(),
        "txn_quarter": at.dt.quarter(),
    }
    if len(names) > 11:
        columns = list(SCHEMA)
        parts["window_start"] = at.dt.truncate("1h")
        parts["txn_day_of_week"] = (at.dt.weekday() % 7 + 1).cast(pl.Int32)
    kept = scan.filter(pl.col("approval_status") == "approved").select(
        *(pl.col(name).cast(pl.Categorical) if name in CATEGORIES else name for name in columns),
        **parts,
    )
    return kept.collect(engine="streaming").lazy()


def whole(value):
    """Rounded half away from zero to a whole number."""
    return value.round(0, mode="half_away_from_zero").cast(pl.Int64)


def rate(now, before):
    """Growth in percent to two decimals."""
    basis_points = ((pl.col(now) - pl.col(before)) * 10_000 / pl.col(before)).round(0, mode="half_away_from_zero")
    return pl.when(pl.col(before) != 0).then(basis_points / 100).cast(pl.Decimal(18, 2))


COUNT = pl.len().cast(pl.Int64).alias("txn_count")
TOTAL = pl.col("amount").sum().alias("total_amount")
AVERAGE = whole(pl.col("amount").mean()).alias("avg_amount")
CARDS = pl.col("card_no").n_unique().cast(pl.Int64).alias("unique_cards")


def time_slot(hour):
    """The name of a part of the day."""
    slot = pl.when(hour.is_between(6, 11)).then(pl.lit("오전")).when(hour.is_between(12, 17)).then(pl.lit("오후"))
    return slot.when(hour.is_between(18, 23)).then(pl.lit("저녁")).otherwise(pl.lit("심야"))


def queries(rows):
    """Every table as a lazy frame."""
    year, month, quarter = "txn_year", "txn_month", "txn_quarter"
    merchant = rows.group_by("merchant", "category", "sub_category").agg(
        COUNT, CARDS.alias("unique_customers"), TOTAL.alias("total_revenue"), AVERAGE.alias("avg_transaction"),
    ).with_columns(
        revenue_10k_won=((pl.col("total_revenue") / 1000).round(0, mode="half_away_from_zero") / 10)
        .cast(pl.Decimal(18, 1)),
    ).sort(["total_revenue", "merchant", "category", "sub_category"], descending=[True, False, False, False])
    top = rows.group_by(year, quarter, "merchant", "category").agg(
        COUNT, TOTAL.alias("total_revenue"), CARDS.alias("unique_customers"),
    ).with_columns(
        rank=pl.col("total_revenue").rank("dense", descending=True).over(year, quarter).cast(pl.Int64),
    ).filter(pl.col("rank") <= 10)
    growth = rows.group_by(year, quarter).agg(COUNT, TOTAL, CARDS).sort(year, quarter).with_columns(
        prev_amount=pl.col("total_amount").shift(1), prev_count=pl.col("txn_count").shift(1),
    ).with_columns(
        amount_growth_rate=rate("total_amount", "prev_amount"), count_growth_rate=rate("txn_count", "prev_count"),
    )
    return {
        "daily_category_summary": rows.group_by("txn_date", "category").agg(
            COUNT, CARDS, TOTAL, AVERAGE, pl.col("amount").max().alias("max_amount"),
            pl.col("amount").min().alias("min_amount")),
        "merchant_ranking": merchant,
        "hourly_pattern": rows.group_by("txn_hour").agg(COUNT, TOTAL, AVERAGE, CARDS).with_columns(
            time_slot=time_slot(pl.col("txn_hour"))),
        "regional_analysis": rows.group_by("region", "category").agg(COUNT, TOTAL, AVERAGE, CARDS),
        "regional_hourly": rows.group_by("region", "window_start", "txn_date").agg(COUNT, TOTAL, AVERAGE, CARDS)
        if "window_start" in rows.collect_schema() else None,
        "monthly_trend": rows.group_by(year, month).agg(
            COUNT, TOTAL, AVERAGE, CARDS, pl.col("merchant").n_unique().cast(pl.Int64).alias("unique_merchants")),
        "quarterly_category_summary": rows.group_by(year, quarter, "category").agg(COUNT, TOTAL, AVERAGE, CARDS),
        "quarterly_merchant_top10": top,
        "quarterly_growth": growth,
        "quarterly_card_type": rows.group_by(year, quarter, "card_type").agg(COUNT, TOTAL, AVERAGE),
        "quarterly_region": rows.group_by(year, quarter, "region").agg(COUNT, TOTAL),
        "quarterly_installment": rows.filter(pl.col("installment_months") > 0)
        .group_by(year, quarter, "installment_months").agg(COUNT, TOTAL),
    }


def main():
    names = card.tables(args.tables)
    card.fresh(args.output, names)
    rows = approved(args.input, args.format, names)
    wanted = {name: query for name, query in queries(rows).items() if name in names}
    # Categories are for grouping; tables hold text.
    texts = [query.with_columns(pl.col(pl.Categorical).cast(pl.String)) for query in wanted.values()]
    for name, frame in zip(wanted, pl.collect_all(texts, engine="streaming")):
        sink(frame.lazy(), name)
    if "partitioned_transactions" in names:
        sink(rows.select(ROW_COLUMNS).with_columns(pl.col(pl.Categorical).cast(pl.String)), "partitioned_transactions")


def sink(frame, name):
    """Writes a table."""
    target = args.output / name
    if keys := card.partitions(name):
        target = pl.PartitionBy(target, key=keys, include_key=False)
    else:
        target = target / "data.parquet"
    frame.sink_parquet(target, compression="snappy", maintain_order=False, engine="streaming")


if __name__ == "__main__":
    main()
