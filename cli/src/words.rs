//! What a node says in English, in Japanese for staff. The English text stays beside it: operators search for it.

/// What is wrong with a field, or why something can't be done; none for a sentence that isn't known here.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn sentence(english: &str) -> Option<&'static str> {
    if english.starts_with("the opening of entry ") {
        return Some(
            "この記録の内容は、提供記録のハッシュと一致しません。データベースが書き換えられたおそれがあります。vrx log verify を実行し、運用担当者と調べてください",
        );
    }
    if english.starts_with("the leaf of entry ") {
        return Some(
            "この記録は、署名済みの提供記録にあるものと一致しません。データベースが書き換えられたおそれがあります。vrx log verify を実行し、運用担当者と調べてください",
        );
    }
    Some(match english {
        // A field.
        "is missing" => "ありません",
        "is unspecified" | "is unspecified or unknown" => {
            "指定がないか、決められた値ではありません"
        }
        "lies in the future" => "未来の日付または日時です",
        "is over" => "過ぎています",
        "comes before the log's first entry" => "提供記録が始まる前の日です",
        "comes after the last day" => "終わりの日より後です",
        "is more than 31 days before the last day" => "終わりの日より31日以上前です",
        "is larger than the log" => "提供記録の件数を超えています",
        "isn't a day of the calendar" => "暦にない日付です",
        "has a year before 1868 or after 9999" => "年が1868年より前か9999年より後です",
        "isn't a time" => "日時ではありません",
        "isn't a hyphenated UUID" => "番号の形（ハイフン入りの UUID）ではありません",
        "isn't 6 digits" => "6桁の数字ではありません",
        "isn't 12 digits" => "12桁の数字ではありません",
        "has a wrong check digit" => "検査数字が違います",
        "is all zeros" => "すべて0です",
        "is no local government's code" => "その自治体コードは存在しません",
        "is a prefecture's code" => "都道府県のコードです。市区町村のコードを使ってください",
        "is a ward's code" => "区のコードです。市のコードを使ってください",
        "is this municipality's own" => "自団体のコードです",
        "isn't a member of the exchange" | "isn't another member of the exchange" => {
            "連携に参加している他の市区町村ではありません"
        }
        "has more than 11 digits" => "数字が11桁を超えています（個人番号を書かないため）",
        "isn't 1 to 64 of A-Z a-z 0-9 . _ -" => "英数字と . _ - の1〜64文字ではありません",
        "isn't a legal basis such as NBA-19-16" => {
            "法令上の根拠の記号（NBA-19-16 など）ではありません"
        }
        "isn't in the directory's list for the requester" => {
            "この照会に使えると参加団体の一覧に書かれている根拠ではありません"
        }
        "isn't allowed by both municipalities' policies" => {
            "双方の自治体が認めている場合にだけ使えます"
        }
        "isn't the caller's own staff id" => "この証明書の職員の ID ではありません",
        "isn't a current token of this caller and query"
        | "isn't a token that was given out here" => {
            "この条件の続きの印ではないか、15分の期限が過ぎています。初めから表示してください"
        }
        "isn't the place of an entry about this person" => {
            "この人についての記録の番号ではありません"
        }
        "belongs to a mark as not to be disclosed alone" => "不開示とするときだけ指定します",
        "has a header that isn't the layout's" => "見出し行が決められたものと違います",
        // A state.
        "the entry conceals no counterparty" => {
            "この記録に、伏せている相手方の名はありません（決定は記録していません）"
        }
        "an import is about many persons: it can't be marked" => {
            "取込の記録は大勢についてのものなので、開示区分を決められません（決定は記録していません）"
        }
        "the entry's opening is blank: it was erased, or somebody emptied it; run vrx log verify" => {
            "この記録の内容は空です。消去によるものかは vrx log verify が確かめます"
        }
        "whoever entered an import can't approve it" => "取り込んだ人とは別の人が承認してください",
        "the import is approved already" => "この取込は承認済みです",
        "nothing can be added to an approved import" => "承認済みの取込には追加できません",
        "whoever proposed an erasure can't approve it" => {
            "消去を提案した人とは別の担当が承認してください"
        }
        "the erasure is approved already" => "この消去は承認済みです",
        "an erasure is under way" => {
            "ほかの消去が進んでいます。終わってからもう一度実行してください"
        }
        "a hold of this reference stands that ends later; lift it first to shorten it" => {
            "この整理番号の保留がすでにあり、期限がそれより後です（vrx retention list で確かめられます）。短くするには、先に vrx retention lift で解いてください"
        }
        "100 holds of this person are in force already" => "この人の保留がすでに 100 件あります",
        "another proposal waits for approval: have it approved, or replace it" => {
            "承認を待つ提案があります。承認を受けるか、--replace で取り替えてください"
        }
        "nothing is erased while the provision log isn't what was signed; run vrx log verify" => {
            "提供記録が署名されたものと一致しないため、何も消去されません。vrx log verify を実行し、運用担当者と調べてください"
        }
        "nothing is due" => "期限が来た記録はありません",
        "the answer holds no dose to adopt" => "取り込める接種記録のない回答です",
        "a dose of the answer can't be taken" => "回答に、取り込めない接種記録があります",
        "the person isn't in the own register yet" => {
            "この人はまだ住民の台帳にありません。先に住民を取り込み、承認してください"
        }
        "the person's own entry isn't approved yet" => {
            "この人の台帳への取込がまだ承認されていません。先に承認してください"
        }
        "the birth dates differ: it must be confirmed that it is the same person" => {
            "生年月日が違います。同じ人であることを確かめ、その旨を指定してください"
        }
        "the birth dates differ: a member of staff other than the inquirer must adopt" => {
            "生年月日が違います。照会した人とは別の職員が取り込んでください"
        }
        "this municipality isn't in the member directory" => "自団体が参加団体の一覧にありません",
        _ => return None,
    })
}

/// Why another municipality's node gave no answer, as `refused: permission-denied` or `failed: no-connection`; none for what isn't known
/// here.
pub(crate) fn peer(reason: &str) -> Option<&'static str> {
    let (how, code) = reason.split_once(": ").unwrap_or(("", reason));
    if how == "alarm" {
        return Some("相手方の言うことが食い違っています（警報を記録しました）");
    }
    Some(match code {
        "no-connection" => "相手方のノードに接続できません",
        "unavailable" => "相手方のノードが今は応答できません",
        "deadline" => "相手方のノードが時間内に答えませんでした",
        "internal" | "unknown-status" => "相手方のノードで異常が起きました",
        "broken-reply" | "provisions-out-of-order" | "receipts-out-of-order" => {
            "相手方の回答が決められた形ではありません"
        }
        "server-name" | "own-certificate" => {
            "こちらのノードの設定では相手方に接続できません（運用担当者に連絡してください）"
        }
        "permission-denied" | "unauthenticated" => "相手方がこちらのノードを認めませんでした",
        "resource-exhausted" => "相手方が混み合っています",
        "invalid-argument" => "相手方が入力の誤りとしました",
        "not-found" | "failed-precondition" | "unimplemented" => {
            "相手方のノードではできない操作です"
        }
        "the provider shows a log that is shorter than a receipt of it says" => {
            "相手方の提供記録が、受け取った受領証より短くなっています"
        }
        "the provider gave no proof that its log continues the one known here" => {
            "相手方の提供記録が前のものの続きであることの証明がありません"
        }
        _ if reason.starts_with("the provider's checkpoint is cosigned by") => {
            "相手方の到達点に、証人の連署が足りません"
        }
        _ if how == "this node can't reconcile" => "こちらのノードで照合できません",
        _ => return None,
    })
}

/// The same as a person reads it: in Japanese as far as that is known, and as the node says it.
pub(crate) fn peer_said(reason: &str) -> String {
    peer(reason).map_or_else(
        || reason.to_owned(),
        |japanese| format!("{japanese}（{reason}）"),
    )
}

/// What a field of a request is called at the desk; none for one that staff don't fill in.
pub(crate) fn field(name: &str) -> Option<&'static str> {
    Some(match name {
        "individual_number" => "個人番号",
        "municipality_code" | "provider_code" => "自治体コード",
        "consent.reference" => "同意書番号",
        "consent.obtained_on" => "同意日",
        "consent.method" => "同意の方法",
        "identity.resident_register_checked_at" => "住民基本台帳の確認日時",
        "identity.document" => "本人確認書類",
        "identity.document_checked_at" => "本人確認書類の確認日時",
        "event_reference" => "届出番号",
        "event_date" => "届出日",
        "legal_basis" => "法令上の根拠",
        "purpose" => "利用目的",
        "operator_ref" => "担当者の ID",
        "log_index" => "提供記録の番号",
        "log_size" => "提供記録の件数",
        "mark" => "決定の内容",
        "reason" => "不開示の理由",
        "document" => "決裁番号",
        "reference" => "決裁番号など",
        "ground" => "保留の理由",
        "day" => "日",
        "from" => "始め",
        "until" => "終わり",
        "page_token" => "続きの印",
        "import_id" => "取込の番号",
        "inquiry_id" => "照会の番号",
        "erasure_id" => "消去の番号",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{field, peer, peer_said, sentence};

    #[test]
    fn why_another_node_gave_nothing_is_said_in_japanese_with_its_own_word_beside_it() {
        assert_eq!(
            peer_said("failed: no-connection"),
            "相手方のノードに接続できません（failed: no-connection）"
        );
        assert_eq!(
            peer("refused: permission-denied"),
            peer("permission-denied")
        );
        assert!(peer("alarm: provider-log-forked").is_some());
        assert_eq!(peer_said("failed: something-new"), "failed: something-new");
    }

    #[test]
    fn a_known_sentence_is_said_in_japanese_and_an_unknown_one_is_left_to_its_own_words() {
        assert_eq!(sentence("is missing"), Some("ありません"));
        assert_eq!(sentence("is something new"), None);
        assert_eq!(field("event_date"), Some("届出日"));
        assert_eq!(field("new.field"), None);
    }
}
