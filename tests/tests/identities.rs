//! Who may call whom: every certificate that isn't the right one, in both directions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};
use vrx_certs_dev::{Federation, IdentitySpec, IssuedCert, Signer, Validity};
use vrx_proto::v1::audit_service_client::AuditServiceClient;
use vrx_proto::v1::receipt_service_client::ReceiptServiceClient;
use vrx_proto::v1::registry_service_client::RegistryServiceClient;
use vrx_proto::v1::retention_service_client::RetentionServiceClient;
use vrx_proto::v1::{
    InquireMunicipalityRequest, InquiryOutcome, ListEntriesRequest, ListErasuresRequest,
    ListImportsRequest, ListReceiptsRequest,
};
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{query, request, told};
use vrx_tests::on_both_databases;
use vrx_tests::tls::{self, PemFiles};

on_both_databases! {
    the_member_s_own_certificate_is_served,
    a_certificate_that_the_right_authority_did_not_sign_ends_in_the_handshake,
    a_call_without_a_certificate_never_reaches_a_service,
    an_identity_that_is_not_understood_is_unauthenticated,
    the_right_authority_but_the_wrong_town_is_not_a_member,
    each_role_reaches_its_own_service_and_no_other,
    a_requester_sends_no_byte_to_a_server_of_another_town_or_key,
}

async fn the_member_s_own_certificate_is_served(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    told(
        query(&channel, request(&demo.numbers("provided")[0]))
            .await
            .unwrap(),
    )
    .unwrap();
}

async fn a_certificate_that_the_right_authority_did_not_sign_ends_in_the_handshake(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let trusted = IdentitySpec::node(YOKOHAMA);
    for (what, spec) in [
        ("a rogue CA", trusted.clone().signed_by(Signer::Rogue)),
        (
            "a rogue CA of the same name",
            trusted.clone().signed_by(Signer::RogueFederation),
        ),
        (
            "a tenant's CA for a node",
            trusted.clone().signed_by(Signer::Tenant(YOKOHAMA.into())),
        ),
        (
            "an expired one",
            trusted.clone().validity(Validity::Expired),
        ),
        (
            "one of tomorrow",
            trusted.clone().validity(Validity::NotYet),
        ),
        (
            "the federation's CA for staff",
            IdentitySpec::new(FUJISAWA, "staff")
                .name("mallory")
                .signed_by(Signer::Federation),
        ),
        (
            "another town's CA for staff",
            IdentitySpec::new(FUJISAWA, "staff")
                .name("mallory")
                .signed_by(Signer::Tenant(YOKOHAMA.into())),
        ),
        (
            "another town's own staff",
            IdentitySpec::new(YOKOHAMA, "staff").name("mallory"),
        ),
    ] {
        let status = ask(&demo, &issue(&spec)).await.expect_err(what);
        // The connection never stood, so no status of the node's can be here.
        assert!(
            matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::Cancelled
            ),
            "{what}: {status:?}"
        );
        assert!(
            status.metadata().get("grpc-status-details-bin").is_none(),
            "{what}: {status:?}"
        );
    }
}

async fn a_call_without_a_certificate_never_reaches_a_service(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let node = demo.node(FUJISAWA).unwrap();
    let stream = tokio::net::TcpStream::connect(&node.address).await.unwrap();
    let mut config = tls::client_config(&demo.identity(YOKOHAMA, "exchange").unwrap()).unwrap();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls::pki_types::ServerName::try_from(node.server_name.clone()).unwrap();
    // In TLS 1.3 the client's handshake ends first; the server's alert comes with the first read.
    let refused = match connector.connect(name, stream).await {
        Err(_) => true,
        Ok(mut open) => open.read_u8().await.is_err(),
    };
    assert!(refused);
}

async fn an_identity_that_is_not_understood_is_unauthenticated(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let domain = demo.description.trust_domain.clone();
    let own = format!("spiffe://{domain}/municipality/{YOKOHAMA}/exchange");
    let other = format!("spiffe://{domain}/municipality/{FUJISAWA}/exchange");
    for (what, uris) in [
        ("two URIs", vec![own.as_str(), other.as_str()]),
        ("the same URI twice", vec![own.as_str(), own.as_str()]),
        ("no URI", vec![]),
        (
            "another scheme",
            vec!["https://vrx.example/municipality/141003/exchange"],
        ),
        (
            "a prefecture",
            vec!["spiffe://vrx.example/municipality/140007/exchange"],
        ),
        (
            "an unknown role",
            vec!["spiffe://vrx.example/municipality/141003/mayor"],
        ),
    ] {
        let spec = IdentitySpec::node(YOKOHAMA).uris(&uris);
        let status = ask(&demo, &issue(&spec)).await.expect_err(what);
        assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status:?}");
    }
}

async fn the_right_authority_but_the_wrong_town_is_not_a_member(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    for (what, spec) in [
        ("a town that is no member", IdentitySpec::node("011002")),
        (
            "a member's name on a key that nobody pinned",
            IdentitySpec::node(YOKOHAMA),
        ),
        ("another trust domain", {
            let uri = format!("spiffe://elsewhere.example/municipality/{YOKOHAMA}/exchange");
            IdentitySpec::node(YOKOHAMA).uris(&[uri.as_str()])
        }),
    ] {
        let status = ask(&demo, &issue(&spec)).await.expect_err(what);
        assert!(
            matches!(
                status.code(),
                Code::PermissionDenied | Code::Unauthenticated
            ),
            "{what}: {status:?}"
        );
    }
}

async fn each_role_reaches_its_own_service_and_no_other(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let code = FUJISAWA.to_owned();
    for (role, exchange, registry, audit) in [
        ("exchange", false, false, false), // its own node: no member asks itself
        ("staff", false, true, false),
        ("officer", false, false, true),
        ("operator", false, false, false),
    ] {
        let channel = demo.channel(FUJISAWA, FUJISAWA, role).unwrap();
        let asked = query(&channel, request(&demo.numbers("provided")[0])).await;
        assert_eq!(denied(asked.err()), !exchange, "{role} and ExchangeService");
        let imports = RegistryServiceClient::new(channel.clone())
            .list_imports(ListImportsRequest {
                municipality_code: code.clone(),
                ..Default::default()
            })
            .await;
        assert_eq!(
            denied(imports.err()),
            !registry,
            "{role} and RegistryService"
        );
        let receipts = ReceiptServiceClient::new(channel.clone())
            .list_receipts(ListReceiptsRequest {
                municipality_code: code.clone(),
                ..Default::default()
            })
            .await;
        assert!(denied(receipts.err()), "{role} and ReceiptService");
        let erasures = RetentionServiceClient::new(channel.clone())
            .list_erasures(ListErasuresRequest {
                municipality_code: code.clone(),
            })
            .await;
        assert_eq!(
            denied(erasures.err()),
            !audit,
            "{role} and RetentionService"
        );
        let entries = AuditServiceClient::new(channel)
            .list_entries(ListEntriesRequest {
                municipality_code: code.clone(),
                ..Default::default()
            })
            .await;
        assert_eq!(denied(entries.err()), !audit, "{role} and AuditService");
    }
}

async fn a_requester_sends_no_byte_to_a_server_of_another_town_or_key(on: On) {
    let mut demo = Demo::start_on(2_000, on).unwrap();
    let number = demo.numbers("provided")[0].clone();
    for (what, spec) in [
        (
            "the right CA but another town",
            IdentitySpec::node("011002"),
        ),
        (
            "the right town on a key that nobody pinned",
            IdentitySpec::node(FUJISAWA),
        ),
        (
            "a rogue CA",
            IdentitySpec::node(FUJISAWA).signed_by(Signer::Rogue),
        ),
        (
            "expired",
            IdentitySpec::node(FUJISAWA).validity(Validity::Expired),
        ),
    ] {
        let spec = spec.dns(&demo.node(FUJISAWA).unwrap().server_name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let impostor = impostor(&demo, &spec, listener);
        point_members_at(&demo, &address.to_string());
        demo.signal(YOKOHAMA, "TERM").unwrap();
        demo.wait_ended(YOKOHAMA).await.unwrap();
        demo.restart(YOKOHAMA).await.unwrap();

        let staff = demo.channel(YOKOHAMA, YOKOHAMA, "staff").unwrap();
        let told = RegistryServiceClient::new(staff)
            .inquire_municipality(inquiry(&number))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            told.outcome(),
            InquiryOutcome::Failed,
            "{what}: {}",
            told.reason
        );
        assert!(!told.adoptable, "{what}");
        assert_eq!(
            impostor.await.unwrap(),
            0,
            "{what}: bytes of the request left"
        );
    }
}

fn inquiry(number: &str) -> InquireMunicipalityRequest {
    let asked = request(number);
    InquireMunicipalityRequest {
        municipality_code: YOKOHAMA.to_owned(),
        individual_number: asked.individual_number,
        former_municipality_code: FUJISAWA.to_owned(),
        legal_basis: asked.legal_basis,
        consent: asked.consent,
        identity: asked.identity,
        event_reference: asked.event_reference,
        event_date: asked.event_date,
        conceal_requester: false,
    }
}

/// A server with the wrong certificate; gives how many bytes of a request it could read.
fn impostor(
    demo: &Demo,
    spec: &IdentitySpec,
    listener: TcpListener,
) -> tokio::task::JoinHandle<usize> {
    let issued = issue_in(demo, spec);
    let config = tls::server_config(&PemFiles {
        cert: issued.cert_path.clone(),
        key: issued.key_path.clone(),
        ca: demo.description.ca_cert.clone(),
    })
    .unwrap();
    tokio::spawn(async move {
        let (tcp, _) = tokio::time::timeout(Duration::from_mins(1), listener.accept())
            .await
            .expect("the requester connects")
            .unwrap();
        match TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
            Err(_) => 0,
            Ok(mut stream) => {
                let mut all = Vec::new();
                let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut all))
                    .await;
                all.len()
            }
        }
    })
}

fn point_members_at(demo: &Demo, address: &str) {
    let config = &demo.node(YOKOHAMA).unwrap().config;
    let text: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
    let members: PathBuf = config
        .parent()
        .unwrap()
        .join(text["members_file"].as_str().unwrap());
    let mut table: toml::Table = std::fs::read_to_string(&members).unwrap().parse().unwrap();
    for member in table["member"].as_array_mut().unwrap() {
        if member["code"].as_str() == Some(FUJISAWA) {
            member["address"] = toml::Value::String(address.to_owned());
        }
    }
    std::fs::write(&members, toml::to_string(&table).unwrap()).unwrap();
}

fn denied(status: Option<Status>) -> bool {
    status.is_some_and(|status| status.code() == Code::PermissionDenied)
}

async fn ask(demo: &Demo, issued: &impl Fn(&Demo) -> IssuedCert) -> Result<(), Status> {
    let issued = issued(demo);
    let node = demo.node(FUJISAWA).unwrap();
    let channel = tls::channel(
        &PemFiles {
            cert: issued.cert_path,
            key: issued.key_path,
            ca: demo.description.ca_cert.clone(),
        },
        &node.address,
        &node.server_name,
    )
    .unwrap();
    query(&channel, request(&demo.numbers("provided")[0]))
        .await
        .map(drop)
}

fn issue(spec: &IdentitySpec) -> impl Fn(&Demo) -> IssuedCert {
    move |demo| issue_in(demo, spec)
}

/// Issues from the demo's own authorities, into files of this certificate's own.
fn issue_in(demo: &Demo, spec: &IdentitySpec) -> IssuedCert {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let stem = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Federation::open(demo.folder().join("certs"))
        .unwrap()
        .issue(&spec.clone().file_stem(&stem))
        .unwrap()
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
