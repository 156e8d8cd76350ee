//! More than one `vrx-node` process of a municipality, over one database.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::demo::{Demo, program};

/// A process that refuses to serve says so and ends within this time.
const ENDS_WITHIN: Duration = Duration::from_mins(1);

/// One process of a municipality's node, with an address and a kept checkpoint of its own. Dropping it kills it.
pub struct Process {
    code: String,
    config: PathBuf,
    address: String,
    log_file: PathBuf,
    /// Nothing was kept for it yet.
    is_new: bool,
    child: Option<Child>,
}

impl Process {
    /// The process that the demo itself ran, to be started by the test from now on: it ends here.
    ///
    /// # Errors
    /// If it doesn't end.
    pub async fn take_over(demo: &Demo, code: &str) -> anyhow::Result<Self> {
        demo.signal(code, "TERM")?;
        demo.wait_ended(code).await?;
        let node = demo.node(code)?;
        Ok(Self {
            code: code.to_owned(),
            config: node.config.clone(),
            address: node.address.clone(),
            log_file: node.log_file.clone(),
            is_new: false,
            child: None,
        })
    }

    /// A new process beside the others: their configuration, but for the address and the folder of kept checkpoints.
    ///
    /// # Errors
    /// If its configuration can't be written.
    pub fn beside(demo: &Demo, code: &str, name: &str) -> anyhow::Result<Self> {
        let node = demo.node(code)?;
        let home = node
            .config
            .parent()
            .context("a configuration has a folder")?;
        let kept = home.join(format!("kept-{name}"));
        std::fs::DirBuilder::new().mode(0o700).create(&kept)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut config: toml::Table = std::fs::read_to_string(&node.config)?.parse()?;
        config.insert("listen".to_owned(), address.clone().into());
        config.insert(
            "kept_checkpoint_dir".to_owned(),
            kept.to_string_lossy().into_owned().into(),
        );
        let file = home.join(format!("{name}.toml"));
        std::fs::write(&file, toml::to_string(&config)?)?;
        Ok(Self {
            code: code.to_owned(),
            config: file,
            address,
            log_file: home.join(format!("{name}.log")),
            is_new: true,
            child: None,
        })
    }

    /// Changes its configuration; the next start reads it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn configure(&self, change: impl FnOnce(&mut toml::Table)) -> anyhow::Result<()> {
        let mut config: toml::Table = std::fs::read_to_string(&self.config)?.parse()?;
        change(&mut config);
        Ok(std::fs::write(&self.config, toml::to_string(&config)?)?)
    }

    /// From its next start on it serves metrics at the address that this gives.
    ///
    /// # Errors
    /// If its configuration can't be written.
    pub fn with_metrics(&self) -> anyhow::Result<String> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let text = address.clone();
        self.configure(|config| {
            config.insert("metrics".to_owned(), text.into());
        })?;
        Ok(address)
    }

    /// Its next start accepts that no checkpoint is kept for the database.
    pub fn accept_missing_checkpoint(&mut self) {
        self.is_new = true;
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has said, over all its runs.
    ///
    /// # Errors
    /// If its log can't be read.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log_file)?)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it doesn't get ready.
    pub async fn start(&mut self, demo: &Demo) -> anyhow::Result<()> {
        self.spawn(demo)?;
        demo.wait_ready_at(&self.code, &self.address, &self.log_file)
            .await?;
        self.is_new = false;
        Ok(())
    }

    /// Starts it and waits until it ends by itself.
    ///
    /// # Errors
    /// If it can't be started, or serves instead of ending.
    pub async fn start_and_end(&mut self, demo: &Demo) -> anyhow::Result<ExitStatus> {
        self.spawn(demo)?;
        let mut child = self.child.take().context("it was started")?;
        let until = tokio::time::Instant::now() + ENDS_WITHIN;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if tokio::time::Instant::now() > until {
                child.kill()?;
                child.wait()?;
                bail!("{} serves instead of ending", self.address);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// If it runs already or can't be started.
    pub fn spawn(&mut self, demo: &Demo) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.address);
        let mut command = Command::new(program("vrx-node")?);
        command.args(["serve", "--config"]).arg(&self.config);
        if self.is_new {
            command.arg("--accept-missing-checkpoint");
        }
        self.child = Some(demo.spawn_logged(command, Path::new(&self.log_file))?);
        Ok(())
    }

    /// Kills it (signal 9) in the middle of whatever it does, and waits for its end.
    ///
    /// # Errors
    /// If it doesn't run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        let ended = child.try_wait()?;
        ensure!(
            ended.is_none(),
            "{} ended by itself ({ended:?}):\n{}",
            self.address,
            self.said()?
        );
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
