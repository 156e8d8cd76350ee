//! A connection between two programs that a test can slow, stop and cut: a TCP proxy on loopback.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// How much is moved at once, bytes.
const CHUNK: usize = 16 * 1024;

/// What a link does with the bytes that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Passes them on.
    Open,
    /// Passes each piece on after a while, in both directions.
    Slow(Duration),
    /// Keeps them, in both directions; nobody notices but by waiting. They go on when it is open again.
    Stalled,
    /// Passes questions on and keeps the answers: what was asked is done, and nobody learns of it.
    AnswersStalled,
    /// Has ended every connection and ends each new one at once.
    Cut,
}

/// A link from a port of its own to another port of this machine. Dropping it cuts it.
pub struct Link {
    port: u16,
    state: watch::Sender<LinkState>,
    acceptor: AbortHandle,
}

impl Link {
    /// A link to a port on 127.0.0.1, open.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let (state, seen) = watch::channel(LinkState::Open);
        let acceptor = tokio::spawn(accept(listener, target, seen)).abort_handle();
        Self {
            port,
            state,
            acceptor,
        }
    }

    /// The port on 127.0.0.1 to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, for connections that stand too.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, target: u16, state: watch::Receiver<LinkState>) {
    // Its tasks end with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *state.borrow() != LinkState::Cut {
            connections.spawn(carry(client, target, state.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: TcpStream, target: u16, mut state: watch::Receiver<LinkState>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (asked, answered) = (state.clone(), state.clone());
    // When one direction ends, both do, as when a program ends.
    tokio::select! {
        () = pump(from_client, to_server, asked, false) => {}
        () = pump(from_server, to_client, answered, true) => {}
        _ = state.wait_for(|state| *state == LinkState::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<LinkState>,
    answers: bool,
) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let passing = |state: &LinkState| match state {
            LinkState::Open | LinkState::Slow(_) => true,
            LinkState::AnswersStalled => !answers,
            LinkState::Stalled | LinkState::Cut => false,
        };
        let Ok(now) = state.wait_for(passing).await.map(|state| *state) else {
            return;
        };
        if let LinkState::Slow(by) = now {
            tokio::time::sleep(by).await;
        }
        let Some(bytes) = chunk.get(..count) else {
            return;
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets and counts it.
    async fn echo() -> (u16, watch::Receiver<usize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (count, counted) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    let mut byte = [0; 1];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        count.send_modify(|count| *count += 1);
                        stream.write_all(&byte).await.unwrap();
                    }
                });
            }
        });
        (port, counted)
    }

    async fn round(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0; 1]).await.map(drop)
    }

    #[tokio::test]
    async fn an_open_link_passes_and_a_cut_one_ends_what_stands_and_what_comes() {
        let (port, _) = echo().await;
        let link = Link::to(port).await;
        let mut stream = TcpStream::connect(("127.0.0.1", link.port()))
            .await
            .unwrap();
        round(&mut stream).await.unwrap();
        link.set(LinkState::Cut);
        round(&mut stream).await.unwrap_err();
        let mut late = TcpStream::connect(("127.0.0.1", link.port()))
            .await
            .unwrap();
        round(&mut late).await.unwrap_err();
        link.set(LinkState::Open);
        let mut again = TcpStream::connect(("127.0.0.1", link.port()))
            .await
            .unwrap();
        round(&mut again).await.unwrap();
    }

    #[tokio::test]
    async fn a_stalled_answer_is_asked_for_once_and_comes_when_the_link_opens() {
        let (port, mut counted) = echo().await;
        let link = Link::to(port).await;
        let mut stream = TcpStream::connect(("127.0.0.1", link.port()))
            .await
            .unwrap();
        round(&mut stream).await.unwrap();
        link.set(LinkState::AnswersStalled);
        stream.write_all(b"x").await.unwrap();
        counted.wait_for(|count| *count == 2).await.unwrap();
        let mut answer = [0; 1];
        let waiting =
            tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut answer));
        waiting.await.unwrap_err();
        link.set(LinkState::Open);
        stream.read_exact(&mut answer).await.unwrap();
    }

    #[tokio::test]
    async fn a_slow_link_takes_its_time_in_both_directions() {
        let (port, _) = echo().await;
        let link = Link::to(port).await;
        link.set(LinkState::Slow(Duration::from_millis(60)));
        let mut stream = TcpStream::connect(("127.0.0.1", link.port()))
            .await
            .unwrap();
        let asked = tokio::time::Instant::now();
        round(&mut stream).await.unwrap();
        assert!(asked.elapsed() >= Duration::from_millis(120));
    }
}
