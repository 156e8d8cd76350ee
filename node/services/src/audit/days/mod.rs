//! Some days of the log at a glance: counts, alerts, and who signed the days off.
//!
//! Everything follows from the log's first entries alone, as many as the request says. So the same request over the same entries makes the
//! same summary, whenever it is made; only a signature that comes later adds itself to the days that it signs.

mod alerts;
mod reviews;
mod scan;
pub mod sign;
mod tally;

use tokio::sync::mpsc;
use vrx_domain::{Caller, Date, EntryKind, Role};
use vrx_provision_log::{Deadline, Recorded};
use vrx_tlog::Hash;

pub use alerts::{Alert, AlertKind};
pub use reviews::{DayReview, ReviewSignature};
pub use tally::{CounterpartyCounts, Counts, OperatorCounts};

use self::scan::Scan;
use super::{
    list::{first_day, first_not_before},
    verify::VerifyProgress,
};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error},
    tenants::TenantServices,
};

/// A day on which there was no log has nothing to look at.
const BEFORE_THE_LOG: &str = "comes before the log's first entry";
/// Days of one summary at most.
const MOST_DAYS: i64 = 31;

/// Which days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryRequest {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub until: Date,
    /// Made from the log's first entries alone; `None` for all there are.
    pub log_size: Option<u64>,
}

/// Counts and alerts. No person is named in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaysSummary {
    /// The first entry of the days.
    pub from_index: u64,
    /// The first entry after them.
    pub until_index: u64,
    /// The root over the log's first `until_index` entries.
    pub root: Hash,
    /// The days are over: no entry can be added to them.
    pub complete: bool,
    /// What was counted.
    pub counts: Counts,
    /// What an officer should look at, by day.
    pub alerts: Vec<Alert>,
    /// The days, the earlier ones that may still wait for a signature among them.
    pub reviews: Vec<DayReview>,
    /// Not everything was told apart: there was more than is kept in memory.
    pub partial: bool,
}

/// Where the days stand in the log.
struct Span {
    /// The first entry that is read: of the days that make the usual day.
    read_from: u64,
    from: u64,
    until: u64,
    /// The first entry that isn't looked at for signatures either.
    end: u64,
    complete: bool,
}

/// Summarizes; `progress` is sent to without waiting.
pub async fn summarize(
    ctx: &TenantServices,
    caller: &Caller,
    request: SummaryRequest,
    progress: mpsc::Sender<VerifyProgress>,
    deadline: Deadline,
) -> Result<Recorded<DaysSummary>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let today = ctx.node.clock.today();
    check_days(request, today)?;
    if request.until < first_day(ctx, deadline).await? {
        return Err(ServiceError::InvalidArgument {
            field: "until",
            why: BEFORE_THE_LOG,
        });
    }
    let checkpoint = ctx.log.checkpoint();
    let size = request.log_size.unwrap_or(checkpoint.size());
    if size > checkpoint.size() {
        return Err(ServiceError::InvalidArgument {
            field: "log_size",
            why: "is larger than the log",
        });
    }
    let span = span(ctx, request, (size, today), deadline).await?;
    let scan = Scan::run(ctx, request, &span, &progress, deadline).await?;
    let root = ctx
        .log
        .reader()
        .root_at(span.until, &checkpoint, deadline)
        .await
        .map_err(|error| read_error(ctx, &error))?;
    let summary = scan.summary(&span, root);
    let content = [
        ("from", request.from.to_string()),
        ("until", request.until.to_string()),
        ("log_size", size.to_string()),
        ("alerts", summary.alerts.len().to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "days-summary",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, summary, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

fn check_days(request: SummaryRequest, today: Date) -> Result<(), ServiceError> {
    let refuse = |field, why| Err(ServiceError::InvalidArgument { field, why });
    if request.until > today {
        return refuse("until", "lies in the future");
    }
    match request.until.days_since(request.from) {
        ..0 => refuse("from", "comes after the last day"),
        0..MOST_DAYS => Ok(()),
        _ => refuse("from", "is more than 31 days before the last day"),
    }
}

async fn span(
    ctx: &TenantServices,
    request: SummaryRequest,
    (size, today): (u64, Date),
    deadline: Deadline,
) -> Result<Span, ServiceError> {
    let policy = &ctx.policy.review;
    let usual = i32::try_from(policy.volume_days).unwrap_or(0);
    let before = usual.max(reviews::look_back(policy));
    let begin = request.from.days_later(-before).unwrap_or(request.from);
    let read_from = first_not_before(ctx, begin.begins_jst(), size, deadline).await?;
    let from = first_not_before(ctx, request.from.begins_jst(), size, deadline).await?;
    let until = match request.until.days_later(1) {
        Some(after) => first_not_before(ctx, after.begins_jst(), size, deadline).await?,
        None => size,
    };
    Ok(Span {
        read_from,
        from,
        until,
        end: size,
        complete: match request.log_size {
            None => request.until < today,
            // Only what stands in these entries counts: one after the days shows that they are over.
            Some(_) => until < size,
        },
    })
}
