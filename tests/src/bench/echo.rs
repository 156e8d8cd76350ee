//! The reference: a bare tonic service that sends back what it got, over the same TLS settings as the node.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use vrx_proto::v1::QueryRecordsRequest;

use crate::tls::{PemFiles, server_config};

/// The path that the load generator calls.
pub const PATH: &str = "/vrx.bench.Echo/Echo";

/// Serves until the process is ended.
///
/// # Errors
/// If the address can't be bound or the certificate isn't usable.
pub async fn serve(files: &PemFiles, listener: TcpListener) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(files)?));
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    let accepting = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                if tcp.set_nodelay(true).is_ok()
                    && let Ok(stream) = acceptor.accept(tcp).await
                {
                    // The receiver goes away only when the server stops.
                    let _ = sender.send(Ok::<_, std::io::Error>(stream)).await;
                }
            });
        }
    });
    Server::builder()
        .add_service(Echo)
        .serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(receiver))
        .await?;
    accepting.abort();
    Ok(())
}

#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "vrx.bench.Echo";
}

impl UnaryService<QueryRecordsRequest> for Echo {
    type Response = QueryRecordsRequest;
    type Future = std::future::Ready<Result<Response<QueryRecordsRequest>, Status>>;

    fn call(&mut self, request: Request<QueryRecordsRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send + 'static>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Self, request).await)
        })
    }
}
