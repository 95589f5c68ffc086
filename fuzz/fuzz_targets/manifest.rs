//! Any text is a ProofJob or an error.
#![no_main]

use crds::manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = manifest::parse(text);
});
