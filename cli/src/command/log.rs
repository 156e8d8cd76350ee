//! `vrx log`: what a privacy officer sees of the provision log (提供記録). Each of these reads is itself an entry.

use serde_json::json;
use tonic::transport::Channel;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient, verify_log_event::Event};
use vrx_tlog::{Checkpoint, Receipt, VerifierKey, verify_receipt};

use crate::{
    clock,
    command::inquire::receipt_json,
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};

/// 提供記録の確認 / the provision log.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// 新しい順に一覧を表示する / list entries, newest first
    List {
        /// 件数 / how many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// 前のページが示した続きの印 / continue where the last page ended
        #[arg(long, value_name = "TOKEN", default_value = "")]
        page_token: String,
    },
    /// 1件を、開示内容と証明付きで表示する / show one entry with its opening and proof
    Show {
        /// 提供記録の番号 / the entry's index
        #[arg(value_name = "INDEX")]
        index: u64,
    },
    /// 全件を検証する。署名と証明はこのコマンド自身でも確かめる / verify the whole log; signature and proofs are checked here too
    Verify {
        /// 手元で包含証明を確かめる件数 / entries whose inclusion proof is checked here
        #[arg(long, default_value_t = 8, value_name = "N")]
        proofs: u64,
    },
}

/// Runs the command.
pub(crate) async fn run(
    command: Command,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    match command {
        Command::List { limit, page_token } => {
            let page = list(connect(&profile).await?, &profile, limit, page_token).await?;
            let printed = output.json(|| {
                json!({
                    "entries": page.entries.iter().map(entry_json).collect::<Vec<_>>(),
                    "next_page_token": page.next_page_token,
                })
            })?;
            if printed {
                return Ok(());
            }
            show_entries(&page.entries, output)?;
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            output.hint(&format!(
                "続き → vrx log list --page-token {} / more",
                page.next_page_token
            ))
        }
        Command::Show { index } => show(&profile, index, output).await,
        Command::Verify { proofs } => {
            let verified = verify(connect(&profile).await?, &profile, proofs, output).await?;
            if !output.json(|| verified.json())? {
                verified.show(output)?;
            }
            verified.conclusion()
        }
    }
}

/// A page of entries.
pub(crate) async fn list(
    channel: Channel,
    profile: &Profile,
    limit: u32,
    page_token: String,
) -> Result<v1::ListEntriesResponse, Failure> {
    let request = v1::ListEntriesRequest {
        municipality_code: profile.municipality.to_string(),
        page_size: limit,
        page_token,
    };
    Ok(AuditServiceClient::new(channel)
        .list_entries(profile.request(request))
        .await?
        .into_inner())
}

async fn show(profile: &Profile, index: u64, output: &Output) -> Result<(), Failure> {
    let response = get(
        &mut AuditServiceClient::new(connect(profile).await?),
        profile,
        index,
    )
    .await?;
    let key = key(profile)?;
    let proved = match (&key, &response.receipt) {
        (Some(key), Some(receipt)) => Some(check_receipt(receipt, key, index).map(|_| ())),
        _ => None,
    };
    let printed = output.json(|| {
        json!({
            "entry": response.entry.as_ref().map(entry_json),
            "receipt": response.receipt.as_ref().map(receipt_json),
            "commitments_verified": response.commitments_verified,
            "proof": match &proved { Some(Ok(())) => "proved", Some(Err(_)) => "wrong", None => "not-checked" },
        })
    })?;
    if !printed {
        if let Some(entry) = &response.entry {
            output.line(&format!(
                "提供記録 {} 番   {}   {}   {}",
                entry.log_index,
                clock::show(entry.time.as_ref()),
                kind_label(entry.kind()).0,
                entry.entry_id
            ))?;
            output.table(
                &["区分", "項目", "値"],
                entry.fields.iter().map(|field| {
                    vec![
                        field.commitment.clone(),
                        field.name.clone(),
                        field.value.clone(),
                    ]
                }),
            )?;
            if entry.subject_seq > 1 {
                output.line(&format!(
                    "この人について {} 件目（前は {} 番）",
                    entry.subject_seq, entry.previous_index
                ))?;
            }
        }
        let commitments = if response.commitments_verified {
            "一致"
        } else {
            "確認できません"
        };
        let proof = match &proved {
            Some(Ok(())) => "確認済み",
            Some(Err(_)) => "誤り",
            None => "未確認（プロファイルに log_vkey がありません）",
        };
        output.line(&format!(
            "記録内容とハッシュ: {commitments}   署名と包含証明: {proof}"
        ))?;
    }
    match proved {
        Some(Err(failure)) => Err(failure),
        _ if !response.commitments_verified => Err(Failure::NotDone(
            "記録内容がハッシュと一致するか確認できません / commitments not verified".to_owned(),
        )),
        _ => Ok(()),
    }
}

async fn get(
    client: &mut AuditServiceClient<Channel>,
    profile: &Profile,
    index: u64,
) -> Result<v1::GetEntryResponse, Failure> {
    let request = v1::GetEntryRequest {
        municipality_code: profile.municipality.to_string(),
        log_index: index,
    };
    Ok(client
        .get_entry(profile.request(request))
        .await?
        .into_inner())
}

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

    fn json(&self) -> serde_json::Value {
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
            let receipt = get(&mut client, profile, index).await?.receipt;
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
    verified.signature_checked = true;
    match Checkpoint::open(&verified.report.checkpoint, key, key.name()) {
        Ok(checkpoint) => {
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
        Err(error) => verified.findings.push(format!("checkpoint: {error}")),
    }
}

fn check_receipt(
    receipt: &v1::Receipt,
    key: &VerifierKey,
    index: u64,
) -> Result<Checkpoint, Failure> {
    let wrong = |why: &str| {
        Failure::NotDone(format!(
            "提供記録 {index} 番の証明が正しくありません / entry {index}: {why}"
        ))
    };
    let hashes = |hashes: &[Vec<u8>]| -> Result<Vec<[u8; 32]>, Failure> {
        hashes
            .iter()
            .map(|hash| {
                hash.as_slice()
                    .try_into()
                    .map_err(|_| wrong("a hash isn't 32 bytes"))
            })
            .collect()
    };
    let receipt = Receipt {
        log_index: receipt.log_index,
        leaf: receipt
            .leaf
            .as_slice()
            .try_into()
            .map_err(|_| wrong("the leaf isn't 134 bytes"))?,
        checkpoint: receipt.checkpoint.clone(),
        inclusion_proof: hashes(&receipt.inclusion_proof)?,
        consistency_proof: hashes(&receipt.consistency_proof)?,
    };
    if receipt.log_index != index {
        return Err(wrong("it is another entry's"));
    }
    verify_receipt(&receipt, key, None)
        .map(|(_, checkpoint)| checkpoint)
        .map_err(|error| wrong(&error.to_string()))
}

fn no_receipt() -> Failure {
    Failure::NotDone("ノードが証明を返しませんでした / the node gave no proof".to_owned())
}

fn key(profile: &Profile) -> Result<Option<VerifierKey>, Failure> {
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

/// A table of entries for people.
pub(crate) fn show_entries(entries: &[v1::LogEntry], output: &Output) -> Result<(), Failure> {
    output.table(
        &["番号", "日時", "種類", "行為者", "内容"],
        entries.iter().map(|entry| {
            vec![
                entry.log_index.to_string(),
                clock::show(entry.time.as_ref()),
                kind_label(entry.kind()).0.to_owned(),
                actor(entry),
                gist(entry),
            ]
        }),
    )
}

fn field<'a>(entry: &'a v1::LogEntry, commitment: &str, name: &str) -> Option<&'a str> {
    entry
        .fields
        .iter()
        .find(|field| field.commitment == commitment && field.name == name)
        .map(|field| field.value.as_str())
}

/// `神奈川県横浜市 exchange` out of the caller's URI.
fn actor(entry: &v1::LogEntry) -> String {
    let Some(uri) = field(entry, "actor", "caller") else {
        return "—".to_owned();
    };
    vrx_domain::SpiffeId::parse(uri).map_or_else(
        |_| uri.to_owned(),
        |id| {
            let name = id.name.map(|name| format!("/{name}")).unwrap_or_default();
            format!("{} {}{name}", id.municipality.name(), id.role.as_str())
        },
    )
}

/// The few fields that tell what happened.
fn gist(entry: &v1::LogEntry) -> String {
    const TOLD: &[(&str, &str)] = &[
        ("actor", "action"),
        ("subject", "cause"),
        ("content", "outcome"),
        ("actor", "operator_ref"),
        ("actor", "event_reference"),
        ("actor", "legal_basis"),
        ("content", "held_back"),
    ];
    if entry.fields.is_empty() {
        return "—".to_owned();
    }
    let told: Vec<String> = TOLD
        .iter()
        .filter_map(|(commitment, name)| {
            field(entry, commitment, name).map(|value| format!("{name}={value}"))
        })
        .collect();
    told.join(" ")
}

fn entry_json(entry: &v1::LogEntry) -> serde_json::Value {
    json!({
        "log_index": entry.log_index,
        "time": clock::show_rfc3339(entry.time.as_ref()),
        "kind": kind_label(entry.kind()).1,
        "entry_id": entry.entry_id,
        "fields": entry.fields.iter().map(|field| {
            json!({ "commitment": field.commitment, "name": field.name, "value": field.value })
        }).collect::<Vec<_>>(),
        "subject_seq": entry.subject_seq,
        "previous_index": (entry.subject_seq > 1).then_some(entry.previous_index),
    })
}

fn kind_label(kind: v1::EntryKind) -> (&'static str, &'static str) {
    match kind {
        v1::EntryKind::Exchange => ("提供", "exchange"),
        v1::EntryKind::Inquiry => ("照会", "inquiry"),
        v1::EntryKind::Desk => ("窓口", "desk"),
        v1::EntryKind::Control => ("管理", "control"),
        v1::EntryKind::Erasure => ("消去", "erasure"),
        v1::EntryKind::Genesis => ("開始", "genesis"),
        v1::EntryKind::Unspecified => ("不明", "unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Verified, spread, v1};

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
    fn proofs_are_spread_over_the_whole_log() {
        assert!(spread(0, 8).is_empty());
        assert_eq!(spread(1, 8), [0]);
        assert_eq!(spread(100, 1), [99]);
        assert_eq!(spread(100, 3), [0, 49, 99]);
        assert_eq!(spread(3, 8), [0, 1, 2]);
    }
}
