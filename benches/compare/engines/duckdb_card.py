"""Runs duckdb_card.sql in this process.

    duckdb_card.py INPUT OUTPUT [--tables eleven|thirteen] [--format csv|parquet] [--threads N]

As DuckDB's own users would: one scan with explicit types and without sniffing into a table that holds the approved
rows, the columns that the tables need and their date parts, then a COPY a table; preserve_insertion_order = false.
"""

import pathlib

import card

READ_CSV = """read_csv('{files}', auto_detect = false, header = true, delim = ',', quote = '"', escape = '"',
  timestampformat = '%Y-%m-%d %H:%M:%S', ignore_errors = true,
  columns = {{
    'transaction_id': 'VARCHAR', 'transaction_date': 'TIMESTAMP', 'card_no': 'VARCHAR', 'card_type': 'VARCHAR',
    'merchant': 'VARCHAR', 'sub_category': 'VARCHAR', 'category': 'VARCHAR', 'amount': 'BIGINT',
    'installment_months': 'INTEGER', 'approval_status': 'VARCHAR', 'region': 'VARCHAR'
  }})"""
READ_PARQUET = "read_parquet('{files}')"
NARROW = "card_no, card_type, merchant, sub_category, category, amount, installment_months, region"


def source(files, form):
    """The relation that reads the input."""
    return (READ_CSV if form == "csv" else READ_PARQUET).format(files=quoted(files))


def script(files, output, names, form):
    """The SQL for the tables `names`."""
    sql = pathlib.Path(__file__).with_name("duckdb_card.sql").read_text(encoding="utf-8")
    wide = "partitioned_transactions" in names
    for name, value in (("source", source(files, form)), ("output", quoted(output)),
                        ("columns", "*" if wide else NARROW)):
        sql = sql.replace("${" + name + "}", value)
    head, *copies = sql.split("\nCOPY (")
    wanted = [copy for copy in copies if any(f"'{quoted(output)}/{name}" in copy for name in names)]
    return "\nCOPY (".join([head, *wanted])


def run(source, output, threads=2, choice="thirteen", form="csv"):
    """Writes the tables of the input below `output`."""
    import duckdb

    names = card.tables(choice)
    card.fresh(pathlib.Path(output), names)
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute(script(card.files(source, form), output, names, form))


def quoted(path):
    """`path` as it stands between single quotes in SQL."""
    return str(path).replace("'", "''")


if __name__ == "__main__":
    args = card.arguments(__doc__)
    run(args.input, args.output, args.threads, args.tables, args.format)
