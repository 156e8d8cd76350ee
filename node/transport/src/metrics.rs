//! `GET /metrics` for a scraper on the node's own machine: plain HTTP/1.1, one text.
//!
//! No caller has an identity here and none is asked for, so nothing about a resident or a caller may stand in the text, and
//! the listener is for loopback addresses alone.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Makes the text anew for each scrape, on a thread for such work.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Scrapers at the same time; more wait in the kernel's queue.
const SCRAPERS: usize = 8;
/// How long one scrape may take, from its connection to its last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long the loop waits when nothing can be accepted (a full file table).
const PAUSE: Duration = Duration::from_millis(200);
/// `OpenMetrics`, the text format that Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers scrapes until `stop`.
///
/// # Errors
/// If the listener isn't on a loopback address.
pub async fn serve_metrics(
    listener: TcpListener,
    text: MetricsText,
    stop: CancellationToken,
) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "metrics are served on loopback addresses alone",
        ));
    }
    let places = Arc::new(Semaphore::new(SCRAPERS));
    let scrapes = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(next(&listener, &places)).await {
        let Some((stream, place)) = accepted else {
            continue;
        };
        let (text, stop) = (Arc::clone(&text), stop.clone());
        scrapes.spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, converse(stream, text));
            if let Some(Err(_)) = stop.run_until_cancelled(answered).await {
                tracing::debug!("a scrape took too long");
            }
            drop(place);
        });
    }
    scrapes.close();
    scrapes.wait().await;
    Ok(())
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // Never closed, so it only ever waits.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::debug!(%error, "a scraper can't be accepted");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

async fn converse(stream: TcpStream, text: MetricsText) {
    let service = service_fn(move |request| answer(request, Arc::clone(&text)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a scrape broke off");
    }
}

async fn answer(
    request: Request<Incoming>,
    text: MetricsText,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match tokio::task::spawn_blocking(move || text()).await {
            Ok(text) => {
                let mut response = Response::new(Full::from(text));
                let kind = HeaderValue::from_static(CONTENT_TYPE);
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                return Ok(response);
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        (_, "/metrics") => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_text_is_at_its_path_and_nothing_elsewhere() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let text: MetricsText = Arc::new(|| "vrx_ready 1\n# EOF\n".to_owned());
        let serving = tokio::spawn(serve_metrics(listener, text, stop.clone()));
        for (request, status) in [
            ("GET /metrics", "200"),
            ("GET /", "404"),
            ("POST /metrics", "405"),
        ] {
            let answer = ask(address, &format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert_eq!(answer.contains("vrx_ready 1"), status == "200", "{answer}");
        }
        // One that says nothing holds nobody up.
        let _silent = TcpStream::connect(address).await.unwrap();
        stop.cancel();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let served = serve_metrics(listener, Arc::new(String::new), CancellationToken::new());
        assert_eq!(
            served.await.unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
