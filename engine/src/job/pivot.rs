//! Rewrites `PIVOT` and `UNPIVOT` in SQL that a job supports, for hints.

use datafusion_sql::sqlparser::ast::{Expr, ExprWithAlias, PivotValueSource, TableFactor, Value};

/// How many columns a hint spells out.
const SHOWN: usize = 3;

/// `sum(x) FILTER (WHERE channel = 'web') AS web, …` for a `PIVOT`.
pub(super) fn instead_of_pivot(table: &TableFactor) -> String {
    const GENERAL: &str = "write one aggregate for each value: sum(x) FILTER (WHERE channel = 'web') AS web, … and GROUP BY the other columns";
    let TableFactor::Pivot {
        aggregate_functions,
        value_column,
        value_source,
        ..
    } = table
    else {
        return GENERAL.to_owned();
    };
    let ([aggregate, ..], [column], PivotValueSource::List(values)) = (
        aggregate_functions.as_slice(),
        value_column.as_slice(),
        value_source,
    ) else {
        return GENERAL.to_owned();
    };
    let columns = values.iter().take(SHOWN).map(|value| {
        let name = value
            .alias
            .as_ref()
            .map_or_else(|| bare(&value.expr), |alias| alias.value.clone());
        format!(
            "{} FILTER (WHERE {column} = {}) AS {}",
            aggregate.expr,
            value.expr,
            crate::spelling::identifier(&name.to_lowercase())
        )
    });
    format!(
        "write {}{} and GROUP BY the other columns",
        columns.collect::<Vec<_>>().join(", "),
        more(values.len())
    )
}

/// `SELECT …, 'jan' AS month, jan AS amount … UNION ALL …` for an `UNPIVOT`.
pub(super) fn instead_of_unpivot(table: &TableFactor) -> String {
    const GENERAL: &str = "write one SELECT for each column, and unite them with UNION ALL";
    let TableFactor::Unpivot {
        table,
        value,
        name,
        columns,
        ..
    } = table
    else {
        return GENERAL.to_owned();
    };
    let select = |column: &ExprWithAlias| {
        let label = column
            .alias
            .as_ref()
            .map_or_else(|| bare(&column.expr), |alias| alias.value.clone());
        format!(
            "SELECT …, {} AS {name}, {} AS {value} FROM {table}",
            crate::spelling::quoted(&label),
            column.expr
        )
    };
    let selects: Vec<String> = columns.iter().take(SHOWN).map(select).collect();
    format!(
        "write {}{}",
        selects.join(" UNION ALL "),
        if columns.len() > SHOWN {
            " UNION ALL …"
        } else {
            ""
        }
    )
}

fn more(columns: usize) -> &'static str {
    if columns > SHOWN { ", …" } else { "" }
}

/// A value as a column name: a string without its quotes.
fn bare(expr: &Expr) -> String {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
