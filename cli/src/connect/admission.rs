//! Whether the node has accepted our certificate.

use std::time::Duration;

use tokio::{io::AsyncBufReadExt as _, net::TcpStream};
use tokio_rustls::client::TlsStream;

/// How long a node that has nothing to say first is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits until the node has spoken. In TLS 1.3 a client's handshake is over before the server has looked at its certificate. What it sends
/// meanwhile makes the server's end a reset connection, and the alert that says why is lost. So nothing is sent before the first byte of
/// the node's HTTP/2 settings, or its refusal, is here.
pub(super) async fn admitted(
    mut tls: TlsStream<TcpStream>,
) -> std::io::Result<TlsStream<TcpStream>> {
    match tokio::time::timeout(PATIENCE, tls.fill_buf()).await {
        Ok(Ok([])) => Err(std::io::Error::other(HungUp)),
        Ok(Err(error)) if is_end(&error) => Err(std::io::Error::other(HungUp)),
        Ok(Err(error)) => Err(error),
        // A server may also wait for the client's settings.
        Ok(Ok(_)) | Err(_) => Ok(tls),
    }
}

fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// The node ended the connection where it would have accepted or refused the certificate, and didn't say why.
#[derive(Debug, thiserror::Error)]
#[error("the node hung up right after the handshake")]
pub(super) struct HungUp;
