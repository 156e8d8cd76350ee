//! What a person types as an argument, and what is said of it when it isn't one: Japanese first, then English.

use vrx_tlog::{VerifierKey, WitnessKey};

/// Digits that a place in a log never needs. What has as many may be an individual number, which no request says as a place.
const TOO_LONG: usize = 12;

/// A place in the provision log (提供記録の番号).
pub(crate) fn index(text: &str) -> Result<u64, &'static str> {
    if text.len() >= TOO_LONG {
        return Err(
            "提供記録の番号は11桁までです。個人番号は引数に書けません / an index has at most 11 digits",
        );
    }
    let wrong = "提供記録の番号 (0 以上の整数) / an index, a number from 0";
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| wrong)
    } else {
        Err(wrong)
    }
}

/// The id that a command printed.
pub(crate) fn id(text: &str) -> Result<uuid::Uuid, &'static str> {
    uuid::Uuid::try_parse(text)
        .map_err(|_| "表示された番号（ハイフン入りの UUID）/ an id as it was printed, a UUID")
}

/// A log's verifier key.
pub(crate) fn log_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| {
        format!(
            "ログの検証鍵（名前+ID+鍵。vrx log key が表示するもの）ではありません / not a log's verifier key: {error}"
        )
    })
}

/// A witness's verifier key.
pub(crate) fn witness_key(text: &str) -> Result<WitnessKey, String> {
    WitnessKey::parse(text).map_err(|error| {
        format!("証人の検証鍵（名前+ID+鍵）ではありません / not a witness's verifier key: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::{id, index, log_key, witness_key};

    #[test]
    fn an_index_is_a_number_that_no_person_has() {
        assert_eq!(index("0"), Ok(0));
        assert_eq!(index("99999999999"), Ok(99_999_999_999));
        for wrong in ["", "-1", "+1", "x", "1.0"] {
            assert!(index(wrong).unwrap_err().contains("0 以上"), "{wrong}");
        }
        assert!(index("214075123477").unwrap_err().contains("個人番号"));
    }

    #[test]
    fn what_is_no_id_and_no_key_is_said_in_japanese() {
        assert!(id("7d5c2f1a-1234-4bcd-8e9f-0123456789ab").is_ok());
        assert!(id("1").unwrap_err().contains("UUID"));
        for error in [log_key("x").unwrap_err(), witness_key("x").unwrap_err()] {
            assert!(error.contains("ではありません / "), "{error}");
        }
    }
}
