//! `RegistryService`: what a tenant's staff do with their own register.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use vrx_domain::{Evidence, MunicipalityCode, Purpose, RequestId};
use vrx_proto::v1;
use vrx_proto::v1::registry_service_server::{RegistryService, RegistryServiceServer};
use vrx_services::registry::{
    self, AdoptRequest, BirthDateCheck, ImportOverview, InquireRequest, InquiryReport, InquiryWord,
};
use vrx_services::{ServiceError, Tenants};
use zeroize::Zeroize;

use super::call::{Granted, noted};
use super::import::{self, File};
use super::own::OwnCall;
use crate::access;
use crate::limits::Limits;
use crate::status::status;
use crate::wire::answer::{dose_message, receipt_message};
use crate::wire::evidence::{parse_consent, parse_identity};
use crate::wire::field::{self, Parsed};

/// The longest message of staff: a chunk of a file and what surrounds it.
const LONGEST_REQUEST: usize = 300 * 1024;

/// The service on tonic's generated server.
pub(crate) fn server(tenants: Arc<Tenants>, limits: Limits) -> RegistryServiceServer<Registry> {
    RegistryServiceServer::new(Registry { tenants, limits })
        .max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Registry {
    tenants: Arc<Tenants>,
    limits: Limits,
}

impl Registry {
    /// The tenant that a request names, when it is the caller's own.
    async fn enter<T>(
        &self,
        request: &Request<T>,
        named: &str,
        longest: Longest,
    ) -> Result<OwnCall<'_>, Status> {
        let longest = match longest {
            Longest::Usual => self.limits.deadline,
            Longest::Inquiry => self.limits.inquiry_deadline,
        };
        OwnCall::enter(&self.tenants, request, named, longest).await
    }

    /// Starts an import: the header is read and checked, the rest runs in a task of its own.
    async fn import(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
        file: File,
    ) -> Result<Response<ImportEvents>, Status> {
        let (caller, _) = Granted::of(&request).map_err(|error| status(&error))?;
        let mut messages = request.into_inner();
        let header = import::header(&mut messages).await;
        let entered = header.and_then(|header| {
            let named = field::municipality("municipality_code", &header.municipality_code)?;
            Ok((
                header,
                access::check_own_tenant(&self.tenants, &caller, named)?,
            ))
        });
        match entered {
            Ok((header, tenant)) => {
                let events = import::start(tenant.clone(), caller, file, header, messages);
                Ok(Response::new(Box::pin(ReceiverStream::new(events))))
            }
            Err(error) => {
                let tenant = access::tenant_of_refusal(&self.tenants, &caller, None);
                Err(status(&noted(tenant, &caller, error).await))
            }
        }
    }
}

/// How long a call may take at most.
#[derive(Clone, Copy)]
enum Longest {
    Usual,
    Inquiry,
}

type ImportEvents = Pin<Box<dyn Stream<Item = Result<v1::ImportEvent, Status>> + Send>>;

#[tonic::async_trait]
impl RegistryService for Registry {
    type ImportPersonsStream = ImportEvents;
    type ImportDosesStream = ImportEvents;

    async fn import_persons(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<ImportEvents>, Status> {
        self.import(request, File::Persons).await
    }

    async fn import_doses(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<ImportEvents>, Status> {
        self.import(request, File::Doses).await
    }

    async fn approve_import(
        &self,
        request: Request<v1::ApproveImportRequest>,
    ) -> Result<Response<v1::ApproveImportResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                Longest::Usual,
            )
            .await?;
        let result = async {
            let import = field::import_id("import_id", &request.get_ref().import_id)?;
            registry::approve_import(call.tenant, &call.caller, import, call.deadline).await
        };
        let result = result.await.map(|report| v1::ApproveImportResponse {
            rows_approved: report.rows,
            log_index: report.log_index,
        });
        call.end(result).await
    }

    async fn list_imports(
        &self,
        request: Request<v1::ListImportsRequest>,
    ) -> Result<Response<v1::ListImportsResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                Longest::Usual,
            )
            .await?;
        let result = async {
            let request = registry::ListImportsRequest {
                page_size: request.get_ref().page_size,
                page_token: field::page_token("page_token", &request.get_ref().page_token)?,
            };
            registry::list_imports(call.tenant, &call.caller, request, call.deadline).await
        };
        let result = result.await.map(|page| v1::ListImportsResponse {
            imports: page.imports.iter().map(overview).collect(),
            next_page_token: field::page_token_text(&page.next_page_token),
        });
        call.end(result).await
    }

    async fn inquire_municipality(
        &self,
        mut request: Request<v1::InquireMunicipalityRequest>,
    ) -> Result<Response<v1::InquireMunicipalityResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                Longest::Inquiry,
            )
            .await;
        let parsed = match &call {
            Ok(call) => inquiry(call, request.get_ref()),
            Err(_) => Err(ServiceError::PermissionDenied),
        };
        // Whatever comes of it, the text of the number goes now.
        request.get_mut().individual_number.zeroize();
        let call = call?;
        let result = match parsed {
            Ok(inquiry) => {
                registry::inquire(call.tenant, &call.caller, inquiry, call.deadline).await
            }
            Err(error) => Err(error),
        };
        let result = result.map(|recorded| {
            let log_index = recorded.log_index();
            let (report, _, _) = recorded.into_parts();
            inquiry_message(&report, log_index)
        });
        call.end(result).await
    }

    async fn adopt_records(
        &self,
        request: Request<v1::AdoptRecordsRequest>,
    ) -> Result<Response<v1::AdoptRecordsResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                Longest::Usual,
            )
            .await?;
        let result = async {
            let inquiry = field::inquiry_id("inquiry_id", &request.get_ref().inquiry_id)?;
            let request = AdoptRequest {
                inquiry,
                confirm_birth_date_difference: request.get_ref().confirm_birth_date_difference,
            };
            registry::adopt(call.tenant, &call.caller, request, call.deadline).await
        };
        let result = result.await.map(|report| v1::AdoptRecordsResponse {
            doses_adopted: report.adopted,
            doses_unchanged: report.unchanged,
            log_index: report.log_index,
            import_id: report
                .import
                .map(|import| import.to_string())
                .unwrap_or_default(),
        });
        call.end(result).await
    }
}

/// What staff ask for. Who asks is taken from the certificate, never from the message.
fn inquiry(call: &OwnCall<'_>, request: &v1::InquireMunicipalityRequest) -> Parsed<InquireRequest> {
    let provider: MunicipalityCode = field::municipality(
        "former_municipality_code",
        &request.former_municipality_code,
    )?;
    let operator = call
        .caller
        .id
        .name
        .as_deref()
        .ok_or(ServiceError::PermissionDenied)?;
    Ok(InquireRequest {
        request_id: RequestId::random(&*call.tenant.node.random),
        provider,
        number: field::individual_number("individual_number", &request.individual_number)?,
        evidence: Evidence {
            purpose: Purpose::MoveIn,
            legal_basis: field::legal_basis("legal_basis", &request.legal_basis)?,
            consent: parse_consent(request.consent.as_ref())?,
            identity: parse_identity(request.identity.as_ref())?,
            operator_ref: field::reference("operator_ref", operator)?,
            event_reference: field::reference("event_reference", &request.event_reference)?,
            event_date: field::date("event_date", request.event_date.as_ref())?,
            conceal_requester: request.conceal_requester,
        },
    })
}

fn inquiry_message(report: &InquiryReport, log_index: u64) -> v1::InquireMunicipalityResponse {
    let outcome = match report.word {
        InquiryWord::Found => v1::InquiryOutcome::Found,
        InquiryWord::Nothing => v1::InquiryOutcome::Nothing,
        InquiryWord::Refused => v1::InquiryOutcome::Refused,
        InquiryWord::Failed => v1::InquiryOutcome::Failed,
    };
    let birth_date = match report.birth_date {
        None => v1::BirthDateMatch::Unspecified,
        Some(BirthDateCheck::Same) => v1::BirthDateMatch::Same,
        Some(BirthDateCheck::Differs) => v1::BirthDateMatch::Different,
        Some(BirthDateCheck::NotRegistered) => v1::BirthDateMatch::NotRegistered,
    };
    v1::InquireMunicipalityResponse {
        inquiry_id: report.inquiry.to_string(),
        outcome: outcome.into(),
        reason: report.reason.unwrap_or_default().to_owned(),
        doses: report.doses.iter().map(dose_message).collect(),
        birth_date_match: birth_date.into(),
        held_back: report.held_back,
        receipt: report.receipt.as_ref().map(receipt_message),
        adoptable: report.word == InquiryWord::Found,
        expires_at: report.expires_at.map(field::timestamp),
        log_index,
        provider_log_index: report.provider_log_index.unwrap_or_default(),
        request_id: report.request_id.to_string(),
        field: report.field.unwrap_or_default().to_owned(),
    }
}

fn overview(import: &ImportOverview) -> v1::Import {
    let kind = match import.kind {
        "persons" => v1::ImportKind::Persons,
        "doses" => v1::ImportKind::Doses,
        "adoption" => v1::ImportKind::Adoption,
        _ => v1::ImportKind::Unspecified,
    };
    let state = if import.approved_by.is_some() {
        v1::ImportState::Approved
    } else {
        v1::ImportState::Entered
    };
    v1::Import {
        import_id: import.id.to_string(),
        kind: kind.into(),
        state: state.into(),
        entered_by: import.imported_by.clone(),
        approved_by: import.approved_by.clone().unwrap_or_default(),
        created_at: Some(field::timestamp(import.imported_at)),
        rows_new: import.entered,
        ..v1::Import::default()
    }
}
