//! `AuditService`: what a tenant's privacy officers read of the provision log. Every read is an entry itself.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use vrx_domain::{Caller, EntryKind};
use vrx_proto::v1;
use vrx_proto::v1::audit_service_server::{AuditService, AuditServiceServer};
use vrx_proto::v1::verify_log_event::Event;
use vrx_services::audit::{
    self, EntryFilter, EntrySummary, ListRequest, LogVerified, ShownEntry, VerifyProgress,
};
use vrx_services::reconciliation::reconcile_now;
use vrx_services::{Deadline, Recorded, ServiceError, TenantServices, Tenants};
use vrx_tlog::{Checkpoint, SignedNote};

use super::call::{Granted, noted};
use crate::access;
use crate::limits::Limits;
use crate::status::status;
use crate::wire::answer::hashes;
use crate::wire::field::{self, Parsed};
use crate::wire::reconciliation;

/// No request of an officer comes near this many bytes.
const LONGEST_REQUEST: usize = 16 * 1024;
/// Reconciling may read much of both logs, the first time.
const RECONCILE: Duration = Duration::from_mins(10);
/// Verifying reads the whole log.
const VERIFY: Duration = Duration::from_hours(1);

/// The service on tonic's generated server.
pub(crate) fn server(tenants: Arc<Tenants>, limits: Limits) -> AuditServiceServer<Audit> {
    AuditServiceServer::new(Audit { tenants, limits }).max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Audit {
    tenants: Arc<Tenants>,
    limits: Limits,
}

struct Call<'a> {
    caller: Caller,
    tenant: &'a Arc<TenantServices>,
    deadline: Deadline,
}

impl Audit {
    async fn enter<T>(
        &self,
        request: &Request<T>,
        named: &str,
        longest: Duration,
    ) -> Result<Call<'_>, Status> {
        let (caller, waits) = Granted::of(request).map_err(|error| status(&error))?;
        let tenant = field::municipality("municipality_code", named)
            .and_then(|named| access::check_own_tenant(&self.tenants, &caller, named));
        let longest = Deadline::after(longest);
        let deadline = waits.map_or(longest, |waits| waits.min(longest));
        match tenant {
            Ok(tenant) => Ok(Call {
                caller,
                tenant,
                deadline,
            }),
            Err(error) => {
                let tenant = access::tenant_of_refusal(&self.tenants, &caller, None);
                Err(status(&noted(tenant, &caller, error).await))
            }
        }
    }
}

impl Call<'_> {
    /// Ends a call: what was recorded leaves, a refusal is noted.
    async fn end<T, M>(
        &self,
        result: Result<Recorded<T>, ServiceError>,
        message: impl FnOnce(T) -> M,
    ) -> Result<Response<M>, Status> {
        match result {
            Ok(recorded) => Ok(Response::new(message(recorded.into_parts().0))),
            Err(error) => Err(status(&noted(Some(self.tenant), &self.caller, error).await)),
        }
    }
}

type VerifyEvents = Pin<Box<dyn Stream<Item = Result<v1::VerifyLogEvent, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for Audit {
    type VerifyLogStream = VerifyEvents;

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let result = match list_request(request.get_ref()) {
            Ok(request) => audit::list(call.tenant, &call.caller, request, call.deadline).await,
            Err(error) => Err(error),
        };
        call.end(result, |page| v1::ListEntriesResponse {
            entries: page.entries.into_iter().map(summary).collect(),
            next_page_token: field::page_token_text(&page.next_page_token),
            log_size: page.log_size,
        })
        .await
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let result = audit::show(
            call.tenant,
            &call.caller,
            request.get_ref().log_index,
            call.deadline,
        )
        .await;
        call.end(result, shown).await
    }

    async fn verify_log(
        &self,
        request: Request<v1::VerifyLogRequest>,
    ) -> Result<Response<VerifyEvents>, Status> {
        let call = self
            .enter(&request, &request.get_ref().municipality_code, VERIFY)
            .await?;
        let (out, outgoing) = mpsc::channel(16);
        let (progress, mut incoming) = mpsc::channel::<VerifyProgress>(16);
        let (tenant, caller, deadline) = (call.tenant.clone(), call.caller, call.deadline);
        tokio::spawn(async move {
            let forward = async {
                while let Some(progress) = incoming.recv().await {
                    if out.send(Ok(progress_message(progress))).await.is_err() {
                        return;
                    }
                }
            };
            let (result, ()) =
                tokio::join!(audit::verify(&tenant, &caller, progress, deadline), forward);
            let last = match result {
                Ok(recorded) => Ok(report(recorded.into_parts().0)),
                Err(error) => Err(status(&noted(Some(&tenant), &caller, error).await)),
            };
            if out.send(last).await.is_err() {
                tracing::debug!("the caller of a verification left before its end");
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        // No entry is read: a checkpoint is what members and witnesses see too.
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let checkpoint = call.tenant.log.checkpoint().note().to_owned();
        Ok(Response::new(v1::GetCheckpointResponse { checkpoint }))
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Result<Response<v1::ReconcileResponse>, Status> {
        let call = self
            .enter(&request, &request.get_ref().municipality_code, RECONCILE)
            .await?;
        let provider = field::municipality("provider_code", &request.get_ref().provider_code);
        let result = match provider {
            Ok(provider) => reconcile_now(call.tenant, &call.caller, provider, call.deadline).await,
            Err(error) => Err(error),
        };
        call.end(result, reconciliation::outcome_message).await
    }
}

fn list_request(request: &v1::ListEntriesRequest) -> Parsed<ListRequest> {
    let kind = match request.kind {
        0 => None,
        number => Some(field::choice("kind", number, EntryKind::from_code)?),
    };
    let time = |name, value: &Option<prost_types::Timestamp>| match value {
        None => Ok(None),
        Some(_) => field::time(name, value.as_ref()).map(Some),
    };
    Ok(ListRequest {
        page_size: request.page_size,
        page_token: field::page_token("page_token", &request.page_token)?,
        filter: EntryFilter {
            kind,
            from: time("from", &request.from)?,
            until: time("until", &request.until)?,
        },
    })
}

fn summary(entry: EntrySummary) -> v1::LogEntry {
    v1::LogEntry {
        log_index: entry.index,
        time: Some(field::timestamp(entry.time)),
        kind: i32::from(entry.kind),
        actor: entry.actor,
        action: entry.action,
        outcome: entry.outcome,
        cause: entry.cause,
        ..v1::LogEntry::default()
    }
}

fn shown(entry: ShownEntry) -> v1::GetEntryResponse {
    let entry_id = vrx_tlog::Leaf::decode(&entry.leaf)
        .map(|leaf| vrx_domain::EntryId::from_bytes(leaf.entry_id).to_string())
        .unwrap_or_default();
    let fields = entry.fields.into_iter().map(|field| v1::EntryField {
        commitment: field.part.to_owned(),
        name: field.name,
        value: field.value,
    });
    v1::GetEntryResponse {
        entry: Some(v1::LogEntry {
            log_index: entry.index,
            time: Some(field::timestamp(entry.time)),
            kind: i32::from(entry.kind),
            entry_id,
            fields: fields.collect(),
            subject_seq: entry.subject_seq,
            previous_index: entry.previous_index.unwrap_or_default(),
            ..v1::LogEntry::default()
        }),
        receipt: Some(v1::Receipt {
            log_index: entry.index,
            leaf: entry.leaf,
            checkpoint: entry.checkpoint,
            inclusion_proof: hashes(&entry.inclusion_proof),
            consistency_proof: Vec::new(),
        }),
        // An opening that isn't what the leaf commits to is an error, never shown.
        commitments_verified: true,
    }
}

fn progress_message(progress: VerifyProgress) -> v1::VerifyLogEvent {
    let progress = v1::VerifyProgress {
        entries_checked: progress.checked,
        entries_total: progress.total,
    };
    v1::VerifyLogEvent {
        event: Some(Event::Progress(progress)),
    }
}

fn report(verified: LogVerified) -> v1::VerifyLogEvent {
    const MOST: usize = 100;
    let root = SignedNote::parse(&verified.checkpoint)
        .ok()
        .and_then(|note| Checkpoint::parse(note.text()).ok())
        .map(|checkpoint| checkpoint.root.to_vec());
    let mut findings = verified.faults;
    let ok = findings.is_empty();
    findings.truncate(MOST);
    let report = v1::VerifyReport {
        ok,
        size: verified.entries,
        root: root.unwrap_or_default(),
        checkpoint: verified.checkpoint,
        findings,
        openings_checked: verified.entries.saturating_sub(verified.erased),
    };
    v1::VerifyLogEvent {
        event: Some(Event::Report(report)),
    }
}
