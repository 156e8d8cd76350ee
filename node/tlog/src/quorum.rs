//! Which witnesses are asked, and how many of them have to have cosigned a checkpoint: k of n.

use crate::error::{NoteError, QuorumError};
use crate::note::SignedNote;
use crate::vkey::WitnessKey;

/// A rule: `needed` of these witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    witnesses: Vec<WitnessKey>,
    needed: usize,
}

/// Who of a [`Quorum`] cosigned a checkpoint, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// Of each witness of the rule, in its order: when it cosigned (seconds since 1970), if it did.
    pub times: Vec<Option<u64>>,
    needed: usize,
}

impl Quorum {
    /// The rule that `needed` of `witnesses` cosign; none needed is allowed and always fulfilled. One public key counts once, under
    /// whatever names it comes: two witnesses with the same key are refused.
    pub fn new(witnesses: Vec<WitnessKey>, needed: usize) -> Result<Self, QuorumError> {
        if needed > witnesses.len() {
            return Err(QuorumError::TooMany {
                needed,
                witnesses: witnesses.len(),
            });
        }
        let mut keys: Vec<_> = witnesses.iter().map(WitnessKey::public_key).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() < witnesses.len() {
            return Err(QuorumError::SameKey);
        }
        Ok(Self { witnesses, needed })
    }

    /// The witnesses of the rule.
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// How many of them are needed.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Checks all cosignatures of the rule's witnesses on `note`. A missing one is no error, a wrong one refuses the note. The log's own
    /// signature is checked apart, with [`crate::Checkpoint::open`].
    pub fn evaluate(&self, note: &SignedNote) -> Result<Cosigned, NoteError> {
        let times = self.witnesses.iter().map(|key| match note.cosigned(key) {
            Ok(time) => Ok(Some(time)),
            Err(NoteError::NotSigned) => Ok(None),
            Err(error) => Err(error),
        });
        Ok(Cosigned {
            times: times.collect::<Result<_, _>>()?,
            needed: self.needed,
        })
    }
}

impl Cosigned {
    /// How many witnesses cosigned.
    pub fn count(&self) -> usize {
        self.times.iter().flatten().count()
    }

    /// How many were needed.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Whether enough of them did.
    pub fn reached(&self) -> bool {
        self.count() >= self.needed
    }

    /// The latest time (seconds since 1970) at which or after which each of a quorum cosigned: how old the quorum is. `None` without one,
    /// and when none was needed.
    pub fn time(&self) -> Option<u64> {
        let mut times: Vec<u64> = self.times.iter().flatten().copied().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(self.needed.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosignature::cosign;
    use crate::note::NoteSignature;
    use ed25519_dalek::{Signer, SigningKey};

    const BODY: &str = "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

    fn witness(seed: u8) -> (SigningKey, WitnessKey) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let name = format!("w{seed}.example");
        let public = WitnessKey::from_public_key(&name, key.verifying_key().as_bytes());
        (key, public.unwrap())
    }

    fn line(seed: u8, time: u64) -> NoteSignature {
        let (key, public) = witness(seed);
        cosign(BODY, &public, time, |m| key.sign(m).to_bytes()).unwrap()
    }

    fn note(lines: &[NoteSignature]) -> SignedNote {
        let text: String = lines.iter().map(NoteSignature::to_string).collect();
        SignedNote::parse(&format!("{BODY}\n{text}")).unwrap()
    }

    fn rule(needed: usize) -> Quorum {
        Quorum::new((1..=3).map(|seed| witness(seed).1).collect(), needed).unwrap()
    }

    #[test]
    fn two_of_three_are_reached_by_any_two_and_not_by_one_twice() {
        let cosigned = rule(2)
            .evaluate(&note(&[line(3, 30), line(1, 10)]))
            .unwrap();
        assert_eq!(cosigned.times, [Some(10), None, Some(30)]);
        assert!(cosigned.reached());
        assert_eq!((cosigned.count(), cosigned.time()), (2, Some(10)));
        let twice = rule(2)
            .evaluate(&note(&[line(3, 30), line(3, 40)]))
            .unwrap();
        assert!(!twice.reached());
        assert_eq!((twice.count(), twice.time()), (1, None));
        let stranger = rule(2)
            .evaluate(&note(&[line(3, 30), line(4, 40)]))
            .unwrap();
        assert!(!stranger.reached());
    }

    #[test]
    fn the_age_of_a_quorum_is_that_of_the_newest_cosignatures_that_make_one() {
        let all = note(&[line(1, 10), line(2, 20), line(3, 30)]);
        let time = |needed| rule(needed).evaluate(&all).unwrap().time();
        assert_eq!(
            [time(0), time(1), time(2), time(3)],
            [None, Some(30), Some(20), Some(10)]
        );
    }

    #[test]
    fn none_needed_is_always_reached() {
        assert!(rule(0).evaluate(&note(&[line(9, 1)])).unwrap().reached());
        let nobody = Quorum::new(Vec::new(), 0).unwrap();
        assert!(nobody.evaluate(&note(&[line(9, 1)])).unwrap().reached());
    }

    #[test]
    fn a_wrong_cosignature_refuses_the_note_even_when_enough_others_hold() {
        let mut wrong = line(2, 20);
        wrong.signature[70] ^= 1;
        assert_eq!(
            rule(1).evaluate(&note(&[line(1, 10), wrong])),
            Err(NoteError::BadSignature)
        );
    }

    #[test]
    fn rules_that_cannot_be_fulfilled_or_count_one_key_twice_are_refused() {
        let one = witness(1).1;
        assert_eq!(
            Quorum::new(vec![one.clone()], 2),
            Err(QuorumError::TooMany {
                needed: 2,
                witnesses: 1
            })
        );
        let alias = WitnessKey::from_public_key("alias.example", &one.public_key()).unwrap();
        assert_eq!(Quorum::new(vec![one, alias], 1), Err(QuorumError::SameKey));
    }
}
