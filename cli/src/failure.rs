//! How a command ends when it doesn't end well: an exit code that programs branch on, and a sentence that says what to do next.
//!
//! No variant ever carries a value out of a resident's row; a server's texts are safe sentences by contract.

use std::path::Path;

use tonic_types::StatusExt as _;

use crate::words;

/// Why a command didn't do (all of) its work. The text is for people: Japanese first, then English.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Some rows were refused, a state forbids it, or a proof didn't hold.
    #[error("{0}")]
    NotDone(String),
    /// The command line or an input file is wrong.
    #[error("{0}")]
    Usage(String),
    /// Profile, certificates or keys are missing or wrong.
    #[error("{0}")]
    Configuration(String),
    /// The node can't be reached or can't answer now.
    #[error("{0}")]
    Unavailable(String),
    /// The caller may not do this.
    #[error("{0}")]
    NotAllowed(String),
}

impl Failure {
    /// The process's exit code (documented in `vrx --help`).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotDone(_) => 1,
            Self::Usage(_) => 2,
            Self::Configuration(_) => 64,
            Self::Unavailable(_) => 69,
            Self::NotAllowed(_) => 77,
        }
    }

    /// A file the caller named can't be used. `what` is the Japanese noun of what was tried, e.g. 読み込み.
    pub(crate) fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::InvalidData => {
                "文字のファイル（UTF-8）ではありません。別のファイルではないか確認してください"
            }
            std::io::ErrorKind::AlreadyExists => "すでにあります。別の名前にしてください",
            std::io::ErrorKind::NotFound => "ファイルがありません。パスを確認してください",
            _ => "パスと権限を確認してください",
        };
        Self::Usage(format!(
            "{} の{what}ができません（{hint}）/ {error}",
            path.display()
        ))
    }

    /// Standard output or standard error can't be written.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        Self::Unavailable(format!(
            "結果を出力できません / can't write the output: {error}"
        ))
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::of(&status, words::field)
    }
}

impl Failure {
    /// What a node said, with the names that the command's own options give to the fields of its request.
    pub(crate) fn of(status: &tonic::Status, name: impl Fn(&str) -> Option<&'static str>) -> Self {
        if let Some(refused) = refused_by_tls(status) {
            return refused;
        }
        let text = status.message();
        let retry = retry_hint(status);
        match status.code() {
            tonic::Code::InvalidArgument => Self::Usage(format!(
                "入力に誤りがあります{}。直してからもう一度実行してください / invalid argument: {text}",
                fields(status, name)
            )),
            tonic::Code::PermissionDenied => Self::NotAllowed(format!(
                "この証明書では許可されていません。役割（staff・officer など）と市区町村コードを確認してください / permission denied: {text}"
            )),
            tonic::Code::Unauthenticated => Self::NotAllowed(format!(
                "証明書が認められませんでした。管理者に証明書の確認を依頼してください / unauthenticated: {text}"
            )),
            tonic::Code::NotFound => Self::NotDone(format!(
                "その番号のものはありません。番号を確かめてください（取込は vrx import list、提供記録は vrx log list、消去は vrx retention list で見られます）/ \
                 nothing with this id: {text}"
            )),
            tonic::Code::FailedPrecondition
            | tonic::Code::AlreadyExists
            | tonic::Code::Aborted
            | tonic::Code::OutOfRange => {
                let why = words::sentence(text).map_or_else(String::new, |why| format!(": {why}"));
                Self::NotDone(format!("実行できませんでした{why} / not done: {text}"))
            }
            tonic::Code::ResourceExhausted => Self::Unavailable(format!(
                "混み合っています。{retry} / too many requests: {text}"
            )),
            tonic::Code::DeadlineExceeded => Self::Unavailable(format!(
                "時間内に終わりませんでした。{retry} / deadline exceeded: {text}"
            )),
            tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::DataLoss => {
                Self::Unavailable(format!(
                    "ノードで異常が起きました。この文を添えて運用担当者に連絡してください / the node failed: {text}"
                ))
            }
            _ => Self::Unavailable(format!(
                "ノードが応答できません。{retry}続くときは運用担当者に連絡してください / unavailable: {text}"
            )),
        }
    }
}

/// The fields that the node found wrong, in Japanese as far as that is known; it never says their values.
fn fields(status: &tonic::Status, name: impl Fn(&str) -> Option<&'static str>) -> String {
    let names: Vec<String> = status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default()
        .into_iter()
        .map(|violation| {
            let name = name(&violation.field).unwrap_or(&violation.field);
            let why = words::sentence(&violation.description).unwrap_or(&violation.description);
            format!("{name}: {why}")
        })
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("（{}）", names.join("、"))
    }
}

fn retry_hint(status: &tonic::Status) -> String {
    match status
        .get_details_retry_info()
        .and_then(|details| details.retry_delay)
    {
        Some(delay) => format!(
            "{} 秒後にもう一度実行してください。",
            delay.as_secs().max(1)
        ),
        None => "しばらくしてからもう一度実行してください。".to_owned(),
    }
}

/// The node ended TLS with an alert.
pub(crate) fn refused_with(alert: rustls::AlertDescription) -> Failure {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, DecryptError, UnknownCA, UnsupportedCertificate,
    };
    let is_of_certificate = matches!(
        alert,
        AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | DecryptError
            | UnknownCA
            | UnsupportedCertificate
    );
    if !is_of_certificate {
        return Failure::Configuration(format!(
            "そのサーバーが TLS の接続を断りました。address と server_name が交換ノードのものか確認してください / the server ended TLS: {alert:?}"
        ));
    }
    Failure::NotAllowed(format!(
        "ノードがこの証明書を受け付けませんでした。証明書の期限と発行元、そのノードの自治体が発行した証明書かを確認してください / \
         the node refused the certificate (expired, revoked, or another municipality's): {alert:?}"
    ))
}

/// In TLS 1.3 a client learns only after its handshake that the server refused its certificate: the alert comes with the first read.
fn refused_by_tls(status: &tonic::Status) -> Option<Failure> {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let tls = inner
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .or_else(|| error.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return Some(refused_with(*alert));
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn each_status_has_its_exit_code() {
        for (code, exit) in [
            (tonic::Code::InvalidArgument, 2),
            (tonic::Code::PermissionDenied, 77),
            (tonic::Code::Unauthenticated, 77),
            (tonic::Code::NotFound, 1),
            (tonic::Code::FailedPrecondition, 1),
            (tonic::Code::Unavailable, 69),
            (tonic::Code::DeadlineExceeded, 69),
            (tonic::Code::ResourceExhausted, 69),
            (tonic::Code::Internal, 69),
        ] {
            assert_eq!(
                Failure::from(tonic::Status::new(code, "text")).exit_code(),
                exit,
                "{code:?}"
            );
        }
        assert_eq!(Failure::Configuration(String::new()).exit_code(), 64);
    }

    #[test]
    fn the_wrong_fields_are_named() {
        let mut details = tonic_types::ErrorDetails::new();
        details.add_bad_request_violation("consent.obtained_on", "is in the future");
        let status = <tonic::Status as tonic_types::StatusExt>::with_error_details(
            tonic::Code::InvalidArgument,
            "bad request",
            details,
        );
        let told = Failure::from(status).to_string();
        assert!(told.contains("同意日"), "{told}");
    }

    #[test]
    fn what_the_node_says_stands_in_both_languages() {
        let mut details = tonic_types::ErrorDetails::new();
        details.add_bad_request_violation("day", "comes before the log's first entry");
        let status = <tonic::Status as tonic_types::StatusExt>::with_error_details(
            tonic::Code::InvalidArgument,
            "day: comes before the log's first entry",
            details,
        );
        assert_eq!(
            Failure::from(status).to_string(),
            "入力に誤りがあります（日: 提供記録が始まる前の日です）。直してからもう一度実行してください / \
             invalid argument: day: comes before the log's first entry"
        );
        let status = tonic::Status::failed_precondition("the entry conceals no counterparty");
        let told = Failure::from(status).to_string();
        assert!(told.contains("伏せている相手方の名はありません"), "{told}");
        assert!(
            told.contains("the entry conceals no counterparty"),
            "{told}"
        );
    }

    #[test]
    fn a_tls_alert_behind_a_transport_error_is_a_refusal() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let status = tonic::Status::from_error(Box::new(std::io::Error::other(alert)));
        assert_eq!(Failure::from(status).exit_code(), 77);
    }
}
