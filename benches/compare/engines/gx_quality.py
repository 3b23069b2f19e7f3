#!/usr/bin/env python3
"""Great Expectations over the transactions of quality.py, on pandas or on its SQL engine with SQLite.

    gx_quality.py DIRECTORY --engine pandas|sqlite --now TIME --rows N --database FILE
    gx_quality.py DIRECTORY --structure

Prints JSON: for each check whether it succeeded, its unexpected count (1 for a value that is out of range) and the
observed value, or the reason why this engine cannot evaluate it. With --structure, for each file whether it has the
declared columns.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import sqlite3

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx  # noqa: E402 (reads its settings when it is imported)
import great_expectations.expectations as gxe  # noqa: E402
import pandas as pd  # noqa: E402
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: E402

NUMBERS = ["amount", "installment_months", "billed_amount", "issuer_share", "network_share", "merchant_share"]
STATUSES = ["approved", "declined", "cancelled"]
FORMAT = "%Y-%m-%d %H:%M:%S"
# On pandas, GX compares pairs with a set in a Python loop over all rows, which takes longer than all other checks
# together. SQLite evaluates it.
NOT_ON_PANDAS = ["type_and_status_in_set"]
EITHER, ANY = "either_value_is_missing", "any_value_is_missing"


def expectations(now, rows, merchants):
    """The checks of jobs/quality.sql under the same names."""
    newest = datetime.datetime.fromisoformat(now)
    return {
        "id_not_null": gxe.ExpectColumnValuesToNotBeNull(column="transaction_id"),
        "id_mostly_not_null": gxe.ExpectColumnValuesToNotBeNull(column="transaction_id", mostly=0.999),
        "amount_mostly_not_null": gxe.ExpectColumnValuesToNotBeNull(column="amount", mostly=0.9999),
        "reversed_by_null": gxe.ExpectColumnValuesToBeNull(column="reversed_by"),
        "merchant_share_not_null": gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column="merchant", min_value=0.99995, max_value=1),
        "id_unique": gxe.ExpectColumnValuesToBeUnique(column="transaction_id"),
        "payment_unique_together": gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["transaction_date", "card_no", "amount", "merchant"], ignore_row_if=ANY),
        "card_share_unique": gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="card_no", min_value=0.001, max_value=0.02),
        "card_values": gxe.ExpectColumnUniqueValueCountToBeBetween(column="card_no", min_value=1000, max_value=2000),
        "category_in_set": gxe.ExpectColumnValuesToBeInSet(
            column="category", value_set=["식비", "교통", "쇼핑", "문화", "의료", "교육", "통신", "보험"]),
        "status_mostly_in_set": gxe.ExpectColumnValuesToBeInSet(
            column="approval_status", value_set=STATUSES, mostly=0.99),
        "region_not_in_set": gxe.ExpectColumnValuesToNotBeInSet(column="region", value_set=["울산", "세종"]),
        "card_types_in_set": gxe.ExpectColumnDistinctValuesToBeInSet(column="card_type", value_set=["신용", "체크"]),
        "statuses_equal_set": gxe.ExpectColumnDistinctValuesToEqualSet(
            column="approval_status", value_set=[*STATUSES, "refunded", "expired"]),
        "regions_contain_set": gxe.ExpectColumnDistinctValuesToContainSet(
            column="region", value_set=["서울", "부산", "제주", "세종"]),
        "amount_between": gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=10_000_000),
        "amount_strictly_between": gxe.ExpectColumnValuesToBeBetween(
            column="amount", min_value=0, max_value=10_000_000, strict_min=True, strict_max=True),
        "installments_between": gxe.ExpectColumnValuesToBeBetween(
            column="installment_months", min_value=0, max_value=12),
        "card_matches": gxe.ExpectColumnValuesToMatchRegex(
            column="card_no", regex="^[*]{4}-[*]{4}-[*]{4}-[0-9]{4}$"),
        "card_does_not_match": gxe.ExpectColumnValuesToNotMatchRegex(column="card_no", regex="^[0-9]{4}-[0-9]{4}-"),
        "merchant_length_between": gxe.ExpectColumnValueLengthsToBeBetween(
            column="merchant", min_value=2, max_value=10),
        "card_length": gxe.ExpectColumnValueLengthsToEqual(column="card_no", value=19),
        "date_format": gxe.ExpectColumnValuesToMatchStrftimeFormat(column="transaction_date", strftime_format=FORMAT),
        "amount_above_installments": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="amount", column_B="installment_months", ignore_row_if=EITHER),
        "amount_is_billed": gxe.ExpectColumnPairValuesToBeEqual(
            column_A="amount", column_B="billed_amount", ignore_row_if=EITHER),
        "type_and_status_in_set": gxe.ExpectColumnPairValuesToBeInSet(
            column_A="card_type", column_B="approval_status", ignore_row_if=EITHER,
            value_pairs_set=[(card, status) for card in ("신용", "체크") for status in STATUSES]),
        "shares_sum": gxe.ExpectMulticolumnSumToEqual(
            column_list=["issuer_share", "network_share", "merchant_share"], sum_total=100, ignore_row_if=ANY),
        "row_count_between": gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=1_000_000),
        "row_count_is": gxe.ExpectTableRowCountToEqual(value=rows),
        "row_count_as_raw": gxe.ExpectTableRowCountToEqualOtherTable(other_table_name="raw"),
        "row_count_as_merchants": gxe.ExpectTableRowCountToEqualOtherTable(other_table_name="merchants"),
        "amount_min_between": gxe.ExpectColumnMinToBeBetween(column="amount", min_value=0, max_value=10_000),
        "amount_max_between": gxe.ExpectColumnMaxToBeBetween(
            column="amount", min_value=100_000, max_value=50_000_000),
        "amount_mean_between": gxe.ExpectColumnMeanToBeBetween(column="amount", min_value=10_000, max_value=1_000_000),
        "amount_sum_between": gxe.ExpectColumnSumToBeBetween(column="amount", min_value=0, max_value=1_000_000),
        "amount_deviation_between": gxe.ExpectColumnStdevToBeBetween(
            column="amount", min_value=1_000, max_value=100_000),
        # There is no expectation for a key in another table: a list of the other table's keys stands for it.
        "merchant_known": gxe.ExpectColumnValuesToBeInSet(column="merchant", value_set=merchants),
        "newest_within_2_days": fresh(newest, 2),
        "newest_within_5_days": fresh(newest, 5),
        "declined_often": gxe.UnexpectedRowsExpectation(unexpected_rows_query=(
            "SELECT card_no FROM {batch} WHERE approval_status = 'declined' "
            "GROUP BY card_no, substr(transaction_date, 1, 10) HAVING count(*) >= 3")),
    }


def fresh(now, days):
    """Whether the newest row is at most so old. SQLite has times as text."""
    return gxe.ExpectColumnMaxToBeBetween(column="at", min_value=(now - datetime.timedelta(days=days)).strftime(FORMAT))


def files(directory, table):
    return sorted((directory / table).glob("*.csv"))


def pandas_batch(context, directory, _):
    """All columns are read as text, and numbers and times converted, so that text in a number is seen as NULL."""
    frame = pd.concat([pd.read_csv(path, dtype=str) for path in files(directory, "transactions")], ignore_index=True)
    for column in NUMBERS:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame["at"] = pd.to_datetime(frame["transaction_date"], format=FORMAT, errors="coerce")
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("typed")
    return asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})


def sqlite_batch(context, directory, database):
    """The files as tables of a database, which is made anew."""
    database.unlink(missing_ok=True)
    with sqlite3.connect(database) as connection:
        for table in ("transactions", "merchants"):
            load(connection, "raw" if table == "transactions" else table, files(directory, table))
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(raw)")]
        typed = [f"CASE WHEN {name} GLOB '[-0-9]*' THEN CAST({name} AS INTEGER) END AS {name}" if name in NUMBERS
                 else name for name in columns]
        connection.execute(f"CREATE TABLE typed AS SELECT {', '.join(typed)}, datetime(transaction_date) AS at FROM raw")
    connection.close()
    asset = context.data_sources.add_sqlite("sqlite", connection_string=f"sqlite:///{database}").add_table_asset(
        "typed", table_name="typed")
    return asset.add_batch_definition_whole_table("all").get_batch()


def load(connection, table, paths):
    """Creates a table of text columns with the rows of CSV files; an empty field is NULL."""
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            columns = next(rows)
            if path == paths[0]:
                connection.execute(f"CREATE TABLE {table} ({', '.join(f'{name} TEXT' for name in columns)})")
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join(['nullif(?, ?)'] * len(columns))})",
                                   ([word for field in row for word in (field, "")] for row in rows))


def outcome(result):
    """What is compared of a validation result."""
    errors = [error["exception_message"] for error in [result.exception_info, *result.exception_info.values()]
              if isinstance(error, dict) and error.get("raised_exception")]
    if errors:
        return {"cannot": errors[0]}
    found = result.result
    kind = result.expectation_config.type
    observed = found.get("observed_value")
    if kind == "unexpected_rows_expectation":
        return {"success": result.success, "unexpected": observed}
    if "unexpected_count" in found or "missing_count" in found and "element_count" not in found:
        # Of sets of distinct values, also those that are missing are counted.
        missing = found.get("missing_count", 0) if "element_count" not in found else 0
        return {"success": result.success, "unexpected": found.get("unexpected_count", 0) + missing}
    return {"success": result.success, "unexpected": int(not result.success), "observed": plain(observed)}


def plain(value):
    """An observed value as JSON has it."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (int, float, dict, type(None))) else str(value)


def structure(context, directory):
    """Which checks of columns hold for each file of a directory."""
    columns = ["id", "amount", "region"]
    suite = gx.ExpectationSuite("structure", [
        gxe.ExpectColumnToExist(column="region", meta={"name": "exist"}),
        gxe.ExpectTableColumnsToMatchSet(column_set=columns, exact_match=True, meta={"name": "set"}),
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=columns, meta={"name": "order"}),
        gxe.ExpectColumnValuesToBeOfType(column="amount", type_="int64", meta={"name": "type"}),
    ])
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("delivery")
    batches = asset.add_batch_definition_whole_dataframe("all")
    found = {}
    for path in sorted(directory.glob("*.csv")):
        results = batches.get_batch({"dataframe": pd.read_csv(path)}).validate(suite)
        found[path.stem] = {name_of(result): result.success for result in results.results}
    return found


def quality(context, args):
    """The outcome of every check on the transactions."""
    batch = {"pandas": pandas_batch, "sqlite": sqlite_batch}[args.engine](context, args.directory, args.database)
    merchants = [line for path in files(args.directory, "merchants")
                 for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    checks = expectations(args.now, args.rows, merchants)
    if args.engine == "pandas":
        checks = {name: check for name, check in checks.items() if name not in NOT_ON_PANDAS}
    for name, check in checks.items():
        check.meta = {"name": name}
    results = batch.validate(gx.ExpectationSuite("quality", list(checks.values())))
    return {name_of(result): outcome(result) for result in results.results}


def name_of(result):
    return result.expectation_config.meta["name"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--structure", action="store_true")
    parser.add_argument("--engine", choices=("pandas", "sqlite"), default="pandas")
    parser.add_argument("--now", help="the time of freshness")
    parser.add_argument("--rows", type=int, help="the expected number of rows")
    parser.add_argument("--database", type=pathlib.Path, help="of the engine sqlite")
    args = parser.parse_args()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    found = structure(context, args.directory) if args.structure else quality(context, args)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
