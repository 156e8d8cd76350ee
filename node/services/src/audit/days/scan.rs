//! One reading of the log from the usual days' first entry to the end: days are counted as they pass, and forgotten.

use tokio::sync::mpsc;
use vrx_domain::{Date, EntryKind, UnixMillis};
use vrx_provision_log::{Deadline, ReadEntry};
use vrx_tlog::{Hash, Leaf};

use super::{
    DaysSummary, Span, SummaryRequest,
    alerts::{Alert, Usual, alerts},
    reviews::Reviews,
    tally::{Counts, Day},
};
use crate::{
    audit::{opened::Opened, verify::VerifyProgress},
    error::ServiceError,
    policy::ReviewPolicy,
    record::read_error,
    tenants::TenantServices,
};

/// Entries read at once.
const AT_ONCE: u32 = 256;
/// Alerts of one summary at most.
const MOST_ALERTS: usize = 1_000;

/// What the reading has brought so far.
pub(super) struct Scan {
    policy: ReviewPolicy,
    counts: Counts,
    alerts: Vec<Alert>,
    reviews: Reviews,
    usual: Usual,
    from: Date,
    day: Option<(Date, Day)>,
    /// The instant by which days must have been signed: the end of the days, or the last entry's time while they go on.
    now: UnixMillis,
    partial: bool,
}

impl Scan {
    pub(super) async fn run(
        ctx: &TenantServices,
        request: SummaryRequest,
        span: &Span,
        progress: &mpsc::Sender<VerifyProgress>,
        deadline: Deadline,
    ) -> Result<Self, ServiceError> {
        let policy = ctx.policy.review;
        let mut scan = Self {
            policy,
            counts: Counts::default(),
            alerts: Vec::new(),
            reviews: Reviews::of(request.from, request.until, &policy),
            usual: Usual::default(),
            from: request.from,
            day: None,
            now: UnixMillis(0),
            partial: false,
        };
        let mut next = span.read_from;
        while next < span.end {
            let count = u32::try_from(span.end - next)
                .unwrap_or(AT_ONCE)
                .min(AT_ONCE);
            // Behind the days only signatures matter: nothing else is opened.
            let behind = next >= span.until;
            let count = match span.until.checked_sub(next) {
                Some(left) if left > 0 => count.min(u32::try_from(left).unwrap_or(AT_ONCE)),
                _ => count,
            };
            let entries = ctx
                .log
                .reader()
                .entries_apart(next, count, deadline, |leaf| {
                    !behind || leaf.kind == EntryKind::Desk.code()
                });
            let entries = entries.await.map_err(|error| read_error(ctx, &error))?;
            for entry in &entries {
                let Leaf {
                    index, time, kind, ..
                } = *entry.leaf();
                scan.now = UnixMillis(time);
                if !behind {
                    scan.reviews.count(scan.now.date_jst(), index);
                    if span.from <= index {
                        scan.counts.kind(kind);
                    }
                }
                match entry {
                    ReadEntry::Damaged(_) if behind => {}
                    ReadEntry::Damaged(_) => scan.damaged(index, span.from <= index),
                    ReadEntry::Whole(entry) => {
                        let Some(said) = Opened::of(entry) else {
                            continue;
                        };
                        scan.reviews.signature(&said);
                        if !behind {
                            scan.take(&said, span.from <= index);
                        }
                    }
                }
            }
            next += u64::from(count);
            // A full channel only means that the last figure wasn't read yet.
            let _ = progress.try_send(VerifyProgress {
                checked: next - span.read_from,
                total: span.end - span.read_from,
            });
            tokio::task::yield_now().await;
        }
        if let (true, Some(after)) = (span.complete, request.until.days_later(1)) {
            scan.now = after.begins_jst();
        }
        scan.end_day();
        Ok(scan)
    }

    fn take(&mut self, said: &Opened<'_>, asked_for: bool) {
        let policy = self.policy;
        self.day().take(said, &policy);
        if asked_for {
            self.partial |= !self.counts.take(said, &policy);
        }
    }

    /// An entry of which nothing can be said but that it stands there.
    fn damaged(&mut self, index: u64, asked_for: bool) {
        self.day().damaged(index);
        if asked_for {
            self.counts.damaged += 1;
        }
    }

    /// The day of the entry that is read.
    fn day(&mut self) -> &mut Day {
        let date = self.now.date_jst();
        if self.day.as_ref().is_some_and(|(day, _)| *day != date) {
            self.end_day();
        }
        let (_, day) = self.day.get_or_insert_with(|| (date, Day::default()));
        day
    }

    fn end_day(&mut self) {
        let Some((date, day)) = self.day.take() else {
            return;
        };
        if date >= self.from {
            self.alerts
                .extend(alerts(&day, date, &self.usual, &self.policy));
            self.partial |= day.partial;
        }
        self.usual.remember(&day, date, &self.policy);
    }

    pub(super) fn summary(self, span: &Span, root: Hash) -> DaysSummary {
        let (reviews, unreviewed) = self.reviews.finish(self.now, &self.policy);
        let mut alerts = self.alerts;
        alerts.extend(unreviewed);
        alerts.sort_by_key(|alert| (alert.day, alert.kind));
        let partial = self.partial || alerts.len() > MOST_ALERTS;
        alerts.truncate(MOST_ALERTS);
        DaysSummary {
            from_index: span.from,
            until_index: span.until,
            root,
            complete: span.complete,
            counts: self.counts,
            alerts,
            reviews,
            partial,
        }
    }
}
