"""The jobs that Tidewater runs, derived from jobs/card.sql so that there is one card job."""

import re

from .machine import ROOT

CARD = ROOT / "jobs" / "card.sql"
# A comment, a literal, or the end of a statement.
TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|;")
# The row tables and the widest of the aggregates, which the eleven leave out.
LEFT_OUT = ("regional_hourly", "partitioned_transactions")


def statements(sql):
    """The statements of a job, each with its semicolon and the comments before it."""
    found, start = [], 0
    for token in TOKEN.finditer(sql):
        if token[0] == ";":
            found.append(sql[start:token.end()])
            start = token.end()
    return found


def without(sql, names):
    """`sql` without the statements that make or publish the views `names`."""
    listed = "|".join(map(re.escape, names))
    # Comments come before a statement; its own first line begins in column one.
    dropped = re.compile(rf"^(CREATE MATERIALIZED VIEW|CREATE VIEW|COPY)\s+({listed})\s", re.MULTILINE)
    return "".join(statement for statement in statements(sql) if not dropped.search(statement))


def card_job(tables="thirteen", form="csv"):
    """The card job with eleven or thirteen tables, over CSV or Parquet files."""
    sql = CARD.read_text(encoding="utf-8")
    if tables == "eleven":
        sql = without(sql, LEFT_OUT)
    if form == "parquet":
        sql = sql.replace("STORED AS CSV LOCATION", "STORED AS PARQUET LOCATION")
    return sql


def source(form="csv"):
    """The statement that declares the transactions, and the step that keeps those that were approved."""
    return "".join(statements(card_job(form=form))[:2])


def rows_job(partitioned_by):
    """The approved transactions alone, published in partitions by `partitioned_by`, or in none."""
    clause = f" PARTITIONED BY ({', '.join(partitioned_by)})" if partitioned_by else ""
    return source() + f"""

CREATE MATERIALIZED VIEW rows AS
SELECT transaction_id, transaction_date, card_no, card_type, merchant, sub_category, category, amount,
  installment_months, approval_status, region, txn_date, txn_year, txn_month
FROM approved;

COPY rows TO '${{output}}/rows' STORED AS PARQUET{clause};
"""


def join_job():
    """Revenue by a dimension of merchants, which is joined."""
    return source() + """

CREATE EXTERNAL TABLE merchants (merchant TEXT NOT NULL, segment TEXT NOT NULL)
STORED AS CSV LOCATION '${dimension}';

CREATE MATERIALIZED VIEW segments AS
SELECT segment, txn_date, count(*) AS txn_count, sum(amount) AS total_amount
FROM approved JOIN merchants ON approved.merchant = merchants.merchant
GROUP BY segment, txn_date;

COPY segments TO '${output}/segments' STORED AS PARQUET;
"""
