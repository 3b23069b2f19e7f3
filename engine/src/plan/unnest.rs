//! `UNNEST`.

use tidewater_operators::unnest::{Unnest, UnnestedList};

use super::Node;
use super::expression::physical_schema;

/// Turns lists into rows and structs into columns.
pub fn lower(unnest: &datafusion_expr::Unnest, input: Node) -> Node {
    let lists = unnest
        .list_type_columns
        .iter()
        .map(|(column, list)| UnnestedList {
            column: *column,
            depth: list.depth,
        })
        .collect();
    let unnest = Unnest {
        lists,
        structs: unnest.struct_type_columns.clone(),
        preserve_nulls: unnest.options.preserve_nulls(),
        output: physical_schema(&unnest.schema),
    };
    Node::Unnest {
        input: Box::new(input),
        unnest,
    }
}
