"""Spark's part in the workload `choices`: spark_choices.py join INPUT OUTPUT --dimension FILE --way broadcast|exchanged"""

import argparse
import pathlib

from spark_card import APPROVED, session, transactions


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("join",))
    parser.add_argument("input")
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--dimension", required=True)
    parser.add_argument("--way", choices=("broadcast", "exchanged"), required=True)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    spark = session(args.threads, None)
    transactions(spark, args.input, "csv")
    spark.sql(APPROVED.format(columns="merchant, amount")).createOrReplaceTempView("approved")
    spark.read.csv(args.dimension, "merchant STRING, segment STRING", header=True).createOrReplaceTempView("merchants")
    hint = {"broadcast": "BROADCAST(merchants)", "exchanged": "SHUFFLE_HASH(merchants)"}[args.way]
    table = spark.sql(f"""
        SELECT /*+ {hint} */ segment, txn_date, count(*) AS txn_count, sum(amount) AS total_amount
        FROM approved JOIN merchants ON approved.merchant = merchants.merchant GROUP BY segment, txn_date""")
    table.coalesce(1).write.parquet(str(args.output / "segments"))
    spark.stop()


if __name__ == "__main__":
    main()
