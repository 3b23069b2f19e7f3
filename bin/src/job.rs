//! Loads a job with its variables, and reports its errors.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tidewater_engine::diagnostic::render;
use tidewater_engine::job::{CreateView, view_statements};
use tidewater_engine::state::JobRecord;
use tidewater_engine::{Inspection, Job};

use crate::args::{CommonArgs, JobArgs, StateArgs};
use crate::failure::Failure;
use crate::output;
use crate::style::Style;

/// A job that was read and planned.
pub struct LoadedJob {
    /// The job.
    pub job: Job,
    /// Its text and variables.
    pub declared: JobRecord,
}

impl LoadedJob {
    /// Its views as the text declares them, by name.
    pub fn views(&self) -> BTreeMap<String, CreateView> {
        let variables = Variables::new(&self.declared.settings);
        view_statements(&self.declared.text, &|name| variables.get(name))
    }
}

/// A job and its state, for a command that only reads it.
pub struct LoadedState {
    /// The job.
    pub job: LoadedJob,
    /// Where the state is.
    pub path: PathBuf,
}

/// Reads and plans the job given on the command line.
pub fn load(args: &JobArgs) -> Result<Job, Failure> {
    Ok(load_declared(args)?.job)
}

/// The job of a command that runs it, which accepts what the command line says.
pub fn load_to_run(args: &CommonArgs) -> Result<LoadedJob, Failure> {
    let mut loaded = load_declared(&args.job)?;
    args.allow.apply(&mut loaded.job);
    args.accept.apply(&mut loaded.job)?;
    Ok(loaded)
}

/// The job given on the command line, with its text.
pub fn load_declared(args: &JobArgs) -> Result<LoadedJob, Failure> {
    let text = std::fs::read_to_string(&args.job).map_err(|error| {
        Failure::usage(format!(
            "cannot read the job file {}: {error}.\nGive the path of a SQL file.",
            args.job.display()
        ))
    })?;
    parse(JobRecord {
        path: args.job.clone(),
        directory: std::env::current_dir().unwrap_or_default(),
        text,
        settings: args.settings.iter().cloned().collect(),
    })
}

/// The job of a state: the given one, or else the one with which the state was last run. Relative paths in the latter
/// are relative to the directory of that run.
pub fn load_state(args: &StateArgs) -> Result<LoadedState, Failure> {
    if let Some(job) = &args.job {
        let named = JobArgs {
            job: job.clone(),
            settings: args.settings.clone(),
        };
        return Ok(LoadedState {
            job: load_declared(&named)?,
            path: args.state.clone(),
        });
    }
    let path = std::fs::canonicalize(&args.state).unwrap_or_else(|_| args.state.clone());
    let Some(mut declared) = Inspection::job_of(&path)? else {
        return Err(Failure::usage(format!(
            "the state {} does not record its job: an earlier version created it, or it has no commit yet.\n\
             Name the job, and the variables that it was run with: JOB --set NAME=VALUE --state {}",
            args.state.display(),
            args.state.display()
        )));
    };
    std::env::set_current_dir(&declared.directory).map_err(|error| {
        Failure::usage(format!(
            "the job {} was run in {}, which cannot be entered: {error}.\nName the job and its variables.",
            declared.path.display(),
            declared.directory.display()
        ))
    })?;
    declared.settings.extend(args.settings.iter().cloned());
    Ok(LoadedState {
        job: parse(declared)?,
        path,
    })
}

fn parse(declared: JobRecord) -> Result<LoadedJob, Failure> {
    let name = declared.path.display().to_string();
    let sql = declared.text.as_str();
    let variables = Variables::new(&declared.settings);
    let job = Job::parse(&name, sql, &|name| variables.get(name));
    // A misspelt --set would silently leave the job with a default, or with the environment's value.
    match (job, variables.unused(&name)) {
        (Ok(job), None) => {
            for warning in &job.warnings {
                let text = render(warning, "warning", &name, sql);
                output::tell(&Style::stderr().diagnostics(&text));
            }
            Ok(LoadedJob { job, declared })
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
    fn new(settings: &BTreeMap<String, String>) -> Self {
        Self {
            settings: settings.clone(),
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
        let owned = settings
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
