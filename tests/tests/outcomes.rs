//! Every row of the outcome table, over the real program, real TLS and a real database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rustls::pki_types::ServerName;
use sha2::Digest as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vrx_proto::v1::{
    Answer, Consent, ConsentMethod, IdentityConfirmation, IdentityDocument, Purpose,
    QueryRecordsRequest,
};
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{Told, check_receipt, date, query, request, told, unknown_numbers};
use vrx_tests::{on_both_databases, tls};
use vrx_tlog::{CommitTo, Leaf, commit};

on_both_databases! {
    a_mover_s_records_come_back_with_openings_and_a_receipt_that_proves_them,
    every_nothing_looks_the_same_whatever_its_cause,
    a_malformed_field_is_named_and_its_value_never_repeated,
    not_a_tenant_here_and_not_for_you_are_told_in_the_same_words,
    a_deadline_that_passes_first_is_said,
    an_oversized_request_is_refused_and_the_node_goes_on,
    a_retry_is_an_entry_of_its_own,
    a_known_log_size_is_answered_with_a_consistency_proof,
}

async fn a_mover_s_records_come_back_with_openings_and_a_receipt_that_proves_them(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let asked = request(&demo.numbers("provided")[0]);
    let Told::Found(found) = told(query(&channel, asked.clone()).await.unwrap()).unwrap() else {
        panic!("nothing for a person whose records must leave");
    };
    let receipt = found.receipt.clone().unwrap();
    check_receipt(&receipt, &demo.node(FUJISAWA).unwrap().log_vkey).unwrap();

    let answer = Answer::decode(found.answer.as_slice()).unwrap();
    assert_eq!(answer.request_id, asked.request_id);
    assert!(!answer.doses.is_empty());
    assert_eq!(answer.salt.len(), 16);
    assert!(answer.birth_date.is_some());
    let dates: Vec<_> = answer
        .doses
        .iter()
        .map(|dose| dose.date.map(|d| (d.year, d.month, d.day)))
        .collect();
    assert!(dates.is_sorted(), "doses are by date");

    // The commitments, computed as exchange.proto tells foreign clients to.
    let leaf = Leaf::decode(&receipt.leaf).unwrap();
    let keys = found.openings.clone().unwrap();
    let subject = commit(
        &key(&keys.k_subject),
        CommitTo::Subject,
        [asked.individual_number.as_bytes(), b"provided"],
    );
    assert_eq!(subject.unwrap(), leaf.c_subject);
    let actor = actor_fields(&demo, &asked);
    let actor = commit(
        &key(&keys.k_actor),
        CommitTo::Actor,
        actor.iter().map(Vec::as_slice),
    );
    assert_eq!(actor.unwrap(), leaf.c_actor);
    let dose_ids: Vec<u8> = answer
        .doses
        .iter()
        .flat_map(|dose| dose.dose_id.parse::<uuid::Uuid>().unwrap().into_bytes())
        .collect();
    let content = commit(
        &key(&keys.k_content),
        CommitTo::Content,
        [
            b"found".as_slice(),
            sha2::Sha256::digest(&found.answer).as_slice(),
            answer.held_back.to_string().as_bytes(),
            &dose_ids,
        ],
    );
    assert_eq!(content.unwrap(), leaf.c_content);
}

async fn every_nothing_looks_the_same_whatever_its_cause(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let taken: Vec<String> = demo
        .description
        .persons
        .iter()
        .map(|person| person.individual_number.clone())
        .collect();
    let mut shapes = BTreeSet::new();
    for (cause, number) in [
        ("unknown", unknown_numbers(1, &taken)[0].clone()),
        ("doseless", demo.numbers("doseless")[0].clone()),
        ("protected", demo.numbers("protected")[0].clone()),
        ("resident", demo.numbers("resident")[0].clone()),
        ("entered", demo.numbers("entered")[0].clone()),
    ] {
        let asked = request(&number);
        let response = query(&channel, asked.clone()).await.unwrap();
        let keys: Vec<String> = response
            .metadata()
            .clone()
            .into_headers()
            .iter()
            .filter(|(name, _)| {
                !matches!(name.as_str(), "vrx-receipt-bin" | "vrx-request-id" | "date")
            })
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        assert_eq!(
            response.metadata().get("vrx-request-id").unwrap(),
            asked.request_id.as_str(),
            "{cause}"
        );
        let Told::Nothing(nothing) = told(response).unwrap() else {
            panic!("{cause} got records");
        };
        // What grows with the log itself: place, proof and checkpoint. All the rest must be alike.
        let mut rest = nothing.clone();
        rest.log_index = 0;
        rest.inclusion_proof.clear();
        rest.checkpoint.clear();
        shapes.insert((
            keys,
            nothing.leaf.len(),
            nothing.k_actor.len(),
            nothing.k_content.len(),
            rest.encoded_len(),
        ));
        let leaf = Leaf::decode(&nothing.leaf).unwrap();
        assert_eq!(leaf.kind, 1, "{cause}");
        let told_nothing = commit(
            &key(&nothing.k_content),
            CommitTo::Content,
            [
                b"nothing".as_slice(),
                sha2::Sha256::digest(b"").as_slice(),
                b"0",
                b"",
            ],
        );
        assert_eq!(told_nothing.unwrap(), leaf.c_content, "{cause}");
        let actor = actor_fields(&demo, &asked);
        let actor = commit(
            &key(&nothing.k_actor),
            CommitTo::Actor,
            actor.iter().map(Vec::as_slice),
        );
        assert_eq!(actor.unwrap(), leaf.c_actor, "{cause}");
        let receipt = Told::Nothing(nothing).receipt().unwrap();
        check_receipt(&receipt, &demo.node(FUJISAWA).unwrap().log_vkey).unwrap();
    }
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
}

async fn a_malformed_field_is_named_and_its_value_never_repeated(on: On) {
    type Spoil = fn(&mut QueryRecordsRequest);
    let cases: &[(&str, Spoil)] = &[
        ("request_id", |r| r.request_id = "not-a-uuid".into()),
        ("request_id", |r| r.request_id = String::new()),
        ("municipality_code", |r| {
            r.municipality_code = "142052".into();
        }),
        ("individual_number", |r| {
            r.individual_number = "123456789010".into();
        }),
        ("individual_number", |r| {
            r.individual_number = "000000000000".into();
        }),
        ("individual_number", |r| {
            r.individual_number = "12345678901８".into();
        }),
        ("individual_number", |r| r.individual_number.clear()),
        ("purpose", |r| r.purpose = 0),
        ("purpose", |r| r.purpose = 99),
        ("legal_basis", |r| r.legal_basis = "NBA-0-0".into()),
        ("legal_basis", |r| r.legal_basis.clear()),
        ("consent", |r| r.consent = None),
        ("consent.reference", |r| {
            consent(r).reference = "with space".into();
        }),
        ("consent.reference", |r| {
            consent(r).reference = "123456789012".into();
        }),
        ("consent.obtained_on", |r| {
            consent(r).obtained_on = Some(date(2025, 2, 29));
        }),
        ("consent.obtained_on", |r| consent(r).obtained_on = None),
        ("consent.method", |r| consent(r).method = 0),
        ("consent.method", |r| {
            consent(r).method = ConsentMethod::HardToObtain.into();
        }),
        ("identity", |r| r.identity = None),
        ("identity.resident_register_checked_at", |r| {
            identity(r).resident_register_checked_at = None;
        }),
        ("identity.document", |r| identity(r).document = 0),
        ("identity.document_checked_at", |r| {
            identity(r).document_checked_at = None;
        }),
        ("operator_ref", |r| r.operator_ref = "山田".into()),
        ("operator_ref", |r| r.operator_ref.clear()),
        ("event_reference", |r| r.event_reference = "a".repeat(65)),
        ("event_reference", |r| r.event_reference.clear()),
        ("event_date", |r| r.event_date = Some(date(2999, 1, 1))),
        ("event_date", |r| r.event_date = Some(date(2026, 13, 1))),
        ("event_date", |r| r.event_date = None),
    ];
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let number = demo.numbers("provided")[0].clone();
    for (field, spoil) in cases {
        let mut asked = request(&number);
        spoil(&mut asked);
        let status = query(&channel, asked.clone()).await.expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        let details = status.get_details_bad_request().expect("BadRequest");
        let named: Vec<&str> = details
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(named, [*field], "{status:?}");
        for value in [&number, &asked.individual_number, &asked.operator_ref] {
            assert!(
                value.is_empty() || !holds(&status, value.as_bytes()),
                "{field}: the refusal repeats a value"
            );
        }
    }
}

async fn not_a_tenant_here_and_not_for_you_are_told_in_the_same_words(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = demo.numbers("provided")[0].clone();
    let member = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let mut elsewhere = request(&number);
    elsewhere.municipality_code = "011002".into();
    let not_here = query(&member, elsewhere).await.expect_err("not a tenant");

    let mut words = BTreeSet::from([(i32::from(not_here.code()), not_here.message().to_owned())]);
    for role in ["staff", "officer", "operator"] {
        let channel = demo.channel(FUJISAWA, FUJISAWA, role).unwrap();
        let status = query(&channel, request(&number)).await.expect_err(role);
        words.insert((i32::from(status.code()), status.message().to_owned()));
    }
    let itself = demo.channel(FUJISAWA, FUJISAWA, "exchange").unwrap();
    let status = query(&itself, request(&number)).await.expect_err("itself");
    words.insert((i32::from(status.code()), status.message().to_owned()));
    assert_eq!(words.len(), 1, "{words:?}");
    assert_eq!(words.first().unwrap().0, i32::from(Code::PermissionDenied));
}

async fn a_deadline_that_passes_first_is_said(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let node = demo.node(FUJISAWA).unwrap();
    // Over bare HTTP/2: tonic's own client would end the call itself.
    let config = tls::client_config(&demo.identity(YOKOHAMA, "exchange").unwrap()).unwrap();
    let tcp = TcpStream::connect(&node.address).await.unwrap();
    let name = ServerName::try_from(node.server_name.clone()).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let message = request(&demo.numbers("provided")[0]).encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let call = http::Request::post(format!(
        "https://{}/vrx.v1.ExchangeService/QueryRecords",
        node.server_name
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .header("grpc-timeout", "1n")
    .body(Full::new(Bytes::from(frame)))
    .unwrap();
    let response = sender.send_request(call).await.unwrap();
    let (head, body) = response.into_parts();
    let end = body.collect().await.unwrap();
    let status = head
        .headers
        .get("grpc-status")
        .or_else(|| {
            end.trailers()
                .and_then(|trailers| trailers.get("grpc-status"))
        })
        .cloned();
    assert_eq!(status.unwrap(), "4", "DEADLINE_EXCEEDED");
    assert!(end.to_bytes().is_empty(), "bytes left after the deadline");
}

async fn an_oversized_request_is_refused_and_the_node_goes_on(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let number = demo.numbers("provided")[0].clone();
    let mut asked = request(&number);
    asked.operator_ref = "x".repeat(8 << 20);
    let status = query(&channel, asked).await.expect_err("too large");
    assert!(
        matches!(
            status.code(),
            Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument
        ),
        "{status:?}"
    );
    told(query(&channel, request(&number)).await.unwrap()).unwrap();
}

async fn a_retry_is_an_entry_of_its_own(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let asked = request(&demo.numbers("provided")[1]);
    let first = told(query(&channel, asked.clone()).await.unwrap()).unwrap();
    let again = told(query(&channel, asked).await.unwrap()).unwrap();
    let (first, again) = (first.receipt().unwrap(), again.receipt().unwrap());
    assert!(again.log_index > first.log_index);
}

async fn a_known_log_size_is_answered_with_a_consistency_proof(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let vkey = vrx_tlog::VerifierKey::parse(&demo.node(FUJISAWA).unwrap().log_vkey).unwrap();
    let number = demo.numbers("provided")[2].clone();
    let first = told(query(&channel, request(&number)).await.unwrap())
        .unwrap()
        .receipt()
        .unwrap();
    let known = vrx_tests::exchange::tlog_receipt(&first).unwrap();
    let (_, known) = vrx_tlog::verify_receipt(&known, &vkey, None).unwrap();
    for person in demo.numbers("provided").iter().take(20) {
        told(query(&channel, request(person)).await.unwrap()).unwrap();
    }
    let mut asked = request(&number);
    asked.known_log_size = known.size;
    let later = told(query(&channel, asked).await.unwrap())
        .unwrap()
        .receipt()
        .unwrap();
    let later = vrx_tests::exchange::tlog_receipt(&later).unwrap();
    vrx_tlog::verify_receipt(&later, &vkey, Some((known.size, known.root))).unwrap();
    let mut forged = known.root;
    forged[0] ^= 1;
    assert!(vrx_tlog::verify_receipt(&later, &vkey, Some((known.size, forged))).is_err());
}

fn consent(request: &mut QueryRecordsRequest) -> &mut Consent {
    request.consent.as_mut().unwrap()
}

fn identity(request: &mut QueryRecordsRequest) -> &mut IdentityConfirmation {
    request.identity.as_mut().unwrap()
}

fn key(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap()
}

/// The actor's fields in the order of exchange.proto's table, for a request sent with Yokohama's exchange certificate.
fn actor_fields(demo: &Demo, asked: &QueryRecordsRequest) -> Vec<Vec<u8>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let files = demo.identity(YOKOHAMA, "exchange").unwrap();
    let certificate = CertificateDer::from_pem_file(&files.cert).unwrap();
    let consent = asked.consent.clone().unwrap();
    let identity = asked.identity.unwrap();
    let day = |d: vrx_proto::v1::Date| format!("{:04}-{:02}-{:02}", d.year, d.month, d.day);
    let millis =
        |t: prost_types::Timestamp| (t.seconds * 1000 + i64::from(t.nanos) / 1_000_000).to_string();
    let texts = vec![
        asked.request_id.to_lowercase(),
        asked.municipality_code.clone(),
        i32::from(Purpose::MoveIn).to_string(),
        asked.legal_basis.clone(),
        consent.reference,
        day(consent.obtained_on.unwrap()),
        consent.method.to_string(),
        millis(identity.resident_register_checked_at.unwrap()),
        i32::from(IdentityDocument::NumberCard).to_string(),
        millis(identity.document_checked_at.unwrap()),
        asked.operator_ref.clone(),
        asked.event_reference.clone(),
        day(asked.event_date.unwrap()),
        "0".to_owned(),
    ];
    let uri = format!(
        "spiffe://{}/municipality/{YOKOHAMA}/exchange",
        demo.description.trust_domain
    );
    let mut fields = vec![
        uri.into_bytes(),
        sha2::Sha256::digest(&certificate).to_vec(),
    ];
    fields.extend(texts.into_iter().map(String::into_bytes));
    fields
}

fn holds(status: &Status, needle: &[u8]) -> bool {
    let contains = |haystack: &[u8]| haystack.windows(needle.len()).any(|part| part == needle);
    contains(status.message().as_bytes())
        || contains(status.details())
        || contains(format!("{:?}", status.metadata()).as_bytes())
}
