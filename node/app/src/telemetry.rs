//! Logs, on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};
use crate::failure::Failure;

/// Starts logging as configured. Called once a process.
pub fn start(logging: &Logging) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&logging.filter).map_err(|error| {
        Failure::configuration(format!(
            "logging.filter: {error}; write a level such as \"info\""
        ))
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match logging.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| Failure::internal(format!("logging can't start: {error}")))
}
