//! `vrx log verify`: the node verifies its whole log, and this program doesn't just believe it.

use serde_json::json;
use tonic::{Code, transport::Channel};
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient, verify_log_event::Event};
use vrx_tlog::{Checkpoint, Receipt, VerifierKey, verify_receipt};

use super::proofs::is_of_other_epoch;
use super::show::proof;
use crate::{failure::Failure, output::Output, profile::Profile, receipt};

/// What a verification found: the node's own report, and what this program checked by itself.
pub(crate) struct Verified {
    report: v1::VerifyReport,
    /// The signature was checked; false when no verifier key is configured.
    signature_checked: bool,
    proofs_checked: u64,
    findings: Vec<String>,
}

impl Verified {
    /// How many entries the log has.
    pub(crate) fn size(&self) -> u64 {
        self.report.size
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "ok": self.conclusion().is_ok(),
            "size": self.report.size,
            "root": hex::encode(&self.report.root),
            "checkpoint": self.report.checkpoint,
            "openings_checked": self.report.openings_checked,
            "signature_checked": self.signature_checked,
            "proofs_checked": self.proofs_checked,
            "findings": self.findings,
        })
    }

    /// Prints it for people.
    pub(crate) fn show(&self, output: &Output) -> Result<(), Failure> {
        output.table(
            &[
                "件数 size",
                "記録内容の照合 openings",
                "署名 signature",
                "包含証明 proofs",
                "不一致 findings",
            ],
            [vec![
                self.report.size.to_string(),
                self.report.openings_checked.to_string(),
                if self.signature_checked {
                    "確認済み"
                } else {
                    "未確認"
                }
                .to_owned(),
                self.proofs_checked.to_string(),
                self.findings.len().to_string(),
            ]],
        )?;
        self.findings
            .iter()
            .try_for_each(|finding| output.line(&format!("  ✗ {finding}")))
    }

    /// What it means that the node gave no proof of an entry. It is a finding, unless the node only can't answer now, and had found
    /// nothing: then nothing can be said of its log.
    fn not_proved(&mut self, index: u64, status: tonic::Status) -> Result<(), Failure> {
        let passing = matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Cancelled
                | Code::PermissionDenied
                | Code::Unauthenticated
        );
        if passing && self.findings.is_empty() && self.report.ok {
            return Err(status.into());
        }
        self.findings.push(format!(
            "提供記録 {index} 番の証明をノードが返しませんでした / entry {index}: no proof: {}",
            status.message()
        ));
        Ok(())
    }

    /// Done only when everything was checked and agrees.
    pub(crate) fn conclusion(&self) -> Result<(), Failure> {
        if !self.findings.is_empty() || !self.report.ok {
            return Err(Failure::NotDone(
                "提供記録の検証に失敗しました。ノードを止めずに、この結果を添えて運用担当者に連絡してください / the log doesn't verify"
                    .to_owned(),
            ));
        }
        if !self.signature_checked {
            return Err(Failure::NotDone(
                "署名を確認できません。プロファイルに log_vkey を書いてください（運用担当者の vrx-node log key で得られます）/ \
                 no verifier key, signature not proved"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// Has the node verify its log, then checks the checkpoint's signature and some inclusion proofs here.
pub(crate) async fn verify(
    channel: Channel,
    profile: &Profile,
    proofs: u64,
    output: &Output,
) -> Result<Verified, Failure> {
    let mut client = AuditServiceClient::new(channel);
    let mut request = tonic::Request::new(v1::VerifyLogRequest {
        municipality_code: profile.municipality.to_string(),
    });
    request.set_timeout(std::time::Duration::from_hours(6));
    let mut events = client.verify_log(request).await?.into_inner();
    let bar = output.progress(0, "検証中 {bar:40} {pos}/{len} 件 残り {eta}");
    let mut report = None;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Progress(progress)) => {
                bar.set_length(progress.entries_total);
                bar.set_position(progress.entries_checked);
            }
            Some(Event::Report(end)) => report = Some(end),
            None => {}
        }
    }
    bar.finish_and_clear();
    let report = report.ok_or_else(|| {
        Failure::Unavailable(
            "検証の結果が届きませんでした。もう一度実行してください / no report arrived".to_owned(),
        )
    })?;
    let mut verified = Verified {
        findings: report.findings.clone(),
        report,
        signature_checked: false,
        proofs_checked: 0,
    };
    if let Some(key) = key(profile)? {
        check_report(&mut verified, &key);
        for index in spread(verified.report.size, proofs) {
            let receipt = match proof(&mut client, profile, index).await {
                Ok(response) => response.receipt,
                Err(status) => {
                    verified.not_proved(index, status)?;
                    continue;
                }
            };
            match receipt
                .ok_or_else(no_receipt)
                .and_then(|receipt| check_receipt(&receipt, &key, index))
            {
                // The log grew since: its checkpoint can only be at least as large as the one that was verified.
                Ok(checkpoint) if checkpoint.size >= verified.report.size => {
                    verified.proofs_checked += 1;
                }
                Ok(_) => verified.findings.push(format!(
                    "entry {index}: the checkpoint is smaller than the verified log"
                )),
                Err(failure) => verified.findings.push(failure.to_string()),
            }
        }
    }
    Ok(verified)
}

/// The node's report has to be about the very log that the configured key signs.
fn check_report(verified: &mut Verified, key: &VerifierKey) {
    match Checkpoint::open(&verified.report.checkpoint, key, key.name()) {
        Ok(checkpoint) => {
            verified.signature_checked = true;
            if checkpoint.size != verified.report.size {
                verified
                    .findings
                    .push("signed size and verified size differ".to_owned());
            }
            if checkpoint.root.as_slice() != verified.report.root {
                verified
                    .findings
                    .push("signed root and computed root differ".to_owned());
            }
        }
        Err(_) if is_of_other_epoch(&verified.report.checkpoint, key) => {
            verified.findings.push(
                "プロファイルの log_vkey は別の系列（epoch）の鍵です / log_vkey is the key of another epoch of this log"
                    .to_owned(),
            );
        }
        Err(error) => verified.findings.push(format!("checkpoint: {error}")),
    }
}

/// Checks one entry's receipt under the log's key.
pub(super) fn check_receipt(
    receipt: &v1::Receipt,
    key: &VerifierKey,
    index: u64,
) -> Result<Checkpoint, Failure> {
    verify_receipt(&parse_receipt(receipt, index)?, key, None)
        .map(|(_, checkpoint)| checkpoint)
        .map_err(|error| wrong(index, &error.to_string()))
}

/// The receipt of the entry at `index`, in the log's own format.
pub(crate) fn parse_receipt(receipt: &v1::Receipt, index: u64) -> Result<Receipt, Failure> {
    let wrong = |why: &str| wrong(index, why);
    let receipt = receipt::parse(receipt).map_err(wrong)?;
    if receipt.log_index != index {
        return Err(wrong("it is another entry's"));
    }
    Ok(receipt)
}

fn wrong(index: u64, why: &str) -> Failure {
    Failure::NotDone(format!(
        "提供記録 {index} 番の証明が正しくありません / entry {index}: {why}"
    ))
}

fn no_receipt() -> Failure {
    Failure::NotDone("ノードが証明を返しませんでした / the node gave no proof".to_owned())
}

/// The verifier key that the profile names.
pub(crate) fn key(profile: &Profile) -> Result<Option<VerifierKey>, Failure> {
    profile
        .log_vkey
        .as_deref()
        .map(|text| {
            VerifierKey::parse(text).map_err(|error| {
                Failure::Configuration(format!(
                    "log_vkey が正しくありません / not a verifier key: {error}"
                ))
            })
        })
        .transpose()
}

/// First, last, and others evenly between them.
fn spread(size: u64, wanted: u64) -> Vec<u64> {
    let count = wanted.min(size);
    match count {
        0 => Vec::new(),
        1 => vec![size - 1],
        _ => (0..count)
            .map(|nth| {
                u64::try_from(u128::from(nth) * u128::from(size - 1) / u128::from(count - 1))
                    .unwrap_or(0)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Verified, spread, v1};

    fn verified(ok: bool, signature_checked: bool, findings: &[&str]) -> Verified {
        Verified {
            report: v1::VerifyReport {
                ok,
                ..Default::default()
            },
            signature_checked,
            proofs_checked: 0,
            findings: findings.iter().map(|&finding| finding.to_owned()).collect(),
        }
    }

    #[test]
    fn a_log_is_verified_only_when_everything_was_checked() {
        assert!(verified(true, true, &[]).conclusion().is_ok());
        for wrong in [
            verified(false, true, &[]),
            verified(true, false, &[]),
            verified(true, true, &["x"]),
        ] {
            assert_eq!(wrong.conclusion().unwrap_err().exit_code(), 1);
        }
    }

    #[test]
    fn a_proof_that_a_node_can_never_give_is_a_finding_and_one_it_cannot_give_now_hides_none() {
        let status = |code| tonic::Status::new(code, "text");
        let mut log = verified(true, true, &[]);
        let failure = log.not_proved(7, status(Code::Unavailable)).unwrap_err();
        assert_eq!(failure.exit_code(), 69);
        for code in [Code::Internal, Code::FailedPrecondition, Code::Unavailable] {
            log.not_proved(7, status(code)).unwrap();
        }
        assert_eq!(log.findings.len(), 3);
        assert!(log.findings[0].contains("entry 7"));
        assert_eq!(log.conclusion().unwrap_err().exit_code(), 1);
    }

    #[test]
    fn proofs_are_spread_over_the_whole_log() {
        assert!(spread(0, 8).is_empty());
        assert_eq!(spread(1, 8), [0]);
        assert_eq!(spread(100, 1), [99]);
        assert_eq!(spread(100, 3), [0, 49, 99]);
        assert_eq!(spread(3, 8), [0, 1, 2]);
    }
}
