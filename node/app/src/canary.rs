//! Readiness: every few seconds, what every answer needs is tried for real.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vrx_crypto::{Context, Keyring};
use vrx_domain::Random;
use vrx_provision_log::{Deadline, ProvisionLog};
use vrx_transport::Readiness;

/// How often.
const PERIOD: Duration = Duration::from_secs(2);
/// How long the disk may take before the node says that it isn't ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the canary tries.
pub struct Canary {
    /// The keys: something is sealed and opened.
    pub keyring: Arc<Keyring>,
    /// The log and its database: a row is written and synced beside the log.
    pub log: Arc<ProvisionLog>,
    /// Nonces.
    pub random: Arc<dyn Random>,
}

impl Canary {
    /// Tries everything once. The error is for the node's own log.
    pub async fn sing(&self) -> Result<(), String> {
        let song = b"canary";
        let sealed = self
            .keyring
            .seal_record(&*self.random, Context::PageToken, [0; 16], song);
        let sealed = sealed.map_err(|error| format!("the keys can't seal: {error}"))?;
        let opened = self
            .keyring
            .open_record(Context::PageToken, [0; 16], sealed.as_bytes());
        if !opened.is_ok_and(|opened| opened.as_slice() == song) {
            return Err("the keys don't open what they seal".to_owned());
        }
        self.log
            .canary(Deadline::after(PATIENCE))
            .await
            .map_err(|error| error.to_string())
    }

    /// Sings until stopped, and keeps readiness what the last song was.
    pub async fn keep_singing(self, readiness: Readiness, stop: CancellationToken) {
        let mut well = true;
        loop {
            let song = self.sing().await;
            if stop.is_cancelled() {
                break;
            }
            match &song {
                Ok(()) => {
                    if !well {
                        tracing::info!("the node is ready again");
                    }
                    readiness.ready().await;
                }
                Err(why) => {
                    if well {
                        tracing::error!(
                            why,
                            "the node is not ready: it answers UNAVAILABLE until this is mended"
                        );
                    }
                    readiness.not_ready().await;
                }
            }
            well = song.is_ok();
            if stop
                .run_until_cancelled(tokio::time::sleep(PERIOD))
                .await
                .is_none()
            {
                break;
            }
        }
        readiness.not_ready().await;
    }
}
