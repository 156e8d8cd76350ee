//! One `vrx-node` with two municipalities in one PostgreSQL database: no call leads from one to the other, and what belongs to
//! the other is answered as what was never there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod house;

use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};
use vrx_certs_dev::spec::server_name;
use vrx_proto::v1::audit_service_client::AuditServiceClient;
use vrx_proto::v1::import_request::Part;
use vrx_proto::v1::registry_service_client::RegistryServiceClient;
use vrx_proto::v1::{
    AdoptRecordsRequest, ApproveImportRequest, GetCheckpointRequest, GetEntryRequest, ImportHeader,
    ImportRequest, InquireMunicipalityRequest, ListEntriesRequest, ListImportsRequest,
    MarkEntryRequest, Nothing, ReadEntryStoryRequest, ReadHistoryRequest, SignReviewRequest,
    SummarizeDaysRequest, VerifyLogRequest,
};
use vrx_tests::demo::{FUJISAWA, YOKOHAMA};
use vrx_tests::desk::INQUIRE;
use vrx_tests::exchange::{
    Told, check_receipt, individual_number, query, request, told, unknown_numbers,
};
use vrx_tests::tls;

use house::{House, KAMAKURA};

/// An id that nobody has.
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn no_call_leads_from_one_tenant_of_a_node_to_the_other() {
    let house = House::build().await;
    what_fujisawa_provides_kamakura_has_never_heard_of(&house).await;
    an_import_of_the_other_is_no_import(&house);
    an_inquiry_of_the_other_is_no_inquiry(&house);
    each_officer_reads_the_own_log(&house);
    each_officer_reads_the_own_part_of_a_movers_history(&house);
    nobody_acts_for_the_other(&house).await;
}

/// By what is said, by its size, and by how long it takes, for either caller.
async fn what_fujisawa_provides_kamakura_has_never_heard_of(house: &House) {
    let provided = house.demo.numbers("provided");
    let persons = &house.demo.description.persons;
    let taken: Vec<String> = persons
        .iter()
        .map(|person| person.individual_number.clone())
        .collect();
    let unknown = unknown_numbers(40, &taken);
    let (fujisawa, kamakura) = (
        house.channel(FUJISAWA, YOKOHAMA),
        house.channel(KAMAKURA, YOKOHAMA),
    );
    let ask = async |number: &str| {
        let mut asked = request(number);
        asked.municipality_code = KAMAKURA.into();
        let begun = Instant::now();
        let response = query(&kamakura, asked).await.unwrap();
        let took = begun.elapsed();
        let keys: Vec<String> = response
            .metadata()
            .keys()
            .map(|key| format!("{key:?}"))
            .collect();
        let Told::Nothing(nothing) = told(response).unwrap() else {
            panic!("Kamakura answers for a resident of Fujisawa");
        };
        (took, keys, nothing)
    };
    // The first of each is cold: the node has never looked for them.
    let (mut theirs, mut nobodys) = (Vec::new(), Vec::new());
    for round in 0..3 {
        for (number, other) in provided.iter().zip(&unknown).take(40) {
            let (took, keys, nothing) = ask(number).await;
            let (other_took, other_keys, other_nothing) = ask(other).await;
            assert_eq!(keys, other_keys);
            let sizes = |nothing: &Nothing| {
                let mut nothing = nothing.clone();
                // Proofs grow with the log, whoever is asked for.
                nothing.inclusion_proof.clear();
                nothing.consistency_proof.clear();
                nothing.checkpoint.clear();
                nothing.log_index = 0;
                nothing.encoded_len()
            };
            assert_eq!(sizes(&nothing), sizes(&other_nothing));
            if round == 0 {
                let receipt = Told::Nothing(nothing).receipt().unwrap();
                check_receipt(&receipt, &house.log_vkey).unwrap();
                let foreign = &house.demo.node(FUJISAWA).unwrap().log_vkey;
                assert!(check_receipt(&receipt, foreign).is_err(), "the other's log");
            }
            theirs.push(took);
            nobodys.push(other_took);
        }
    }
    let (theirs, nobodys) = (median(theirs), median(nobodys));
    let apart = theirs.max(nobodys).as_secs_f64() / theirs.min(nobodys).as_secs_f64();
    assert!(apart < 1.5, "{theirs:?} and {nobodys:?} tell them apart");
    // Fujisawa still provides, to either caller.
    for caller in [fujisawa, house.channel(FUJISAWA, KAMAKURA)] {
        let found = told(query(&caller, request(&provided[0])).await.unwrap()).unwrap();
        assert!(matches!(found, Told::Found(_)));
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn an_import_of_the_other_is_no_import(house: &House) {
    let number = individual_number(27_182_818_284);
    let fujisawas = house.enter("142051-staff-tanaka", &number, "T-1");
    let kamakuras = house.enter("142042-staff-a", &number, "T-1");
    for (stranger, own, import) in [
        ("142042-staff-b", "142051-staff-suzuki", &fujisawas),
        ("142051-staff-suzuki", "142042-staff-b", &kamakuras),
    ] {
        let refused = house.vrx(stranger, &["import", "approve", import], "");
        let nobodys = house.vrx(stranger, &["import", "approve", NOBODYS], "");
        assert_ne!(refused.code, 0);
        assert_eq!(refused, nobodys);
        let listed = house.json(stranger, &["import", "list"], "").to_string();
        assert!(!listed.contains(import.as_str()), "{listed}");
        let approved = house.json(own, &["import", "approve", import], "");
        assert_eq!(approved["rows_approved"], 1);
    }
}

fn an_inquiry_of_the_other_is_no_inquiry(house: &House) {
    // From one tenant of the node to the other, over the network like to any.
    let mover = &house.demo.numbers("provided")[5];
    let answer = house.json("142042-staff-a", &INQUIRE, mover);
    assert_eq!(answer["outcome"], "found", "{answer}");
    let id = answer["inquiry_id"].as_str().unwrap();
    let refused = house.vrx("142051-staff-tanaka", &["adopt", id], "");
    let nobodys = house.vrx("142051-staff-tanaka", &["adopt", NOBODYS], "");
    assert_ne!(refused.code, 0);
    assert_eq!(refused, nobodys);
}

fn each_officer_reads_the_own_log(house: &House) {
    let (fujisawas, kamakuras) = ("142051-officer-mori", "142042-officer-c");
    let entries = |officer| {
        let listed = house.json(officer, &["log", "list"], "");
        listed["entries"].as_array().unwrap().clone()
    };
    let (of_fujisawa, of_kamakura) = (entries(fujisawas), entries(kamakuras));
    assert!(!of_fujisawa.is_empty() && !of_kamakura.is_empty());
    for entry in &of_kamakura {
        assert!(!of_fujisawa.contains(entry), "{entry}");
    }
    let (ours, theirs) = (
        house.json(fujisawas, &["log", "show", "0"], ""),
        house.json(kamakuras, &["log", "show", "0"], ""),
    );
    assert_ne!(ours, theirs);
    for officer in [fujisawas, kamakuras] {
        let verified = house.json(officer, &["log", "verify"], "");
        assert_eq!(verified["signature_checked"], true);
    }
    let foreign = house.demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let ended = house.vrx(kamakuras, &["--log-vkey", &foreign, "log", "verify"], "");
    assert_ne!(ended.code, 0, "Kamakura's log under Fujisawa's key");
}

fn each_officer_reads_the_own_part_of_a_movers_history(house: &House) {
    let mover = &house.demo.numbers("provided")[6];
    let answer = house.json("142042-staff-a", &INQUIRE, mover);
    assert_eq!(answer["outcome"], "found", "{answer}");
    for (officer, other, actions) in [
        ("142051-officer-mori", KAMAKURA, &["query-records"][..]),
        ("142042-officer-c", FUJISAWA, &["inquire", "inquire"]),
    ] {
        let history = house.json(officer, &["officer", "history", "--internal"], mover);
        let entries = history["entries"].as_array().unwrap();
        let (own, read) = entries.split_at(actions.len());
        let done: Vec<_> = own.iter().map(|entry| entry["action"].as_str()).collect();
        let expected: Vec<_> = actions.iter().map(|action| Some(*action)).collect();
        assert_eq!(done, expected, "{officer}");
        assert!(own.iter().all(|entry| entry["counterparty"] == other));
        assert_eq!((read.len(), &read[0]["action"]), (1, &"history".into()));
    }
}

/// Whoever says that they work for the other tenant is told, in every call, what they are told of a municipality that isn't
/// here: whichever name they connect by.
async fn nobody_acts_for_the_other(house: &House) {
    for (own, claimed) in [(FUJISAWA, KAMAKURA), (KAMAKURA, FUJISAWA)] {
        for name in [own, claimed] {
            let channel = |role| {
                tls::channel(
                    &house.identity(own, role),
                    house.process.address(),
                    &server_name(name),
                )
                .unwrap()
            };
            let (staff, officer) = (channel("staff"), channel("officer"));
            let refused = refusals(&staff, &officer, claimed).await;
            let not_here = refusals(&staff, &officer, "011002").await;
            assert_eq!(
                refused, not_here,
                "{own} as {claimed} by the name of {name}"
            );
        }
    }
}

/// What each call says to somebody who claims to work for a municipality.
async fn refusals(staff: &Channel, officer: &Channel, code: &str) -> Vec<(Code, String, Vec<u8>)> {
    let municipality_code = code.to_owned();
    let mut registry = RegistryServiceClient::new(staff.clone());
    let header = ImportRequest {
        part: Some(Part::Header(ImportHeader {
            municipality_code: municipality_code.clone(),
            ..ImportHeader::default()
        })),
    };
    let import = || tokio_stream::once(header.clone());
    let statuses = [
        refusal_of_stream(registry.import_persons(import()).await).await,
        refusal_of_stream(registry.import_doses(import()).await).await,
        refusal(
            registry
                .approve_import(ApproveImportRequest {
                    municipality_code: municipality_code.clone(),
                    import_id: NOBODYS.to_owned(),
                })
                .await,
        ),
        refusal(
            registry
                .list_imports(ListImportsRequest {
                    municipality_code: municipality_code.clone(),
                    ..ListImportsRequest::default()
                })
                .await,
        ),
        refusal(
            registry
                .adopt_records(AdoptRecordsRequest {
                    municipality_code: municipality_code.clone(),
                    inquiry_id: NOBODYS.to_owned(),
                    ..AdoptRecordsRequest::default()
                })
                .await,
        ),
        refusal(
            registry
                .inquire_municipality(InquireMunicipalityRequest {
                    municipality_code: municipality_code.clone(),
                    ..InquireMunicipalityRequest::default()
                })
                .await,
        ),
    ];
    let statuses = statuses
        .into_iter()
        .chain(officers_refusals(officer, code).await);
    statuses
        .map(|status| {
            (
                status.code(),
                status.message().to_owned(),
                status.details().to_vec(),
            )
        })
        .collect()
}

async fn officers_refusals(officer: &Channel, code: &str) -> Vec<Status> {
    let municipality_code = code.to_owned();
    let mut audit = AuditServiceClient::new(officer.clone());
    vec![
        refusal(
            audit
                .list_entries(ListEntriesRequest {
                    municipality_code: municipality_code.clone(),
                    ..ListEntriesRequest::default()
                })
                .await,
        ),
        refusal(
            audit
                .get_entry(GetEntryRequest {
                    municipality_code: municipality_code.clone(),
                    log_index: 0,
                })
                .await,
        ),
        refusal_of_stream(
            audit
                .verify_log(VerifyLogRequest {
                    municipality_code: municipality_code.clone(),
                })
                .await,
        )
        .await,
        refusal_of_stream(
            audit
                .read_history(ReadHistoryRequest {
                    municipality_code: municipality_code.clone(),
                    individual_number: individual_number(27_182_818_284),
                    view: 2,
                })
                .await,
        )
        .await,
        refusal(
            audit
                .mark_entry(MarkEntryRequest {
                    municipality_code: municipality_code.clone(),
                    ..MarkEntryRequest::default()
                })
                .await,
        ),
        refusal(
            audit
                .read_entry_story(ReadEntryStoryRequest {
                    municipality_code: municipality_code.clone(),
                    log_index: 0,
                })
                .await,
        ),
        refusal_of_stream(
            audit
                .summarize_days(SummarizeDaysRequest {
                    municipality_code: municipality_code.clone(),
                    ..SummarizeDaysRequest::default()
                })
                .await,
        )
        .await,
        refusal(
            audit
                .sign_review(SignReviewRequest {
                    municipality_code: municipality_code.clone(),
                    ..SignReviewRequest::default()
                })
                .await,
        ),
        refusal(
            audit
                .get_checkpoint(GetCheckpointRequest { municipality_code })
                .await,
        ),
    ]
}

fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Status {
    answer.expect_err("an answer for another tenant")
}

async fn refusal_of_stream<T: std::fmt::Debug>(
    answer: Result<Response<Streaming<T>>, Status>,
) -> Status {
    match answer {
        Ok(stream) => stream
            .into_inner()
            .message()
            .await
            .expect_err("an answer for another tenant"),
        Err(status) => status,
    }
}
