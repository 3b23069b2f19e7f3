//! Decides which files are bad: those that cannot be read, and those that have rows but hardly a good one. The latter
//! happens with another encoding, delimiter or format.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tidewater_contract::error::{SourceError, shown_path};
use tidewater_contract::source::{Decoded, Rejected};
use tidewater_formats::options::OnBadFile;

use super::position::{Position, SetAside};

/// The most rejected rows of a file in a message.
const REASONS_SHOWN: usize = 3;
/// The most files in a message.
const FILES_SHOWN: usize = 3;

/// How a delivery is judged.
#[derive(Clone, Debug)]
pub(super) enum Judgement {
    /// It was accepted before, and is read again.
    Accepted,
    /// It was set aside before, and stays set aside.
    SetAside(SetAside),
    /// It is judged now.
    Judged {
        /// What happens if it is bad.
        on_bad: OnBadFile,
        /// The least number of good rows, if it has bad rows.
        min_good_rows: u64,
    },
}

impl Judgement {
    /// The earlier judgement.
    pub(super) fn of_known(known: &Position) -> Self {
        let set_aside = known.set_aside.clone();
        set_aside.map_or(Self::Accepted, Self::SetAside)
    }

    /// Whether the delivery is set aside if it is bad.
    pub(super) fn sets_aside(&self) -> bool {
        let on_bad = OnBadFile::Quarantine;
        matches!(self, Self::Judged { on_bad: declared, .. } if *declared == on_bad)
    }

    pub(super) fn min_good_rows(&self) -> u64 {
        match self {
            Self::Judged { min_good_rows, .. } => *min_good_rows,
            Self::Accepted | Self::SetAside(_) => 0,
        }
    }
}

/// The counts of a delivery while its pieces are decoded.
#[derive(Default)]
pub(super) struct DeliveryTally {
    good: AtomicU64,
    rejected: AtomicU64,
    /// The first rejected rows, as long as there are few good ones.
    first: Mutex<Vec<FirstRejected>>,
    /// The number of decoded steps of each piece, in order.
    pieces: Mutex<Vec<Arc<AtomicUsize>>>,
    /// The error if it cannot be read.
    failed: OnceLock<SourceError>,
}

/// One of the first rejected rows of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FirstRejected {
    line: u64,
    byte_offset: u64,
    column: Option<String>,
    reason: String,
}

impl FirstRejected {
    fn of(row: &Rejected) -> Self {
        Self {
            line: row.line,
            byte_offset: row.byte_offset,
            column: row.column.as_deref().map(str::to_owned),
            reason: row.reason.clone(),
        }
    }

    fn shown(&self) -> String {
        let column = self.column.as_ref();
        let column = column.map_or_else(String::new, |column| format!("column '{column}': "));
        format!("line {}: {column}{}", self.line, self.reason)
    }
}

impl DeliveryTally {
    /// Registers a piece that is handed out. Returns the counter for its steps.
    pub(super) fn begin_piece(&self) -> Arc<AtomicUsize> {
        let steps = Arc::<AtomicUsize>::default();
        lock(&self.pieces).push(Arc::clone(&steps));
        steps
    }

    /// The number of decoded steps of each piece that was handed out.
    pub(super) fn steps(&self) -> Vec<usize> {
        let pieces = lock(&self.pieces);
        let steps = pieces.iter().map(|steps| steps.load(Ordering::Acquire));
        steps.collect()
    }

    /// Counts decoded rows. Reasons are kept while there are fewer than `min_good` good rows.
    pub(super) fn add(&self, decoded: &Decoded, min_good: u64) {
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let rows = count(decoded.batch.num_rows());
        let good = self.good.fetch_add(rows, Ordering::AcqRel) + rows;
        if decoded.rejected.is_empty() {
            return;
        }
        let rejected = count(decoded.rejected.len());
        self.rejected.fetch_add(rejected, Ordering::AcqRel);
        if good < min_good {
            let mut first = lock(&self.first);
            // The rows of a step are in the order of the file.
            let rows = decoded.rejected.iter().take(REASONS_SHOWN);
            first.extend(rows.map(FirstRejected::of));
            first.sort();
            first.truncate(REASONS_SHOWN);
        }
    }

    /// Records that the delivery cannot be read.
    pub(super) fn fail(&self, error: SourceError) {
        // The first error counts.
        let _ = self.failed.set(error);
    }

    /// Whether it has bad rows and too few good ones.
    fn has_too_few(&self, min_good: u64) -> bool {
        self.rejected.load(Ordering::Acquire) > 0 && self.good.load(Ordering::Acquire) < min_good
    }

    /// Why a delivery is set aside; `None` if it is good or stops the run.
    pub(super) fn verdict(&self, judgement: &Judgement) -> Option<SetAside> {
        if !judgement.sets_aside() {
            return None;
        }
        let (column, reason) = match self.failed.get() {
            Some(error) => (
                error.bad_column().map(ToString::to_string),
                reason_of(error),
            ),
            None if self.has_too_few(judgement.min_good_rows()) => {
                let first = self.reasons().into_iter().next();
                let first = first.map_or_else(String::new, |first| format!("; {first}"));
                (None, format!("{}{first}", self.summary()))
            }
            None => return None,
        };
        Some(SetAside {
            column,
            reason,
            keeps_stored: false,
            hold: None,
        })
    }

    /// The message for a delivery with too few good rows.
    fn summary(&self) -> String {
        let good = self.good.load(Ordering::Acquire);
        let rows = good + self.rejected.load(Ordering::Acquire);
        match (good, rows) {
            (0, 1) => "its one row cannot be read".to_owned(),
            (0, rows) => format!("none of its {rows} rows can be read"),
            (good, rows) => format!("only {good} of its {rows} rows can be read"),
        }
    }

    fn reasons(&self) -> Vec<String> {
        lock(&self.first).iter().map(FirstRejected::shown).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of a file's error, without the file's name.
fn reason_of(error: &SourceError) -> String {
    let text = error.to_string();
    let file = error
        .bad_file()
        .map(|file| format!("{}: ", shown_path(file)));
    let reason = file.and_then(|file| text.strip_prefix(&file).map(str::to_owned));
    reason.unwrap_or(text)
}

/// The quarantine row of a delivery that is set aside.
pub(super) fn row_of(source: &str, file: &Arc<str>, set_aside: &SetAside) -> Rejected {
    let why = match &set_aside.hold {
        Some(_) => "held",
        None => "set aside",
    };
    Rejected {
        source: source.into(),
        file: Arc::clone(file),
        line: 0,
        byte_offset: 0,
        column: set_aside.column.as_deref().map(Into::into),
        reason: format!("the file is {why}: {}", set_aside.reason),
        raw: String::new(),
    }
}

/// A delivery with too few good rows that stops the run.
pub(super) struct TooFewGood<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its rows.
    pub tally: &'a DeliveryTally,
}

impl<'a> TooFewGood<'a> {
    /// Returns the delivery if it is one.
    pub(super) fn find(
        name: &'a str,
        tally: &'a DeliveryTally,
        judgement: &Judgement,
    ) -> Option<Self> {
        let stops = !judgement.sets_aside() && tally.has_too_few(judgement.min_good_rows());
        stops.then_some(Self { name, tally })
    }
}

/// The error for deliveries with too few good rows.
pub(super) fn refusal(bad: &[TooFewGood<'_>]) -> Option<SourceError> {
    let (TooFewGood { name, tally }, others) = bad.split_first()?;
    let mut message = format!("{}: {}", shown_path(name), tally.summary());
    for reason in tally.reasons() {
        message += &format!("\n  {reason}");
    }
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|other| shown_path(other.name)).collect();
        let shown = names.get(..FILES_SHOWN).unwrap_or(&names).join(", ");
        message += &format!(
            "\nThe same holds for {} more: {shown}",
            count_files(others.len())
        );
        if others.len() > FILES_SHOWN {
            message += ", …";
        }
    }
    message += "\nNothing was published. Check the encoding, delimiter and format that the source declares. To \
                continue without the file, run once with --allow bad-files, or declare OPTIONS ('on_bad_file' 'quarantine'). With \
                'min_good_rows' '0' its rows are quarantined one by one";
    Some(SourceError::Refused(message))
}

fn count_files(files: usize) -> String {
    format!("{files} file{}", if files == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn decoded(good: i64, lines: &[u64]) -> Decoded {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let numbers = Arc::new(Int64Array::from_iter_values(0..good));
        let rejected = lines.iter().map(|line| Rejected {
            source: "t".into(),
            file: "a.csv".into(),
            line: *line,
            byte_offset: line * 10,
            column: (*line == 2).then(|| "n".into()),
            reason: format!("reason {line}"),
            raw: String::new(),
        });
        Decoded {
            batch: RecordBatch::try_new(Arc::new(schema), vec![numbers]).unwrap(),
            rejected: rejected.collect(),
            ordinals: None,
            places: None,
            bytes: 0,
        }
    }

    fn judged(on_bad: OnBadFile, min_good_rows: u64) -> Judgement {
        Judgement::Judged {
            on_bad,
            min_good_rows,
        }
    }

    #[test]
    fn a_file_is_bad_when_it_has_rows_and_too_few_good_ones() {
        let cases: [(&[Decoded], u64, bool); 8] = [
            (&[], 1, false),
            (&[decoded(0, &[])], 1, false),
            (&[decoded(3, &[])], 1, false),
            (&[decoded(3, &[])], 5, false),
            (&[decoded(0, &[2])], 1, true),
            (&[decoded(0, &[2]), decoded(1, &[3])], 1, false),
            (&[decoded(0, &[2]), decoded(1, &[3])], 2, true),
            (&[decoded(0, &[2])], 0, false),
        ];
        for (at, (steps, min_good, bad)) in cases.into_iter().enumerate() {
            let tally = DeliveryTally::default();
            steps.iter().for_each(|step| tally.add(step, min_good));
            let stops = judged(OnBadFile::Stop, min_good);
            let found = TooFewGood::find("a.csv", &tally, &stops);
            assert_eq!(found.is_some(), bad, "case {at}");
            assert_eq!(tally.verdict(&stops), None, "case {at}");
            let sets_aside = judged(OnBadFile::Quarantine, min_good);
            assert!(TooFewGood::find("a.csv", &tally, &sets_aside).is_none());
            assert_eq!(tally.verdict(&sets_aside).is_some(), bad, "case {at}");
            assert_eq!(tally.verdict(&Judgement::Accepted), None, "case {at}");
        }
    }

    #[test]
    fn the_refusal_shows_the_first_reasons_whatever_came_first() {
        let tally = DeliveryTally::default();
        tally.add(&decoded(0, &[7, 8]), 1);
        tally.add(&decoded(0, &[2, 3, 4, 5]), 1);
        let others = [DeliveryTally::default(), DeliveryTally::default()];
        others
            .iter()
            .for_each(|other| other.add(&decoded(0, &[2]), 1));
        let bad = [
            ("in/a.csv", &tally),
            ("in/b.csv", &others[0]),
            ("in/c.csv", &others[1]),
        ];
        let bad = bad.map(|(name, tally)| TooFewGood { name, tally });
        let message = refusal(&bad).unwrap().to_string();
        assert!(
            message.starts_with(
                "in/a.csv: none of its 6 rows can be read\n  line 2: column 'n': reason 2\n  line 3: reason 3\n  \
                 line 4: reason 4\nThe same holds for 2 files more: in/b.csv, in/c.csv\nNothing was published."
            ),
            "{message}"
        );
        assert!(message.contains("--allow bad-files"), "{message}");
        assert!(refusal(&[]).is_none());
    }

    #[test]
    fn the_verdict_says_what_an_error_says_of_the_file() {
        let tally = DeliveryTally::default();
        tally.add(&decoded(3, &[4]), 1);
        tally.fail(SourceError::column(&"in/a.csv".into(), "n", "is missing"));
        tally.fail(SourceError::file(&"in/a.csv".into(), "later"));
        let verdict = tally.verdict(&judged(OnBadFile::Quarantine, 1)).unwrap();
        assert_eq!(verdict.column.as_deref(), Some("n"));
        assert_eq!(verdict.reason, "column 'n': is missing");
        let row = row_of("t", &"in/a.csv".into(), &verdict);
        assert_eq!((row.line, &*row.raw), (0, ""));
        assert_eq!(row.reason, "the file is set aside: column 'n': is missing");
    }
}
