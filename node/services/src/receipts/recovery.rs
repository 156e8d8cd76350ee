//! Asks every member for the receipts of what a restore lost, again and again until each has answered, and enters it again.
//!
//! A lost log stands in the tenant's rows since the restore; so do the members that answered and the entries that were entered
//! again. So a node that ends in between goes on where it was, and one whose members all answered asks nobody.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use vrx_domain::Member;
use vrx_provision_log::Deadline;
use vrx_storage::LostLog;

use super::enter::{Counts, Recovering};
use crate::{
    background::Background,
    error::ServiceError,
    ports::{PeerError, ReceiptsQuery, ReceiptsReply},
    record::storage_error,
    tenants::{TenantServices, Tenants},
};

/// How long a member that doesn't answer is left alone: the first time, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(10));
/// How long a member may take for one page.
const PAGE: Duration = Duration::from_secs(30);
/// How many members all of a node's tenants ask at the same time.
const ASKED_AT_ONCE: usize = 16;
/// A member of whose receipts so many aren't believed isn't read to its end: each is an entry of the log.
const MOST_REFUSED: u64 = 100;

/// The node's running recoveries.
pub struct Recovery(Background);

impl Recovery {
    /// Starts them. Where nothing was lost, or everybody has answered, there is nothing to do and the task ends by itself.
    pub fn start(tenants: Arc<Tenants>) -> Self {
        Self(Background::start("asking members for receipts", |stop| {
            run(tenants, stop)
        }))
    }

    /// Ends them and waits. Call it before the logs shut down.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// May be left off anywhere: what an entry stands for is remembered in the entry's own transaction.
async fn run(tenants: Arc<Tenants>, stop: CancellationToken) {
    let asking = Arc::new(Semaphore::new(ASKED_AT_ONCE));
    let mut tasks = JoinSet::new();
    for tenant in tenants.iter() {
        tasks.spawn(recover(Arc::clone(tenant), Arc::clone(&asking)));
    }
    stop.run_until_cancelled(all_of(&mut tasks)).await;
    tasks.shutdown().await;
}

async fn all_of(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            tracing::error!("asking for receipts panicked; the next start goes on with it");
        }
    }
}

/// Asks each member about each log of the tenant that lost its end; comes back when all have answered.
async fn recover(ctx: Arc<TenantServices>, asking: Arc<Semaphore>) {
    let lost = lost_logs(&ctx, &asking).await;
    if lost.is_empty() {
        return;
    }
    let own = ctx.tenant.code;
    let entering = Arc::new(Mutex::new(()));
    let mut tasks = JoinSet::new();
    for lost in lost.into_iter().map(Arc::new) {
        let members = ctx.node.members.iter();
        for member in members.filter(|member| member.code != own) {
            let ask = Ask {
                ctx: Arc::clone(&ctx),
                member: member.clone(),
                lost: Arc::clone(&lost),
                entering: Arc::clone(&entering),
            };
            let asking = Arc::clone(&asking);
            tasks.spawn(async move { ask.until_answered(&asking).await });
        }
    }
    all_of(&mut tasks).await;
    tracing::info!(tenant = %own, "every member has answered for its receipts of what a restore lost");
}

/// The logs of a tenant that lost their end, however long its database is away.
async fn lost_logs(ctx: &TenantServices, asking: &Semaphore) -> Vec<LostLog> {
    let mut pause = PAUSE.0;
    loop {
        let lost = {
            let _permit = asking.acquire().await;
            ctx.receipts.lost_logs().await
        };
        match lost {
            Ok(lost) => return lost,
            Err(error) => {
                tracing::warn!(tenant = %ctx.tenant.code, %error, "whether entries were lost can't be read yet");
            }
        }
        wait(ctx, &mut pause).await;
    }
}

/// Why a member has to be asked again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NotAnswered {
    /// The member's side.
    #[error("{0}")]
    Peer(#[from] PeerError),
    /// Our own log or database.
    #[error("this node can't take receipts: {0}")]
    Own(#[from] ServiceError),
}

/// One member, about one lost log.
struct Ask {
    ctx: Arc<TenantServices>,
    member: Member,
    lost: Arc<LostLog>,
    /// One page of receipts is entered at a time, whoever gave it.
    entering: Arc<Mutex<()>>,
}

impl Ask {
    async fn until_answered(&self, asking: &Semaphore) {
        let (tenant, member, log) = (self.ctx.tenant.code, self.member.code, &self.lost.origin);
        let mut pause = PAUSE.0;
        loop {
            let answered = {
                // Never closed.
                let _permit = asking.acquire().await;
                self.once().await
            };
            match answered {
                Ok(None) => return,
                Ok(Some(counts)) => {
                    let Counts {
                        receipts,
                        entered,
                        refused,
                    } = counts;
                    tracing::info!(%tenant, %member, %log, receipts, entered, refused, "a member gave its receipts back");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%tenant, %member, %log, %error, "a member's receipts can't be had yet");
                }
            }
            wait(&self.ctx, &mut pause).await;
        }
    }

    /// Asks once, page by page; `None` when the member has answered before.
    async fn once(&self) -> Result<Option<Counts>, NotAnswered> {
        let (ctx, member) = (&*self.ctx, self.member.code);
        let answers = ctx.receipts.recovery_answers(&self.lost.origin).await;
        let answers = answers.map_err(|error| storage_error(ctx, &error))?;
        if answers.iter().any(|answer| answer.member == member) {
            return Ok(None);
        }
        let recovering = Recovering::new(ctx, &self.lost)?;
        let mut query = ReceiptsQuery {
            log_origin: self.lost.origin.clone(),
            from_index: self.lost.from_index,
            page_token: String::new(),
        };
        let mut counts = Counts::default();
        let mut last = None;
        loop {
            let reply = ctx
                .node
                .peers
                .receipts(&ctx.tenant, &self.member, &query, Deadline::after(PAGE))
                .await?;
            last = rising(last, &reply)?;
            {
                let _one_at_a_time = self.entering.lock().await;
                counts.add(recovering.page(member, &reply.receipts).await?);
            }
            if counts.refused >= MOST_REFUSED {
                tracing::error!(
                    tenant = %ctx.tenant.code, %member, refused = counts.refused,
                    "too many receipts of a member aren't believed: the rest isn't read"
                );
                break;
            }
            if reply.next_page_token.is_empty() {
                break;
            }
            query.page_token = reply.next_page_token;
        }
        recovering.answered(member, counts).await?;
        Ok(Some(counts))
    }
}

/// The last place in a page; a list that doesn't rise, or has nothing in a page before the last, might never end.
fn rising(mut last: Option<u64>, page: &ReceiptsReply) -> Result<Option<u64>, PeerError> {
    for given in &page.receipts {
        let index = Some(given.receipt.log_index);
        if index <= last {
            return Err(PeerError::Failed("receipts-out-of-order"));
        }
        last = index;
    }
    if page.receipts.is_empty() && !page.next_page_token.is_empty() {
        return Err(PeerError::Failed("broken-reply"));
    }
    Ok(last)
}

/// Waits, between half and all of the pause so that not everybody asks at once, and doubles it.
async fn wait(ctx: &TenantServices, pause: &mut Duration) {
    let mut byte = [0];
    ctx.node.random.fill(&mut byte);
    let [byte] = byte;
    let part = *pause / 2 + *pause * u32::from(byte) / 512;
    tokio::time::sleep(part).await;
    *pause = (*pause * 2).min(PAUSE.1);
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
