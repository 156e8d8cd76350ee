//! Writing families of numbers: a name, a sentence, and a value for each set of labels.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Names and values of one number's labels. Values are constants, municipality codes, and names of the configuration.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The families of one scrape.
pub(super) struct Families<'a> {
    encoder: DescriptorEncoder<'a>,
}

/// How often something took how long.
pub(super) struct Times {
    pub(super) total: Duration,
    /// Upper end of each class in seconds, and how many fell into it.
    pub(super) classes: Vec<(f64, u64)>,
}

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    /// Numbers that rise and fall.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            let value = ConstGauge::new(value);
            // A number without labels has no braces.
            if labels.is_empty() {
                return value.encode(family);
            }
            value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Numbers that only rise; `_total` is added to the name.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            let value = ConstCounter::new(value);
            if labels.is_empty() {
                return value.encode(family);
            }
            value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Times by classes; `_sum`, `_count` and `_bucket` are added to the name.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, Times)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, times) in values {
            let count = times.classes.iter().map(|(_, count)| count).sum();
            family.encode_family(&labels)?.encode_histogram::<Labels>(
                seconds(times.total),
                count,
                &times.classes,
                None,
            )?;
        }
        Ok(())
    }
}

/// Whole microseconds, so that no number has more digits than it means.
pub(super) fn seconds(duration: Duration) -> f64 {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(microseconds) / 1e6
}

/// A count as the text has it: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "a scraper keeps all numbers as floating point"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
