//! The way to a server's TCP port without Nagle's wait.
//!
//! sqlx 0.9 leaves Nagle's algorithm on: the end of each larger message waits for the server's delayed acknowledgement, some
//! 40 ms a batch (measured: a hundred times the statement). It has no way to change that, but it speaks to Unix sockets. So
//! each host gets one in a folder that only this user may enter, and what comes through it goes on over TCP at once. TLS, where
//! it is on, is between sqlx and the server: nothing is opened here.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::task::{JoinHandle, JoinSet};

use crate::StorageError;

/// How long a host may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the passage waits before it accepts again when the process has no descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);
/// Bytes on their way at once, in each direction.
const BUFFER: usize = 64 << 10;

/// One host's passage. Dropped, it closes, with all connections through it.
pub(super) struct Passage {
    host: String,
    port: u16,
    serving: JoinHandle<()>,
    /// Holds the socket; vanishes with the passage.
    folder: tempfile::TempDir,
}

impl Passage {
    /// Opens a passage for options that lead to a TCP port, and gives options that lead through it. Options that lead to a Unix
    /// socket stay as they are.
    pub(super) fn through(
        options: PgConnectOptions,
    ) -> Result<(PgConnectOptions, Option<Self>), StorageError> {
        if options.get_socket().is_some() {
            return Ok((options, None));
        }
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        let failed = |error: std::io::Error| {
            StorageError::Unreachable(format!("no socket in the temporary folder: {error}"))
        };
        let folder = tempfile::Builder::new()
            .prefix("vrx-pg-")
            .tempdir()
            .map_err(failed)?;
        let listener = UnixListener::bind(socket_in(folder.path(), port)).map_err(failed)?;
        let serving = tokio::spawn(serve(listener, host.clone(), port));
        let options = options.socket(folder.path());
        let passage = Self {
            host,
            port,
            serving,
            folder,
        };
        Ok((options, Some(passage)))
    }

    /// Whether somebody listens at the other end; why not, if nobody does.
    pub(super) async fn leads_somewhere(&self) -> Result<(), StorageError> {
        debug_assert!(self.folder.path().exists());
        match reach(&self.host, self.port).await {
            Ok(_) => Ok(()),
            Err(error) => Err(StorageError::Unreachable(format!(
                "{}:{}: {}",
                self.host,
                self.port,
                error.kind()
            ))),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Where sqlx looks for a server's socket.
fn socket_in(folder: &Path, port: u16) -> std::path::PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

async fn serve(listener: UnixListener, host: String, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _)) => {
                    connections.spawn(carry(near, host.clone(), port));
                }
                // Out of descriptors: in a moment there may be some.
                Err(_) => tokio::time::sleep(OUT_OF_DESCRIPTORS).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Carries bytes both ways until either side ends. A host that can't be reached closes the near side, which sqlx sees.
async fn carry(mut near: UnixStream, host: String, port: u16) {
    let Ok(mut far) = reach(&host, port).await else {
        return;
    };
    // How a connection ended is told by the protocol inside of it.
    drop(tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await);
}

async fn reach(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let connect = async {
        let mut why = std::io::Error::from(std::io::ErrorKind::NotFound);
        let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    };
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(reached) => reached,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn options(port: u16) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_and_ends_with_the_other_side() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (options, passage) = Passage::through(options(port)).unwrap();
        let folder = options.get_socket().unwrap().clone();
        let mut near = UnixStream::connect(socket_in(&folder, port)).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        near.write_all(b"asked").await.unwrap();
        let mut read = [0; 5];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"asked");
        far.write_all(b"answered").await.unwrap();
        drop(far);
        let mut all = Vec::new();
        near.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"answered");
        drop(passage);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_host_that_nobody_listens_on_is_said_and_closes_the_near_side() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        drop(server);
        let (options, passage) = Passage::through(options(port)).unwrap();
        let error = passage.unwrap().leads_somewhere().await.unwrap_err();
        assert!(error.to_string().contains("connection refused"), "{error}");
        drop(options);
        let (options, _passage) = Passage::through(self::options(port)).unwrap();
        let folder = options.get_socket().unwrap().clone();
        let mut near = UnixStream::connect(socket_in(&folder, port)).await.unwrap();
        assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[test]
    fn a_unix_socket_needs_no_passage() {
        let options = PgConnectOptions::new_without_pgpass().socket("/run/postgresql");
        assert!(Passage::through(options).unwrap().1.is_none());
    }
}
