//! What this program found by itself of the proofs that came with what it shows.

use vrx_proto::v1;
use vrx_tlog::{VerifierKey, is_other_epoch};

use super::verify::check_receipt;
use crate::failure::Failure;

/// What became of the proofs of some entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proofs {
    /// The profile has no key.
    NotChecked,
    /// Each holds under the log's key.
    Proved,
    /// One doesn't.
    Wrong,
    /// The profile's key is that of another epoch of this log: nothing can be said of them.
    OtherEpoch,
}

impl Proofs {
    /// Checks them. Each entry has to come with a receipt of its own place.
    pub(crate) fn check<'a>(
        entries: impl IntoIterator<Item = (u64, Option<&'a v1::Receipt>)>,
        key: Option<&VerifierKey>,
    ) -> Self {
        let Some(key) = key else {
            return Self::NotChecked;
        };
        for (index, receipt) in entries {
            let holds = receipt.map(|receipt| (receipt, check_receipt(receipt, key, index)));
            match holds {
                Some((_, Ok(_))) => {}
                Some((receipt, Err(_))) if is_of_other_epoch(&receipt.checkpoint, key) => {
                    return Self::OtherEpoch;
                }
                _ => return Self::Wrong,
            }
        }
        Self::Proved
    }

    /// For programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotChecked => "not-checked",
            Self::Proved => "proved",
            Self::Wrong => "wrong",
            Self::OtherEpoch => "other-epoch",
        }
    }

    /// For people.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotChecked => "未確認（プロファイルに log_vkey がありません）",
            Self::Proved => "確認済み",
            Self::Wrong => "誤り",
            Self::OtherEpoch => "未確認（プロファイルの log_vkey は別の系列（epoch）の鍵です）",
        }
    }

    /// Done unless something was checked that doesn't hold, or couldn't be.
    pub(crate) fn conclusion(self) -> Result<(), Failure> {
        match self {
            Self::NotChecked | Self::Proved => Ok(()),
            Self::Wrong => Err(Failure::NotDone(
                "証明の正しくない記録があります。開示する前に運用担当者と調べてください / a proof is wrong".to_owned(),
            )),
            Self::OtherEpoch => Err(Failure::NotDone(
                "プロファイルの log_vkey は、この提供記録の別の系列（epoch）の鍵なので、証明を確かめられません。運用担当者の \
                 vrx-node log key で得られる今の鍵に書き換えてください / log_vkey is the key of another epoch of this log: the proofs \
                 can't be checked with it"
                    .to_owned(),
            )),
        }
    }
}

/// Whether a checkpoint says that it is of another epoch of the log than this key.
pub(super) fn is_of_other_epoch(checkpoint: &str, key: &VerifierKey) -> bool {
    is_other_epoch(checkpoint.lines().next().unwrap_or_default(), key.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u32) -> VerifierKey {
        let origin = vrx_tlog::origin("vrx.example", "142051", epoch);
        let public = (0..=u8::MAX).map(|byte| [byte; 32]);
        let mut keys = public.filter_map(|key| VerifierKey::from_public_key(&origin, &key).ok());
        keys.next().unwrap()
    }

    #[test]
    fn the_key_of_another_epoch_is_told_from_a_wrong_proof() {
        let receipt = v1::Receipt {
            log_index: 3,
            leaf: vec![1; 134],
            checkpoint: format!("{}\n4\nroot\n", key(2).name()),
            ..v1::Receipt::default()
        };
        let (first, second) = (key(1), key(2));
        let given = Some(&receipt);
        for (receipt, key, expected) in [
            (given, None, Proofs::NotChecked),
            (given, Some(&first), Proofs::OtherEpoch),
            (given, Some(&second), Proofs::Wrong),
            (None, Some(&first), Proofs::Wrong),
        ] {
            assert_eq!(Proofs::check([(3, receipt)], key), expected);
        }
        assert_eq!(Proofs::check([], Some(&first)), Proofs::Proved);
        for (proofs, code) in [
            (Proofs::NotChecked, None),
            (Proofs::Proved, None),
            (Proofs::Wrong, Some(1)),
            (Proofs::OtherEpoch, Some(1)),
        ] {
            let failure = proofs.conclusion().err();
            assert_eq!(failure.map(|failure| failure.exit_code()), code);
        }
    }
}
