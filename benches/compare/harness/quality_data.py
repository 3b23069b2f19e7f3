"""Transactions for quality.py: those of `tidewater generate` with some more columns, of which one in 400 is broken.

Everything follows from the rows and their numbers, so two calls write the same bytes.
"""

import itertools

from .data import replace

EVERY, LATE_EVERY, LATE_ROWS = 400, 20, 1000
ADDED = ["billed_amount", "issuer_share", "network_share", "merchant_share", "reversed_by"]

# What is wrong with a row: the fields that it gets. A function is given the row before it.
BREAKS = [
    {"transaction_id": ""},
    {"transaction_id": lambda before: before["transaction_id"]},
    {field: lambda before, field=field: before[field]
     for field in ("transaction_date", "card_no", "amount", "billed_amount", "merchant", "sub_category", "category")},
    {"transaction_date": ""},
    {"transaction_date": "2024/03/01 10:00"},
    {"transaction_date": "2024-13-01 10:00:00"},
    {"card_no": ""},
    {"card_no": "1234-5678-1234-5678"},
    {"card_no": "****-1111"},
    {"card_type": "현금"},
    {"merchant": ""},
    {"merchant": "등록되지 않은 긴 가맹점"},
    {"merchant": "K"},
    {"category": "가구"},
    {"approval_status": "voided"},
    {"region": ""},
    {"region": "울산"},
    {"amount": "", "billed_amount": ""},
    {"amount": "abc", "billed_amount": "100"},
    {"amount": "-500", "billed_amount": "-500"},
    {"amount": "0", "billed_amount": "0"},
    {"amount": "10000000", "billed_amount": "10000000"},
    {"amount": "20000000", "billed_amount": "20000000"},
    {"amount": "6", "billed_amount": "6", "installment_months": "12"},
    {"installment_months": "99"},
    {"billed_amount": "1"},
    {"issuer_share": "50"},
    {"reversed_by": "TXN0000000001"},
]


def fill(source, target):
    """Writes what `source` (daily files of `tidewater generate`) comes to: target/transactions, target/merchants."""
    transactions = target / "transactions"
    transactions.mkdir(parents=True)
    numbers, merchants = itertools.count(1), set()
    for path in sorted(source.iterdir()):
        columns, rows = read(path)
        merchants.update(row["merchant"] for row in rows)
        write(transactions / path.name, columns, broken(rows, numbers, EVERY))
    (target / "merchants").mkdir()
    replace(target / "merchants" / "merchants.csv", "\n".join(["merchant", *sorted(merchants)]) + "\n")


def deliver_late(source, target):
    """Delivers a file more, of the last day's rows with ids of their own, one in 20 of them broken."""
    path = max(source.iterdir())
    columns, rows = read(path)
    rows = rows[:LATE_ROWS]
    for number, row in enumerate(rows):
        row["transaction_id"] = f"LATE{number:06}"
    write(target / "transactions" / f"{path.stem}-late.csv", columns, broken(rows, itertools.count(1), LATE_EVERY))


def read(path):
    """The columns and rows of a generated file, whose fields have no commas and no quotes; with the added columns."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    columns = header.split(",")
    return columns + ADDED, [added(dict(zip(columns, line.split(",")))) for line in lines]


def added(row):
    issuer = 1 + int(row["transaction_id"][-2:]) % 5
    return {**row, "billed_amount": row["amount"], "issuer_share": str(issuer), "network_share": "1",
            "merchant_share": str(99 - issuer), "reversed_by": ""}


def broken(rows, numbers, every):
    """The rows, of which one in `every` has the next of the mistakes."""
    before = None
    for row in rows:
        number = next(numbers)
        if before and number % every == 0:
            for field, value in BREAKS[number // every % len(BREAKS)].items():
                row[field] = value(before) if callable(value) else value
        yield row
        before = row


def write(path, columns, rows):
    lines = (",".join(row[column] for column in columns) for row in rows)
    replace(path, "\n".join([",".join(columns), *lines]) + "\n")
