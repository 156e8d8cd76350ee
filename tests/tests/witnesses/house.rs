//! Both nodes of a demo, each the other's witness, and a plain HTTPS client.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::metrics::Scrape;
use vrx_tests::process::Process;
use vrx_tlog::WitnessKey;

use crate::PATIENCE;

/// The two nodes.
pub(crate) struct House {
    pub(crate) demo: Demo,
    nodes: Vec<(&'static str, Process, String)>,
}

impl House {
    /// Fujisawa starts while its witness is away, and isn't refused for that.
    pub(crate) async fn build(on: On, limit_seconds: i64) -> Self {
        let demo = Demo::start_on(500, on).unwrap();
        let mut nodes = Vec::new();
        for code in [FUJISAWA, YOKOHAMA] {
            let process = Process::take_over(&demo, code).await.unwrap();
            let metrics = process.with_metrics().unwrap();
            nodes.push((code, process, metrics));
        }
        let mut house = Self { demo, nodes };
        for (code, witness) in [(FUJISAWA, YOKOHAMA), (YOKOHAMA, FUJISAWA)] {
            house.witnessed_by(code, witness, limit_seconds);
        }
        house.start(FUJISAWA).await;
        assert!(house.said(FUJISAWA).contains("a witness didn't cosign"));
        house.start(YOKOHAMA).await;
        house
    }

    fn witnessed_by(&self, code: &str, witness: &str, limit_seconds: i64) {
        let mut entry = toml::Table::new();
        entry.insert("municipality".to_owned(), witness.into());
        let key = self.witness_key(witness).to_string();
        entry.insert("vkey".to_owned(), key.into());
        let mut witnesses = toml::Table::new();
        witnesses.insert("quorum".to_owned(), 1.into());
        witnesses.insert("limit_seconds".to_owned(), limit_seconds.into());
        let list = vec![toml::Value::Table(entry)];
        witnesses.insert("witness".to_owned(), list.into());
        let configured = self.process(code).configure(|config| {
            let tenants = config["tenant"].as_array_mut().unwrap();
            let tenant = tenants[0].as_table_mut().unwrap();
            tenant.insert("witnesses".to_owned(), witnesses.into());
        });
        configured.unwrap();
    }

    /// Takes a municipality's witnesses out of its configuration.
    pub(crate) fn without_witnesses(&self, code: &str) {
        let configured = self.process(code).configure(|config| {
            let tenants = config["tenant"].as_array_mut().unwrap();
            let tenant = tenants[0].as_table_mut().unwrap();
            tenant.remove("witnesses").unwrap();
        });
        configured.unwrap();
    }

    /// The key that a municipality cosigns with.
    pub(crate) fn witness_key(&self, code: &str) -> WitnessKey {
        let (exit, key, errors) = self.demo.vrx_node(code, &["log", "witness-key"]).unwrap();
        assert_eq!(exit, 0, "{errors}");
        WitnessKey::parse(key.trim_end()).unwrap()
    }

    fn process(&self, code: &str) -> &Process {
        &self.nodes.iter().find(|node| node.0 == code).unwrap().1
    }

    fn process_mut(&mut self, code: &str) -> &mut Process {
        &mut self.nodes.iter_mut().find(|node| node.0 == code).unwrap().1
    }

    pub(crate) fn metrics(&self, code: &str) -> &str {
        &self.nodes.iter().find(|node| node.0 == code).unwrap().2
    }

    pub(crate) async fn start(&mut self, code: &str) {
        let at = self.nodes.iter().position(|node| node.0 == code).unwrap();
        self.nodes[at].1.start(&self.demo).await.unwrap();
    }

    /// Starts it without waiting.
    pub(crate) fn spawn(&mut self, code: &str) {
        let at = self.nodes.iter().position(|node| node.0 == code).unwrap();
        self.nodes[at].1.spawn(&self.demo).unwrap();
    }

    /// Starts it and waits for its end; gives the exit code.
    pub(crate) async fn start_and_end(&mut self, code: &str) -> Option<i32> {
        let at = self.nodes.iter().position(|node| node.0 == code).unwrap();
        let ended = self.nodes[at].1.start_and_end(&self.demo).await;
        ended.unwrap().code()
    }

    pub(crate) fn kill(&mut self, code: &str) {
        self.process_mut(code).kill().unwrap();
    }

    pub(crate) fn said(&self, code: &str) -> String {
        self.process(code).said().unwrap()
    }

    pub(crate) fn address(&self, code: &str) -> &str {
        self.process(code).address()
    }

    pub(crate) async fn wait_unready(&self, code: &str) {
        let unready = self.demo.wait_unready_at(code, self.address(code));
        unready.await.unwrap();
    }

    /// Whether the health service says of something that it serves.
    pub(crate) async fn serves(&self, code: &str, service: &str) -> bool {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let channel = self.channel(code, code, "operator");
        let answer = HealthClient::new(channel).check(request).await.unwrap();
        answer.into_inner().status() == ServingStatus::Serving
    }

    /// Entries of a municipality's log.
    pub(crate) async fn size(&self, code: &str) -> u64 {
        let scrape = Scrape::of(self.metrics(code)).await.unwrap();
        let size = scrape.value(&format!("vrx_log_size{{municipality=\"{code}\"}}"));
        format!("{}", size.unwrap()).parse().unwrap()
    }

    /// A way to a node with a certificate of the demo.
    pub(crate) fn channel(&self, node: &str, code: &str, role: &str) -> Channel {
        let address = self.address(node);
        self.demo.channel_at(address, node, code, role).unwrap()
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answered {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn header(&self, name: &HeaderName) -> String {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    }
}

/// One HTTP request over a node's own listener.
pub(crate) async fn ask(channel: &Channel, method: Method, path: &str, body: &str) -> Answered {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(tonic::body::Body::new(Full::from(body.to_owned())))
        .unwrap();
    let mut channel = channel.clone();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    Answered {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

pub(crate) async fn get(channel: &Channel, path: &str) -> Answered {
    ask(channel, Method::GET, path, "").await
}

/// Asks again and again until there is something.
pub(crate) async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < limit, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
