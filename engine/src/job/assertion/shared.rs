//! Rules on the rows of one relation are counted together, so that its rows are read once for all of them:
//!
//! ```sql
//! CREATE MATERIALIZED VIEW "assertions on t" AS
//!   SELECT count(*) FILTER (WHERE NOT (c1)) AS rule1, count(*) FILTER (WHERE NOT (c2)) AS rule2, count(*) AS "all rows" FROM t
//! ```
//!
//! A rule that is judged by delivery has a view of its own, since it groups the rows by a column of its own.

use datafusion_sql::sqlparser::ast::{CreateView, Ident, ObjectName, SelectItem, SetExpr};

use super::ParsedAssertion;

/// The column of a shared view with the number of all rows.
pub(super) const ALL_ROWS: &str = "all rows";

/// The name of the view that counts the rules on a relation.
pub(super) fn shared_name(relation: &str) -> String {
    format!("assertions on {relation}")
}

/// The view that counts what breaks each of some rules on the rows of one relation. A column has the name of its rule.
pub(super) fn shared_view(name: &str, rules: &[(&str, &ParsedAssertion)]) -> Option<CreateView> {
    let (_, first) = rules.first()?;
    let mut view = first.view.clone();
    view.name = ObjectName::from(vec![Ident::with_quote('"', name)]);
    let SetExpr::Select(select) = &mut *view.query.body else {
        return None;
    };
    let all_rows = renamed(select.projection.last()?, ALL_ROWS)?;
    let broken = rules
        .iter()
        .map(|(name, rule)| match &*rule.view.query.body {
            SetExpr::Select(select) => renamed(select.projection.first()?, name),
            _ => None,
        });
    select.projection = broken.chain([Some(all_rows)]).collect::<Option<_>>()?;
    Some(view)
}

/// A column under another name.
fn renamed(column: &SelectItem, name: &str) -> Option<SelectItem> {
    match column {
        SelectItem::ExprWithAlias { expr, .. } => Some(SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('"', name),
        }),
        _ => None,
    }
}
