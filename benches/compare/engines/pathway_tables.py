"""The eleven tables in Pathway. Dates are texts and decimals are whole numbers of their last digit until they are written."""

import pathway as pw

COUNT, SUM, CARDS = pw.reducers.count, pw.reducers.sum, pw.reducers.count_distinct


class Transaction(pw.Schema):
    """A row of the input."""

    transaction_id: str
    transaction_date: str
    card_no: str
    card_type: str
    merchant: str
    sub_category: str
    category: str
    amount: int
    installment_months: int
    approval_status: str
    region: str


def approved(transactions):
    """The approved rows with the parts of their date."""
    rows = transactions.filter(pw.this.approval_status == "approved")
    rows = rows.with_columns(at=pw.this.transaction_date.dt.strptime("%Y-%m-%d %H:%M:%S"))
    rows = rows.with_columns(
        txn_date=pw.this.at.dt.strftime("%Y-%m-%d"), txn_hour=pw.this.at.dt.hour(), txn_year=pw.this.at.dt.year(),
        txn_month=pw.this.at.dt.month(), txn_quarter=(pw.this.at.dt.month() + 2) // 3,
    )
    return rows.select(
        pw.this.card_no, pw.this.card_type, pw.this.merchant, pw.this.sub_category, pw.this.category, pw.this.amount,
        pw.this.installment_months, pw.this.region, pw.this.txn_date, pw.this.txn_hour, pw.this.txn_year,
        pw.this.txn_month, pw.this.txn_quarter)


def rounded(total, count):
    """total / count, rounded half away from zero; amounts are not negative."""
    return (2 * total + count) // (2 * count)


def grouped(rows, keys, average="avg_amount", cards="unique_cards", total="total_amount", **more):
    """Count, sum, and unless they are None average and number of cards, of each group."""
    columns = {"txn_count": COUNT(), total: SUM(rows.amount), **more}
    if cards:
        columns[cards] = CARDS(rows.card_no)
    by = [rows[key] for key in keys]
    table = rows.groupby(*by).reduce(*by, **columns)
    return table.with_columns(**{average: rounded(table[total], table.txn_count)}) if average else table


def time_slot(hour):
    """The name of a part of the day."""
    evening = pw.if_else(hour >= 18, "저녁", "심야")
    return pw.if_else((hour >= 6) & (hour <= 11), "오전", pw.if_else((hour >= 12) & (hour <= 17), "오후", evening))


def ranking(rows):
    """Merchants by revenue; its order is the file's affair."""
    table = grouped(rows, ["merchant", "category", "sub_category"], "avg_transaction", "unique_customers", "total_revenue")
    return table.with_columns(revenue_10k_won=(table.total_revenue + 500) // 1000)


def best(revenue):
    """The ten best of a quarter by dense rank: tuples with the total first."""
    found, totals = [], sorted({row[0] for row in revenue}, reverse=True)[:10]
    for row in revenue:
        if row[0] in totals:
            found.append((*row, totals.index(row[0]) + 1))
    return tuple(found)


def top10(rows):
    """The ten best merchants of each quarter."""
    keys = ["txn_year", "txn_quarter", "merchant", "category"]
    revenue = grouped(rows, keys, None, "unique_customers", "total_revenue")
    revenue = revenue.with_columns(row=pw.make_tuple(
        revenue.total_revenue, revenue.merchant, revenue.category, revenue.txn_count, revenue.unique_customers))
    quarters = revenue.groupby(revenue.txn_year, revenue.txn_quarter).reduce(
        revenue.txn_year, revenue.txn_quarter, all=pw.reducers.tuple(revenue.row))
    quarters = quarters.select(quarters.txn_year, quarters.txn_quarter, best=pw.apply_with_type(
        best, tuple[tuple[int, str, str, int, int, int], ...], quarters.all))
    flat = quarters.flatten(quarters.best)
    return flat.select(
        flat.txn_year, flat.txn_quarter, merchant=flat.best[1], category=flat.best[2], txn_count=flat.best[3],
        total_revenue=flat.best[0], unique_customers=flat.best[4], rank=flat.best[5])


def rate(now, before):
    """Growth in hundredths of a percent, rounded half away from zero."""
    if not before:
        return None
    change = abs(now - before) * 10_000
    whole = (2 * change + before) // (2 * before)
    return whole if now >= before else -whole


def growth(rows):
    """Each quarter beside the one before it."""
    quarters = grouped(rows, ["txn_year", "txn_quarter"], None)
    order = quarters.sort(key=quarters.txn_year * 4 + quarters.txn_quarter)
    before = quarters.ix(order.prev, optional=True)
    table = quarters.with_columns(prev_amount=before.total_amount, prev_count=before.txn_count)
    return table.with_columns(
        amount_growth_rate=pw.apply_with_type(rate, int | None, table.total_amount, table.prev_amount),
        count_growth_rate=pw.apply_with_type(rate, int | None, table.txn_count, table.prev_count))


def tables(rows):
    """All eleven by name."""
    quarter = ["txn_year", "txn_quarter"]
    hours = grouped(rows, ["txn_hour"])
    return {
        "daily_category_summary": grouped(
            rows, ["txn_date", "category"], max_amount=pw.reducers.max(rows.amount),
            min_amount=pw.reducers.min(rows.amount)),
        "merchant_ranking": ranking(rows),
        "hourly_pattern": hours.with_columns(time_slot=time_slot(hours.txn_hour)),
        "regional_analysis": grouped(rows, ["region", "category"]),
        "monthly_trend": grouped(rows, ["txn_year", "txn_month"], unique_merchants=CARDS(rows.merchant)),
        "quarterly_category_summary": grouped(rows, [*quarter, "category"]),
        "quarterly_merchant_top10": top10(rows),
        "quarterly_growth": growth(rows),
        "quarterly_card_type": grouped(rows, [*quarter, "card_type"], cards=None),
        "quarterly_region": grouped(rows, [*quarter, "region"], average=None, cards=None),
        "quarterly_installment": grouped(
            rows.filter(rows.installment_months > 0), [*quarter, "installment_months"], average=None, cards=None),
    }
