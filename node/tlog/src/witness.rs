//! C2SP tlog-witness: the text of an add-checkpoint request, and what a witness has to answer to it.
//!
//! Pure: who calls holds the record of the last cosigned size and root, and swaps it durably before it answers (see [`AddCheckpoint::judge`]).

use std::fmt;

use crate::checkpoint::Checkpoint;
use crate::error::{NoteError, WitnessRefusal};
use crate::hash::{EMPTY_ROOT, Hash};
use crate::note::{NoteSignature, SignedNote};
use crate::proof::verify_consistency;
use crate::text::{base64, parse_decimal, parse_hash};
use crate::vkey::{VerifierKey, WitnessKey};

/// Most lines of a consistency proof in a request.
pub const MAX_PROOF: usize = 63;
/// `Content-Type` of the body of a 409: the size that the witness has, and a newline.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A request to cosign a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness cosigned last, as far as the caller knows; 0 for none.
    pub old_size: u64,
    /// Consistency proof from that size to the checkpoint's.
    pub proof: Vec<Hash>,
    /// The checkpoint with its signature lines.
    pub checkpoint: SignedNote,
}

impl AddCheckpoint {
    /// Parses a request's body strictly.
    pub fn parse(body: &str) -> Result<Self, WitnessRefusal> {
        let malformed = WitnessRefusal::Malformed;
        let (head, checkpoint) = body
            .split_once("\n\n")
            .ok_or(malformed("no empty line stands before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(parse_decimal)
            .ok_or(malformed("the first line isn't old and a size"))?;
        let proof: Vec<Hash> = lines
            .take(MAX_PROOF + 1)
            .map(|line| {
                parse_hash(line).ok_or(malformed("a line of the proof isn't a hash in base64"))
            })
            .collect::<Result<_, _>>()?;
        if proof.len() > MAX_PROOF {
            return Err(malformed("the proof has more than 63 lines"));
        }
        let checkpoint = SignedNote::parse(checkpoint)
            .map_err(|_| malformed("the checkpoint isn't a signed note"))?;
        Ok(Self {
            old_size,
            proof,
            checkpoint,
        })
    }

    /// The origin that the checkpoint names. It is believed by nobody before [`AddCheckpoint::judge`]; it says whose keys to judge with.
    pub fn origin(&self) -> &str {
        self.checkpoint.text().split('\n').next().unwrap_or("")
    }

    /// Decides as the specification demands. `keys` are the keys trusted for [`AddCheckpoint::origin`] (none: an unknown log), `last` is
    /// the size and root that this witness cosigned last for it. The checkpoint that comes back may be cosigned once the record was
    /// swapped, durably, from `last` to it; a swap that fails is judged again with what is there then.
    pub fn judge(
        &self,
        keys: &[VerifierKey],
        last: Option<(u64, Hash)>,
    ) -> Result<Checkpoint, WitnessRefusal> {
        if keys.is_empty() {
            return Err(WitnessRefusal::UnknownLog);
        }
        let mut signed = false;
        for key in keys {
            match self.checkpoint.verify(key) {
                Ok(()) => signed = true,
                Err(NoteError::NotSigned) => {}
                Err(_) => return Err(WitnessRefusal::NotSigned),
            }
        }
        if !signed {
            return Err(WitnessRefusal::NotSigned);
        }
        let checkpoint = Checkpoint::parse_any_root(self.checkpoint.text())
            .map_err(|_| WitnessRefusal::Malformed("the note isn't a checkpoint"))?;
        if self.old_size > checkpoint.size {
            return Err(WitnessRefusal::Malformed(
                "the old size is larger than the checkpoint's",
            ));
        }
        let (size, root) = last.unwrap_or((0, EMPTY_ROOT));
        if self.old_size != size {
            return Err(WitnessRefusal::Conflict { size });
        }
        verify_consistency(size, checkpoint.size, &root, &checkpoint.root, &self.proof)
            .map_err(WitnessRefusal::Inconsistent)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for AddCheckpoint {
    /// The request's body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(f, "{}", base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The body of a 409, as the caller reads it.
pub fn parse_size(body: &str) -> Option<u64> {
    parse_decimal(body.strip_suffix('\n')?)
}

/// The body of a 200, as the caller reads it: the first line by `key` that holds on `checkpoint`, with its time (seconds since 1970).
/// Lines of other keys are passed over.
pub fn read_cosignature(
    body: &str,
    checkpoint: &SignedNote,
    key: &WitnessKey,
) -> Result<(NoteSignature, u64), NoteError> {
    let mine = NoteSignature::parse_lines(body)?
        .into_iter()
        .find(|line| line.name == key.name() && line.key_hash == key.key_hash())
        .ok_or(NoteError::NotSigned)?;
    let time = checkpoint.check_cosignature(key, &mine.signature)?;
    if time == 0 {
        return Err(NoteError::Time);
    }
    Ok((mine, time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosignature::cosign;
    use crate::error::ProofError;
    use crate::note::sign_note;
    use crate::{NoTiles, Tree, leaf_hash};
    use ed25519_dalek::{Signer, SigningKey};

    /// A session with another implementation: FiloSottile/torchwood, cmd/litewitness/testdata/litewitness.txt.
    const ORIGIN: &str =
        "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    const PUBLIC: &str = "ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f";
    /// Size, root and signature of the log's checkpoints.
    const AT_1: (u64, &str, &str) = (
        1,
        "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=",
    );
    const AT_3: (u64, &str, &str) = (
        3,
        "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=",
        "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=",
    );
    const AT_5: (u64, &str, &str) = (
        5,
        "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=",
        "UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=",
    );

    fn request(old: u64, proof: &[&str], (size, root, signature): (u64, &str, &str)) -> String {
        let proof: String = proof.iter().flat_map(|line| [line, "\n"]).collect();
        format!("old {old}\n{proof}\n{ORIGIN}\n{size}\n{root}\n\n\u{2014} {ORIGIN} {signature}\n")
    }

    fn sigsum() -> VerifierKey {
        let public = hex::decode(PUBLIC).unwrap().try_into().unwrap();
        VerifierKey::from_public_key(ORIGIN, &public).unwrap()
    }

    /// Judges and, as a witness does, takes over what was accepted.
    fn submit(state: &mut Option<(u64, Hash)>, body: &str) -> u16 {
        let request = AddCheckpoint::parse(body).unwrap();
        assert_eq!(request.to_string(), body);
        assert_eq!(request.origin(), ORIGIN);
        match request.judge(&[sigsum()], *state) {
            Ok(checkpoint) => {
                *state = Some((checkpoint.size, checkpoint.root));
                200
            }
            Err(refusal) => refusal.status(),
        }
    }

    #[test]
    fn a_session_with_another_implementation_is_judged_the_same() {
        let to_3 = [
            "KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ];
        let wrong = [to_3[0], "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABA="];
        let to_5 = [
            "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "KgMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE=",
            "KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ];
        let mut state = None;
        assert_eq!(submit(&mut state, &request(0, &[], AT_1)), 200);
        let forged = (3, AT_3.1, &*AT_3.2.replace("6go=", "6gx="));
        assert!(AddCheckpoint::parse(&request(1, &to_3, forged)).is_err());
        let forged = (3, AT_3.1, &*AT_3.2.replace("6go=", "6gw="));
        assert_eq!(submit(&mut state, &request(1, &to_3, forged)), 403);
        assert_eq!(submit(&mut state, &request(1, &[], AT_3)), 422);
        assert!(AddCheckpoint::parse(&request(1, &[wrong[0], &wrong[1][1..]], AT_3)).is_err());
        assert_eq!(
            submit(&mut state, &request(1, &[to_3[0], to_3[0]], AT_3)),
            422
        );
        assert_eq!(submit(&mut state, &request(1, &to_3, AT_3)), 200);
        assert_eq!(submit(&mut state, &request(1, &to_3, AT_5)), 409);
        assert_eq!(state.map(|(size, _)| size), Some(3));
        assert_eq!(submit(&mut state, &request(3, &to_5, AT_5)), 200);
        assert_eq!(submit(&mut state, &request(0, &[], AT_5)), 409);
        assert_eq!(state.map(|(size, _)| size), Some(5));
        assert_eq!(submit(&mut state, &request(5, &[], AT_5)), 200);
    }

    /// The example of the C2SP specification.
    const EXAMPLE: &str = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn the_specifications_example_is_read_and_written_back_the_same() {
        let request = AddCheckpoint::parse(EXAMPLE).unwrap();
        assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.origin(), "example.com/behind-the-sofa");
        assert_eq!(request.checkpoint.signatures().len(), 2);
        assert_eq!(request.to_string(), EXAMPLE);
    }

    struct Log {
        signing: SigningKey,
        key: VerifierKey,
        tree: Tree,
    }

    impl Log {
        fn new() -> Self {
            let signing = SigningKey::from_bytes(&[8; 32]);
            let key =
                VerifierKey::from_public_key("log.example", signing.verifying_key().as_bytes());
            Self {
                signing,
                key: key.unwrap(),
                tree: Tree::new(),
            }
        }

        fn grow(&mut self, to: u64) {
            while self.tree.size() < to {
                let leaf = leaf_hash(&self.tree.size().to_be_bytes());
                self.tree.append(leaf);
            }
        }

        fn state(&self) -> (u64, Hash) {
            (self.tree.size(), self.tree.root())
        }

        fn request(&self, old_size: u64, size: u64, root: Hash) -> AddCheckpoint {
            let body = Checkpoint {
                origin: "log.example".into(),
                size,
                root,
            }
            .body();
            let note = sign_note(&body, &self.key, |m| self.signing.sign(m).to_bytes());
            let proof = self.tree.snapshot().consistency(old_size, &NoTiles);
            AddCheckpoint {
                old_size,
                proof: proof.unwrap_or_default(),
                checkpoint: SignedNote::parse(&note).unwrap(),
            }
        }
    }

    #[test]
    fn every_refusal_has_the_status_of_the_specification() {
        let mut log = Log::new();
        log.grow(5);
        let five = log.state();
        log.grow(9);
        let nine = log.state();
        let keys = [log.key.clone()];
        let status = |request: &AddCheckpoint, keys: &[VerifierKey], last| {
            request
                .judge(keys, last)
                .map_err(|refusal| refusal.status())
        };
        let good = log.request(5, 9, nine.1);
        assert_eq!(status(&good, &keys, Some(five)).map(|c| c.size), Ok(9));
        assert_eq!(status(&good, &[], Some(five)), Err(404));
        let stranger = VerifierKey::from_public_key("other.example", &log.key.public_key());
        assert_eq!(status(&good, &[stranger.unwrap()], Some(five)), Err(403));
        assert_eq!(
            status(&log.request(10, 9, nine.1), &keys, Some(five)),
            Err(400)
        );
        assert_eq!(status(&good, &keys, None), Err(409));
        assert_eq!(
            good.judge(&keys, Some((7, [0; 32]))),
            Err(WitnessRefusal::Conflict { size: 7 })
        );
        assert_eq!(status(&good, &keys, Some((5, [0; 32]))), Err(422));
        let mut other_root = nine.1;
        other_root[0] ^= 1;
        assert_eq!(
            status(&log.request(9, 9, other_root), &keys, Some(nine)),
            Err(422)
        );
        assert_eq!(status(&log.request(0, 0, [1; 32]), &keys, None), Err(422));
        assert!(status(&log.request(0, 0, EMPTY_ROOT), &keys, None).is_ok());
        let mut with_proof = log.request(0, 9, nine.1);
        assert!(status(&with_proof, &keys, None).is_ok());
        with_proof.proof.push([0; 32]);
        assert_eq!(status(&with_proof, &keys, None), Err(422));
        // A key that didn't sign is passed over: a log that changes keys is known by both.
        let newer = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
        let newer = VerifierKey::from_public_key("log.example", &newer).unwrap();
        let also = [newer, log.key.clone()];
        assert!(status(&good, &also, Some(five)).is_ok());
    }

    #[test]
    fn other_texts_are_no_requests() {
        let good = request(3, &["KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="], AT_5);
        assert!(AddCheckpoint::parse(&good).is_ok());
        let line = "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let full = request(3, &[line; MAX_PROOF], AT_5);
        assert!(AddCheckpoint::parse(&full).is_ok());
        for bad in [
            request(3, &[line; MAX_PROOF + 1], AT_5),
            good.replace("old 3", "old 03"),
            good.replace("old 3", "old -3"),
            good.replace("old 3", "old"),
            good.replace("old 3", "size 3"),
            good.replace("old 3\n", ""),
            good.replace("old 3", "old 18446744073709551616"),
            good.replace("KgI", "Kg"),
            good.replacen("\n\n", "\n", 1),
            good.trim_end().to_owned(),
            String::new(),
        ] {
            assert!(AddCheckpoint::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_answers_are_read_strictly() {
        assert_eq!(parse_size("20852163\n"), Some(20_852_163));
        for bad in ["20852163", "020852163\n", "\n", "1\n\n", " 1\n"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
        let log = Log::new();
        let note = log.request(0, 0, EMPTY_ROOT).checkpoint;
        let signing = SigningKey::from_bytes(&[1; 32]);
        let key = WitnessKey::from_public_key("w.example", signing.verifying_key().as_bytes());
        let key = key.unwrap();
        let line = cosign(note.text(), &key, 77, |m| signing.sign(m).to_bytes()).unwrap();
        let other = "\u{2014} other.example AAAAAQID\n";
        let read = |body: &str| read_cosignature(body, &note, &key);
        assert_eq!(read(&format!("{other}{line}")), Ok((line.clone(), 77)));
        assert_eq!(read(other), Err(NoteError::NotSigned));
        let mut wrong = line.clone();
        wrong.signature[9] ^= 1;
        assert_eq!(read(&wrong.to_string()), Err(NoteError::BadSignature));
        assert!(read(line.to_string().trim_end()).is_err());
        assert_eq!(note.clone().with(line).cosigned(&key), Ok(77));
    }

    #[test]
    fn a_proof_that_holds_for_another_size_does_not_hold() {
        let mut log = Log::new();
        log.grow(6);
        let six = log.state();
        log.grow(7);
        let seven = log.state();
        log.grow(11);
        let (size, root) = log.state();
        let request = log.request(7, size, root);
        let keys = [log.key.clone()];
        assert!(request.judge(&keys, Some(seven)).is_ok());
        let early = AddCheckpoint {
            old_size: 6,
            ..request
        };
        assert!(matches!(
            early.judge(&keys, Some(six)),
            Err(WitnessRefusal::Inconsistent(
                ProofError::Mismatch | ProofError::WrongLength
            ))
        ));
    }
}
