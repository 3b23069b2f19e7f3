//! The end of an intake, after everything was read: the deliveries that were read, the bad ones, and the necessary
//! corrections.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::RowChange;
use tidewater_formats::row_format::RowFormat;

use super::correction::{CorrectedDelivery, Correction, FileVersion, UndoneDelivery};
use super::{FileIntake, Incoming, IntakeOutcome, KeptBad, NewlySetAside, OpenReader, lock};
use crate::content_store::ContentStore;
use crate::delivery::{Content, Delivery};
use crate::open;
use crate::position::SetAside;
use crate::reader::ReadDelivery;
use crate::verdict::{self, Judgement, TooFewGood};

/// A bad delivery, after everything was read.
struct BadDelivery<'a> {
    index: usize,
    incoming: &'a Incoming,
    verdict: SetAside,
    /// The record of it, if it was read to its end.
    read: Option<ReadDelivery>,
    /// The current version of its file; `None` for stored text.
    file: Option<FileVersion>,
}

impl BadDelivery<'_> {
    /// Whether what was kept while it was read is all of it.
    fn was_kept_whole(&self) -> bool {
        let bytes = self.incoming.delivery.bytes;
        let read = self.read.as_ref();
        read.is_some_and(|read| read.bytes == bytes && !read.hash.is_empty())
    }

    /// Whether it is unchanged since it was listed.
    fn is_settled(&self) -> bool {
        let (bytes, modified_ns) = (self.incoming.delivery.bytes, self.incoming.modified_ns);
        let is_as_listed = |file: &FileVersion| file.is(bytes, modified_ns);
        self.file.as_ref().is_none_or(is_as_listed)
            && self.read.as_ref().is_none_or(|read| read.settled)
    }
}

impl FileIntake {
    /// Gets the deliveries that were read, and opens those that must be corrected.
    pub(super) fn conclude(&self, readers: &[OpenReader]) -> Result<Vec<Correction>, SourceError> {
        self.refuse_bad()?;
        let mut outcome = IntakeOutcome::default();
        let mut read = BTreeMap::new();
        for open in readers {
            outcome.warnings.extend(open.reader.warnings());
            for one in open.reader.read_deliveries()? {
                let delivery = open.deliveries.get(one.delivery).copied();
                let delivery = delivery.unwrap_or(one.delivery);
                read.insert(delivery, ReadDelivery { delivery, ..one });
            }
        }
        let mut corrections = Vec::new();
        for (index, incoming) in self.incoming.iter().enumerate() {
            let tally = self.tallies.get(index);
            let verdict = tally.and_then(|tally| tally.verdict(&incoming.judgement));
            let verdict = verdict.or_else(|| self.held(index, incoming, read.get(&index)));
            if let Some(verdict) = verdict {
                let file = match &incoming.delivery.from {
                    Content::File(path) => {
                        Some(FileVersion::of(self.source.storage(), path.clone())?)
                    }
                    Content::Tail { .. } | Content::Kept(_) | Content::KeptStored(_) => None,
                };
                let bad = BadDelivery {
                    index,
                    incoming,
                    verdict,
                    read: read.remove(&index),
                    file,
                };
                self.set_aside_bad(&bad, &mut outcome, &mut corrections)?;
            }
        }
        self.correct_unsettled(read.values(), &mut corrections)?;
        outcome.read.extend(read.into_values());
        *lock(&self.outcome) = outcome;
        Ok(corrections)
    }

    /// Why a new delivery is held. One that is still being written is judged by the next run.
    fn held(
        &self,
        index: usize,
        incoming: &Incoming,
        read: Option<&ReadDelivery>,
    ) -> Option<SetAside> {
        let is_new = matches!(incoming.judgement, Judgement::Judged { .. });
        if !is_new || read.is_some_and(|read| !read.settled) {
            return None;
        }
        let hold = self.judge.get()?.verdict(index, &incoming.delivery.name);
        hold.map(SetAside::held)
    }

    /// Fails if deliveries have bad rows and too few good ones.
    fn refuse_bad(&self) -> Result<(), SourceError> {
        let deliveries = self.incoming.iter().zip(&self.tallies);
        let bad = deliveries.filter_map(|(incoming, tally)| {
            TooFewGood::find(&incoming.delivery.name, tally, &incoming.judgement)
        });
        let bad: Vec<_> = bad.collect();
        verdict::refusal(&bad).map_or(Ok(()), Err)
    }

    /// Sets a delivery aside: retracts the rows that were read of it and inserts its quarantine row. A delivery that
    /// is still being written is left for the next run.
    fn set_aside_bad(
        &self,
        bad: &BadDelivery<'_>,
        outcome: &mut IntakeOutcome,
        corrections: &mut Vec<Correction>,
    ) -> Result<(), SourceError> {
        let (index, is_settled) = (bad.index, bad.is_settled());
        if let (Some(store), false) = (&self.store, is_settled) {
            self.bring_back(vec![index], store, corrections)?;
            corrections.push(self.undo(bad)?);
            outcome.read.push(ReadDelivery {
                delivery: index,
                bytes: 0,
                hash: String::new(),
                parts: Vec::new(),
                settled: false,
            });
            return Ok(());
        }
        let kept = self.keep_bad(bad)?;
        // The stored file of a text is kept as it is, unless the whole text was read.
        let is_text = RowFormat::of(self.spec.format).is_text();
        let from = &bad.incoming.delivery.from;
        let is_file = matches!(from, Content::File(_) | Content::KeptStored(_));
        let set_aside = SetAside {
            keeps_stored: is_text && is_file && !bad.was_kept_whole(),
            ..bad.verdict.clone()
        };
        corrections.push(Correction::SetAside {
            index,
            set_aside: set_aside.clone(),
        });
        corrections.push(self.undo(bad)?);
        outcome.set_aside.push(NewlySetAside {
            index,
            set_aside,
            kept,
        });
        Ok(())
    }

    /// Stores the content of a bad delivery, so that it can be judged again under another declaration.
    fn keep_bad(&self, bad: &BadDelivery<'_>) -> Result<Option<KeptBad>, SourceError> {
        if bad.was_kept_whole()
            && let Some(read) = &bad.read
        {
            return Ok(Some(KeptBad {
                bytes: read.bytes,
                hash: read.hash.clone(),
                parts: read.parts.clone(),
            }));
        }
        let (Some(store), Content::File(path)) = (&self.store, &bad.incoming.delivery.from) else {
            return Ok(None);
        };
        let copied = store.copy(&**self.source.storage(), path)?;
        Ok(Some(KeptBad {
            bytes: copied.part.bytes,
            hash: copied.part.hash.clone(),
            parts: vec![copied.part],
        }))
    }

    /// The pieces of a bad delivery that were handed out, to be retracted.
    fn undo(&self, bad: &BadDelivery<'_>) -> Result<Correction, SourceError> {
        // Content that is read from its file again is not stored again.
        let store = self.store.as_ref().filter(|_| bad.file.is_none());
        let steps = self.tallies.get(bad.index).map(|tally| tally.steps());
        let steps = steps.unwrap_or_default();
        let deliveries = if steps.is_empty() {
            Vec::new()
        } else {
            vec![bad.incoming.delivery.clone()]
        };
        Ok(Correction::Undone(UndoneDelivery {
            delivery: CorrectedDelivery {
                index: bad.index,
                modified_ns: bad.incoming.modified_ns,
            },
            reader: open(&self.source, &self.read_spec, deliveries, store)?,
            steps: steps.into(),
            file: bad.file.clone(),
        }))
    }

    /// Retracts deliveries that were still being written, and inserts those that they would have replaced.
    fn correct_unsettled<'a>(
        &self,
        read: impl Iterator<Item = &'a ReadDelivery>,
        corrections: &mut Vec<Correction>,
    ) -> Result<(), SourceError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let unsettled: Vec<_> = read.filter(|read| !read.settled).collect();
        if unsettled.is_empty() {
            return Ok(());
        }
        let replaced = unsettled.iter().map(|read| read.delivery).collect();
        self.bring_back(replaced, store, corrections)?;
        let back = unsettled.iter().map(|read| CorrectedContent {
            index: read.delivery,
            modified_ns: self.modified_ns(read.delivery),
            from: Content::Kept(read.parts.clone()),
        });
        corrections.push(self.kept(RowChange::Retract, back.collect(), store)?);
        Ok(())
    }

    /// Inserts the content that deliveries would have replaced.
    fn bring_back(
        &self,
        deliveries: Vec<usize>,
        store: &Arc<ContentStore>,
        corrections: &mut Vec<Correction>,
    ) -> Result<(), SourceError> {
        let mut kept = Vec::new();
        for index in deliveries {
            let incoming = self.incoming.get(index);
            let Some(old) = incoming.and_then(|incoming| incoming.replaces.as_ref()) else {
                continue;
            };
            match &old.set_aside {
                Some(set_aside) => corrections.push(Correction::SetAside {
                    index,
                    set_aside: set_aside.clone(),
                }),
                None => kept.push(CorrectedContent {
                    index,
                    modified_ns: old.modified_ns,
                    from: Content::Kept(old.parts.clone()),
                }),
            }
        }
        if !kept.is_empty() {
            corrections.push(self.kept(RowChange::Insert, kept, store)?);
        }
        Ok(())
    }

    fn kept(
        &self,
        change: RowChange,
        contents: Vec<CorrectedContent>,
        store: &Arc<ContentStore>,
    ) -> Result<Correction, SourceError> {
        let (mut corrected, mut deliveries) = (Vec::new(), Vec::new());
        for content in contents {
            if let Some(incoming) = self.incoming.get(content.index) {
                corrected.push(CorrectedDelivery {
                    index: content.index,
                    modified_ns: content.modified_ns,
                });
                deliveries.push(Delivery {
                    from: content.from,
                    ..incoming.delivery.clone()
                });
            }
        }
        Ok(Correction::Kept {
            change,
            reader: open(&self.source, &self.read_spec, deliveries, Some(store))?,
            deliveries: corrected,
        })
    }
}

/// Content of a delivery that is read again.
struct CorrectedContent {
    index: usize,
    modified_ns: i64,
    from: Content,
}
