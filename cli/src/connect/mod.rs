//! Opens the mutual TLS connection to the node: TLS 1.3 only, the chain up to the federation's CA, and the server's one URI, which must be
//! that of the municipality's exchange. Nothing is sent before all of it holds.

mod admission;
mod verifier;

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use rustls_pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use vrx_domain::SpiffeId;

use self::{
    admission::{HungUp, admitted},
    verifier::ExchangeVerifier,
};
use crate::{
    failure::{Failure, refused_with},
    profile::Profile,
};

/// Connects to the profile's node.
pub(crate) async fn connect(profile: &Profile) -> Result<Channel, Failure> {
    let tls = tokio_rustls::TlsConnector::from(Arc::new(client_config(profile)?));
    let server_name = ServerName::try_from(profile.server_name.clone()).map_err(|_| {
        Failure::Configuration(format!(
            "server_name \"{}\" はサーバー名として使えません / not a server name",
            profile.server_name
        ))
    })?;
    let endpoint = Endpoint::from_shared(format!("http://{}", profile.address))
        .map_err(|_| {
            Failure::Configuration(format!(
                "address \"{}\" は host:port の形にしてください",
                profile.address
            ))
        })?
        .connect_timeout(Duration::from_secs(10));
    let address = profile.address.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (tls, server_name, address) = (tls.clone(), server_name.clone(), address.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let tls = tls.connect(server_name, tcp).await?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(admitted(tls).await?))
        }
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| refused(profile, &error))
}

fn client_config(profile: &Profile) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", &profile.ca)? {
        roots
            .add(certificate)
            .map_err(|error| wrong_pem("ca", &profile.ca, &error))?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| wrong_pem("ca", &profile.ca, &error))?;
    let own = certificates("cert", &profile.cert)?;
    let key = PrivateKeyDer::from_pem_file(&profile.key)
        .map_err(|error| wrong_pem("key", &profile.key, &error))?;
    let trust_domain = own
        .first()
        .and_then(|certificate| SpiffeId::from_certificate_der(certificate).ok())
        .map(|id| id.trust_domain)
        .ok_or_else(|| {
            Failure::Configuration(format!(
                "証明書 {} に正しい身元（spiffe://…/municipality/<コード>/<役割>[/<名前>]）がありません。職員などの役割には名前も要ります。発行し直してください / \
                 the certificate has no SPIFFE URI of a known role (staff, officer, operator and venue need a name)",
                profile.cert.display()
            ))
        })?;
    let verifier = ExchangeVerifier {
        chain,
        trust_domain,
        municipality: profile.municipality,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Failure::Configuration(format!("TLS 1.3: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(own, key)
        .map_err(|error| wrong_pem("key", &profile.key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong_pem(setting, path, &error))?;
    if found.is_empty() {
        return Err(Failure::Configuration(format!(
            "{setting} = {} に証明書がありません / no certificate in it",
            path.display()
        )));
    }
    Ok(found)
}

fn wrong_pem(setting: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Configuration(format!(
        "{setting} = {} を使えません。PEM ファイルの場所と内容を確認してください / can't use it: {error}",
        path.display()
    ))
}

/// A connection that fails says whether the network, the node's certificate or our own is to blame.
fn refused(profile: &Profile, error: &tonic::transport::Error) -> Failure {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut cause = String::new();
    while let Some(current) = source {
        let inner = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<HungUp>) {
            return Failure::Unavailable(format!(
                "{} のノードが、接続の直後に切りました。この証明書を受け付けなかったか、止まるところです。証明書の期限・発行元・自治体を確認し、\
                 しばらくしてからもう一度実行してください / {HungUp}: it refused the certificate, or is ending",
                profile.address
            ));
        }
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => {
                return refused_with(*alert);
            }
            Some(wrong) => {
                return Failure::Configuration(format!(
                    "{} は {} の交換ノードだと証明できませんでした。address・ca・自治体コードを確認してください / \
                     the server isn't the exchange of {}: {wrong}",
                    profile.address,
                    profile.municipality.name(),
                    profile.municipality
                ));
            }
            None => {
                cause = current.to_string();
                source = current.source();
            }
        }
    }
    Failure::Unavailable(format!(
        "{} に接続できません。ノードが動いているか、アドレスが正しいか確認してください / can't connect: {cause}",
        profile.address
    ))
}

#[cfg(test)]
mod tests {
    use vrx_certs_dev::{Federation, IdentitySpec, IssuedCert, Signer};

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A TLS server with one certificate, as a node has it, and a staff member's profile for it.
    async fn profile(server: IdentitySpec) -> (tempfile::TempDir, Profile) {
        profile_at(server, Client::Accepted).await
    }

    /// What the server makes of its clients.
    #[derive(Clone, Copy, PartialEq)]
    enum Client {
        /// It speaks to whoever comes, as HTTP/2 does.
        Accepted,
        /// It knows another municipality's certificates alone.
        OfAnotherTown,
        /// It says nothing more once TLS stands.
        LeftWithoutAWord,
    }

    async fn profile_at(server: IdentitySpec, client: Client) -> (tempfile::TempDir, Profile) {
        let folder = tempfile::tempdir().unwrap();
        let federation = Federation::create(folder.path(), "vrx.example").unwrap();
        let staff = federation
            .issue(&IdentitySpec::new("142051", "staff").name("sato"))
            .unwrap();
        let served = federation.issue(&server).unwrap();
        let mut known = RootCertStore::empty();
        known.add(CertificateDer::from(served.der.clone())).unwrap();
        let address = serve(&served, client, known).await;
        let profile = Profile {
            address,
            municipality: "142051".parse().unwrap(),
            server_name: "node.example".to_owned(),
            ca: federation.ca_cert(),
            cert: staff.cert_path,
            key: staff.key_path,
            log_vkey: None,
            timeout: std::time::Duration::from_secs(5),
        };
        (folder, profile)
    }

    async fn serve(server: &IssuedCert, client: Client, known: RootCertStore) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let config = if client == Client::OfAnotherTown {
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(known),
                provider,
            );
            config.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        let mut config = config
            .with_single_cert(
                vec![CertificateDer::from(server.der.clone())],
                PrivateKeyDer::from_pem_file(&server.key_path).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        // As the node has it: nothing follows the handshake that would say it was accepted.
        config.send_tls13_tickets = 0;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                return;
            };
            if client == Client::LeftWithoutAWord {
                return;
            }
            // An empty SETTINGS frame.
            stream
                .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
                .await
                .unwrap();
            std::future::pending::<()>().await;
        });
        address
    }

    #[tokio::test]
    async fn the_municipalitys_exchange_is_accepted_by_its_uri_whatever_its_dns_name() {
        let (_folder, profile) = profile(IdentitySpec::node("142051")).await;
        assert!(connect(&profile).await.is_ok());
    }

    #[tokio::test]
    async fn another_town_another_role_and_another_ca_are_refused() {
        let mut staff = IdentitySpec::node("142051");
        staff.role = "witness".to_owned();
        for wrong in [
            IdentitySpec::node("141003"),
            staff,
            IdentitySpec::node("142051").signed_by(Signer::Rogue),
            IdentitySpec::node("142051").signed_by(Signer::RogueFederation),
            IdentitySpec::node("142051").signed_by(Signer::Tenant("142051".to_owned())),
            IdentitySpec::node("142051").uris(&[
                "spiffe://vrx.example/municipality/142051/exchange",
                "spiffe://vrx.example/municipality/141003/exchange",
            ]),
            IdentitySpec::node("142051")
                .uris(&["spiffe://other.example/municipality/142051/exchange"]),
        ] {
            let (_folder, profile) = profile(wrong.clone()).await;
            let failure = connect(&profile).await.unwrap_err();
            assert_eq!(failure.exit_code(), 64, "{wrong:?}: {failure}");
        }
    }

    #[tokio::test]
    async fn a_certificate_that_the_node_refuses_is_told_from_a_node_that_hangs_up() {
        for (client, code, said) in [
            (
                Client::OfAnotherTown,
                77,
                "この証明書を受け付けませんでした",
            ),
            (Client::LeftWithoutAWord, 69, "接続の直後に切りました"),
        ] {
            let (_folder, profile) = profile_at(IdentitySpec::node("142051"), client).await;
            let failure = connect(&profile).await.unwrap_err();
            assert_eq!(failure.exit_code(), code, "{failure}");
            assert!(failure.to_string().contains(said), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_unavailable() {
        let (_folder, mut profile) = profile(IdentitySpec::node("142051")).await;
        profile.address = "127.0.0.1:1".to_owned();
        assert_eq!(connect(&profile).await.unwrap_err().exit_code(), 69);
    }

    #[tokio::test]
    async fn a_missing_key_is_a_wrong_configuration() {
        let (folder, mut profile) = profile(IdentitySpec::node("142051")).await;
        profile.key = folder.path().join("none.key");
        assert_eq!(connect(&profile).await.unwrap_err().exit_code(), 64);
    }
}
