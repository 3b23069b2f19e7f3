//! The JSON parser takes what is JSON and nothing else, but for its own bounds.
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
            // An object each, keys once, nesting bounded, and no halves of surrogate pairs.
            let allowed = ["twice", "deep", "surrogate", "UTF-8", "expected an object"];
            assert!(allowed.iter().any(|word| reason.contains(word)), "refused: {reason}");
        }
        _ => {}
    }
});
