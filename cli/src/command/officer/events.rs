//! A history as it comes from the node, and what this program checks of it by itself.

use tonic::transport::Channel;
use vrx_domain::IndividualNumber;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient, history_event::Step};
use vrx_tlog::Receipt;

use crate::{
    command::log::{Proofs, key, parse_receipt},
    failure::Failure,
    profile::Profile,
};

/// A whole history.
pub(super) struct Read {
    pub(super) start: v1::HistoryStart,
    pub(super) parts: Vec<Part>,
    /// Entries that are missing.
    pub(super) missing: u64,
    /// What became of all receipts under the log's key.
    pub(super) proofs: Proofs,
}

/// One entry, or entries that aren't there.
pub(super) enum Part {
    Row(Box<v1::HistoryRow>),
    Gap(v1::HistoryGap),
}

impl Read {
    /// The entries.
    pub(super) fn rows(&self) -> impl Iterator<Item = &v1::HistoryRow> {
        self.parts.iter().filter_map(|part| match part {
            Part::Row(row) => Some(&**row),
            Part::Gap(_) => None,
        })
    }

    /// The receipts as the log's own format has them.
    pub(super) fn receipts(&self) -> Result<Vec<Receipt>, Failure> {
        self.rows()
            .filter_map(|row| row.receipt.as_ref())
            .map(|receipt| parse_receipt(receipt, receipt.log_index))
            .collect()
    }
}

/// Reads the history of a person.
pub(super) async fn read(
    channel: Channel,
    profile: &Profile,
    number: &IndividualNumber,
    view: v1::HistoryView,
) -> Result<Read, Failure> {
    let mut request = profile.request(v1::ReadHistoryRequest {
        municipality_code: profile.municipality.to_string(),
        individual_number: number.digits().iter().copied().map(char::from).collect(),
        view: view.into(),
    });
    // A history is as long as it is.
    request.set_timeout(profile.timeout.max(std::time::Duration::from_mins(10)));
    let mut events = AuditServiceClient::new(channel)
        .read_history(request)
        .await?
        .into_inner();
    let (mut start, mut end, mut parts) = (None, None, Vec::new());
    while let Some(event) = events.message().await? {
        match event.step {
            Some(Step::Start(first)) => start = Some(first),
            Some(Step::Row(row)) => parts.push(Part::Row(Box::new(row))),
            Some(Step::Gap(gap)) => parts.push(Part::Gap(gap)),
            Some(Step::End(last)) => end = Some(last),
            None => {}
        }
    }
    let (Some(start), Some(end)) = (start, end) else {
        return Err(broken_off());
    };
    let mut read = Read {
        start,
        parts,
        missing: end.missing,
        proofs: Proofs::NotChecked,
    };
    let came = u64::try_from(read.rows().count()).unwrap_or(u64::MAX);
    if came != end.rows {
        return Err(broken_off());
    }
    let key = key(profile)?;
    let receipts = read.rows().map(|row| (row.log_index, row.receipt.as_ref()));
    read.proofs = Proofs::check(receipts, key.as_ref());
    Ok(read)
}

fn broken_off() -> Failure {
    Failure::Unavailable(
        "途中で切れたため、全部ではありません。もう一度実行してください / the history broke off, it isn't whole".to_owned(),
    )
}
