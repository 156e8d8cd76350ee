//! What a scraper of a node's metrics reads.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a scrape may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One scrape.
pub struct Scrape {
    text: String,
}

impl Scrape {
    /// Reads `/metrics` at an address.
    ///
    /// # Errors
    /// If nobody answers there with a whole text.
    pub async fn of(address: &str) -> anyhow::Result<Self> {
        let answer = tokio::time::timeout(PATIENCE, get(address)).await??;
        let (head, text) = answer.split_once("\r\n\r\n").context("an answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        ensure!(text.ends_with("# EOF\n"), "it breaks off: {text}");
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a series, by its name and labels as they stand in the text.
    pub fn value(&self, series: &str) -> Option<f64> {
        let mut lines = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(series));
        lines.find_map(|rest| rest.strip_prefix(' ')?.parse().ok())
    }
}

async fn get(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
