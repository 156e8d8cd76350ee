//! `vrx inquire`: asks another municipality for the records of a person who moved in.
//!
//! The number is typed without being shown, or read from standard input or a file: never from the command line.

mod answer;
mod number;

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::{Timestamp, civil::Date};
use tonic::transport::Channel;
use vrx_domain::{IndividualNumber, MunicipalityCode};
use vrx_proto::v1::{self, registry_service_client::RegistryServiceClient};

use crate::{
    clock,
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
    receipt, words,
};

use answer::{advise, answer_json};
pub(crate) use answer::{outcome_label, receipt_json, show};
pub(crate) use number::read_number;

/// 転入者の接種記録を他市区町村に照会する / ask another municipality about a person who moved in
///
/// 個人番号は画面に表示せずに入力します（または標準入力・--number-file から読みます）。照会したことは、番号を送る前に提供記録に残ります。
/// The number is typed unseen, or read from standard input or a file; the inquiry is logged before it leaves.
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
    /// 相手方の受領証を新しいファイルに保存する (C2SP tlog-proof、.tlog-proof) / save the provider's receipt, for vrx verify receipt
    #[arg(long, value_name = "FILE")]
    pub(crate) save_receipt: Option<PathBuf>,
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
    if let Some(path) = &args.save_receipt {
        receipt::free(path)?;
    }
    let number = read_number(args.number_file.as_deref())?;
    let answer = inquire(
        connect(&profile).await?,
        &profile,
        request(&args, former, &number, &profile),
    )
    .await?;
    if !output.json(|| answer_json(&answer))? {
        show(&answer, former, output)?;
        advise(&answer, output)?;
    }
    match answer.outcome() {
        v1::InquiryOutcome::Found | v1::InquiryOutcome::Nothing => match &args.save_receipt {
            Some(path) => receipt::save(answer.receipt.as_ref(), path),
            None => Ok(()),
        },
        v1::InquiryOutcome::Refused => Err(Failure::NotAllowed(format!(
            "{} は照会を拒否しました: {} / refused",
            former.name(),
            words::peer_said(&answer.reason)
        ))),
        v1::InquiryOutcome::Failed | v1::InquiryOutcome::Unspecified => {
            Err(Failure::Unavailable(format!(
                "照会できませんでした（該当なしではありません）: {}。あとでもう一度照会してください / failed, not \"nothing\"",
                words::peer_said(&answer.reason)
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

/// The municipality that is asked.
pub(crate) fn parse_former(code: &str) -> Result<MunicipalityCode, Failure> {
    code.parse().map_err(|_| {
        Failure::Usage(format!(
            "--from {code} は市区町村のコードではありません（検査数字を含む6桁。区・都道府県は不可）/ not a municipality code"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::parse_former;

    #[test]
    fn a_ward_or_a_prefecture_cannot_be_asked() {
        assert!(parse_former("142051").is_ok());
        assert!(parse_former("141011").is_err());
        assert!(parse_former("140007").is_err());
    }
}
