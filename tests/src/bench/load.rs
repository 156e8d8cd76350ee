//! The load generator: a fixed number of requests in flight over a fixed number of connections, for a window of time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use http::uri::PathAndQuery;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use uuid::Uuid;
use vrx_proto::v1::exchange_service_client::ExchangeServiceClient;
use vrx_proto::v1::{QueryRecordsRequest, QueryRecordsResponse};

use super::statistics::{Latencies, Window};
use super::{echo, machine};

/// What a window calls, and what each answer must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The bare echo.
    Echo,
    /// `QueryRecords` for persons whose records leave.
    Provided,
    /// `QueryRecords` for numbers that nobody has.
    Nothing,
    /// `Provided`, from a node on PostgreSQL.
    OnPostgres,
}

impl Target {
    /// The word in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Provided => "provided",
            Self::Nothing => "nothing",
            Self::OnPostgres => "on pg",
        }
    }
}

/// A server under load.
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// Connections to it; requests are spread over them.
    pub channels: Vec<Channel>,
}

/// The requests of a window; each worker walks them from its own place.
pub type Requests = Arc<Vec<QueryRecordsRequest>>;

/// Keeps `in_flight` requests open for `length` and counts what came back.
///
/// # Errors
/// If one answer isn't what the target must give: a figure over wrong answers would be worth nothing.
pub async fn window(
    server: &Server,
    target: Target,
    requests: &Requests,
    in_flight: usize,
    length: Duration,
) -> anyhow::Result<Window> {
    let cpu_before = machine::cpu_time(server.pid)?;
    let start = Instant::now();
    let until = start + length;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..in_flight {
        let channel = server
            .channels
            .get(worker % server.channels.len().max(1))
            .context("no connection")?
            .clone();
        let requests = Arc::clone(requests);
        let first = worker * requests.len() / in_flight.max(1);
        workers.spawn(async move {
            let mut latencies = Latencies::new();
            let mut next = first;
            while Instant::now() < until {
                let request = requests.get(next % requests.len()).context("no requests")?;
                next += 1;
                let sent = Instant::now();
                ask(&channel, target, request).await?;
                latencies.add(sent.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Latencies::new();
    while let Some(done) = workers.join_next().await {
        all.join(&done??);
    }
    let elapsed = start.elapsed();
    let cpu = machine::cpu_time(server.pid)?.saturating_sub(cpu_before);
    let answers = all.count();
    #[expect(
        clippy::cast_precision_loss,
        reason = "answers of a window are far below 2^52"
    )]
    let count = answers as f64;
    Ok(Window {
        target: target.name(),
        in_flight,
        rate: count / elapsed.as_secs_f64(),
        p50_us: all.at(0.5),
        p99_us: all.at(0.99),
        server_cpu_us: cpu.as_secs_f64() * 1e6 / count,
        answers,
    })
}

/// Latencies in nanoseconds of `provided` and `nothing`, asked alternately by the same workers in the same window.
///
/// # Errors
/// As [`window`].
pub async fn interleaved(
    server: &Server,
    provided: &Requests,
    nothing: &Requests,
    in_flight: usize,
    length: Duration,
) -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
    let until = Instant::now() + length;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..in_flight {
        let channel = server
            .channels
            .get(worker % server.channels.len().max(1))
            .context("no connection")?
            .clone();
        let (provided, nothing) = (Arc::clone(provided), Arc::clone(nothing));
        workers.spawn(async move {
            let (mut found, mut empty) = (Vec::new(), Vec::new());
            let mut turn = worker;
            while Instant::now() < until {
                let (target, list, kept) = if turn.is_multiple_of(2) {
                    (Target::Provided, &provided, &mut found)
                } else {
                    (Target::Nothing, &nothing, &mut empty)
                };
                let request = list
                    .get((turn * 7919) % list.len())
                    .context("no requests")?;
                turn += 1;
                let sent = Instant::now();
                ask(&channel, target, request).await?;
                kept.push(u64::try_from(sent.elapsed().as_nanos())?);
            }
            anyhow::Ok((found, empty))
        });
    }
    let (mut found, mut empty) = (Vec::new(), Vec::new());
    while let Some(done) = workers.join_next().await {
        let (more_found, more_empty) = done??;
        found.extend(more_found);
        empty.extend(more_empty);
    }
    Ok((found, empty))
}

async fn ask(
    channel: &Channel,
    target: Target,
    request: &QueryRecordsRequest,
) -> anyhow::Result<()> {
    let mut request = request.clone();
    match target {
        Target::Echo => {
            echo(channel.clone(), request).await?;
        }
        Target::Provided | Target::OnPostgres => {
            request.request_id = fresh_id();
            let answer = query(channel, request).await?;
            if answer.answer.is_empty() || answer.receipt.is_none() {
                bail!("a person whose records must leave got nothing");
            }
        }
        Target::Nothing => {
            request.request_id = fresh_id();
            if query(channel, request).await? != QueryRecordsResponse::default() {
                bail!("a number that nobody has got an answer");
            }
        }
    }
    Ok(())
}

async fn query(
    channel: &Channel,
    request: QueryRecordsRequest,
) -> Result<QueryRecordsResponse, Status> {
    ExchangeServiceClient::new(channel.clone())
        .query_records(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn echo(
    channel: Channel,
    request: QueryRecordsRequest,
) -> anyhow::Result<QueryRecordsRequest> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let codec: ProstCodec<QueryRecordsRequest, QueryRecordsRequest> = ProstCodec::default();
    Ok(grpc
        .unary(
            Request::new(request),
            PathAndQuery::from_static(echo::PATH),
            codec,
        )
        .await?
        .into_inner())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator plays a foreign client: its ids needn't be repeatable"
)]
fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}
