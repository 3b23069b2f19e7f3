"""The card job in Spark, local mode.

    spark_card.py INPUT OUTPUT [--tables eleven|thirteen] [--format csv|parquet] [--threads N] [--memory-gb N]

As Spark's own users would tune it for one small machine: local[threads], two shuffle partitions a thread, adaptive
execution, an explicit schema, the approved rows with the columns that the tables need cached, one output file for each
aggregate or partition of it, and half of the machine's memory for the driver.
"""

import os

import card
from sql_tables import NARROW, QUERIES

SCHEMA = ("transaction_id STRING, transaction_date TIMESTAMP_NTZ, card_no STRING, card_type STRING, merchant STRING, "
          "sub_category STRING, category STRING, amount BIGINT, installment_months INT, approval_status STRING, "
          "region STRING")
APPROVED = """
SELECT {columns}, CAST(transaction_date AS DATE) AS txn_date, hour(transaction_date) AS txn_hour,
  year(transaction_date) AS txn_year, quarter(transaction_date) AS txn_quarter, month(transaction_date) AS txn_month
FROM transactions WHERE approval_status = 'approved'
"""
WIDE = ("*, CAST(date_trunc('hour', transaction_date) AS TIMESTAMP_NTZ) AS window_start, "
        "dayofweek(transaction_date) AS txn_day_of_week")


def session(threads, memory_gb):
    """A session in this process' own JVM."""
    from pyspark.sql import SparkSession

    memory_gb = memory_gb or max(2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**31)
    settings = {
        "spark.driver.memory": f"{memory_gb}g",
        "spark.sql.shuffle.partitions": str(2 * threads),
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "snappy",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    builder = SparkSession.builder.master(f"local[{threads}]").appName("card")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def transactions(spark, source, form):
    """The input as the view `transactions`."""
    if form == "csv":
        frame = spark.read.option("timestampNTZFormat", "yyyy-MM-dd HH:mm:ss").csv(source, SCHEMA, header=True)
    else:
        frame = spark.read.schema(SCHEMA).parquet(source)
    frame.createOrReplaceTempView("transactions")


def main():
    args = card.arguments(__doc__, memory_gb={"type": int, "help": "memory of the driver"})
    names = card.tables(args.tables)
    card.fresh(args.output, names)
    spark = session(args.threads, args.memory_gb)
    transactions(spark, args.input, args.format)
    columns = WIDE if "partitioned_transactions" in names else NARROW
    spark.sql(APPROVED.format(columns=columns)).createOrReplaceTempView("approved")
    spark.catalog.cacheTable("approved")
    for name in names:
        frame, keys = spark.sql(QUERIES[name]), card.partitions(name)
        if name != "partitioned_transactions":
            frame = frame.coalesce(1)
        frame.write.mode("overwrite").parquet(str(args.output / name), partitionBy=keys or None)
    spark.stop()


if __name__ == "__main__":
    main()
