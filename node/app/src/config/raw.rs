//! The configuration as TOML has it: names, types and defaults, nothing checked yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use vrx_services::ReviewPolicy;

use super::database::RawPostgres;
use super::error::{Blame, ConfigError};
use super::witnesses::RawWitnesses;
use super::{Limits, LogFormat};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) trust_domain: String,
    pub(super) listen: String,
    pub(super) metrics: Option<String>,
    pub(super) state_dir: PathBuf,
    pub(super) database: Option<String>,
    pub(super) keyring_dir: PathBuf,
    pub(super) root_key_file: PathBuf,
    pub(super) kept_checkpoint_dir: PathBuf,
    pub(super) recovery_dir: PathBuf,
    pub(super) recovery_recipients: Vec<String>,
    pub(super) backup_dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) backup_recipients: Vec<String>,
    pub(super) backup_keep: Option<u64>,
    pub(super) members_file: PathBuf,
    #[serde(default)]
    pub(super) clusters: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) postgres: RawPostgres,
    pub(super) tls: RawTls,
    #[serde(default)]
    pub(super) tenant: Vec<RawTenant>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) logging: RawLogging,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) federation_ca: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    pub(super) code: String,
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
    pub(super) ca: PathBuf,
    pub(super) cluster: Option<String>,
    #[serde(default = "yes")]
    pub(super) automatic_only_after_move_out: bool,
    #[serde(default)]
    pub(super) allow_hard_to_obtain: bool,
    pub(super) witnesses: Option<RawWitnesses>,
    #[serde(default)]
    pub(super) review: RawReview,
    #[serde(default)]
    pub(super) retention: RawRetention,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_field_names,
    reason = "each key of the file says its unit"
)]
pub(super) struct RawRetention {
    pub(super) years_after_last_dose: u32,
    pub(super) years_after_ceasing: u32,
    pub(super) years_of_openings: u32,
}

impl Default for RawRetention {
    fn default() -> Self {
        let policy = vrx_domain::RetentionPolicy::default();
        Self {
            years_after_last_dose: policy.doses().get(),
            years_after_ceasing: policy.ceased().get(),
            years_of_openings: policy.openings().get(),
        }
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReview {
    night_from_hour: Option<u64>,
    night_until_hour: Option<u64>,
    probing_percent: Option<u64>,
    probing_least: Option<u64>,
    volume_factor: Option<u64>,
    volume_least: Option<u64>,
    volume_days: Option<u64>,
    many_ask: Option<u64>,
    review_within_days: Option<u64>,
}

impl RawReview {
    pub(super) fn check(
        &self,
        blame: &Blame<'_>,
        tenant: &str,
    ) -> Result<ReviewPolicy, ConfigError> {
        let usual = ReviewPolicy::default();
        let within = |key: &str, value: Option<u64>, usual: u32, range| {
            let value = value.unwrap_or(usual.into());
            let value = blame.within(format!("{tenant}.review.{key}"), value, range)?;
            Ok(u32::try_from(value).unwrap_or(usual))
        };
        let hour = |key, value, usual: u8| {
            let hour = within(key, value, usual.into(), 0..=23)?;
            Ok(u8::try_from(hour).unwrap_or(usual))
        };
        let count = |key, value, usual| within(key, value, usual, 1..=1_000_000);
        Ok(ReviewPolicy {
            night_from_hour: hour(
                "night_from_hour",
                self.night_from_hour,
                usual.night_from_hour,
            )?,
            night_until_hour: hour(
                "night_until_hour",
                self.night_until_hour,
                usual.night_until_hour,
            )?,
            probing_percent: within(
                "probing_percent",
                self.probing_percent,
                usual.probing_percent,
                1..=100,
            )?,
            probing_least: count("probing_least", self.probing_least, usual.probing_least)?,
            volume_factor: count("volume_factor", self.volume_factor, usual.volume_factor)?,
            volume_least: count("volume_least", self.volume_least, usual.volume_least)?,
            volume_days: within("volume_days", self.volume_days, usual.volume_days, 1..=92)?,
            many_ask: count("many_ask", self.many_ask, usual.many_ask)?,
            review_within_days: within(
                "review_within_days",
                self.review_within_days,
                usual.review_within_days,
                1..=92,
            )?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) deadline_ms: u64,
    pub(super) in_flight_per_caller: u32,
    pub(super) log_queue: usize,
    pub(super) inquiry_retention_hours: u64,
    pub(super) shutdown_seconds: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            deadline_ms: 10_000,
            in_flight_per_caller: 512,
            log_queue: 4096,
            inquiry_retention_hours: 72,
            shutdown_seconds: 20,
        }
    }
}

impl RawLimits {
    pub(super) fn check(&self, blame: &Blame<'_>) -> Result<Limits, ConfigError> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            blame.within(format!("limits.{key}"), value, least..=most)
        };
        within(
            "in_flight_per_caller",
            self.in_flight_per_caller.into(),
            1,
            100_000,
        )?;
        within(
            "log_queue",
            u64::try_from(self.log_queue).unwrap_or(u64::MAX),
            1,
            1_000_000,
        )?;
        Ok(Limits {
            deadline: Duration::from_millis(within("deadline_ms", self.deadline_ms, 100, 300_000)?),
            in_flight_per_caller: self.in_flight_per_caller,
            log_queue: self.log_queue,
            inquiry_retention: Duration::from_secs(
                3600 * within(
                    "inquiry_retention_hours",
                    self.inquiry_retention_hours,
                    1,
                    14 * 24,
                )?,
            ),
            shutdown: Duration::from_secs(within(
                "shutdown_seconds",
                self.shutdown_seconds,
                1,
                600,
            )?),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLogging {
    pub(super) format: LogFormat,
    pub(super) filter: String,
}

impl Default for RawLogging {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}
