//! Random histories of files: added, corrected, withdrawn, delivered twice, renamed, split, touched, appended to.
//!
//! Files with the same size and time count as unchanged, so a file whose content changes here gets another time or
//! another size.

use std::collections::BTreeMap;
use std::fs;

use arrow::array::RecordBatch;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::maintained::{Maintained, modify};
use crate::sources::{File, Format, Line, Source};

/// Files by name.
type Files = BTreeMap<String, File>;

/// The input of a job, with known rows.
pub struct Input {
    /// The job's sources.
    pub sources: Vec<Source>,
    files: Vec<Files>,
    committed: Vec<Files>,
    names: u32,
}

impl Input {
    /// Sources without files.
    #[must_use]
    pub fn new(place: &Maintained, sources: Vec<Source>) -> Self {
        for source in &sources {
            fs::create_dir(place.path("in").join(source.name)).unwrap();
        }
        Self {
            files: vec![Files::new(); sources.len()],
            committed: vec![Files::new(); sources.len()],
            sources,
            names: 0,
        }
    }

    /// The rows that count now, by source.
    #[must_use]
    pub fn present(&self) -> BTreeMap<String, RecordBatch> {
        let sources = self.sources.iter().zip(&self.files);
        let present = sources.map(|(source, files)| (source.name.into(), source.present(files)));
        present.collect()
    }

    /// Whether a source has no file.
    #[must_use]
    pub fn is_any_empty(&self) -> bool {
        self.files.iter().any(BTreeMap::is_empty)
    }

    /// Whether a file ends in the middle of a line.
    #[must_use]
    pub fn is_any_unfinished(&self) -> bool {
        let mut files = self.files.iter().flat_map(BTreeMap::values);
        files.any(|file| file.unfinished.is_some())
    }

    /// The number of bad lines, which a run must have put into the quarantine.
    #[must_use]
    pub fn bad(&self) -> usize {
        let files = self.files.iter().flat_map(BTreeMap::values);
        let lines = files.flat_map(|file| &file.lines);
        lines.filter(|line| !matches!(line, Line::Row(_))).count()
    }

    /// Records that all of it was read.
    pub fn committed(&mut self) {
        self.committed.clone_from(&self.files);
    }

    /// Makes one change, and returns a description of it.
    pub fn step(&mut self, rng: &mut ChaCha8Rng, place: &Maintained) -> String {
        let at = rng.random_range(0..self.sources.len());
        let mut names: Vec<String> = self.files[at].keys().cloned().collect();
        names.shuffle(rng);
        let Some(name) = names.pop() else {
            return self.add(rng, place, at);
        };
        let appends = self.sources[at].appends;
        match rng.random_range(0..14) {
            0..=3 => self.add(rng, place, at),
            4..=5 if !appends => {
                let file = self.file(rng, at);
                self.put(rng, place, at, &name, file);
                self.told("corrected", at, &name)
            }
            4..=7 if appends => {
                let mut file = self.files[at][&name].clone();
                file.lines.extend(file.unfinished.take());
                let more = self.file(rng, at);
                file.lines.extend(more.lines);
                file.unfinished = more.unfinished;
                file.modified_s = more.modified_s;
                self.put(rng, place, at, &name, file);
                self.told("grew", at, &name)
            }
            6..=7 => {
                let mut file = self.files[at][&name].clone();
                file.modified_s = rng.random_range(0..5);
                self.put(rng, place, at, &name, file);
                self.told("touched", at, &name)
            }
            8 => {
                let mut file = self.files[at][&name].clone();
                file.modified_s = rng.random_range(0..5);
                let twin = self.name(rng, at);
                self.put(rng, place, at, &twin, file);
                self.told("duplicate", at, &twin)
            }
            9 => {
                let new = self.name(rng, at);
                let path = place.path("in").join(self.sources[at].name);
                fs::rename(path.join(&name), path.join(&new)).unwrap();
                let file = self.files[at].remove(&name).unwrap();
                // The name decides the compression.
                self.put(rng, place, at, &new, file);
                format!("renamed {} {name} to {new}", self.sources[at].name)
            }
            10 => {
                let file = self.withdraw(place, at, &name);
                for lines in file.lines.chunks(2) {
                    let part = File {
                        lines: lines.to_vec(),
                        modified_s: rng.random_range(0..5),
                        unfinished: None,
                    };
                    let new = self.name(rng, at);
                    self.put(rng, place, at, &new, part);
                }
                self.told("split", at, &name)
            }
            11 if rng.random_bool(0.2) => {
                for name in names.iter().chain([&name]) {
                    self.withdraw(place, at, name);
                }
                self.told("withdrew all", at, "")
            }
            _ => {
                self.withdraw(place, at, &name);
                self.told("withdrew", at, &name)
            }
        }
    }

    fn told(&self, what: &str, at: usize, name: &str) -> String {
        let file = self.files[at].get(name);
        let lines = file.map_or(String::new(), |file| {
            format!(
                " at {} {:?} {:?}",
                file.modified_s, file.lines, file.unfinished
            )
        });
        format!("{what} {} {name}{lines}", self.sources[at].name)
    }

    fn add(&mut self, rng: &mut ChaCha8Rng, place: &Maintained, at: usize) -> String {
        let (name, file) = (self.name(rng, at), self.file(rng, at));
        self.put(rng, place, at, &name, file);
        self.told("new", at, &name)
    }

    /// Draws a file of a source.
    fn file(&self, rng: &mut ChaCha8Rng, at: usize) -> File {
        let source = &self.sources[at];
        let rows = u32::try_from(source.pool.num_rows()).unwrap();
        let row = |rng: &mut ChaCha8Rng| Line::Row(rng.random_range(0..rows));
        let lines = (0..rng.random_range(0..=6)).map(|_| match rng.random_range(0..20) {
            0 if source.format != Format::Parquet => Line::Broken,
            1 if source.format != Format::Parquet => Line::Keyless,
            _ => row(rng),
        });
        let lines = lines.collect();
        let is_unfinished = source.appends && rng.random_bool(0.3);
        File {
            lines,
            unfinished: is_unfinished.then(|| row(rng)),
            modified_s: rng.random_range(0..5),
        }
    }

    /// A name that no file of the source has had in this epoch. Sometimes a name that a file had earlier.
    fn name(&mut self, rng: &mut ChaCha8Rng, at: usize) -> String {
        let source = &self.sources[at];
        let packs = !source.appends && source.format != Format::Parquet && rng.random_bool(0.3);
        loop {
            self.names += 1;
            let number = if source.appends {
                self.names
            } else {
                rng.random_range(0..12)
            };
            let letter = char::from(b'a' + rng.random_range(0..3));
            let name = format!(
                "{letter}{number}.{}{}",
                source.format.extension(),
                if packs { ".gz" } else { "" }
            );
            if !self.files[at].contains_key(&name) {
                return name;
            }
        }
    }

    /// Writes a file.
    fn put(
        &mut self,
        rng: &mut ChaCha8Rng,
        place: &Maintained,
        at: usize,
        name: &str,
        mut file: File,
    ) {
        let source = &self.sources[at];
        let bytes = source.render(name, &file);
        if let Some(old) = self.committed[at].get(name) {
            let was = source.render(name, old);
            while was != bytes && was.len() == bytes.len() && old.modified_s == file.modified_s {
                file.modified_s = rng.random_range(0..5);
            }
        }
        let path = place.path("in").join(source.name).join(name);
        fs::write(&path, &bytes).unwrap();
        modify(&path, file.modified_s);
        self.files[at].insert(name.to_owned(), file);
    }

    fn withdraw(&mut self, place: &Maintained, at: usize, name: &str) -> File {
        place.withdraw(&format!("{}/{name}", self.sources[at].name));
        self.files[at].remove(name).unwrap()
    }
}
