//! The requester's side: one provider's entries about this municipality's requests, held against its receipts and inquiries.

use vrx_domain::{
    Caller, EntryKind, Member, MemberWitnesses, UnixMillis,
    audit::{desk_actor, desk_content},
};
use vrx_provision_log::Deadline;
use vrx_tlog::{Checkpoint, Leaf, Quorum, VerifierKey, WitnessKey, leaf_hash, verify_inclusion};

use super::{
    Difference, MOST_NAMED,
    asked::Asked,
    compare::compare,
    held::HeldOf,
    standing,
    standing::{RECONCILE, Standing},
};
use crate::{
    error::ServiceError,
    ports::{PeerError, ProvisionsQuery, ProvisionsReply},
    record::{NotRecorded, hex, own_deadline, pairs, record_entry},
    registry::known_checkpoint,
    tenants::TenantServices,
};

/// How long a provider may take for one page.
const PAGE: std::time::Duration = std::time::Duration::from_secs(30);
/// A request whose outcome isn't recorded after so long never gets one: this node ended meanwhile.
const SETTLED_AFTER_MS: u64 = 10 * 60 * 1000;
/// A request may be repeated for 14 days; a day more for clocks and nights.
const REPEATED_FOR_MS: u64 = 15 * 24 * 60 * 60 * 1000;

/// What a reconciliation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// Name of the provider's log.
    pub log_origin: String,
    /// The first place in it that was looked at.
    pub from_index: u64,
    /// The first one that wasn't.
    pub until_index: u64,
    /// Size of the checkpoint to which everything was proved.
    pub checkpoint_size: u64,
    /// Entries of the provider's about requests of this municipality's.
    pub provisions: u64,
    /// Receipts that were held against them.
    pub receipts: u64,
    /// Entries about inquiries of this municipality's whose receipt never came: normal after a lost answer.
    pub unanswered: u64,
    /// Entries that the provider's log went on from in a new epoch, and whose receipts are held under an older one's name.
    pub carried_over: u64,
    /// How many differences there are.
    pub differences: u64,
    /// The first of them, at most [`MOST_NAMED`].
    pub named: Vec<Difference>,
    /// Whether the provider took the report of them; true where there was nothing to report.
    pub told: bool,
}

/// Why a pair couldn't be reconciled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReconciled {
    /// The provider doesn't answer, or refuses.
    #[error("{0}")]
    Peer(#[from] PeerError),
    /// The provider's log is shorter than a receipt of it says.
    #[error("the provider shows a log that is shorter than a receipt of it says")]
    Behind,
    /// Nothing shows that the provider's checkpoint and the one known here are of one log; nor that they aren't.
    #[error("the provider gave no proof that its log continues the one known here")]
    Unproved,
    /// Fewer of the provider's witnesses cosigned its checkpoint than the directory demands.
    #[error(
        "the provider's checkpoint is cosigned by {by} of its witnesses, and {needed} are needed"
    )]
    NotWitnessed {
        /// How many did.
        by: usize,
        /// How many the directory demands.
        needed: usize,
    },
    /// The provider contradicts itself: an alarm is recorded.
    #[error("alarm: {0}")]
    Contradiction(&'static str),
    /// This node's own log or database.
    #[error("this node can't reconcile: {0}")]
    Own(#[from] ServiceError),
}

/// This municipality and one provider.
pub(super) struct Pair<'a> {
    pub(super) ctx: &'a TenantServices,
    pub(super) member: &'a Member,
    /// This municipality's own node, the actor of the entries.
    pub(super) own: Caller,
    pub(super) key: VerifierKey,
    /// Those that must have cosigned; nobody where the directory names none.
    pub(super) witnesses: Quorum,
}

impl<'a> Pair<'a> {
    pub(super) fn of(ctx: &'a TenantServices, member: &'a Member) -> Result<Self, ServiceError> {
        let own = ctx.node.peers.identity(&ctx.tenant);
        let own = own.map_err(|_| ctx.internal("the tenant has no identity to record with"))?;
        let key = VerifierKey::parse(&member.log_vkey)
            .map_err(|_| ctx.internal("the directory's log key of a member isn't one"))?;
        let MemberWitnesses { keys, needed } = &member.witnesses;
        let keys = keys.iter().map(|key| WitnessKey::parse(key));
        let witnesses = keys
            .collect::<Result<_, _>>()
            .ok()
            .and_then(|keys| Quorum::new(keys, *needed).ok())
            .ok_or_else(|| ctx.internal("the directory's witnesses of a member aren't ones"))?;
        Ok(Self {
            ctx,
            member,
            own,
            key,
            witnesses,
        })
    }

    pub(super) fn held(&self) -> HeldOf<'_> {
        HeldOf {
            ctx: self.ctx,
            provider: self.member.code,
            origin: self.key.name(),
        }
    }

    pub(super) async fn standing(&self) -> Result<Standing, ServiceError> {
        standing::load(self.ctx, self.member.code, self.key.name()).await
    }

    /// Reconciles from where it was left off, and records that as one entry, with one more for each difference. `asked` is what left
    /// this municipality, as far as it was read already.
    pub(super) async fn reconcile(
        &self,
        asked: &mut Option<Asked>,
    ) -> Result<Reconciled, NotReconciled> {
        let standing = self.standing().await?;
        let known = known_checkpoint::load(self.ctx, self.member, &self.key).await?;
        let mut query = ProvisionsQuery {
            log_origin: self.key.name().to_owned(),
            from_index: standing.until,
            known_log_size: known.as_ref().map_or(0, |known| known.size),
            page_token: String::new(),
        };
        let mut reply = self.page(&query).await?;
        let checkpoint = self.join(known.as_ref(), &query, &reply).await?;
        // Only now: every entry under that checkpoint is about a request that had left before.
        let asked = Asked::covering(self.ctx, asked_from(standing.at), asked).await?;
        let note = std::mem::take(&mut reply.checkpoint);
        let mut result = Reconciled {
            log_origin: query.log_origin.clone(),
            from_index: standing.until,
            until_index: standing.until.min(checkpoint.size),
            checkpoint_size: checkpoint.size,
            provisions: 0,
            receipts: 0,
            unanswered: 0,
            carried_over: 0,
            differences: 0,
            named: Vec::new(),
            told: true,
        };
        loop {
            let more = !reply.next_page_token.is_empty();
            let settled = self.take(&mut result, &checkpoint, &reply, asked).await?;
            if !settled || !more {
                break;
            }
            query.page_token = reply.next_page_token;
            reply = self.page(&query).await?;
        }
        self.tell(&mut result).await;
        self.record(&result, &checkpoint, note).await?;
        Ok(result)
    }

    pub(super) async fn page(&self, query: &ProvisionsQuery) -> Result<ProvisionsReply, PeerError> {
        let (peers, tenant) = (&self.ctx.node.peers, &self.ctx.tenant);
        peers
            .provisions(tenant, self.member, query, Deadline::after(PAGE))
            .await
    }

    /// Holds one page against what is here. False when the rest has to wait: a request is still on its way.
    async fn take(
        &self,
        result: &mut Reconciled,
        checkpoint: &Checkpoint,
        reply: &ProvisionsReply,
        asked: &Asked,
    ) -> Result<bool, NotReconciled> {
        self.check_page(result.until_index, checkpoint, reply)
            .await?;
        let range = result.until_index..reply.until_index;
        let held_of = self.held();
        let mut receipts = held_of.within(&range).await?;
        let older = held_of.of_older_epochs(&range).await?;
        let held: std::collections::HashSet<u64> =
            receipts.iter().map(|kept| kept.log_index).collect();
        let now = self.ctx.node.clock.now();
        let on_its_way = reply.provisions.iter().find(|provision| {
            !held.contains(&provision.log_index)
                && asked
                    .open_since(&provision.request_id)
                    .is_some_and(|sent| now.0 < sent.0.saturating_add(SETTLED_AFTER_MS))
        });
        let until = on_its_way.map_or(reply.until_index, |provision| provision.log_index);
        receipts.retain(|kept| kept.log_index < until);
        let settled = reply
            .provisions
            .partition_point(|provision| provision.log_index < until);
        let provisions = reply.provisions.get(..settled).unwrap_or_default();
        let asked = asked.of(self.member.code);
        let compared = compare(provisions, &receipts, &older, asked);
        result.until_index = until;
        result.provisions += provisions.len() as u64;
        result.receipts += receipts.len() as u64;
        result.unanswered += compared.unanswered;
        result.carried_over += compared.carried_over;
        for difference in compared.differences {
            result.differences += 1;
            self.alarm_difference(&difference, &result.log_origin)
                .await?;
            if result.named.len() < MOST_NAMED {
                result.named.push(difference);
            }
        }
        Ok(on_its_way.is_none())
    }

    /// Places rise from `from` on, and each entry is proved.
    async fn check_page(
        &self,
        from: u64,
        checkpoint: &Checkpoint,
        reply: &ProvisionsReply,
    ) -> Result<(), NotReconciled> {
        let moves = from < reply.until_index || reply.next_page_token.is_empty();
        if !moves || reply.until_index > checkpoint.size.max(from) {
            return Err(PeerError::Failed("broken-reply").into());
        }
        let mut next = from;
        for provision in &reply.provisions {
            let index = provision.log_index;
            if index < next || index >= reply.until_index {
                return Err(PeerError::Failed("provisions-out-of-order").into());
            }
            next = index.saturating_add(1);
            let leaf = Leaf::decode(&provision.leaf);
            let is_one = leaf
                .is_ok_and(|leaf| leaf.index == index && leaf.kind == EntryKind::Exchange.code());
            let proved = verify_inclusion(
                index,
                checkpoint.size,
                &leaf_hash(&provision.leaf),
                &provision.inclusion_proof,
                &checkpoint.root,
            );
            if !is_one || proved.is_err() {
                let particulars = [
                    ("log_index", index.to_string()),
                    ("request_id", provision.request_id.to_string()),
                    ("checkpoint_size", checkpoint.size.to_string()),
                ];
                return Err(self
                    .contradiction("provision-doesnt-hold", &particulars)
                    .await);
            }
        }
        Ok(())
    }

    /// The provider's officer learns of it from the provider's own log.
    async fn tell(&self, result: &mut Reconciled) {
        if result.named.is_empty() {
            return;
        }
        let (peers, tenant) = (&self.ctx.node.peers, &self.ctx.tenant);
        let told = peers
            .report_differences(
                tenant,
                self.member,
                &result.log_origin,
                &result.named,
                Deadline::after(PAGE),
            )
            .await;
        if let Err(error) = &told {
            tracing::warn!(tenant = %tenant.code, member = %self.member.code, %error, "the provider couldn't be told what differs");
        }
        result.told = told.is_ok();
    }

    async fn record(
        &self,
        result: &Reconciled,
        checkpoint: &Checkpoint,
        note: String,
    ) -> Result<(), ServiceError> {
        let content = [
            ("member", self.member.code.to_string()),
            ("log_origin", result.log_origin.clone()),
            ("from_index", result.from_index.to_string()),
            ("until_index", result.until_index.to_string()),
            ("checkpoint_size", checkpoint.size.to_string()),
            ("checkpoint_root", hex(&checkpoint.root)),
            ("provisions", result.provisions.to_string()),
            ("receipts", result.receipts.to_string()),
            ("unanswered", result.unanswered.to_string()),
            ("carried_over", result.carried_over.to_string()),
            ("differences", result.differences.to_string()),
            ("told", u8::from(result.told).to_string()),
        ];
        let entry = standing::entry(
            self.ctx,
            self.member.code,
            desk_actor(&self.own, RECONCILE),
            desk_content(&pairs(&content)),
        );
        let keep = known_checkpoint::keep(self.member, checkpoint, note);
        record_entry(self.ctx, entry, Some(keep), (), own_deadline())
            .await
            .map(drop)
            .map_err(NotRecorded::into_service)
    }
}

/// From when on own requests may be answered by entries that weren't reconciled at `last`.
fn asked_from(last: UnixMillis) -> UnixMillis {
    UnixMillis(last.0.saturating_sub(REPEATED_FOR_MS))
}
