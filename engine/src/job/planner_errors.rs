//! Rewords the planner's errors, so that a user can act on them.

use std::collections::BTreeSet;

use datafusion_common::{DataFusionError, SchemaError, Span};

use super::catalog::function_names;
use super::phrasebook;
use super::rewording::{Reworded, better_words, reworded};
use super::site::Site;
use super::suggest::nearest;
use super::syntax_error::lower_first;
use super::tokens::Find;
use crate::diagnostic::Diagnostic;
use crate::spelling::{identifier, in_sql};

/// Where DataFusion's functions are listed.
const FUNCTIONS: &str = "https://datafusion.apache.org/user-guide/sql/scalar_functions.html";

/// The diagnostics for an error of the planner.
pub(super) fn diagnose(error: &DataFusionError, site: &Site<'_>) -> Vec<Diagnostic> {
    diagnose_at(error, None, site)
}

fn diagnose_at(error: &DataFusionError, span: Option<Span>, site: &Site<'_>) -> Vec<Diagnostic> {
    match error {
        DataFusionError::Collection(errors) => errors
            .iter()
            .flat_map(|e| diagnose_at(e, span, site))
            .collect(),
        DataFusionError::Context(_, inner) => diagnose_at(inner, span, site),
        DataFusionError::Shared(inner) => diagnose_at(inner, span, site),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let span = diagnostic.span.or(span);
            match inner.as_ref() {
                DataFusionError::SchemaError(schema, _) => vec![schema_error(schema, span, site)],
                _ if diagnostic.message.starts_with("Invalid function") => {
                    let name = diagnostic.message.split('\'').nth(1).unwrap_or_default();
                    let mut finds = finds(span, name);
                    finds.push(Find::Call(name.to_owned()));
                    vec![unknown_function(name, &finds, site)]
                }
                inner => vec![with_helps(diagnostic, inner, span, site)],
            }
        }
        DataFusionError::SchemaError(schema, _) => vec![schema_error(schema, span, site)],
        other => vec![plain(other, span, site)],
    }
}

/// An error for which the planner gives advice.
fn with_helps(
    diagnostic: &datafusion_common::diagnostic::Diagnostic,
    error: &DataFusionError,
    span: Option<Span>,
    site: &Site<'_>,
) -> Diagnostic {
    let finds = finds(span, &diagnostic.message);
    let text = error.strip_backtrace();
    if let Some(clause) = ungrouped_clause(&text) {
        let column = site.written(span).unwrap_or_else(|| {
            diagnostic
                .message
                .split('"')
                .nth(1)
                .unwrap_or("it")
                .to_owned()
        });
        let message =
            format!("{column} in {clause} is neither in GROUP BY nor inside an aggregate");
        let hint = format!("add {column} to GROUP BY, or take min({column}) or max({column})");
        return site.diagnostic(&finds, message).with_hint(hint);
    }
    if let Some(Reworded { message, hint }) = better_words(&text) {
        let found = site.diagnostic(&finds, message);
        return found.with_hint(hint.unwrap_or_default());
    }
    let helps = diagnostic
        .notes
        .iter()
        .map(|note| &note.message)
        .chain(diagnostic.helps.iter().map(|help| &help.message));
    let helps: Vec<String> = helps.map(|help| in_sql(help)).collect();
    let found = site.diagnostic(&finds, lower_first(&in_sql(&diagnostic.message)));
    if helps.is_empty() {
        found
    } else {
        found.with_hint(lower_first(&helps.join("\n")))
    }
}

/// The clause whose column is not grouped, if the message says so.
fn ungrouped_clause(message: &str) -> Option<&'static str> {
    if !message.contains("GROUP BY") {
        return None;
    }
    ["SELECT", "HAVING", "QUALIFY", "ORDER BY", "DISTINCT ON"]
        .into_iter()
        .find(|clause| message.contains(&format!("in {clause} must be in GROUP BY")))
}

fn schema_error(error: &SchemaError, span: Option<Span>, site: &Site<'_>) -> Diagnostic {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let finds = finds(span.or_else(|| field.spans.first()), &field.name);
            let of = field
                .relation
                .as_ref()
                .map(|relation| format!(" in '{relation}'"))
                .unwrap_or_default();
            let found = site.diagnostic(&finds, format!("there is no column '{}'{of}", field.name));
            let names: BTreeSet<&str> = valid_fields
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            let columns = || {
                format!(
                    "the columns are {}",
                    names.iter().copied().collect::<Vec<_>>().join(", ")
                )
            };
            match nearest(&field.name, names.iter().copied()) {
                Some(name) if name == field.name => found.with_hint(format!(
                    "say which table's: {}",
                    tables(&field.name, valid_fields)
                )),
                Some(name) => found.with_hint(format!("did you mean {}?", named(name))),
                None if !names.is_empty() && names.len() <= 30 => found.with_hint(columns()),
                None => found,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let finds = finds(span.or_else(|| field.spans.first()), &field.name);
            site.diagnostic(
                &finds,
                format!("more than one table has a column '{}'", field.name),
            )
            .with_hint(format!("write table.{}", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => site
            .diagnostic(
                &finds(span, name),
                format!("there are two columns '{name}'"),
            )
            .with_hint("give one of them another name with AS"),
    }
}

/// `a.x or b.x`, for a column of several tables.
fn tables(name: &str, columns: &[datafusion_common::Column]) -> String {
    let of_that_name = columns.iter().filter(|column| column.name == name);
    of_that_name
        .map(datafusion_common::Column::flat_name)
        .collect::<Vec<_>>()
        .join(" or ")
}

/// The quoted name in a message, as it must be written.
fn named(name: &str) -> String {
    let identifier = identifier(name);
    if identifier == name {
        format!("'{name}'")
    } else {
        identifier
    }
}

/// The error about a function that does not exist.
pub(super) fn unknown_function(name: &str, finds: &[Find], site: &Site<'_>) -> Diagnostic {
    let found = site.diagnostic(finds, format!("there is no function '{name}'"));
    if let Some(hint) = phrasebook::instead_of_function(name) {
        return found.with_hint(hint);
    }
    match nearest(name, function_names()) {
        Some(other) => found.with_hint(format!("did you mean '{other}'?")),
        None => found.with_hint(format!(
            "the functions are DataFusion's, {FUNCTIONS}, and hop(time, slide, size)"
        )),
    }
}

fn plain(error: &DataFusionError, span: Option<Span>, site: &Site<'_>) -> Diagnostic {
    let text = error.strip_backtrace();
    let prefixes = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "Arrow error: ",
        "Schema error: ",
        "Optimizer rule ",
    ];
    let message = prefixes.iter().fold(text.as_str(), |text, prefix| {
        text.strip_prefix(prefix).unwrap_or(text)
    });
    let message = message
        .split("\n\nThis issue was likely caused")
        .next()
        .unwrap_or(message);
    if let Some(found) = wrong_arguments(message, site) {
        return found;
    }
    let Reworded {
        message: text,
        hint,
    } = reworded(message);
    let places = [finds(span, &text), finds(None, message)].concat();
    let found = site.diagnostic(&places, text);
    match hint {
        Some(hint) => found.with_hint(hint),
        None => found,
    }
}

/// The error about arguments that fit no signature: `… 'sum(Utf8)'. You might need to add explicit type casts.
/// Candidate …`.
fn wrong_arguments(message: &str, site: &Site<'_>) -> Option<Diagnostic> {
    let (before, after) =
        message.split_once("No function matches the given name and argument types '")?;
    let (call, rest) = after.split_once('\'')?;
    let name = call.split('(').next().unwrap_or_default();
    let finds = [Find::Call(name.to_owned())];
    // The function's own message about its arguments is better.
    if let Some((_, own)) = before.split_once("coercion failed with: ") {
        let own = own.strip_prefix("Error during planning: ").unwrap_or(own);
        let own = reworded(own.trim().trim_end_matches('.'));
        let hint = own.hint.unwrap_or_else(|| {
            format!(
                "the call is {}; CAST the arguments to what it takes",
                in_sql(call)
            )
        });
        return Some(site.diagnostic(&finds, own.message).with_hint(hint));
    }
    let candidates = rest
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(&format!("{name}(")));
    let candidates: Vec<&str> = candidates
        .filter(|line| !line.contains("UserDefined"))
        .collect();
    let found = site.diagnostic(&finds, format!("there is no {}", in_sql(call)));
    Some(if candidates.is_empty() {
        found.with_hint("CAST the arguments to types that it takes")
    } else {
        found.with_hint(format!("there is {}", in_sql(&candidates.join(", "))))
    })
}

/// Where to look for the place: at the span, or else at names in the message. The planner does not give every error a
/// span.
fn finds(span: Option<Span>, message: &str) -> Vec<Find> {
    let mut finds: Vec<Find> = span.map(Find::Span).into_iter().collect();
    if message.chars().all(|c| c.is_alphanumeric() || c == '_') {
        finds.push(Find::Name(message.to_owned()));
        return finds;
    }
    let quoted = message.split(['\'', '"', '`']).skip(1).step_by(2);
    finds.extend(quoted.clone().map(|name| Find::Text(name.to_owned())));
    let words = quoted.flat_map(|part| part.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    finds.extend(
        words
            .filter(|word| !word.is_empty())
            .flat_map(|word| [Find::Call(word.to_owned()), Find::Name(word.to_owned())]),
    );
    let called = message.match_indices('(').filter_map(|(at, _)| {
        message[..at]
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
    });
    finds.extend(
        called
            .filter(|name| !name.is_empty())
            .map(|name| Find::Call(name.to_owned())),
    );
    let words = message
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.len() > 2);
    finds.extend(words.map(|word| Find::Call(word.to_owned())));
    finds
}
