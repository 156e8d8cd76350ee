//! `Recorded<_>`: an answer whose entry is on the disk. There is no other way to an answer.

use std::sync::Arc;

use vrx_crypto::SecretKey;
use vrx_tlog::{Hash, Leaf, Receipt};

use crate::checkpoint::SignedCheckpoint;

/// An answer that was taken into the log, and comes out with its receipt once the entry is durable.
///
/// Only [`crate::ProvisionLog::record`] makes one:
///
/// ```compile_fail
/// let answer = vrx_provision_log::Recorded { answer: b"records".to_vec() };
/// ```
/// ```compile_fail
/// let answer = vrx_provision_log::Recorded::new(b"records".to_vec());
/// ```
pub struct Recorded<T> {
    answer: T,
    index: u64,
    leaf: Leaf,
    checkpoint: Arc<SignedCheckpoint>,
    inclusion: Vec<Hash>,
    consistency: Vec<Hash>,
    openings: Openings,
}

impl<T> Recorded<T> {
    pub(crate) fn new(
        answer: T,
        leaf: Leaf,
        checkpoint: Arc<SignedCheckpoint>,
        inclusion: Vec<Hash>,
        openings: Openings,
    ) -> Self {
        Self {
            answer,
            index: leaf.index,
            leaf,
            checkpoint,
            inclusion,
            consistency: Vec::new(),
            openings,
        }
    }

    /// The answer.
    pub fn answer(&self) -> &T {
        &self.answer
    }

    /// Place of the entry in the log.
    pub fn log_index(&self) -> u64 {
        self.index
    }

    /// The entry's leaf.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The checkpoint that the receipt leads to.
    pub fn checkpoint(&self) -> &Arc<SignedCheckpoint> {
        &self.checkpoint
    }

    /// The same entry and receipt with the answer in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Recorded<U> {
        Recorded {
            answer: form(self.answer),
            index: self.index,
            leaf: self.leaf,
            checkpoint: self.checkpoint,
            inclusion: self.inclusion,
            consistency: self.consistency,
            openings: self.openings,
        }
    }

    /// The answer, the receipt and the keys of the commitments.
    pub fn into_parts(self) -> (T, Receipt, Openings) {
        let receipt = Receipt {
            log_index: self.index,
            leaf: self.leaf.encode(),
            checkpoint: self.checkpoint.note().to_owned(),
            inclusion_proof: self.inclusion,
            consistency_proof: self.consistency,
        };
        (self.answer, receipt, self.openings)
    }

    pub(crate) fn set_consistency(&mut self, proof: Vec<Hash>) {
        self.consistency = proof;
    }
}

/// The keys that open an entry's commitments to the one who asked. As secret as the individual number: whoever has `k_subject` can try
/// all numbers. No Debug, no Clone, wiped when dropped, never stored or shown with a receipt.
pub struct Openings {
    subject: SecretKey,
    actor: SecretKey,
    content: SecretKey,
}

impl Openings {
    pub(crate) fn new(subject: SecretKey, actor: SecretKey, content: SecretKey) -> Self {
        Self {
            subject,
            actor,
            content,
        }
    }

    /// Key of `C_subject`; zeros when the entry is about nobody known. It goes out with a found answer only.
    pub fn k_subject(&self) -> &[u8; 32] {
        self.subject.expose()
    }

    /// Key of `C_actor`.
    pub fn k_actor(&self) -> &[u8; 32] {
        self.actor.expose()
    }

    /// Key of `C_content`.
    pub fn k_content(&self) -> &[u8; 32] {
        self.content.expose()
    }
}
