//! Loads a job with its variables, and reports its errors.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tidewater_engine::Job;
use tidewater_engine::diagnostic::render;
use tidewater_engine::job::{CreateView, view_statements};

use crate::args::JobArgs;
use crate::failure::Failure;
use crate::output;
use crate::style::Style;

/// Reads and plans the job named on the command line.
pub fn load(args: &JobArgs) -> Result<Job, Failure> {
    Ok(load_with_views(args)?.0)
}

/// The job and the view statements of its text.
pub fn load_with_views(args: &JobArgs) -> Result<(Job, BTreeMap<String, CreateView>), Failure> {
    let name = args.job.display().to_string();
    let sql = std::fs::read_to_string(&args.job).map_err(|error| {
        Failure::usage(format!(
            "cannot read the job file {name}: {error}.\nGive the path of a SQL file."
        ))
    })?;
    let variables = Variables::new(&args.settings);
    let job = Job::parse(&name, &sql, &|name| variables.get(name));
    // A misspelt --set would silently leave the job with a default, or with the environment's value.
    match (job, variables.unused(&name)) {
        (Ok(job), None) => {
            for warning in &job.warnings {
                let text = render(warning, "warning", &name, &sql);
                output::tell(&Style::stderr().diagnostics(&text));
            }
            let views = view_statements(&sql, &|name| variables.get(name));
            Ok((job, views))
        }
        (Ok(_), Some(unused)) => Err(Failure::usage(unused)),
        (Err(diagnostics), None) => Err(Failure::invalid_job(diagnostics.to_string())),
        (Err(diagnostics), Some(unused)) => Err(Failure::invalid_job(format!(
            "{diagnostics}\nerror: {unused}"
        ))),
    }
}

/// The values of `${name}`: from `--set` (the last one for a name), then from the environment.
struct Variables {
    settings: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
}

impl Variables {
    fn new(settings: &[(String, String)]) -> Self {
        Self {
            settings: settings.iter().cloned().collect(),
            asked: RefCell::default(),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.settings
            .get(name)
            .cloned()
            .or_else(|| std::env::var(name).ok())
    }

    /// The message about a variable that was set and that the job does not have.
    fn unused(&self, job: &str) -> Option<String> {
        let asked = self.asked.borrow();
        let unused = self.settings.keys().find(|name| !asked.contains(*name))?;
        let has = if asked.is_empty() {
            "it has no variables: leave --set out".to_owned()
        } else {
            let names: Vec<String> = asked.iter().map(|name| format!("${{{name}}}")).collect();
            format!("it has {}", names.join(", "))
        };
        Some(format!(
            "--set {unused}: {job} has no ${{{unused}}}; {has}."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(settings: &[(&str, &str)]) -> Variables {
        let owned: Vec<_> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Variables::new(&owned)
    }

    #[test]
    fn settings_come_before_the_environment() {
        // CARGO_PKG_NAME is set for tests by cargo.
        assert_eq!(
            variables(&[]).get("CARGO_PKG_NAME").as_deref(),
            Some("tidewater")
        );
        assert_eq!(
            variables(&[("CARGO_PKG_NAME", "mine")])
                .get("CARGO_PKG_NAME")
                .as_deref(),
            Some("mine")
        );
        assert_eq!(
            variables(&[("a", "1"), ("a", "2")]).get("a").as_deref(),
            Some("2")
        );
        assert_eq!(variables(&[]).get("no such variable"), None);
    }

    #[test]
    fn unused_settings_are_named() {
        let set = variables(&[("input", "x"), ("ouput", "y")]);
        set.get("input");
        set.get("output");
        assert_eq!(
            set.unused("card.sql").as_deref(),
            Some("--set ouput: card.sql has no ${ouput}; it has ${input}, ${output}.")
        );
        set.get("ouput");
        assert_eq!(set.unused("card.sql"), None);
        assert_eq!(
            variables(&[("a", "1")]).unused("j.sql").as_deref(),
            Some("--set a: j.sql has no ${a}; it has no variables: leave --set out.")
        );
    }
}
