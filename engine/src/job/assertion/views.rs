//! The views that a job with assertions has without declaring them: those that rules share, and that of the results.

use std::collections::BTreeMap;

use super::ParsedAssertion;
use super::quality::{QUALITY_TABLE, quality_view};
use super::shared::{shared_name, shared_view};
use crate::job::statement::{Statement, StatementKind};

/// Adds the views to the statements of a job.
pub(in super::super) fn add_views(statements: &mut Vec<Statement>) {
    for (relation, rules) in rules_by_relation(statements) {
        if rules.len() > 1 {
            let shared = share(statements, &shared_name(&relation), &rules);
            statements.extend(shared);
        }
    }
    let quality = quality(statements);
    statements.extend(quality);
}

/// The assertions by their places among all statements. Those with the name of another relation are reported and left
/// out.
fn assertions(statements: &[Statement]) -> Vec<(usize, &ParsedAssertion)> {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for statement in statements {
        if !matches!(statement.kind, StatementKind::Copy(_)) {
            *uses.entry(&statement.name).or_default() += 1;
        }
    }
    let alone = statements.iter().enumerate();
    let alone = alone.filter(|(_, statement)| uses.get(statement.name.as_str()) == Some(&1));
    alone
        .filter_map(|(at, statement)| Some((at, statement.kind.assertion()?)))
        .collect()
}

/// The places of the rules on each relation that are not judged by delivery.
fn rules_by_relation(statements: &[Statement]) -> BTreeMap<String, Vec<usize>> {
    let mut by_relation: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, parsed) in assertions(statements) {
        if let Some(relation) = parsed.relation() {
            by_relation.entry(relation).or_default().push(at);
        }
    }
    by_relation
}

/// Lets rules share a view, and returns its statement, which is at the place of the first of them.
fn share(statements: &mut [Statement], name: &str, rules: &[usize]) -> Option<Statement> {
    let members = rules.iter().map(|&at| &statements[at]);
    let members = members.filter_map(|rule| Some((rule.name.as_str(), rule.kind.assertion()?)));
    let view = shared_view(name, &members.collect::<Vec<_>>())?;
    for &at in rules {
        if let StatementKind::Assertion(parsed) = &mut statements[at].kind {
            parsed.shared = Some(name.to_owned());
        }
    }
    let kind = StatementKind::Shared(Box::new(view));
    Some(added(kind, name, &statements[*rules.first()?]))
}

/// The statement of the view of the results, at the place of the first assertion.
fn quality(statements: &[Statement]) -> Option<Statement> {
    let assertions = assertions(statements);
    let (first, _) = assertions.first()?;
    let declared = assertions
        .iter()
        .map(|&(at, parsed)| (parsed, statements[at].site()));
    let view = quality_view(declared).ok()??;
    let kind = StatementKind::Quality(Box::new(view));
    Some(added(kind, QUALITY_TABLE, &statements[*first]))
}

fn added(kind: StatementKind, name: &str, at: &Statement) -> Statement {
    Statement {
        kind,
        name: name.to_owned(),
        place: at.place,
        tokens: at.tokens.clone(),
    }
}
