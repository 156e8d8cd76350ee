//! Leaves, signed notes, checkpoints, keys, proofs, entry bundles and paths as another municipality, or a file, brings them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrx_tlog::{
    Checkpoint, Fsck, Leaf, NoteSignature, Resource, SignedNote, TlogProof, VerifierKey, WitnessKey,
    entry_bundle, parse_decimal, parse_hash, read_entry_bundle,
};

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = Leaf::decode(data) {
        assert_eq!(leaf.encode().as_slice(), data);
    }
    if let Some(entries) = read_entry_bundle(data) {
        assert_eq!(entry_bundle(entries.iter().copied()).as_deref(), Some(data));
        let mut fsck = Fsck::new();
        let _ = entries
            .iter()
            .try_for_each(|leaf| fsck.leaf(leaf).map(|_| ()));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(note) = SignedNote::parse(text) {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(lines) = NoteSignature::parse_lines(text) {
        let again: String = lines.iter().map(ToString::to_string).collect();
        assert_eq!(again, text);
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.body(), text);
    }
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = WitnessKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.to_string(), text);
    }
    if let Some(number) = parse_decimal(text) {
        assert_eq!(number.to_string(), text);
    }
    match Resource::parse(text) {
        Some(Resource::Tile { id, width }) => assert_eq!(id.path(width), text),
        Some(Resource::Entries { index, width }) => {
            let beside = vrx_tlog::TileId { level: 0, index };
            assert_eq!(beside.entries_path(width), text);
        }
        Some(Resource::Checkpoint) | None => {}
    }
    let _ = parse_hash(text);
});
