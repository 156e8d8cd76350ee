//! The words of the log, in Japanese for people.

use vrx_domain::MunicipalityCode;
use vrx_proto::v1;

use crate::{clock, words};

/// What an entry is, as a heading.
pub(crate) fn heading(row: &v1::HistoryRow) -> &str {
    match (row.action.as_str(), row.phase.as_str()) {
        ("query-records", _) => "提供（他市区町村からの照会への回答）",
        ("inquire", "sent") => "照会（他市区町村への照会の送信）",
        ("inquire", _) => "照会の結果（他市区町村からの回答）",
        ("adopt", _) => "取り込み（他市区町村の回答を台帳へ）",
        ("history", _) => "提供記録の閲覧（この人についての記録の一覧）",
        ("log-show", _) => "提供記録の閲覧（一件の内容）",
        ("log-story", _) => "提供記録の閲覧（一件の経緯）",
        (other, _) => action(other),
    }
}

/// What was done, in a few words.
pub(crate) fn action(action: &str) -> &str {
    match action {
        "query-records" => "照会（当自治体への）",
        "inquire" => "照会",
        "adopt" => "取り込み",
        "import-persons" => "住民の取込",
        "import-doses" => "接種記録の取込",
        "import-approve" => "取込の承認",
        "import-list" => "取込の一覧",
        "log-list" => "提供記録の一覧",
        "log-show" => "提供記録の閲覧",
        "log-prove" => "提供記録の証明",
        "log-story" => "提供記録の経緯",
        "log-verify" => "提供記録の検証",
        "log-reconcile" => "他市区町村との照合（担当の指示）",
        "log-bundle" => "提供記録の書き出し",
        // The node's own entry, at night and when an officer has it done.
        "reconcile" => "他市区町村との照合の結果",
        "list-provisions" => "照合のための一覧（他市区町村へ）",
        "list-receipts" => "受領証の返付（他市区町村へ）",
        "hold" => "消去の保留",
        "hold-lift" => "消去の保留の解除",
        "erasure-plan" => "消去対象の集計",
        "erasure-propose" => "消去の提案",
        "erasure-approve" => "消去の承認",
        "erasure-list" => "消去の一覧",
        "erasure" => "消去",
        "alarm" => "警報",
        "history" => "一人についての一覧",
        "mark-entry" => "開示区分の決定",
        "days-summary" => "日・月の集計",
        "review-signed" => "確認の署名",
        "refused" => "拒否された呼び出し",
        "recover-entry" => "失われた記録の復元",
        "recovery-answered" => "復元への回答",
        "new-epoch" => "新しい系列の開始",
        "genesis" => "記録の開始",
        "gap" => "記録の中断",
        other => other,
    }
}

/// The other municipality; empty when there is none.
pub(crate) fn counterparty(row: &v1::HistoryRow) -> String {
    if row.counterparty_concealed {
        return "他市区町村".to_owned();
    }
    municipality(&row.counterparty)
}

/// The name of a code; the code itself when it is no municipality's.
pub(crate) fn municipality(code: &str) -> String {
    code.parse::<MunicipalityCode>()
        .map_or_else(|_| code.to_owned(), |code| code.name().to_owned())
}

/// Who of the own municipality did it: the role, and the name where it is shown.
pub(crate) fn actor(actor: &str) -> String {
    let (role, name) = actor.split_once('/').unwrap_or((actor, ""));
    let role = match role {
        "staff" => "職員",
        "officer" => "個人情報保護担当",
        "operator" => "運用者",
        "exchange" => "ノード",
        other => other,
    };
    [role, name].join(" ").trim().to_owned()
}

/// What came of an action.
pub(crate) fn outcome<'a>(action: &str, outcome: &'a str) -> &'a str {
    match (action, outcome) {
        ("query-records", "found") => "接種記録を提供した",
        ("query-records", "nothing") => "該当なしと回答した",
        ("inquire", "found") => "接種記録を受け取った",
        ("inquire", "nothing") => "該当なしとの回答を受けた",
        ("inquire", "refused") => "相手方が拒否した",
        ("inquire", "failed") => "失敗した（該当なしではない）",
        (_, "reconciled") => "照合した",
        ("hold" | "hold-lift", "none") => "該当なし",
        ("log-reconcile", other) => words::peer(other).unwrap_or(other),
        (_, other) => other,
    }
}

/// What an erasure took, or was to take; empty of all else.
pub(crate) fn erased(row: &v1::HistoryRow) -> String {
    row.erasure.as_ref().map_or_else(String::new, |erasure| {
        format!(
            "住民 {} 人、接種記録 {} 件、提供記録の内容 {} 件",
            erasure.persons, erasure.doses, erasure.openings
        )
    })
}

/// The place that a look was at; empty of all else.
pub(crate) fn looked_at(row: &v1::HistoryRow) -> String {
    match row.looked_at {
        0 => String::new(),
        place => format!("提供記録 {place} 番"),
    }
}

/// 利用目的
pub(crate) fn purpose(row: &v1::HistoryRow) -> &'static str {
    purpose_of(row.purpose())
}

/// The same of the purpose itself.
pub(crate) fn purpose_of(purpose: v1::Purpose) -> &'static str {
    match purpose {
        v1::Purpose::MoveIn => "転入に伴う接種記録の確認",
        v1::Purpose::Unspecified => "",
    }
}

/// 法令上の根拠, spelled out where the code is known.
pub(crate) fn legal_basis(code: &str) -> String {
    match code {
        "NBA-19-16" => "番号法第19条第16号（NBA-19-16）".to_owned(),
        other => other.to_owned(),
    }
}

/// 本人同意 in one line.
pub(crate) fn consent(row: &v1::HistoryRow) -> String {
    row.consent.as_ref().map_or_else(String::new, |consent| {
        format!(
            "{} {} {}",
            consent_method(consent),
            clock::show_date(consent.obtained_on.as_ref()),
            consent.reference
        )
    })
}

/// How consent was obtained.
pub(crate) fn consent_method(consent: &v1::Consent) -> &'static str {
    method(consent.method())
}

/// The same of the method itself.
pub(crate) fn method(method: v1::ConsentMethod) -> &'static str {
    match method {
        v1::ConsentMethod::Written => "書面",
        v1::ConsentMethod::App => "アプリ",
        v1::ConsentMethod::Kiosk => "端末",
        v1::ConsentMethod::HardToObtain => "同意を得ることが困難",
        v1::ConsentMethod::Unspecified => "",
    }
}

/// By which document the person was identified.
pub(crate) fn document(document: v1::IdentityDocument) -> &'static str {
    match document {
        v1::IdentityDocument::NumberCard => "個人番号カード",
        v1::IdentityDocument::NotificationCardAndPhotoId => "通知カードと写真付きの身分証明書",
        v1::IdentityDocument::Unspecified => "",
    }
}

/// Why a person's records stay.
pub(crate) fn ground(ground: v1::HoldGround) -> &'static str {
    match ground {
        v1::HoldGround::Dispute => "争訟・審査請求",
        v1::HoldGround::Disclosure => "開示請求",
        v1::HoldGround::Other => "その他",
        v1::HoldGround::Unspecified => "",
    }
}

/// How two municipalities' records differ, by the code that stands in entries; empty for one that isn't known here.
pub(crate) fn difference_code(code: &str) -> &'static str {
    match code {
        "receipt-without-entry" => "受領証があるのに相手の記録がない",
        "other-entry" => "受領証と別の記録になっている",
        "entry-without-inquiry" => "照会していないのに相手の記録がある",
        _ => "",
    }
}

/// The doses that left, or how many came.
pub(crate) fn doses(row: &v1::HistoryRow) -> String {
    if row.erasure.is_some() {
        return String::new();
    }
    let mut parts: Vec<String> = row.doses.iter().map(dose).collect();
    if parts.is_empty() && row.dose_count > 0 {
        parts.push(format!("{} 件", row.dose_count));
    }
    if row.held_back > 0 {
        parts.push(format!("ほかに保留 {} 件", row.held_back));
    }
    parts.join("、")
}

fn dose(dose: &v1::HistoryDose) -> String {
    if dose.dose_number == 0 {
        return format!("接種記録の番号 {}", dose.dose_id);
    }
    format!(
        "{}回目 {} {}",
        dose.dose_number,
        clock::show_date(dose.date.as_ref()),
        dose.product_name
    )
}

/// Why an entry isn't disclosed.
pub(crate) fn reason(reason: v1::DisclosureReason) -> &'static str {
    match reason {
        v1::DisclosureReason::Unspecified => "",
        v1::DisclosureReason::HarmToPerson => "第1号 本人の生命・健康・生活・財産を害するおそれ",
        v1::DisclosureReason::OtherIndividual => "第2号 本人以外の個人に関する情報",
        v1::DisclosureReason::Corporation => "第3号 法人等に関する情報",
        v1::DisclosureReason::StateSecurity => "第4号 国の安全",
        v1::DisclosureReason::PublicSafety => "第5号 公共の安全と秩序",
        v1::DisclosureReason::Deliberation => "第6号 審議・検討・協議",
        v1::DisclosureReason::ConductOfAffairs => "第7号 事務・事業の適正な遂行",
    }
}

/// What a mark decides about which entry, on which decision.
pub(crate) fn decision(mark: &v1::HistoryMark) -> String {
    let parts = [
        format!("{} 番を「{}」", mark.log_index, self::mark(mark.mark())),
        reason(mark.reason()).to_owned(),
        mark.document.clone(),
    ];
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    said.join(" ")
}

/// What a mark says.
pub(crate) fn mark(mark: v1::EntryMark) -> &'static str {
    match mark {
        v1::EntryMark::Unspecified => "",
        v1::EntryMark::Withhold => "不開示",
        v1::EntryMark::Release => "不開示を解く",
        v1::EntryMark::NameCounterparty => "相手方の名を示してよい",
    }
}
/// Whether others stand for the checkpoint that something was proved to; nothing where no witness is asked.
pub(crate) fn cosigning(cosigning: v1::Cosigning) -> Option<&'static str> {
    match cosigning {
        v1::Cosigning::Unspecified | v1::Cosigning::NoWitnesses => None,
        v1::Cosigning::Cosigned => Some(
            "この到達点には、証人の連署が付いています（保存した証明のファイルを vrx verify proof --vkey <ログの検証鍵> --witness <証人の検証鍵> <ファイル> で確かめられます）。",
        ),
        v1::Cosigning::NotInTime => {
            Some("この到達点には、証人の連署が付いていません（時間内に得られませんでした）。")
        }
    }
}

/// The same of one entry's proof, where no checkpoint and no file is shown.
pub(crate) fn entry_cosigning(cosigning: v1::Cosigning) -> Option<&'static str> {
    match cosigning {
        v1::Cosigning::Unspecified | v1::Cosigning::NoWitnesses => None,
        v1::Cosigning::Cosigned => Some("この記録の証明には、証人の連署が付いています。"),
        v1::Cosigning::NotInTime => {
            Some("この記録の証明には、証人の連署が付いていません（時間内に得られませんでした）。")
        }
    }
}

/// What to do when the witnesses didn't cosign in time.
pub(crate) fn cosigning_hint(cosigning: v1::Cosigning) -> Option<&'static str> {
    (cosigning == v1::Cosigning::NotInTime).then_some(
        "証人の連署が時間内に得られませんでした。連署のある証明が要るときは、しばらくしてもう一度実行してください / \
         the witnesses didn't cosign in time; run it again for proofs with cosignatures",
    )
}

/// The same for programs.
pub(crate) fn cosigning_code(cosigning: v1::Cosigning) -> &'static str {
    match cosigning {
        v1::Cosigning::Unspecified => "unknown",
        v1::Cosigning::NoWitnesses => "none",
        v1::Cosigning::Cosigned => "cosigned",
        v1::Cosigning::NotInTime => "not-in-time",
    }
}
