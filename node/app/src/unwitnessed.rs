//! Since when a tenant's witnesses have been asked without a quorum: a small file beside the kept checkpoint, so that the limit on it
//! isn't begun anew by each restart before the first quorum stands.
//!
//! Lines: the log's origin, milliseconds since 1970, then the verifier key of each witness. It counts for as long as the log is the same
//! and at least one of those witnesses is still asked. A quorum that is kept in the database counts by itself, and this file for nothing.

use std::io;
use std::path::Path;

use vrx_domain::UnixMillis;
use vrx_services::witnesses::WitnessRules;

use crate::backup::durable;

/// From when on the limit counts, by the file at `path`; where it says nothing of this log and these witnesses it is written anew, with
/// `now`. A file that can't be read or written is warned of, and the limit counts from `now`.
pub(crate) fn since(
    path: &Path,
    origin: &str,
    rules: &WitnessRules,
    now: UnixMillis,
) -> UnixMillis {
    let keys: Vec<String> = rules.keys().iter().map(ToString::to_string).collect();
    let stood = match std::fs::read_to_string(path) {
        Ok(text) => read(&text, origin, &keys),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "since when there is no quorum of the witnesses can't be read");
            None
        }
    };
    // A clock that was ahead when it was written doesn't make it later than now.
    let since = stood.map_or(now, |stood| stood.min(now));
    if stood != Some(since) {
        let text = format!("{origin}\n{}\n{}\n", since.0, keys.join("\n"));
        if let Err(error) = durable::write(path, text.as_bytes()) {
            tracing::warn!(%error, "since when there is no quorum of the witnesses can't be kept: the limit counts from this start");
        }
    }
    since
}

fn read(text: &str, origin: &str, keys: &[String]) -> Option<UnixMillis> {
    let mut lines = text.lines();
    let same_log = lines.next() == Some(origin);
    let since = UnixMillis(lines.next()?.parse().ok()?);
    let is_asked = lines.any(|line| keys.iter().any(|key| key == line));
    (same_log && is_asked).then_some(since)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vrx_services::witnesses::{OwnWitness, WitnessPlace};
    use vrx_tlog::WitnessKey;

    use super::*;

    fn rules(keys: &[u8]) -> WitnessRules {
        let witness = |key: &u8| {
            let public = ed25519_public(*key);
            OwnWitness {
                key: WitnessKey::from_public_key(&format!("w{key}.example"), &public).unwrap(),
                place: WitnessPlace::Url(format!("https://w{key}.example")),
            }
        };
        let witnesses = keys.iter().map(witness).collect();
        WitnessRules::new(witnesses, 1, Duration::from_hours(4)).unwrap()
    }

    /// Any of the points that are keys.
    fn ed25519_public(nth: u8) -> [u8; 32] {
        let points = (0..=u8::MAX).map(|byte| [byte; 32]);
        let is_key = |bytes: &[u8; 32]| WitnessKey::from_public_key("w.example", bytes).is_ok();
        points.filter(is_key).nth(nth.into()).unwrap()
    }

    #[test]
    fn the_time_without_a_quorum_is_counted_across_restarts_until_log_or_witnesses_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("142051.checkpoint.unwitnessed");
        let at =
            |origin: &str, keys: &[u8], now| since(&path, origin, &rules(keys), UnixMillis(now)).0;
        assert_eq!(at("log/1", &[1, 2], 1_000), 1_000);
        assert_eq!(at("log/1", &[1, 2], 9_000), 1_000);
        assert_eq!(at("log/1", &[2, 3], 9_500), 1_000, "one is still asked");
        assert_eq!(at("log/1", &[2, 3], 500), 500, "the clock was ahead");
        assert_eq!(at("log/1", &[4], 10_000), 10_000, "others are asked");
        assert_eq!(at("log/2", &[4], 11_000), 11_000, "another epoch");
        assert_eq!(at("log/2", &[4], 12_000), 11_000);
        std::fs::write(&path, "log/2\nsoon\n").unwrap();
        assert_eq!(at("log/2", &[4], 13_000), 13_000);
        assert_eq!(at("log/2", &[4], 14_000), 13_000);
    }
}
