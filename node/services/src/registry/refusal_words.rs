//! Why a row was refused, in a word for programs and a sentence for staff (取込エラー).
//!
//! The words are part of the interface: programs that read the list of refused rows compare them. None is ever changed.

use vrx_domain::{CodeError, DateError, DoseError, NumberError, PersonError, VoucherError};
use vrx_storage::RowRefusal;

use crate::import::Reason;

/// Code and Japanese sentence of a fault that the parser found.
pub(crate) fn of_reason(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Missing => ("missing", "必須項目が空欄です"),
        Reason::Undecodable => ("undecodable", "文字コードとして読めない文字があります"),
        Reason::PrivateUse => ("gaiji", "外字があります。代用漢字に置き換えてください"),
        Reason::Control => ("control-character", "制御文字があります"),
        Reason::TooLong => ("too-long", "文字数が多すぎます"),
        Reason::ColumnCount => ("column-count", "列の数が見出し行と違います"),
        Reason::Quote => (
            "quotation",
            "引用符が閉じていないか、閉じた後に文字があります",
        ),
        Reason::Number(NumberError::Format) => ("number-format", "個人番号は半角数字12桁です"),
        Reason::Number(NumberError::CheckDigit) => {
            ("check-digit", "個人番号の検査用数字が違います")
        }
        Reason::Number(NumberError::AllZeros) => ("number-zeros", "個人番号がすべて0です"),
        Reason::Date(DateError::Format) => ("date-format", "日付はYYYYMMDDまたはYYYY-MM-DDです"),
        Reason::Date(DateError::NoSuchDay) => ("no-such-day", "暦にない日付です"),
        Reason::Date(DateError::Year) => ("year", "年が1868年より前か9999年より後です"),
        Reason::Future => ("future", "未来の日付です"),
        Reason::Order => ("order", "日付の前後関係が正しくありません"),
        Reason::Sex => ("sex", "性別は1(男)、2(女)、9(不明)のいずれかです"),
        Reason::Person(PersonError::AddresseeNumber) => (
            "addressee-number",
            "宛名番号は英数字とハイフンで15文字までです",
        ),
        Reason::Person(PersonError::ProtectionPeriod) => {
            ("protection-period", "支援措置の終了日が開始日より前です")
        }
        Reason::Code(CodeError::Format) => ("code-format", "自治体コードは半角数字6桁です"),
        Reason::Code(CodeError::CheckDigit) => {
            ("code-check-digit", "自治体コードの検査数字が違います")
        }
        Reason::Code(CodeError::Unknown) => ("code-unknown", "この自治体コードは存在しません"),
        Reason::Code(CodeError::Prefecture) => ("code-prefecture", "都道府県のコードは使えません"),
        Reason::Code(CodeError::Ward) => ("code-ward", "区ではなく市のコードが必要です"),
        Reason::Voucher(VoucherError::Number) => ("voucher-number", "券番号は半角数字10桁です"),
        Reason::Voucher(
            VoucherError::Line | VoucherError::DoseNumber | VoucherError::Municipality(_),
        ) => ("voucher-line", "接種券の読取り番号が正しくありません"),
        Reason::Dose(DoseError::Number) => ("dose-number", "接種回は1から99までです"),
        Reason::Dose(DoseError::RegisteredAt) => {
            ("registered-at", "接種履歴登録日時はYYYYMMDDHHMMSSです")
        }
    }
}

/// Code, English and Japanese sentence of a fault that only the register shows.
pub(crate) fn of_refusal(refusal: RowRefusal) -> (&'static str, &'static str, &'static str) {
    match refusal {
        RowRefusal::NoSuchPerson => (
            "no-such-person",
            "nobody here has this addressee or voucher number",
            "宛名番号または券番号に該当する住民がいません",
        ),
        RowRefusal::AddresseeTaken => (
            "addressee-taken",
            "the addressee number belongs to a person with another individual number",
            "宛名番号が個人番号の異なる別の住民のものです",
        ),
        RowRefusal::Repeated => (
            "repeated",
            "the same person or dose stands in an earlier row",
            "同じ住民または接種記録が前の行にあります",
        ),
    }
}
