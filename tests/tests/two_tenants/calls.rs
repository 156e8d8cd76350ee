//! Every call of every service, as somebody of one tenant makes it about the other.

#[path = "officers.rs"]
mod officers;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};
use vrx_proto::v1::audit_service_client::AuditServiceClient;
use vrx_proto::v1::import_event::Event;
use vrx_proto::v1::import_request::Part;
use vrx_proto::v1::receipt_service_client::ReceiptServiceClient;
use vrx_proto::v1::reconciliation_service_client::ReconciliationServiceClient;
use vrx_proto::v1::registry_service_client::RegistryServiceClient;
use vrx_proto::v1::{
    AdoptRecordsRequest, ApproveImportRequest, Difference, DifferenceKind, GetCheckpointRequest,
    GetEntryRequest, ImportHeader, ImportRequest, InquireMunicipalityRequest, InquiryOutcome,
    ListEntriesRequest, ListImportsRequest, ListProvisionsRequest, ListReceiptsRequest,
    ReconcileRequest, ReportDifferencesRequest, VerifyLogRequest,
};
use vrx_tests::demo::YOKOHAMA;
use vrx_tests::exchange::{Told, query, request, told};

/// The ways in of those who make the calls.
#[derive(Clone)]
pub(crate) struct Callers {
    pub(crate) exchange: Channel,
    pub(crate) staff: Channel,
    pub(crate) officer: Channel,
}

/// What a caller can see of an end: code, sentence, details; of an answer what it says and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said(Code, String, Vec<u8>);

/// Something that a call is about: the other tenant has it, or nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) number: String,
    pub(crate) addressee: String,
    pub(crate) import: String,
    pub(crate) inquiry: String,
    pub(crate) page_token: String,
    pub(crate) log_origin: String,
    pub(crate) index: u64,
}

/// Calls that name nothing but municipalities: there is nothing of the other tenant that they could ask for.
pub(crate) const ABOUT_NOTHING: [&str; 8] = [
    "AuditService/GetCheckpoint",
    "AuditService/Reconcile",
    "AuditService/SignReview",
    "AuditService/SummarizeDays",
    "AuditService/VerifyLog",
    "RetentionService/ListErasures",
    "RetentionService/PlanErasure",
    "RetentionService/ProposeErasure",
];

/// All calls that there are, as the wire's specification has them: `Service/Method`.
pub(crate) fn all() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/vrx/v1");
    let mut calls = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.split(' ').next();
            } else if let Some(rest) = line.trim_start().strip_prefix("rpc ") {
                let method = rest.split('(').next().unwrap();
                calls.insert(format!("{}/{method}", service.unwrap()));
            }
        }
    }
    assert!(calls.len() >= 12, "{calls:?}");
    calls
}

/// A call by somebody who says that it is for `code`.
pub(crate) async fn claim(callers: &Callers, call: &str, code: &str) -> Said {
    let about = About {
        import: crate::NOBODYS.to_owned(),
        inquiry: crate::NOBODYS.to_owned(),
        number: "123456789018".to_owned(),
        ..About::default()
    };
    // Nodes call for other municipalities' own things: here somebody who works in one tries.
    let mut callers = callers.clone();
    callers.exchange = callers.staff.clone();
    make(&callers, call, code, &about).await
}

/// A call to a tenant about something. A call without a row here fails.
pub(crate) async fn make(callers: &Callers, call: &str, code: &str, about: &About) -> Said {
    match call.split('/').next() {
        Some("RegistryService") => by_staff(callers, call, code, about).await,
        Some("AuditService") => by_officer(callers, call, code, about).await,
        Some("RetentionService") => officers::retention(callers, call, code, about).await,
        _ => by_node(callers, call, code, about).await,
    }
}

/// What nodes ask each other.
async fn by_node(callers: &Callers, call: &str, code: &str, about: &About) -> Said {
    let municipality_code = code.to_owned();
    match call {
        "ExchangeService/QueryRecords" => {
            let mut asked = request(&about.number);
            asked.municipality_code = municipality_code;
            match query(&callers.exchange, asked).await {
                Ok(response) => of_answer(response),
                Err(status) => of(&status),
            }
        }
        "ReceiptService/ListReceipts" => {
            let asked = ListReceiptsRequest {
                municipality_code,
                log_origin: about.log_origin.clone(),
                from_index: about.index,
                ..ListReceiptsRequest::default()
            };
            let mut receipts = ReceiptServiceClient::new(callers.exchange.clone());
            said(receipts.list_receipts(asked).await)
        }
        "ReconciliationService/ListProvisions" => {
            let asked = ListProvisionsRequest {
                municipality_code,
                log_origin: about.log_origin.clone(),
                ..ListProvisionsRequest::default()
            };
            let mut own = ReconciliationServiceClient::new(callers.exchange.clone());
            said(own.list_provisions(asked).await)
        }
        "ReconciliationService/ReportDifferences" => {
            let difference = Difference {
                kind: DifferenceKind::ReceiptWithoutEntry.into(),
                log_index: 0,
                request_id: crate::NOBODYS.to_owned(),
            };
            let asked = ReportDifferencesRequest {
                municipality_code,
                log_origin: about.log_origin.clone(),
                differences: vec![difference],
            };
            let mut own = ReconciliationServiceClient::new(callers.exchange.clone());
            said(own.report_differences(asked).await)
        }
        other => panic!("{other} has no row here: write one"),
    }
}

/// What staff do.
async fn by_staff(callers: &Callers, call: &str, code: &str, about: &About) -> Said {
    let municipality_code = code.to_owned();
    let mut registry = RegistryServiceClient::new(callers.staff.clone());
    match call {
        "RegistryService/ImportPersons" => {
            let rows = format!(
                "{},{},髙橋　試,タカハシ　タメス,19800101,9,本町1番地,20200101,,,",
                about.number, about.addressee
            );
            let parts = parts(
                municipality_code,
                &format!("{}\r\n{rows}\r\n", crate::house::PERSONS),
            );
            of_import(registry.import_persons(parts).await).await
        }
        "RegistryService/ImportDoses" => {
            let row = format!(
                "{},20210601120000,20210601,0000000001,142051,会場,医師,ファイザー,EW4811",
                about.addressee
            );
            let parts = parts(municipality_code, &format!("{DOSES}\r\n{row}\r\n"));
            of_import(registry.import_doses(parts).await).await
        }
        "RegistryService/ApproveImport" => {
            let asked = ApproveImportRequest {
                municipality_code,
                import_id: about.import.clone(),
            };
            said(registry.approve_import(asked).await)
        }
        "RegistryService/ListImports" => {
            let asked = ListImportsRequest {
                municipality_code,
                page_token: about.page_token.clone(),
                ..ListImportsRequest::default()
            };
            said(registry.list_imports(asked).await)
        }
        "RegistryService/InquireMunicipality" => {
            let asked = inquiry(municipality_code, YOKOHAMA, &about.number);
            match registry.inquire_municipality(asked).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    assert_eq!(
                        answer.outcome(),
                        InquiryOutcome::Nothing,
                        "{}",
                        answer.reason
                    );
                    let told = (answer.birth_date_match, answer.held_back, answer.adoptable);
                    Said(Code::Ok, format!("{told:?}"), Vec::new())
                }
                Err(status) => of(&status),
            }
        }
        "RegistryService/AdoptRecords" => {
            let asked = AdoptRecordsRequest {
                municipality_code,
                inquiry_id: about.inquiry.clone(),
                ..AdoptRecordsRequest::default()
            };
            said(registry.adopt_records(asked).await)
        }
        other => panic!("{other} has no row here: write one"),
    }
}

/// What privacy officers read; the rest of it stands in `officers.rs`.
async fn by_officer(callers: &Callers, call: &str, code: &str, about: &About) -> Said {
    let municipality_code = code.to_owned();
    let mut audit = AuditServiceClient::new(callers.officer.clone());
    match call {
        "AuditService/ListEntries" => {
            let asked = ListEntriesRequest {
                municipality_code,
                page_token: about.page_token.clone(),
                ..ListEntriesRequest::default()
            };
            said(audit.list_entries(asked).await)
        }
        "AuditService/GetEntry" => {
            let asked = GetEntryRequest {
                municipality_code,
                log_index: about.index,
                proof_only: false,
            };
            said(audit.get_entry(asked).await)
        }
        "AuditService/VerifyLog" => {
            let events = audit.verify_log(VerifyLogRequest { municipality_code });
            of_refused_stream(events.await).await
        }
        "AuditService/Reconcile" => {
            let asked = ReconcileRequest {
                municipality_code,
                provider_code: YOKOHAMA.to_owned(),
            };
            said(audit.reconcile(asked).await)
        }
        "AuditService/GetCheckpoint" => said(
            audit
                .get_checkpoint(GetCheckpointRequest {
                    municipality_code,
                    witnessed: false,
                })
                .await,
        ),
        other => officers::audit(callers, other, code, about).await,
    }
}

/// An inquiry by a tenant's staff.
pub(crate) fn inquiry(
    municipality_code: String,
    from: &str,
    number: &str,
) -> InquireMunicipalityRequest {
    let asked = request(number);
    InquireMunicipalityRequest {
        municipality_code,
        individual_number: asked.individual_number,
        former_municipality_code: from.to_owned(),
        legal_basis: asked.legal_basis,
        consent: asked.consent,
        identity: asked.identity,
        event_reference: asked.event_reference,
        event_date: asked.event_date,
        conceal_requester: false,
    }
}

const DOSES: &str = "個別宛名番号(空欄),1回目接種履歴登録日時,1回目接種日,1回目券番号,1回目接種自治体コード,1回目接種会場名,\
                     1回目接種医師名,1回目ワクチンメーカー,1回目ワクチンロット番号";

/// A file that is only checked.
fn parts(
    municipality_code: String,
    file: &str,
) -> impl tokio_stream::Stream<Item = ImportRequest> + Send + 'static {
    let header = ImportHeader {
        municipality_code,
        check: true,
        ..ImportHeader::default()
    };
    let parts = [Part::Header(header), Part::Chunk(file.as_bytes().to_vec())];
    tokio_stream::iter(parts.map(|part| ImportRequest { part: Some(part) }))
}

fn of(status: &Status) -> Said {
    Said(
        status.code(),
        status.message().to_owned(),
        status.details().to_vec(),
    )
}

/// An answer in full: nothing in it may come from the log, whose places differ with every call.
fn said<T: Message>(answer: Result<Response<T>, Status>) -> Said {
    match answer {
        Ok(answer) => Said(Code::Ok, String::new(), answer.into_inner().encode_to_vec()),
        Err(status) => of(&status),
    }
}

/// *Nothing*, by all that doesn't grow with the log.
fn of_answer(response: Response<vrx_proto::v1::QueryRecordsResponse>) -> Said {
    let keys: Vec<String> = response
        .metadata()
        .keys()
        .map(|key| format!("{key:?}"))
        .collect();
    let Told::Nothing(mut nothing) = told(response).unwrap() else {
        panic!("a tenant answers for a resident of the other");
    };
    nothing.inclusion_proof.clear();
    nothing.consistency_proof.clear();
    nothing.checkpoint.clear();
    nothing.log_index = 0;
    Said(
        Code::Ok,
        format!("{keys:?} {}", nothing.encoded_len()),
        Vec::new(),
    )
}

async fn of_import(
    answer: Result<Response<Streaming<vrx_proto::v1::ImportEvent>>, Status>,
) -> Said {
    let mut events = match answer {
        Ok(events) => events.into_inner(),
        Err(status) => return of(&status),
    };
    let mut told = Vec::new();
    loop {
        match events.message().await {
            Ok(Some(event)) => match event.event.unwrap() {
                Event::Progress(_) => {}
                Event::RefusedRow(row) => told.extend(row.encode_to_vec()),
                Event::Summary(summary) => told.extend(summary.encode_to_vec()),
            },
            Ok(None) => return Said(Code::Ok, String::new(), told),
            Err(status) => return of(&status),
        }
    }
}

async fn of_refused_stream<T: Debug>(answer: Result<Response<Streaming<T>>, Status>) -> Said {
    match answer {
        Ok(stream) => of(&stream
            .into_inner()
            .message()
            .await
            .expect_err("an answer for another tenant")),
        Err(status) => of(&status),
    }
}

impl Said {
    /// Whether it was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.0 != Code::Ok
    }
}
