//! Properties of private items, for the fuzz targets of `tests/fuzz`.

#![allow(clippy::expect_used)]

use std::collections::BTreeMap;

use tidewater_operators::state::StateEntry;

use super::block::{BlockReader, BlockWriter};

/// A block returns the entries that were written, and bytes that are not a block are reported as damage.
///
/// # Panics
/// When the property does not hold.
pub fn state_blocks(data: &[u8]) {
    let mut rest = data;
    let mut take = |length: usize| {
        let (taken, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        taken
    };
    let mut entries: BTreeMap<Vec<u8>, (i64, Vec<u8>)> = BTreeMap::new();
    while let [lengths, count] = *take(2) {
        let key = take(usize::from(lengths >> 3)).to_vec();
        let payload = take(usize::from(lengths & 7)).to_vec();
        entries.insert(key, (i64::from(count) - 128, payload));
    }
    let mut writer = BlockWriter::default();
    for (key, (count, payload)) in &entries {
        writer.push(StateEntry {
            key,
            count: *count,
            payload,
        });
    }
    let block = writer.finish(b"fence", None);
    let read = read(b"fence", &block).expect("a block that was written");
    assert_eq!(
        read,
        entries.into_iter().collect::<Vec<_>>(),
        "what was written"
    );
    assert!(read_is_bounded(data), "any bytes");
}

type Entries = Vec<(Vec<u8>, (i64, Vec<u8>))>;

fn read(fence: &[u8], block: &[u8]) -> Option<Entries> {
    let mut reader = BlockReader::default();
    reader.open(fence, block).ok()?;
    let mut entries = Vec::new();
    while reader.step().ok()? {
        let entry = reader.entry()?;
        entries.push((entry.key.to_vec(), (entry.count, entry.payload.to_vec())));
    }
    Some(entries)
}

/// Reads arbitrary bytes as entries, without a checksum.
fn read_is_bounded(data: &[u8]) -> bool {
    let mut reader = BlockReader::default();
    reader.open_entries(data);
    let mut steps = 0;
    while let Ok(true) = reader.step() {
        steps += 1;
        if steps > data.len() {
            return false;
        }
    }
    true
}
