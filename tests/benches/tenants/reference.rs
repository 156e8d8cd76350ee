//! The reference in every round: a bare tonic echo over mutual TLS, asked as often as the machine lets it be.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use vrx_certs_dev::{Federation, IdentitySpec, IssuedCert};
use vrx_tests::bench::echo;
use vrx_tests::bench::load::{Requests, Server, Target, window};
use vrx_tests::exchange::request;
use vrx_tests::tls::{self, PemFiles};

use super::REQUESTER;

const PROVIDER: &str = "142051";
const CONNECTIONS: usize = 16;

/// The echo, in this process as the tenants are, and its caller.
pub(super) struct Reference {
    server: Server,
    requests: Requests,
    serving: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Reference {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let federation = Federation::create(folder.path(), "vrx.test").expect("certificates");
        let issue = |code| {
            federation
                .issue(&IdentitySpec::node(code))
                .expect("a certificate")
        };
        let files = |issued: IssuedCert| PemFiles {
            cert: issued.cert_path,
            key: issued.key_path,
            ca: federation.ca_cert(),
        };
        let (own, callers) = (files(issue(PROVIDER)), files(issue(REQUESTER)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let serving = tokio::spawn(async move {
            echo::serve(&own, listener).await.expect("the echo");
        });
        let channels = (0..CONNECTIONS)
            .map(|_| tls::channel(&callers, &address, "localhost"))
            .collect::<anyhow::Result<_>>();
        let server = Server {
            pid: std::process::id(),
            channels: channels.expect("connections"),
        };
        Self {
            server,
            requests: Arc::new(vec![request("123456789018")]),
            serving,
            _folder: folder,
        }
    }

    /// Echoes a second.
    pub(super) async fn rate(&self, in_flight: usize, length: Duration) -> f64 {
        let echoed = window(
            &self.server,
            Target::Echo,
            &self.requests,
            in_flight,
            length,
        )
        .await;
        echoed.expect("echoes").rate
    }

    pub(super) fn end(self) {
        self.serving.abort();
    }
}
