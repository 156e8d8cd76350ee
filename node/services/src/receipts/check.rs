//! What a receipt that a member gave back must prove before it is believed. Pure.

use thiserror::Error;
use vrx_domain::EntryKind;
use vrx_storage::LostLog;
use vrx_tlog::{Checkpoint, Leaf, Receipt, VerifierKey, verify_receipt};

/// Why a receipt isn't believed. Each is an alarm: an honest member of an honest log causes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// No key of this log signed its checkpoint, its path doesn't lead there, or its leaf isn't one.
    #[error("receipt-doesnt-hold")]
    DoesntHold,
    /// The entry was restored: nobody asked for it.
    #[error("receipt-not-asked-for")]
    NotAskedFor,
    /// Nobody outside gets a receipt of such an entry.
    #[error("entry-of-another-kind")]
    Kind,
    /// Two checkpoints of one size have different roots: this log's key signed two logs.
    #[error("own-log-forked")]
    Forked,
    /// Another receipt proved another leaf at this place.
    #[error("two-leaves-at-one-place")]
    TwoLeaves,
    /// What comes before it in the log isn't what was restored.
    #[error("contradicts-restored-entries")]
    Contradicts,
}

impl Fault {
    /// The code in entries and log lines.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::DoesntHold => "receipt-doesnt-hold",
            Self::NotAskedFor => "receipt-not-asked-for",
            Self::Kind => "entry-of-another-kind",
            Self::Forked => "own-log-forked",
            Self::TwoLeaves => "two-leaves-at-one-place",
            Self::Contradicts => "contradicts-restored-entries",
        }
    }
}

/// Checks what a receipt proves by itself, under every key that may have signed the lost log, and against the checkpoint that was
/// kept of it.
pub(crate) fn check(
    receipt: &Receipt,
    keys: &[VerifierKey],
    lost: &LostLog,
) -> Result<(Leaf, Checkpoint), Fault> {
    let (leaf, checkpoint) = keys
        .iter()
        .find_map(|key| verify_receipt(receipt, key, None).ok())
        .ok_or(Fault::DoesntHold)?;
    if leaf.kind != EntryKind::Exchange.code() {
        return Err(Fault::Kind);
    }
    if leaf.index < lost.from_index {
        return Err(Fault::NotAskedFor);
    }
    match lost.signed {
        Some((size, root)) if size == checkpoint.size && root != checkpoint.root => {
            Err(Fault::Forked)
        }
        _ => Ok((leaf, checkpoint)),
    }
}

#[cfg(test)]
mod tests {
    use vrx_crypto::{KeyKind, Keyring};
    use vrx_domain::{Tenant, TenantId};
    use vrx_tlog::{NoTiles, Tree, origin, sign_note};

    use super::*;
    use crate::testing::Seeded;

    struct Log {
        keyring: Keyring,
        lost: LostLog,
    }

    impl Log {
        fn new() -> Self {
            let tenant = Tenant {
                id: TenantId::from_bytes([1; 16]),
                code: "142051".parse().unwrap(),
            };
            let lost = LostLog {
                origin: origin("vrx.example", "142051", 1),
                from_index: 4,
                signed: None,
            };
            Self {
                keyring: Keyring::create(&tenant, &Seeded::new(1)).unwrap(),
                lost,
            }
        }

        fn keys(&self) -> Vec<VerifierKey> {
            let keys = self.keyring.log_public_keys().into_iter();
            keys.map(|key| VerifierKey::from_public_key(&self.lost.origin, &key).unwrap())
                .collect()
        }

        /// The receipt of entry `index` of a log of `size` entries of this kind.
        fn receipt(&self, index: u64, size: u64, kind: EntryKind) -> Receipt {
            let leaf = |index: u64| Leaf {
                kind: kind.code(),
                index,
                time: index,
                entry_id: [0; 16],
                key_epoch: 1,
                c_subject: [1; 32],
                c_actor: [2; 32],
                c_content: [3; 32],
            };
            let mut tree = Tree::new();
            (0..size).for_each(|index| tree.append(leaf(index).hash()));
            let body = Checkpoint {
                origin: self.lost.origin.clone(),
                size,
                root: tree.root(),
            };
            let key = &self.keys()[0];
            Receipt {
                log_index: index,
                leaf: leaf(index).encode(),
                checkpoint: sign_note(&body.body(), key, |text| self.keyring.sign_log(text)),
                inclusion_proof: tree.snapshot().inclusion(index, &NoTiles).unwrap(),
                consistency_proof: Vec::new(),
            }
        }
    }

    #[test]
    fn an_honest_receipt_holds_also_when_its_key_has_retired() {
        let mut log = Log::new();
        let receipt = log.receipt(5, 9, EntryKind::Exchange);
        let (leaf, checkpoint) = check(&receipt, &log.keys(), &log.lost).unwrap();
        assert_eq!((leaf.index, checkpoint.size), (5, 9));
        let next = log
            .keyring
            .add_pending(KeyKind::LogSigning, &Seeded::new(2))
            .unwrap();
        log.keyring.activate(KeyKind::LogSigning, next).unwrap();
        assert!(check(&receipt, &log.keys(), &log.lost).is_ok());
        let active = &log.keys()[..1];
        assert_eq!(
            check(&receipt, active, &log.lost).err(),
            Some(Fault::DoesntHold)
        );
    }

    #[test]
    fn what_a_receipt_doesnt_prove_is_told_apart() {
        let mut log = Log::new();
        let honest = log.receipt(5, 9, EntryKind::Exchange);
        let fault = |log: &Log, receipt: &Receipt| check(receipt, &log.keys(), &log.lost).err();
        let mut signature = honest.clone();
        let end = signature.checkpoint.trim_end().len() - 9;
        let digit = if &signature.checkpoint[end..=end] == "A" {
            "B"
        } else {
            "A"
        };
        signature.checkpoint.replace_range(end..=end, digit);
        let mut leaf = honest.clone();
        leaf.leaf[100] ^= 1;
        let other_log = Log {
            lost: LostLog {
                origin: origin("vrx.example", "142051", 2),
                ..log.lost.clone()
            },
            ..Log::new()
        };
        for spoilt in [
            signature,
            leaf,
            other_log.receipt(5, 9, EntryKind::Exchange),
        ] {
            assert_eq!(fault(&log, &spoilt), Some(Fault::DoesntHold));
        }
        let restored = log.receipt(3, 9, EntryKind::Exchange);
        assert_eq!(fault(&log, &restored), Some(Fault::NotAskedFor));
        let desk = log.receipt(5, 9, EntryKind::Desk);
        assert_eq!(fault(&log, &desk), Some(Fault::Kind));
        log.lost.signed = Some((9, [0; 32]));
        assert_eq!(fault(&log, &honest), Some(Fault::Forked));
        log.lost.signed = Some((10, [0; 32]));
        assert_eq!(fault(&log, &honest), None);
    }
}
