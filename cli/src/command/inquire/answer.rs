//! What an inquiry brought back, for people and for programs.

use serde_json::json;
use vrx_domain::{MunicipalityCode, PlaceCode};
use vrx_proto::v1;

use crate::{clock, failure::Failure, output::Output};

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
    if matches!(
        answer.outcome(),
        v1::InquiryOutcome::Found | v1::InquiryOutcome::Nothing
    ) {
        output.line(&format!(
            "{}の提供記録 {} 番",
            former.name(),
            answer.provider_log_index
        ))?;
    }
    if answer.outcome() != v1::InquiryOutcome::Found {
        return Ok(());
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
    if answer.adoptable {
        return Ok(());
    }
    output.line(
        "検証に通らない項目があるため、取り込めません。個人情報保護担当に連絡してください / not adoptable",
    )
}

/// Says what to do next.
pub(super) fn advise(
    answer: &v1::InquireMunicipalityResponse,
    output: &Output,
) -> Result<(), Failure> {
    match answer.outcome() {
        v1::InquiryOutcome::Found if answer.adoptable => output.hint(&format!(
            "次に: 台帳に取り込む → vrx adopt {}（{} まで）/ adopt next",
            answer.inquiry_id,
            clock::show(answer.expires_at.as_ref())
        )),
        v1::InquiryOutcome::Nothing => output.hint(
            "提供できる接種記録はありませんでした。転出の登録が遅れていることもあるため、14日間は1日1回まで照会し直せます / \
             nothing to give",
        ),
        _ => Ok(()),
    }
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
pub(super) fn answer_json(answer: &v1::InquireMunicipalityResponse) -> serde_json::Value {
    json!({
        "inquiry_id": answer.inquiry_id,
        "outcome": outcome_label(answer.outcome()).1,
        "reason": answer.reason,
        "field": answer.field,
        "request_id": answer.request_id,
        "provider_log_index": answer.provider_log_index,
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
