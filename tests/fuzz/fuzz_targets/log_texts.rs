//! Leaves, signed notes, checkpoints, keys and proofs as another municipality sends them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrx_tlog::{Checkpoint, Leaf, SignedNote, TlogProof, VerifierKey};

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = Leaf::decode(data) {
        assert_eq!(leaf.encode().as_slice(), data);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(note) = SignedNote::parse(text) {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.body(), text);
    }
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    let _ = TlogProof::parse(text);
});
