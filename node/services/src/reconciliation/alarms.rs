//! What a reconciliation finds, as alarms in the own log. None says more than what is proved.

use vrx_domain::EntryKind;

use super::{
    Difference,
    pair::{NotReconciled, Pair},
};
use crate::{
    error::ServiceError,
    record::{Act, NotRecorded, own_deadline, pairs},
};

impl Pair<'_> {
    pub(super) async fn alarm_difference(
        &self,
        difference: &Difference,
        log_origin: &str,
    ) -> Result<(), ServiceError> {
        let particulars = [
            ("log_origin", log_origin.to_owned()),
            ("log_index", difference.log_index.to_string()),
            ("request_id", difference.request_id.to_string()),
        ];
        self.alarm(difference.kind.code(), &particulars).await
    }

    /// Records the alarm and says why nothing was reconciled.
    pub(super) async fn contradiction(
        &self,
        alarm: &'static str,
        particulars: &[(&str, String)],
    ) -> NotReconciled {
        match self.alarm(alarm, particulars).await {
            Ok(()) => NotReconciled::Contradiction(alarm),
            Err(error) => error.into(),
        }
    }

    pub(super) async fn alarm(
        &self,
        alarm: &'static str,
        particulars: &[(&str, String)],
    ) -> Result<(), ServiceError> {
        tracing::error!(
            alarm,
            tenant = %self.ctx.tenant.code,
            member = %self.member.code,
            ?particulars,
            "the reconciliation with a member found something"
        );
        let mut content = vec![
            ("alarm", alarm.to_owned()),
            ("member", self.member.code.to_string()),
        ];
        content.extend(particulars.iter().cloned());
        let act = Act {
            kind: EntryKind::Control,
            caller: &self.own,
            action: "alarm",
            about: None,
            content: &pairs(&content),
        };
        act.record(self.ctx, None, (), own_deadline())
            .await
            .map(drop)
            .map_err(NotRecorded::into_service)
    }
}
