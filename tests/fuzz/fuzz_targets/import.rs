//! Files of residents and doses, in both layouts and encodings, in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vrx_services::import::fuzz(data));
