"""Whether Great Expectations and Tidewater count the same for every check of quality.py."""

import json
import math


def tidewater_outcomes(summary, observed):
    """Every check as Tidewater's summary and its table `observed` have it, in the terms of gx_quality.py."""
    values = observed_values(observed)
    return {one["name"]: {"success": one["verdict"] == "pass", "unexpected": one["broken"],
                          "observed": values.get(one["name"])}
            for one in json.loads(summary)["assertions"]}


def observed_values(row):
    """The values behind the checks that compare one value with a range."""
    count, total, squares = row["amount_count"], row["amount_sum"], row["amount_squares"]
    # Integers of any size, as the engine's sums are; the only rounding is at the end.
    deviation = math.sqrt((count * int(squares) - total * total) / (count * (count - 1)))
    return {
        "merchant_share_not_null": row["merchant_count"] / row["row_count"],
        "card_share_unique": row["cards"] / row["card_count"],
        "card_values": row["cards"],
        "row_count_between": row["row_count"],
        "row_count_is": row["row_count"],
        "amount_min_between": row["amount_min"],
        "amount_max_between": row["amount_max"],
        "amount_mean_between": row["amount_mean"],
        "amount_sum_between": total,
        "amount_deviation_between": deviation,
        "newest_within_2_days": row["newest"].replace("T", " "),
        "newest_within_5_days": row["newest"].replace("T", " "),
    }


def differences(engine, ours, theirs):
    """What differs, a line each. Checks that the other engine cannot evaluate are not compared."""
    lines = [f"{engine}: no assertion {name}" for name in theirs if name not in ours]
    for name, our in ours.items():
        their = theirs.get(name)
        if their is None or "cannot" in their:
            continue
        if any(our[key] != their[key] for key in ("success", "unexpected")) or not same_value(our, their):
            lines.append(f"{engine}: {name}: {json.dumps(our)} here, {json.dumps(their)} there")
    return lines


def same_value(our, their):
    """Whether two observed values are equal. Of floats the last digits depend on the order of additions."""
    ours, theirs = our["observed"], their.get("observed")
    if ours is None or theirs is None:
        return True
    if isinstance(ours, str) or isinstance(theirs, str):
        return ours == theirs
    return math.isclose(ours, theirs, rel_tol=1e-9)


def unchecked(ours, all_theirs):
    """Checks that no other engine has evaluated."""
    evaluated = {name for theirs in all_theirs for name, their in theirs.items() if "cannot" not in their}
    return [f"{name}: evaluated by no engine of Great Expectations" for name in ours if name not in evaluated]
