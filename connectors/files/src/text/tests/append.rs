//! A file that grows is read in whole rows, and in the end gives the rows of the whole file.

use super::*;
use crate::delivery::KeptPart;

const LIMITS: Limits = Limits {
    block_bytes: 9,
    record_bytes: 60,
};

/// A file and the part of it that was read.
#[derive(Default)]
struct Followed {
    begun: bool,
    bytes: u64,
    parts: Vec<KeptPart>,
    outcome: Outcome,
}

impl Followed {
    fn next(&self, path: &Path) -> Delivery {
        let lines: u64 = self.parts.iter().map(|part| part.lines).sum();
        let from = Content::Tail {
            path: path.to_owned(),
            after: self.bytes,
            first_line: 1 + lines,
            hash: hash(&fs::read(path).unwrap()[..usize::try_from(self.bytes).unwrap()]),
        };
        delivery(path, from)
    }

    /// Reads what was added.
    fn take(&mut self, spec: &SourceSpec, path: &Path, store: &Arc<ContentStore>) {
        let delivery = if self.begun {
            self.next(path)
        } else {
            file(path)
        };
        self.begun = true;
        let reader = reader_of(spec, delivery, Some(store), LIMITS);
        let more = outcome(&*reader, true).unwrap();
        let [taken] = &reader.read_deliveries().unwrap()[..] else {
            panic!("one file");
        };
        let text = fs::read(path).unwrap();
        let bytes = usize::try_from(taken.bytes).unwrap();
        assert_eq!(taken.hash, hash(&text[..bytes]));
        let kept: u64 = taken.parts.iter().map(|part| part.bytes).sum();
        assert!(taken.settled && taken.parts.len() <= 1 && taken.bytes - self.bytes == kept);
        let left = reader
            .warnings()
            .iter()
            .any(|text| text.contains("left for the next run"));
        assert_eq!(left, bytes < text.len(), "{:?}", reader.warnings());
        self.bytes = taken.bytes;
        self.parts.extend(taken.parts.iter().cloned());
        self.outcome.rows.extend(more.rows);
        self.outcome.rejected.extend(more.rejected);
    }
}

/// The rows of a run that reads the whole file.
fn cold(spec: &SourceSpec, path: &Path) -> (Outcome, u64) {
    let reader = reader_of(spec, file(path), None, LIMITS);
    let outcome = outcome(&*reader, false).unwrap();
    (outcome, reader.read_deliveries().unwrap()[0].bytes)
}

#[test]
fn grown_in_steps_is_as_if_at_once() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let path = root.path().join("f");
    for (format, text) in texts() {
        let spec = spec_of(format, &[("on_change", "append")]);
        let step = if text.len() > 100 { 7 } else { 1 };
        for first in (0..=text.len()).step_by(step) {
            let mut followed = Followed::default();
            for end in [first, first + 1 + first * 7 % 61, text.len()] {
                let so_far = &text[..end.min(text.len())];
                fs::write(&path, so_far).unwrap();
                followed.take(&spec, &path, &store);
                let context = format!("{:?}", String::from_utf8_lossy(so_far));
                let (expected, bytes) = cold(&spec, &path);
                assert_eq!(followed.outcome, expected, "cut at {first}: {context}");
                assert_eq!(followed.bytes, bytes, "cut at {first}: {context}");
            }
            let kept = delivery(&path, Content::Kept(followed.parts.clone()));
            let again = reader_of(&spec, kept, Some(&store), LIMITS);
            assert_eq!(outcome(&*again, false).unwrap(), followed.outcome);
        }
    }
}

#[test]
fn what_ends_with_a_line_is_what_a_file_that_is_replaced_holds() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f");
    for (format, text) in texts() {
        fs::write(&path, &text).unwrap();
        let (appended, bytes) = cold(&spec_of(format, &[("on_change", "append")]), &path);
        if bytes == text.len() as u64 {
            assert_eq!(appended, cold(&spec_of(format, &[]), &path).0);
        } else {
            assert!(!text.ends_with(b"\n") || text.contains(&b'"') || text == b"\n\r\n");
        }
    }
}

#[test]
fn only_appended_bytes_are_read() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(ContentStore::open(root.path().join("store")).unwrap());
    let path = root.path().join("f.csv");
    let spec = spec_of(Format::Csv, &[("on_change", "append")]);
    let mut followed = Followed::default();
    fs::write(&path, "a,b\n1,2\n").unwrap();
    followed.take(&spec, &path, &store);
    let tail = |text: &str, store: Option<&Arc<ContentStore>>| {
        fs::write(&path, "a,b\n1,2\n").unwrap();
        let next = followed.next(&path);
        fs::write(&path, text).unwrap();
        outcome(&*reader_of(&spec, next, store, LIMITS), false)
    };
    let cases = [
        (
            "a,b\n1,2",
            "is shorter than the 8 bytes that were read before: it has 7",
        ),
        ("a,b\n9,2\n3,4\n", "differs within the first 8 bytes"),
    ];
    for (text, expected) in cases {
        let message = tail(text, Some(&store)).unwrap_err().to_string();
        assert!(
            message.contains("f.csv: ") && message.contains(expected),
            "{message}"
        );
        assert!(
            message.contains("restore it, or declare 'replace'"),
            "{message}"
        );
    }
    let message = tail("\n\n\n\n\n\n\n\na,b\n1,2\n", None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("its header ends after byte 8"),
        "{message}"
    );
    assert_eq!(tail("a,b\n1,2\n3,4\n", None).unwrap().rows.len(), 1);
}

#[test]
fn compressed_files_do_not_grow() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f.csv.gz");
    fs::write(&path, gzip(b"a,b\n1,2\n")).unwrap();
    let tail = Content::Tail {
        path: path.clone(),
        after: 1,
        first_line: 2,
        hash: String::new(),
    };
    let cases = [
        (
            spec_of(Format::Csv, &[("on_change", "append")]),
            file(&path),
        ),
        (spec_of(Format::Csv, &[]), delivery(&path, tail)),
    ];
    for (spec, delivery) in cases {
        let reader = reader_of(&spec, delivery, None, LIMITS);
        let message = outcome(&*reader, false).unwrap_err().to_string();
        assert!(
            message.contains("f.csv.gz: is compressed, and cannot be appended to"),
            "{message}"
        );
    }
}
