//! Plans a query despite names that do not exist, so that all of them are reported at once.
//!
//! The planner stops at the first unknown column or function. Each one that it reports is replaced by NULL, and the
//! query is planned again. After the first replacement, types may differ from those of the user's query, so only
//! names are reported then.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::{DataFusionError, SchemaError, Span};
use datafusion_expr::LogicalPlan;
use datafusion_sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, Query, Select, SelectItem, Spanned, Statement, Value, VisitorMut,
};
use datafusion_sql::sqlparser::tokenizer::Location;
use tidewater_planner::{rewrite_expr, rewrite_query, statement_to_plan};

use super::catalog::Catalog;
use super::planner_errors::diagnose;
use super::site::Site;
use super::standard::standard_query;
use super::statement::normalize;
use super::suggest::nearest;
use super::wide;
use crate::diagnostic::Diagnostic;

/// Most names that are reported for a view.
const NAMES_MAX: usize = 100;

/// A query as far as it could be planned.
pub(super) struct Planned {
    /// The plan, if there is one.
    pub plan: Option<LogicalPlan>,
    /// All errors of the planner.
    pub errors: Vec<Diagnostic>,
    /// Whether the plan is that of the query, with no name replaced.
    pub exact: bool,
}

/// Plans `query`, which reads relations with these schemas. Without `exact` the schemas may be wrong, and only
/// unknown names are reported.
pub(super) fn plan(
    query: &Query,
    reads: &[SchemaRef],
    exact: bool,
    catalog: &Catalog,
    site: &Site<'_>,
) -> Planned {
    let mut planned = Planned {
        plan: None,
        errors: Vec::new(),
        exact,
    };
    let query = standard_query(query.clone(), &mut |query| column_names(query, catalog));
    let mut replacements = Replacements::default();
    loop {
        let error = match wide::plan(replacements.apply(&query), catalog) {
            Ok(plan) => {
                planned.plan = Some(plan);
                return planned;
            }
            Err(error) => error,
        };
        let unknown = unknown_names(&error, None);
        if planned.exact || !unknown.is_empty() {
            let found = diagnose(&error, site).into_iter();
            planned
                .errors
                .extend(found.map(|error| with_fields(error, reads)));
        }
        planned.exact = false;
        let can_go_on = if unknown.is_empty() {
            replacements.drop_arguments()
        } else {
            replacements.add(unknown)
        };
        if !can_go_on || planned.errors.len() >= NAMES_MAX {
            return planned;
        }
    }
}

/// The names of the columns of a query; `None` if it cannot be planned.
fn column_names(query: &Query, catalog: &Catalog) -> Option<Vec<String>> {
    let statement = Statement::Query(Box::new(query.clone()));
    let plan = statement_to_plan(catalog, statement).ok()?;
    let fields = plan.schema().fields().iter();
    Some(fields.map(|field| field.name().clone()).collect())
}

/// Adds the existing fields to an error about an unknown one.
fn with_fields(error: Diagnostic, reads: &[SchemaRef]) -> Diagnostic {
    let Some(name) = error
        .message
        .strip_prefix("there is no field '")
        .and_then(|rest| rest.strip_suffix('\''))
    else {
        return error;
    };
    let mut fields = BTreeSet::new();
    for field in reads.iter().flat_map(|schema| schema.fields()) {
        struct_fields(field.data_type(), &mut fields);
    }
    let hint = match nearest(name, fields.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'? Fields differ in case"),
        None if fields.is_empty() => return error,
        None => format!(
            "the fields are {}",
            fields.iter().cloned().collect::<Vec<_>>().join(", ")
        ),
    };
    error.with_hint(hint)
}

/// Collects the names of a type's fields, including nested ones.
fn struct_fields(data_type: &DataType, names: &mut BTreeSet<String>) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                names.insert(field.name().clone());
                struct_fields(field.data_type(), names);
            }
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            struct_fields(item.data_type(), names);
        }
        _ => {}
    }
}

/// The unknown names that `error` is about; empty for other errors.
fn unknown_names(error: &DataFusionError, span: Option<Span>) -> Vec<Unknown> {
    match error {
        DataFusionError::Collection(errors) => errors
            .iter()
            .flat_map(|error| unknown_names(error, span))
            .collect(),
        DataFusionError::Context(_, inner) => unknown_names(inner, span),
        DataFusionError::Shared(inner) => unknown_names(inner, span),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let span = diagnostic.span.or(span);
            if diagnostic.message.starts_with("Invalid function") {
                return span.map(Unknown::at).into_iter().collect();
            }
            unknown_names(inner, span)
        }
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. }
            | SchemaError::AmbiguousReference { field } => {
                let span = span.or_else(|| field.spans.first());
                vec![span.map_or_else(|| Unknown::Name(field.name.clone()), Unknown::at)]
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A column or call that does not exist.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Unknown {
    /// The name at this place.
    At(Location),
    /// Every column of this name, since the planner gives no place for some.
    Name(String),
}

impl Unknown {
    fn at(span: Span) -> Self {
        Self::At(Location::new(span.start.line, span.start.column))
    }
}

/// The columns and calls to replace.
#[derive(Default)]
struct Replacements {
    unknown: BTreeSet<Unknown>,
    /// Whether the arguments of calls are removed too. A planner that sees them may report their columns as not
    /// grouped.
    without_arguments: bool,
}

impl Replacements {
    /// Adds names. Returns whether any is new.
    fn add(&mut self, unknown: Vec<Unknown>) -> bool {
        let before = self.unknown.len();
        self.unknown.extend(unknown);
        self.unknown.len() > before
    }

    fn has(&self, name: &Ident) -> bool {
        self.unknown.contains(&Unknown::At(name.span.start))
            || self.unknown.contains(&Unknown::Name(normalize(name)))
    }

    /// Removes the arguments of calls. Returns whether that changes anything.
    fn drop_arguments(&mut self) -> bool {
        !self.unknown.is_empty() && !std::mem::replace(&mut self.without_arguments, true)
    }

    /// The query with NULL in place of all of them.
    fn apply(&self, query: &Query) -> Query {
        let mut query = query.clone();
        if !self.unknown.is_empty() {
            let mut replacement = Replacement {
                of: self,
                done: false,
            };
            let _: ControlFlow<()> = rewrite_query(&mut query, &mut replacement);
        }
        query
    }

    /// The replacement of a call: NULL, in a form that still checks the arguments.
    fn of_call(&self, call: &Function) -> Expr {
        let FunctionArguments::List(list) = &call.args else {
            return null();
        };
        let arguments = list.args.iter().filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                Some(Expr::IsNull(Box::new(expr.clone())))
            }
            _ => None,
        });
        let all = arguments.reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: BinaryOperator::And,
            right: Box::new(right),
        });
        match all.filter(|_| !self.without_arguments) {
            Some(condition) => Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen {
                    condition,
                    result: null(),
                }],
                else_result: None,
            },
            None => null(),
        }
    }
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

struct Replacement<'a> {
    of: &'a Replacements,
    done: bool,
}

impl VisitorMut for Replacement<'_> {
    type Break = ();

    /// Keeps the names of selected columns, since other views may read them.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else {
                continue;
            };
            let name = match &expr {
                Expr::Identifier(name) => name.clone(),
                Expr::CompoundIdentifier(parts) => {
                    parts.last().cloned().unwrap_or_else(|| Ident::new(""))
                }
                other => Ident::with_quote('"', other.to_string()),
            };
            let mut replaced = Self {
                of: self.of,
                done: false,
            };
            let mut expr = expr.clone();
            let _: ControlFlow<()> = rewrite_expr(&mut expr, &mut replaced);
            if replaced.done {
                self.done = true;
                *item = SelectItem::ExprWithAlias { expr, alias: name };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replacement = match expr {
            Expr::Identifier(name) if self.of.has(name) => null(),
            Expr::CompoundIdentifier(parts) if parts.iter().any(|part| self.of.has(part)) => null(),
            Expr::Function(call)
                if self
                    .of
                    .unknown
                    .contains(&Unknown::At(call.name.span().start)) =>
            {
                self.of.of_call(call)
            }
            _ => return ControlFlow::Continue(()),
        };
        *expr = replacement;
        self.done = true;
        ControlFlow::Continue(())
    }
}
