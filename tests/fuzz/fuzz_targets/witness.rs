//! What a log and its witness send each other: requests to cosign, answers, cosignatures of any bytes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vrx_tlog::{
    AddCheckpoint, Checkpoint, EMPTY_ROOT, NoteSignature, Quorum, SignedNote, VerifierKey,
    WitnessKey,
    witness::{parse_size, read_cosignature},
};

/// The base point of the curve: whose private key is 1, which no signature made here uses. Nothing made up is signed by it.
const LOG: [u8; 32] = [
    0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
];

static KEYS: LazyLock<(VerifierKey, WitnessKey)> = LazyLock::new(|| {
    let log = VerifierKey::from_public_key("log", &LOG).unwrap();
    (log, WitnessKey::from_public_key("w", &LOG).unwrap())
});

fuzz_target!(|data: &[u8]| {
    let (log, witness) = &*KEYS;
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(request) = AddCheckpoint::parse(text) {
            assert_eq!(request.to_string(), text);
            let _ = request.judge(std::slice::from_ref(log), Some((1, [0; 32])));
        }
        if let Some(size) = parse_size(text) {
            assert_eq!(format!("{size}\n"), text);
        }
    }
    // Any bytes as the signature of the known keys.
    let body = Checkpoint {
        origin: "log".to_owned(),
        size: 0,
        root: EMPTY_ROOT,
    }
    .body();
    let signed_by = |name: &str, key_hash| NoteSignature {
        name: name.to_owned(),
        key_hash,
        signature: if data.is_empty() {
            vec![0]
        } else {
            data.to_vec()
        },
    };
    let lines = [
        signed_by("log", log.key_hash()),
        signed_by("w", witness.key_hash()),
    ];
    let text = format!("{body}\n{}{}", lines[0], lines[1]);
    // Longer ones are no notes.
    if let Ok(note) = SignedNote::parse(&text) {
        assert!(note.verify(log).is_err());
        assert!(read_cosignature(&lines[1].to_string(), &note, witness).is_err());
        let quorum = Quorum::new(vec![witness.clone()], 1).unwrap();
        assert!(quorum.evaluate(&note).is_err());
    }
});
