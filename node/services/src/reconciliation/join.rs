//! Joining a provider's receipts and checkpoints: what it shows has to continue what it signed before, in front of its witnesses.

use vrx_domain::UnixMillis;
use vrx_storage::KeptReceipt;
use vrx_tlog::{
    Checkpoint, CheckpointError, ProofError, SignedNote, refutes_full_tree, verify_consistency,
};

use super::{
    JOIN_WITHIN,
    pair::{NotReconciled, Pair},
};
use crate::{
    error::ServiceError,
    ports::{ProvisionsQuery, ProvisionsReply},
    record::hex,
};

impl Pair<'_> {
    /// The checkpoint of the list, once the newest one known is joined to it.
    pub(super) async fn join(
        &self,
        known: Option<&Checkpoint>,
        query: &ProvisionsQuery,
        reply: &ProvisionsReply,
    ) -> Result<Checkpoint, NotReconciled> {
        let Ok(mut checkpoint) = self.open(reply) else {
            return Err(self.contradiction("provider-checkpoint-invalid", &[]).await);
        };
        self.check_witnessed(&reply.checkpoint).await?;
        let Some(known) = known else {
            return Ok(checkpoint);
        };
        let (old, new) = if checkpoint.size < known.size {
            (&checkpoint, known)
        } else {
            (known, &checkpoint)
        };
        if old.size < known.size && reply.consistency_proof.is_empty() {
            return Err(NotReconciled::Behind);
        }
        let joined = verify_consistency(
            old.size,
            new.size,
            &old.root,
            &new.root,
            &reply.consistency_proof,
        );
        match joined {
            Ok(()) => return Ok(checkpoint),
            // Both are signed by the provider's log, and can't both be true.
            Err(ProofError::Contradiction) => {}
            Err(_) => {
                checkpoint = self
                    .refuted(known, query)
                    .await?
                    .ok_or(NotReconciled::Unproved)?;
            }
        }
        let particulars = [
            ("known_size", known.size.to_string()),
            ("known_root", hex(&known.root)),
            ("checkpoint_size", checkpoint.size.to_string()),
            ("checkpoint_root", hex(&checkpoint.root)),
        ];
        Err(self
            .contradiction("provider-log-forked", &particulars)
            .await)
    }

    /// A checkpoint of the provider's that contradicts the known one, where the proof between them can't show it: that of the next size can.
    async fn refuted(
        &self,
        known: &Checkpoint,
        query: &ProvisionsQuery,
    ) -> Result<Option<Checkpoint>, NotReconciled> {
        if !known.size.is_power_of_two() {
            return Ok(None);
        }
        let next = ProvisionsQuery {
            known_log_size: known.size.saturating_add(1),
            ..query.clone()
        };
        let reply = self.page(&next).await?;
        let shown = self.open(&reply).ok();
        Ok(shown.filter(|shown| {
            refutes_full_tree(
                known.size,
                shown.size,
                &known.root,
                &shown.root,
                &reply.consistency_proof,
            )
        }))
    }

    fn open(&self, reply: &ProvisionsReply) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&reply.checkpoint, &self.key, self.key.name())
    }

    /// Others have seen that checkpoint too: as many of the provider's witnesses cosigned it as the directory demands.
    async fn check_witnessed(&self, note: &str) -> Result<(), NotReconciled> {
        let evaluated = SignedNote::parse(note).and_then(|note| self.witnesses.evaluate(&note));
        match evaluated {
            Ok(cosigned) if cosigned.reached() => Ok(()),
            Ok(cosigned) => Err(NotReconciled::NotWitnessed {
                by: cosigned.count(),
                needed: cosigned.needed(),
            }),
            Err(_) => Err(self.contradiction("provider-checkpoint-invalid", &[]).await),
        }
    }

    /// The oldest receipt that isn't joined.
    pub(super) async fn first_unjoined(&self) -> Result<Option<KeptReceipt>, ServiceError> {
        let standing = self.standing().await?;
        self.held().first_from(standing.until).await
    }

    /// An alarm when a receipt isn't joined though its time is over, or when the provider has given no proof since `unproved`, as long ago.
    pub(super) async fn alarm_when_overdue(
        &self,
        unproved: Option<UnixMillis>,
    ) -> Result<bool, ServiceError> {
        let within = u64::try_from(JOIN_WITHIN.as_millis()).unwrap_or(u64::MAX);
        let now = self.ctx.node.clock.now();
        let is_over = |since: UnixMillis| now.0 >= since.0.saturating_add(within);
        let overdue = self.first_unjoined().await?;
        let overdue = overdue.filter(|kept| is_over(kept.entered_at));
        if let Some(since) = unproved
            && (overdue.is_some() || is_over(since))
        {
            let particulars = [
                ("log_origin", self.key.name().to_owned()),
                ("since", since.0.to_string()),
            ];
            self.alarm("provider-gives-no-proof", &particulars).await?;
            return Ok(true);
        }
        let Some(kept) = overdue else {
            return Ok(false);
        };
        let particulars = [
            ("log_index", kept.log_index.to_string()),
            ("request_id", kept.request_id.to_string()),
            ("entered_at", kept.entered_at.0.to_string()),
        ];
        self.alarm("receipt-not-joined", &particulars).await?;
        Ok(true)
    }
}
