//! Mutual TLS to one member: no byte of a request leaves before the other side has shown who it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use vrx_domain::Member;
use vrx_services::PeerError;

use crate::tls::material::TenantTls;
use crate::tls::{TlsMaterial, client_config, speaks_h2};

/// How long TCP and TLS together may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often an idle connection is probed, and how long the answer may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A channel of this tenant to this member alone. It doesn't connect yet.
pub(super) fn channel(
    material: &TlsMaterial,
    tenant: &TenantTls,
    member: &Member,
) -> Result<Channel, PeerError> {
    let config = client_config(material, tenant, member)
        .map_err(|_| PeerError::Failed("own-certificate"))?;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(member.server_name.clone())
        .map_err(|_| PeerError::Failed("server-name"))?;
    // The URI only fills :authority; where to connect and whom to trust is decided below.
    let endpoint = Endpoint::from_shared(format!("http://{}", member.server_name))
        .map_err(|_| PeerError::Failed("server-name"))?
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1);
    let address: Arc<str> = member.address.as_str().into();
    Ok(
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let (connector, name, address) = (connector.clone(), name.clone(), address.clone());
            async move { connect(&connector, name, &address).await.map(TokioIo::new) }
        })),
    )
}

async fn connect(
    connector: &TlsConnector,
    name: ServerName<'static>,
    address: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let dial = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        connector.connect(name, stream).await
    };
    let stream = tokio::time::timeout(CONNECT, dial)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if speaks_h2(stream.get_ref().1.alpn_protocol()) {
        Ok(stream)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the peer doesn't speak HTTP/2",
        ))
    }
}
