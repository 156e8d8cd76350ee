//! C2SP tlog-checkpoint: which log, how many entries, which root; three lines, signed as a note.

use crate::error::CheckpointError;
use crate::hash::Hash;
use crate::note::SignedNote;
use crate::text::{base64, parse_decimal, parse_hash};
use crate::vkey::VerifierKey;

/// The state of a log that its owner stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity, see [`origin`].
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: origin, size, root, each on its line.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }

    /// Parses such a text strictly: sizes without leading zeros, canonical base64. Our logs write no extension lines, so none are accepted:
    /// they would be words that no monitor checks.
    pub fn parse(body: &str) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_any_root(body)?;
        if checkpoint.size == 0 && checkpoint.root != crate::EMPTY_ROOT {
            return Err(CheckpointError::Malformed(
                "an empty log has the empty root",
            ));
        }
        Ok(checkpoint)
    }

    /// The same, where an empty log with another root is told apart from a text that is no checkpoint.
    pub(crate) fn parse_any_root(body: &str) -> Result<Self, CheckpointError> {
        let lines = body
            .strip_suffix('\n')
            .ok_or(CheckpointError::Malformed("the last line doesn't end"))?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("it has fewer than three lines"));
        };
        if lines.next().is_some() {
            return Err(CheckpointError::Malformed("it has extension lines"));
        }
        if origin.is_empty() || origin.chars().any(|c| c < ' ') {
            return Err(CheckpointError::Malformed(
                "the origin is empty or has a control character",
            ));
        }
        let size = parse_decimal(size).ok_or(CheckpointError::Malformed(
            "the size isn't a decimal without leading zeros",
        ))?;
        let root = parse_hash(root).ok_or(CheckpointError::Malformed(
            "the root isn't a hash in base64",
        ))?;
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// Reads a signed checkpoint: the key's signature first, then the text, then whose log it is.
    pub fn open(
        note: &str,
        key: &VerifierKey,
        expected_origin: &str,
    ) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(note)?;
        note.verify(key)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin == expected_origin {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Origin)
        }
    }
}

/// The origin of a municipality's log: `<trust domain>/municipality/<code>/log/<epoch>`.
pub fn origin(trust_domain: &str, municipality: &str, epoch: u32) -> String {
    format!("{trust_domain}/municipality/{municipality}/log/{epoch}")
}

/// Whether two origins name two epochs of one log: they differ in the number at their end alone.
pub fn is_other_epoch(origin: &str, other: &str) -> bool {
    let split = |origin| -> Option<(&str, u32)> {
        let (log, epoch) = str::rsplit_once(origin, '/')?;
        Some((log.strip_suffix("/log")?, epoch.parse().ok()?))
    };
    match (split(origin), split(other)) {
        (Some((log, epoch)), Some((other, another))) => log == other && epoch != another,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::NoteError;
    use crate::note::sign_note;
    use ed25519_dalek::{Signer, SigningKey};

    /// The example of the C2SP specification.
    const BODY: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn two_epochs_of_a_log_differ_in_the_last_number_alone() {
        let (first, second) = (origin("vrx.jp", "142051", 1), origin("vrx.jp", "142051", 2));
        assert!(is_other_epoch(&first, &second));
        assert!(!is_other_epoch(&first, &first));
        for other in [
            origin("vrx.jp", "141003", 2),
            origin("vrx.example", "142051", 2),
            "vrx.jp/municipality/142051/log/x".to_owned(),
            "vrx.jp/municipality/142051/witness".to_owned(),
            String::new(),
        ] {
            assert!(!is_other_epoch(&first, &other), "{other}");
        }
    }

    #[test]
    fn the_specifications_example_is_read_and_written_back_the_same() {
        let checkpoint = Checkpoint::parse(BODY).unwrap();
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size),
            ("example.com/behind-the-sofa", 20_852_163)
        );
        assert_eq!(checkpoint.body(), BODY);
        let note = format!(
            "{BODY}\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        );
        assert_eq!(SignedNote::parse(&note).unwrap().text(), BODY);
    }

    #[test]
    fn the_largest_and_the_smallest_sizes_are_read() {
        let largest = BODY.replace("20852163", "18446744073709551615");
        assert_eq!(Checkpoint::parse(&largest).unwrap().size, u64::MAX);
        let empty = Checkpoint {
            origin: "a".into(),
            size: 0,
            root: crate::EMPTY_ROOT,
        };
        assert_eq!(Checkpoint::parse(&empty.body()).unwrap(), empty);
        assert!(Checkpoint::parse(&BODY.replace("20852163", "18446744073709551616")).is_err());
    }

    #[test]
    fn anything_but_the_three_exact_lines_is_refused() {
        for bad in [
            BODY.replace("20852163", "020852163"),
            BODY.replace("20852163", "+20852163"),
            BODY.replace("20852163", ""),
            BODY.replace("20852163", "0"),
            BODY.replace("20852163", "00"),
            BODY.replace("example.com/behind-the-sofa", ""),
            BODY.replace("q2I=", "q2I"),
            BODY.replace("q2I=", "q2J="),
            format!("{BODY}extension\n"),
            format!("{BODY}\n"),
            BODY.trim_end().to_owned(),
            String::new(),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_checkpoint_opens_under_its_own_key_and_origin_alone() {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let name = origin("vrx.example", "142051", 1);
        assert_eq!(name, "vrx.example/municipality/142051/log/1");
        let key = VerifierKey::from_public_key(&name, signing.verifying_key().as_bytes()).unwrap();
        let checkpoint = Checkpoint {
            origin: name.clone(),
            size: 7,
            root: [1; 32],
        };
        let note = sign_note(&checkpoint.body(), &key, |m| signing.sign(m).to_bytes());
        assert_eq!(Checkpoint::open(&note, &key, &name), Ok(checkpoint));
        assert_eq!(
            Checkpoint::open(&note, &key, "other"),
            Err(CheckpointError::Origin)
        );
        let other = SigningKey::from_bytes(&[4; 32]);
        let other = VerifierKey::from_public_key(&name, other.verifying_key().as_bytes()).unwrap();
        assert_eq!(
            Checkpoint::open(&note, &other, &name),
            Err(NoteError::NotSigned.into())
        );
        assert_eq!(
            Checkpoint::open(&note.replace("\n7\n", "\n8\n"), &key, &name),
            Err(NoteError::BadSignature.into())
        );
    }
}
