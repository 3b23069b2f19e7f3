//! `SELECT *` as a list of columns.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ReplaceSelectElement, SelectItem, WildcardAdditionalOptions,
};

use super::super::statement::normalize;
use super::joins::Visible;

/// A selected item, with `*` replaced by the columns that it stands for. A `*` with other clauses than `EXCEPT`,
/// `EXCLUDE` and `REPLACE`, or with mistakes in them, stays as it is.
pub(super) fn expanded(item: SelectItem, visible: &[Visible]) -> Vec<SelectItem> {
    let SelectItem::Wildcard(options) = &item else {
        return vec![item];
    };
    match columns(options, visible) {
        Some(columns) => columns,
        None => vec![item],
    }
}

fn columns(options: &WildcardAdditionalOptions, visible: &[Visible]) -> Option<Vec<SelectItem>> {
    if options.opt_ilike.is_some() || options.opt_rename.is_some() || options.opt_alias.is_some() {
        return None;
    }
    let excluded = excluded(options)?;
    let replaced: Vec<&ReplaceSelectElement> = options
        .opt_replace
        .iter()
        .flat_map(|replace| replace.items.iter().map(AsRef::as_ref))
        .collect();
    let exists = |name: &String| visible.iter().any(|column| column.name == *name);
    let replaced_names = replaced.iter().map(|item| normalize(&item.column_name));
    if !excluded.iter().all(exists) || !replaced_names.into_iter().all(|name| exists(&name)) {
        return None;
    }
    let kept = visible
        .iter()
        .filter(|column| !excluded.contains(&column.name));
    let items = kept.map(|column| {
        let replacement = replaced
            .iter()
            .find(|item| normalize(&item.column_name) == column.name);
        match replacement {
            Some(item) => SelectItem::ExprWithAlias {
                expr: item.expr.clone(),
                alias: item.column_name.clone(),
            },
            None => selected(column),
        }
    });
    Some(items.collect())
}

/// The names after `EXCEPT` and `EXCLUDE`.
fn excluded(options: &WildcardAdditionalOptions) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if let Some(except) = &options.opt_except {
        names.insert(normalize(&except.first_element));
        names.extend(except.additional_elements.iter().map(normalize));
    }
    let excluded = match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => std::slice::from_ref(name),
        Some(ExcludeSelectItem::Multiple(names)) => names.as_slice(),
        None => &[],
    };
    for name in excluded {
        let [part] = name.0.as_slice() else {
            return None;
        };
        names.insert(normalize(part.as_ident()?));
    }
    Some(names)
}

/// A column as an item of a `SELECT`, under its name.
pub(super) fn selected(column: &Visible) -> SelectItem {
    match &column.expr {
        Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(column.expr.clone()),
        expr => SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('"', column.name.as_str()),
        },
    }
}
