//! Enters what a member's receipts prove again: one control entry a lost entry, once; one alarm for each receipt that proves nothing.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use vrx_domain::{Caller, EntryKind, MunicipalityCode};
use vrx_storage::{Change, ChangeError, LostLog, RecoveredEntry, RecoveryAnswer};
use vrx_tlog::{Checkpoint, Hash, Leaf, VerifierKey};

use super::check::{Fault, check};
use crate::{
    error::ServiceError,
    ports::GivenReceipt,
    record::{Act, NotRecorded, hex, own_deadline, pairs, read_error, storage_error},
    tenants::TenantServices,
};

/// Entries that wait for the log's writer at the same time: they go into one batch.
const AT_A_TIME: usize = 16;

/// A lost log of a tenant, into whose present one its entries are entered again.
pub(super) struct Recovering<'a> {
    pub(super) ctx: &'a TenantServices,
    pub(super) lost: &'a LostLog,
    /// The tenant's own node: the actor of these entries.
    own: Caller,
    /// Every key that may have signed the lost log.
    keys: Vec<VerifierKey>,
}

/// What became of receipts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Receipts that came.
    pub(super) receipts: u64,
    /// Those that became an entry now; the others stand as one already or were refused.
    pub(super) entered: u64,
    /// Those that failed a check.
    pub(super) refused: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        self.receipts += more.receipts;
        self.entered += more.entered;
        self.refused += more.refused;
    }
}

/// A receipt that was checked.
enum Judged {
    /// Its entry isn't entered again yet.
    New(Leaf, Checkpoint),
    /// It is.
    Stands,
    /// It isn't believed.
    Refused(Fault),
}

impl<'a> Recovering<'a> {
    pub(super) fn new(ctx: &'a TenantServices, lost: &'a LostLog) -> Result<Self, ServiceError> {
        let own = ctx.node.peers.identity(&ctx.tenant);
        let own = own.map_err(|_| ctx.internal("the tenant has no identity to record with"))?;
        let keys = ctx.keyring.log_public_keys().into_iter();
        let keys = keys
            .map(|key| VerifierKey::from_public_key(&lost.origin, &key))
            .collect::<Result<_, _>>()
            .map_err(|_| ctx.internal("the name of a lost log isn't one"))?;
        Ok(Self {
            ctx,
            lost,
            own,
            keys,
        })
    }

    /// Checks one page of a member's receipts and enters what is new. To be called for one page at a time: a receipt is held against
    /// those that were entered before it.
    pub(super) async fn page(
        &self,
        member: MunicipalityCode,
        page: &[GivenReceipt],
    ) -> Result<Counts, ServiceError> {
        let mut counts = Counts {
            receipts: page.len() as u64,
            ..Counts::default()
        };
        let (mut fresh, mut trees) = (Vec::new(), HashMap::new());
        for given in page {
            match self.judge(given, &mut trees).await? {
                Judged::New(leaf, checkpoint) => fresh.push((given, leaf, checkpoint)),
                Judged::Stands => {}
                Judged::Refused(fault) => {
                    self.alarm(member, given, fault).await?;
                    counts.refused += 1;
                }
            }
        }
        let entering: Vec<_> = fresh
            .into_iter()
            .map(|(given, leaf, checkpoint)| self.enter(member, given, leaf, checkpoint))
            .collect();
        let mut entering = stream::iter(entering).buffer_unordered(AT_A_TIME);
        while let Some(entered) = entering.try_next().await? {
            match entered {
                None => counts.entered += 1,
                Some(Judged::Refused(_)) => counts.refused += 1,
                Some(_) => {}
            }
        }
        Ok(counts)
    }

    /// Remembers that a member gave back everything it holds, so that it isn't asked again.
    pub(super) async fn answered(
        &self,
        member: MunicipalityCode,
        counts: Counts,
    ) -> Result<(), ServiceError> {
        let answer = RecoveryAnswer {
            origin: self.lost.origin.clone(),
            member,
            answered_at: self.ctx.node.clock.now(),
            receipts: counts.receipts,
            refused: counts.refused,
        };
        let content = [
            ("log_origin", self.lost.origin.clone()),
            ("from_index", self.lost.from_index.to_string()),
            ("member", member.to_string()),
            ("receipts", counts.receipts.to_string()),
            ("refused", counts.refused.to_string()),
        ];
        let change = Change::recovery_answered(answer);
        match self
            .record("recovery-answered", &content, Some(change))
            .await
        {
            // Another process of this tenant asked too.
            Ok(()) | Err(NotRecorded::Change(ChangeError::Conflict(_))) => Ok(()),
            Err(other) => Err(other.into_service()),
        }
    }

    /// Holds a receipt against its own proof, the restored entries, and what was entered again before.
    async fn judge(
        &self,
        given: &GivenReceipt,
        trees: &mut HashMap<u64, Hash>,
    ) -> Result<Judged, ServiceError> {
        let receipt = &given.receipt;
        let (leaf, checkpoint) = match check(receipt, &self.keys, self.lost) {
            Ok(checked) => checked,
            Err(fault) => return Ok(Judged::Refused(fault)),
        };
        let shares = self
            .ctx
            .log
            .reader()
            .shares_beginning(
                self.lost.from_index,
                receipt,
                checkpoint.size,
                own_deadline(),
            )
            .await
            .map_err(|error| read_error(self.ctx, &error))?;
        if !shares {
            return Ok(Judged::Refused(Fault::Contradicts));
        }
        let beside = self
            .ctx
            .receipts
            .recovered_under(&self.lost.origin, checkpoint.size)
            .await
            .map_err(|error| storage_error(self.ctx, &error))?;
        let before = beside.map_or(checkpoint.root, |entry| entry.tree.1);
        let in_page = *trees.entry(checkpoint.size).or_insert(before);
        if in_page != checkpoint.root {
            return Ok(Judged::Refused(Fault::Forked));
        }
        Ok(match self.standing(leaf.index).await? {
            None => Judged::New(leaf, checkpoint),
            Some(entry) if entry.leaf == receipt.leaf => Judged::Stands,
            Some(_) => Judged::Refused(Fault::TwoLeaves),
        })
    }

    async fn standing(&self, log_index: u64) -> Result<Option<RecoveredEntry>, ServiceError> {
        let found = self
            .ctx
            .receipts
            .recovered(&self.lost.origin, log_index, 1)
            .await
            .map_err(|error| storage_error(self.ctx, &error))?;
        Ok(found.into_iter().find(|entry| entry.log_index == log_index))
    }

    /// Enters a lost entry again; `Some` when somebody else did meanwhile.
    async fn enter(
        &self,
        member: MunicipalityCode,
        given: &GivenReceipt,
        leaf: Leaf,
        checkpoint: Checkpoint,
    ) -> Result<Option<Judged>, ServiceError> {
        let content = [
            ("log_origin", self.lost.origin.clone()),
            ("log_index", leaf.index.to_string()),
            ("leaf", hex(&given.receipt.leaf)),
            ("time", leaf.time.to_string()),
            ("member", member.to_string()),
            ("request_id", given.request_id.to_string()),
            ("checkpoint_size", checkpoint.size.to_string()),
            ("checkpoint_root", hex(&checkpoint.root)),
        ];
        let change = Change::recover_entry(RecoveredEntry {
            origin: self.lost.origin.clone(),
            log_index: leaf.index,
            leaf: given.receipt.leaf,
            tree: (checkpoint.size, checkpoint.root),
            member,
            request_id: given.request_id,
        });
        match self.record("recover-entry", &content, Some(change)).await {
            Ok(()) => return Ok(None),
            Err(NotRecorded::Change(ChangeError::Conflict(_))) => {}
            Err(other) => return Err(other.into_service()),
        }
        match self.standing(leaf.index).await? {
            Some(entry) if entry.leaf == given.receipt.leaf => Ok(Some(Judged::Stands)),
            _ => {
                self.alarm(member, given, Fault::TwoLeaves).await?;
                Ok(Some(Judged::Refused(Fault::TwoLeaves)))
            }
        }
    }

    /// A receipt that isn't believed is never dropped in silence.
    async fn alarm(
        &self,
        member: MunicipalityCode,
        given: &GivenReceipt,
        fault: Fault,
    ) -> Result<(), ServiceError> {
        let log_index = given.receipt.log_index;
        tracing::error!(
            alarm = fault.code(),
            tenant = %self.ctx.tenant.code,
            %member,
            log = %self.lost.origin,
            log_index,
            request_id = %given.request_id,
            "a receipt that a member gave back isn't believed"
        );
        let content = [
            ("alarm", fault.code().to_owned()),
            ("log_origin", self.lost.origin.clone()),
            ("log_index", log_index.to_string()),
            ("leaf", hex(&given.receipt.leaf)),
            ("member", member.to_string()),
            ("request_id", given.request_id.to_string()),
        ];
        self.record("alarm", &content, None)
            .await
            .map_err(NotRecorded::into_service)
    }

    #[cfg(test)]
    pub(super) async fn record_for_test(&self, change: Change) -> Result<(), NotRecorded> {
        self.record("recover-entry", &[], Some(change)).await
    }

    async fn record(
        &self,
        action: &'static str,
        content: &[(&str, String)],
        change: Option<Change>,
    ) -> Result<(), NotRecorded> {
        let act = Act {
            kind: EntryKind::Control,
            caller: &self.own,
            action,
            about: None,
            content: &pairs(content),
        };
        act.record(self.ctx, change, (), own_deadline())
            .await
            .map(drop)
    }
}
