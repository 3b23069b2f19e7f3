//! Refuses casts between types that cannot become each other, as for a struct that becomes a number.

use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use datafusion_common::nested_struct::{
    requires_nested_struct_cast, validate_data_type_compatibility,
};
use datafusion_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast};

use super::super::tokens::Find;
use super::calls::schema_of;
use super::{Refusal, span_of};
use crate::spelling::type_name;

/// The refusal of a cast in an expression of `node`, whose types are known.
pub(super) fn refusal(expr: &Expr, node: &LogicalPlan) -> Option<Refusal> {
    let (Expr::Cast(Cast { expr: value, field }) | Expr::TryCast(TryCast { expr: value, field })) =
        expr
    else {
        return None;
    };
    let from = value.get_type(&schema_of(node)).ok()?;
    let to = field.data_type();
    if can_cast(&from, to) {
        return None;
    }
    let hint = match (&from, to) {
        (DataType::Struct(fields), DataType::Struct(_)) => format!(
            "its fields are {}; fields become those of the same name",
            names(fields.iter().map(|field| field.name()))
        ),
        (DataType::Struct(fields), _) => {
            let fields = fields.iter().map(|field| field.name());
            format!("CAST one of its fields: {}", names(fields))
        }
        (DataType::List(_), _) => "CAST its elements, after unnest".to_owned(),
        _ => "CAST by way of a type that both can become, such as TEXT".to_owned(),
    };
    let message = format!("a {} cannot become a {}", type_name(&from), type_name(to));
    let finds: Vec<Find> = span_of(value)
        .into_iter()
        .chain([Find::Words(&["CAST"])])
        .collect();
    Some(Refusal::new(finds, message, hint))
}

fn can_cast(from: &DataType, to: &DataType) -> bool {
    if from == to {
        true
    } else if requires_nested_struct_cast(from, to) {
        validate_data_type_compatibility("", from, to).is_ok()
    } else {
        can_cast_types(from, to)
    }
}

/// The names of fields, in quotes.
fn names<'a>(fields: impl Iterator<Item = &'a String>) -> String {
    fields
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(", ")
}
