//! `OPTIONS (…)`: what the connectors make of them, every wrong one with its place.

use std::collections::BTreeMap;

use datafusion_sql::sqlparser::ast::Value;
use tidewater_connectors::Registry;
use tidewater_connectors::declaration::{DeclarationError, DeclarationPart};
use tidewater_connectors::error::OptionError;
use tidewater_connectors::file::sink::parse_encoding;
use tidewater_connectors::sink::{Encoding, SinkError};

use super::phrasebook;
use super::site::Site;
use super::suggest::nearest;
use super::syntax_error::lower_first;
use super::tokens::Find;
use crate::diagnostic::Diagnostic;

/// Options by name, in lower case.
pub(super) type Options = BTreeMap<String, String>;

/// Options of a `COPY` that are the engine's and not the format's.
const OF_TABLES: [&str; 3] = ["retain", "retain_by", "retain_ahead"];

/// `OPTIONS (…)` with names in lower case; a name given twice is an error.
pub(super) fn options(
    given: &[(String, Value)],
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Options {
    let mut options = Options::new();
    for (name, value) in given {
        let text = match value {
            Value::Number(number, _) => number.clone(),
            Value::SingleQuotedString(text)
            | Value::DoubleQuotedString(text)
            | Value::EscapedStringLiteral(text) => text.clone(),
            other => other.to_string(),
        };
        if options.insert(name.to_lowercase(), text).is_some() {
            errors.push(
                site.diagnostic(
                    &option_finds(name),
                    format!("option '{name}' is given twice"),
                )
                .with_hint("remove one"),
            );
        }
    }
    options
}

/// Where an option may stand: as a text, or as a bare (possibly dotted) word.
pub(super) fn option_finds(name: &str) -> Vec<Find> {
    let mut finds = vec![Find::Text(name.to_owned())];
    finds.extend(name.split('.').map(|part| Find::Name(part.to_owned())));
    finds.push(Find::Words(&["OPTIONS"]));
    finds
}

/// The encoding of a published table: Parquet, unless the statement says something else.
pub(super) fn encoding(
    registry: &Registry,
    stored_as: Option<&str>,
    options: &Options,
    site: &Site<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Encoding> {
    let format = stored_as.unwrap_or("PARQUET");
    let wrong = |error: &SinkError| match error {
        SinkError::UnknownOption { option, .. } => Some(option.clone()),
        SinkError::OptionValue { option, .. } => Some((*option).to_owned()),
        _ => None,
    };
    each_wrong(
        options,
        |options| parse_encoding(format, options),
        wrong,
        |error| errors.push(sink_diagnostic(registry, &error, site)),
    )
}

/// Calls `parse` until no option is wrong, each time without those that were, and reports all mistakes.
pub(super) fn each_declared<T>(
    options: &Options,
    parse: impl Fn(&Options) -> Result<T, Vec<DeclarationError>>,
    mut report: impl FnMut(DeclarationError),
) -> Option<T> {
    let mut rest = options.clone();
    let mut is_first = true;
    loop {
        let errors = match parse(&rest) {
            Ok(parsed) => return Some(parsed).filter(|_| is_first),
            Err(errors) => errors,
        };
        let mut is_changed = false;
        for error in errors {
            let was_given = match &error.part {
                DeclarationPart::Option(option) => remove(&mut rest, option),
                _ => false,
            };
            is_changed |= was_given;
            // In later rounds an option may be missing only because it was removed. So only errors about given
            // options are reported then.
            if is_first || was_given {
                report(error);
            }
        }
        if !is_changed {
            return None;
        }
        is_first = false;
    }
}

/// Removes an option; whether it was there.
fn remove(options: &mut Options, option: &str) -> bool {
    let mut names = options.keys();
    let name = names
        .find(|name| name.eq_ignore_ascii_case(option))
        .cloned();
    name.is_some_and(|name| options.remove(&name).is_some())
}

fn each_wrong<T, E>(
    options: &Options,
    parse: impl Fn(&Options) -> Result<T, E>,
    wrong: impl Fn(&E) -> Option<String>,
    mut report: impl FnMut(E),
) -> Option<T> {
    let mut rest = options.clone();
    let mut is_first = true;
    loop {
        let error = match parse(&rest) {
            Ok(parsed) => return Some(parsed).filter(|_| is_first),
            Err(error) => error,
        };
        let was_given = wrong(&error).is_some_and(|option| remove(&mut rest, &option));
        // In later rounds an option may be missing only because it was removed. So only errors about given options
        // are reported then.
        if is_first || was_given {
            report(error);
        }
        if !was_given {
            return None;
        }
        is_first = false;
    }
}

fn sink_diagnostic(registry: &Registry, error: &SinkError, site: &Site<'_>) -> Diagnostic {
    match error {
        SinkError::UnknownFormat(format) => site.diagnostic(
            &[Find::Name(format.clone())],
            lower_first(&error.to_string()),
        ),
        SinkError::UnknownOption {
            option,
            format,
            known,
        } => unknown_option(registry, option, format, known, site),
        SinkError::OptionValue { option, value, .. } => {
            let finds = [vec![Find::Text(value.clone())], option_finds(option)].concat();
            site.diagnostic(&finds, lower_first(&error.to_string()))
        }
        other => site.diagnostic(&[], lower_first(&other.to_string())),
    }
}

/// An option of a `COPY` that its format does not have; `known` lists those that it has.
fn unknown_option(
    registry: &Registry,
    option: &str,
    format: &str,
    known: &str,
    site: &Site<'_>,
) -> Diagnostic {
    let message = format!("option '{option}' is not known for STORED AS {format}");
    let found = site.diagnostic(&option_finds(option), message);
    let known: Vec<&str> = known
        .split(", ")
        .filter(|name| *name != "none")
        .chain(OF_TABLES)
        .collect();
    let is_of = |name: &str| name == option || (name.ends_with('.') && option.starts_with(name));
    let of_sink = registry
        .sinks()
        .find(|connector| connector.options().iter().any(|name| is_of(name)));
    let near = phrasebook::option(option)
        .filter(|here| known.contains(here))
        .or_else(|| nearest(option, known.iter().copied()));
    if let Some(connector) = of_sink {
        return found.with_hint(format!(
            "'{option}' is for tables that go to {}: COPY … TO '{}'",
            connector.title(),
            connector.example()
        ));
    }
    match near {
        Some(near) => found.with_hint(format!(
            "did you mean '{near}'? Known are {}",
            known.join(", ")
        )),
        None => found.with_hint(format!("known are {}", known.join(", "))),
    }
}

/// An option that is unknown or means nothing, with its place.
pub(super) fn option_diagnostic(error: OptionError, site: &Site<'_>) -> Diagnostic {
    let OptionError {
        option,
        message,
        hint,
    } = error;
    let found = site.diagnostic(
        &option_finds(&option),
        format!("option '{option}': {message}"),
    );
    let foreign = phrasebook::option(&option).filter(|_| message.contains("unknown"));
    match (foreign, hint) {
        (Some(here), Some(hint)) if !hint.starts_with("did you mean") => {
            found.with_hint(format!("did you mean '{here}'? {}", upper_first(&hint)))
        }
        (_, Some(hint)) => found.with_hint(hint),
        (_, None) => found,
    }
}

fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}
