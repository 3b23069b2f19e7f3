//! The JSON parser accepts exactly JSON, within its own limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use tidewater_formats::json_lines::records::members;

fuzz_target!(|data: &[u8]| {
    let ours = members(data, "", ["a"]);
    let theirs = serde_json::from_slice::<IgnoredAny>(data);
    match (&ours, &theirs) {
        (Ok(_), Err(error)) => panic!("taken, but {error}"),
        (Err((_, reason)), Ok(_)) => {
            // Limits: an object in each row, no repeated keys, bounded nesting, no halves of surrogate pairs.
            let allowed = ["twice", "deep", "surrogate", "UTF-8", "expected an object"];
            assert!(allowed.iter().any(|word| reason.contains(word)), "refused: {reason}");
        }
        _ => {}
    }
});
