//! `vrx inquire`: asks another municipality for the records of a person who moved in.
//!
//! The number is typed without being shown, or read from standard input or a file: never from the command line.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use jiff::{Timestamp, civil::Date};
use serde_json::json;
use tonic::transport::Channel;
use vrx_domain::{IndividualNumber, MunicipalityCode, PlaceCode};
use vrx_proto::v1::{self, registry_service_client::RegistryServiceClient};
use zeroize::Zeroizing;

use crate::{
    clock,
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};

/// 転入者の接種記録を、本人の同意と本人確認にもとづき、前の市区町村に照会する。
///
/// 個人番号は画面に表示せずに入力する（または標準入力・--number-file から読む）。照会したことは、番号を送る前に提供記録に残る。
/// Asks the former municipality; the inquiry is logged before the number leaves.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 前に住んでいた市区町村のコード (6桁) / the former municipality
    #[arg(long, value_name = "CODE")]
    pub(crate) from: String,
    /// 個人番号を1行で書いたファイル (使用後は消してください) / file with the number
    #[arg(long, value_name = "FILE")]
    pub(crate) number_file: Option<PathBuf>,
    /// 同意書の整理番号 (英数字と . _ -) / the consent's reference
    #[arg(long, value_name = "REF")]
    pub(crate) consent_reference: String,
    /// 同意を得た日 / when it was obtained
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = clock::parse_date)]
    pub(crate) consent_date: Date,
    /// 同意の方法 / how it was obtained
    #[arg(long, value_enum, default_value = "written")]
    pub(crate) consent_method: Consent,
    /// 住民基本台帳を確認した日時 (now も可) / when the resident register was checked
    #[arg(long, value_name = "TIME", value_parser = clock::parse_moment)]
    pub(crate) register_checked_at: Timestamp,
    /// 本人確認に用いた書類 / the identity document
    #[arg(long, value_enum, default_value = "number-card")]
    pub(crate) document: Document,
    /// 本人確認をした日時 (now も可) / when the document was checked
    #[arg(long, value_name = "TIME", value_parser = clock::parse_moment)]
    pub(crate) document_checked_at: Timestamp,
    /// 転入届の整理番号 / the move-in notification
    #[arg(long, value_name = "REF")]
    pub(crate) event_reference: String,
    /// 転入届の日付 / its date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = clock::parse_date)]
    pub(crate) event_date: Date,
    /// 法令上の根拠 / the legal basis
    #[arg(long, value_name = "CODE", default_value = "NBA-19-16")]
    pub(crate) legal_basis: String,
    /// 支援措置対象者: 相手方で当自治体名を住民に開示しない / the provider shall not show our name to residents
    #[arg(long)]
    pub(crate) conceal_requester: bool,
}

/// How consent was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consent {
    /// 書面
    Written,
    /// アプリ
    App,
    /// キオスク端末
    Kiosk,
    /// 同意を得ることが困難 (双方の自治体が認める場合のみ)
    HardToObtain,
}

/// By what the person was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// 個人番号カード
    NumberCard,
    /// 通知カードと写真付き身分証明書
    NotificationCard,
}

/// Runs the command.
pub(crate) async fn run(
    args: Args,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    let former = parse_former(&args.from)?;
    let number = read_number(args.number_file.as_deref())?;
    let answer = inquire(
        connect(&profile).await?,
        &profile,
        request(&args, former, &number, &profile),
    )
    .await?;
    if !output.json(|| answer_json(&answer))? {
        show(&answer, former, output)?;
    }
    match answer.outcome() {
        v1::InquiryOutcome::Found | v1::InquiryOutcome::Nothing => Ok(()),
        v1::InquiryOutcome::Refused => Err(Failure::NotAllowed(format!(
            "{} は照会を拒否しました: {} / refused",
            former.name(),
            answer.reason
        ))),
        v1::InquiryOutcome::Failed | v1::InquiryOutcome::Unspecified => {
            Err(Failure::Unavailable(format!(
                "照会できませんでした（該当なしではありません）: {}。あとでもう一度照会してください / failed, not \"nothing\"",
                answer.reason
            )))
        }
    }
}

/// The message for the node.
pub(crate) fn request(
    args: &Args,
    former: MunicipalityCode,
    number: &IndividualNumber,
    profile: &Profile,
) -> v1::InquireMunicipalityRequest {
    v1::InquireMunicipalityRequest {
        municipality_code: profile.municipality.to_string(),
        individual_number: number.digits().iter().copied().map(char::from).collect(),
        former_municipality_code: former.to_string(),
        legal_basis: args.legal_basis.clone(),
        consent: Some(v1::Consent {
            reference: args.consent_reference.clone(),
            obtained_on: Some(clock::date_to_wire(args.consent_date)),
            method: match args.consent_method {
                Consent::Written => v1::ConsentMethod::Written,
                Consent::App => v1::ConsentMethod::App,
                Consent::Kiosk => v1::ConsentMethod::Kiosk,
                Consent::HardToObtain => v1::ConsentMethod::HardToObtain,
            }
            .into(),
        }),
        identity: Some(v1::IdentityConfirmation {
            resident_register_checked_at: Some(clock::to_wire(args.register_checked_at)),
            document: match args.document {
                Document::NumberCard => v1::IdentityDocument::NumberCard,
                Document::NotificationCard => v1::IdentityDocument::NotificationCardAndPhotoId,
            }
            .into(),
            document_checked_at: Some(clock::to_wire(args.document_checked_at)),
        }),
        event_reference: args.event_reference.clone(),
        event_date: Some(clock::date_to_wire(args.event_date)),
        conceal_requester: args.conceal_requester,
    }
}

/// Asks the node to inquire.
pub(crate) async fn inquire(
    channel: Channel,
    profile: &Profile,
    request: v1::InquireMunicipalityRequest,
) -> Result<v1::InquireMunicipalityResponse, Failure> {
    Ok(RegistryServiceClient::new(channel)
        .inquire_municipality(profile.request(request))
        .await?
        .into_inner())
}

/// Prints what came back, for people.
pub(crate) fn show(
    answer: &v1::InquireMunicipalityResponse,
    former: MunicipalityCode,
    output: &Output,
) -> Result<(), Failure> {
    output.line(&format!(
        "照会番号 {}   結果: {}   自庁の提供記録 {} 番",
        answer.inquiry_id,
        outcome_label(answer.outcome()).0,
        answer.log_index
    ))?;
    if let Some(receipt) = &answer.receipt {
        output.line(&format!(
            "{}の受領証: 提供記録 {} 番",
            former.name(),
            receipt.log_index
        ))?;
    }
    match answer.outcome() {
        v1::InquiryOutcome::Found => {}
        v1::InquiryOutcome::Nothing => {
            return output.hint(
                "提供できる接種記録はありませんでした。転出の登録が遅れていることもあるため、14日間は1日1回まで照会し直せます / nothing to give",
            );
        }
        _ => return Ok(()),
    }
    dose_table(&answer.doses, output)?;
    if answer.held_back > 0 {
        output.line(&format!(
            "ほかに {} 件が相手方で確認中です（日付などの矛盾）/ held back by the provider",
            answer.held_back
        ))?;
    }
    output.line(&format!(
        "生年月日: {}",
        birth_label(answer.birth_date_match()).0
    ))?;
    if !answer.adoptable {
        return output.line("検証に通らない項目があるため、取り込めません。個人情報保護担当に連絡してください / not adoptable");
    }
    output.hint(&format!(
        "次に: 台帳に取り込む → vrx adopt {}（{} まで）/ adopt next",
        answer.inquiry_id,
        clock::show(answer.expires_at.as_ref())
    ))
}

fn dose_table(doses: &[v1::Dose], output: &Output) -> Result<(), Failure> {
    output.table(
        &[
            "接種回",
            "接種日",
            "ワクチン",
            "ロット番号",
            "接種会場",
            "接種した自治体",
            "券番号",
        ],
        doses.iter().map(|dose| {
            vec![
                dose.dose_number.to_string(),
                clock::show_date(dose.date.as_ref()),
                if dose.product_name.is_empty() {
                    dose.manufacturer.clone()
                } else {
                    dose.product_name.clone()
                },
                dose.lot_number.clone(),
                dose.venue.clone(),
                place_name(&dose.municipality_code),
                dose.voucher_number.clone(),
            ]
        }),
    )
}

fn place_name(code: &str) -> String {
    code.parse::<PlaceCode>()
        .map_or_else(|_| code.to_owned(), |place| place.name().to_owned())
}

/// What came back, for programs. The receipt is whole, so that anybody can check it later.
fn answer_json(answer: &v1::InquireMunicipalityResponse) -> serde_json::Value {
    json!({
        "inquiry_id": answer.inquiry_id,
        "outcome": outcome_label(answer.outcome()).1,
        "reason": answer.reason,
        "doses": answer.doses.iter().map(dose_json).collect::<Vec<_>>(),
        "birth_date_match": birth_label(answer.birth_date_match()).1,
        "held_back": answer.held_back,
        "receipt": answer.receipt.as_ref().map(receipt_json),
        "adoptable": answer.adoptable,
        "expires_at": clock::show_rfc3339(answer.expires_at.as_ref()),
        "log_index": answer.log_index,
    })
}

fn dose_json(dose: &v1::Dose) -> serde_json::Value {
    json!({
        "dose_id": dose.dose_id,
        "dose_number": dose.dose_number,
        "date": clock::show_date(dose.date.as_ref()),
        "vaccine_code": dose.vaccine_code,
        "product_name": dose.product_name,
        "manufacturer": dose.manufacturer,
        "lot_number": dose.lot_number,
        "venue": dose.venue,
        "municipality_code": dose.municipality_code,
        "voucher_number": dose.voucher_number,
        "revision": dose.revision,
        "status": match dose.status() {
            v1::DoseStatus::Approved => "approved",
            v1::DoseStatus::Cancelled => "cancelled",
            v1::DoseStatus::Unspecified => "unknown",
        },
    })
}

/// A receipt for programs: leaf in hexadecimal, proofs as lists of hexadecimal hashes.
pub(crate) fn receipt_json(receipt: &v1::Receipt) -> serde_json::Value {
    json!({
        "log_index": receipt.log_index,
        "leaf": hex::encode(&receipt.leaf),
        "checkpoint": receipt.checkpoint,
        "inclusion_proof": receipt.inclusion_proof.iter().map(hex::encode).collect::<Vec<_>>(),
        "consistency_proof": receipt.consistency_proof.iter().map(hex::encode).collect::<Vec<_>>(),
    })
}

pub(crate) fn outcome_label(outcome: v1::InquiryOutcome) -> (&'static str, &'static str) {
    match outcome {
        v1::InquiryOutcome::Found => ("提供あり (found)", "found"),
        v1::InquiryOutcome::Nothing => ("該当なし (nothing)", "nothing"),
        v1::InquiryOutcome::Refused => ("拒否 (refused)", "refused"),
        v1::InquiryOutcome::Failed => ("照会できず (failed)", "failed"),
        v1::InquiryOutcome::Unspecified => ("不明 (unknown)", "unknown"),
    }
}

fn birth_label(matching: v1::BirthDateMatch) -> (&'static str, &'static str) {
    match matching {
        v1::BirthDateMatch::Same => ("台帳と一致", "same"),
        v1::BirthDateMatch::Different => ("台帳と相違 — 別の職員の確認が必要です", "different"),
        v1::BirthDateMatch::NotRegistered => ("自庁の台帳にこの人がいません", "not-registered"),
        v1::BirthDateMatch::Unspecified => ("—", "unspecified"),
    }
}

/// The municipality that is asked.
pub(crate) fn parse_former(code: &str) -> Result<MunicipalityCode, Failure> {
    code.parse().map_err(|_| {
        Failure::Usage(format!(
            "--from {code} は市区町村のコードではありません（検査数字を含む6桁。区・都道府県は不可）/ not a municipality code"
        ))
    })
}

fn read_number(file: Option<&Path>) -> Result<IndividualNumber, Failure> {
    let text = match file {
        Some(path) => read_line(
            &mut std::fs::File::open(path)
                .map_err(|error| Failure::file("読み込み", path, &error))?,
        )
        .map_err(|error| Failure::file("読み込み", path, &error))?,
        None if std::io::stdin().is_terminal() => prompt().map_err(|error| no_input(&error))?,
        None => read_line(&mut std::io::stdin().lock()).map_err(|error| no_input(&error))?,
    };
    // What was typed is never repeated, not even a part of it.
    IndividualNumber::parse(text.trim()).map_err(|_| {
        Failure::Usage(
            "個人番号が正しくありません（検査数字を含む12桁）/ not an individual number".to_owned(),
        )
    })
}

fn no_input(error: &std::io::Error) -> Failure {
    Failure::Usage(format!(
        "個人番号を読み取れません / can't read the number: {error}"
    ))
}

/// At most a line's worth of bytes, wiped when dropped.
fn read_line(input: &mut dyn std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    input.take(64).read_to_end(&mut bytes)?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(Zeroizing::new(String::from_utf8_lossy(line).into_owned()))
}

/// Asks on the terminal, with its echo off.
fn prompt() -> std::io::Result<Zeroizing<String>> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let before = tcgetattr(&input)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let mut error_output = std::io::stderr().lock();
    write!(
        error_output,
        "個人番号（表示されません）/ individual number: "
    )?;
    error_output.flush()?;
    tcsetattr(&input, OptionalActions::Flush, &silent)?;
    let mut line = Zeroizing::new(String::with_capacity(64));
    let read = input.lock().read_line(&mut line);
    tcsetattr(&input, OptionalActions::Flush, &before)?;
    writeln!(error_output)?;
    read.map(|_| line)
}

#[cfg(test)]
mod tests {
    use super::{parse_former, read_line, read_number};

    #[test]
    fn the_number_is_the_first_line_of_what_is_read() {
        assert_eq!(
            read_line(&mut "123456789018\r\nmore".as_bytes())
                .unwrap()
                .trim(),
            "123456789018"
        );
        assert_eq!(read_line(&mut "".as_bytes()).unwrap().as_str(), "");
    }

    #[test]
    fn a_wrong_number_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "123456789010\n").unwrap();
        let Err(failure) = read_number(Some(&path)) else {
            unreachable!("the check digit is wrong")
        };
        assert_eq!(failure.exit_code(), 2);
        assert!(!failure.to_string().contains("1234"));
        std::fs::write(&path, "123456789018\n").unwrap();
        assert!(read_number(Some(&path)).is_ok());
    }

    #[test]
    fn a_ward_or_a_prefecture_cannot_be_asked() {
        assert!(parse_former("142051").is_ok());
        assert!(parse_former("141011").is_err());
        assert!(parse_former("140007").is_err());
    }
}
