//! Why a record is asked for, and what proves that it may be: purpose, legal basis, consent, identity check and the event.

use crate::coded::coded_enum;
use crate::{Date, LegalBasis, Reference, UnixMillis};

coded_enum! {
    /// 利用目的: between municipalities only one scene is lawful.
    pub enum Purpose {
        /// 転入: the person moved into the requester's municipality.
        MoveIn = 1,
    }
}

coded_enum! {
    /// How the consent (本人同意) was obtained.
    pub enum ConsentMethod {
        /// 書面
        Written = 1,
        /// アプリ
        App = 2,
        /// 端末
        Kiosk = 3,
        /// 同意を得ることが困難 (番号法第19条第16号): only where both tenants' policy allows it.
        HardToObtain = 4,
    }
}

/// 本人同意, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Where the requester keeps it.
    pub reference: Reference,
    /// The day it was obtained.
    pub obtained_on: Date,
    /// How.
    pub method: ConsentMethod,
}

coded_enum! {
    /// 本人確認書類 (番号法第16条).
    pub enum IdentityDocument {
        /// 個人番号カード
        NumberCard = 1,
        /// 通知カード等と写真付き身分証明書
        NotificationCardAndPhotoId = 2,
    }
}

/// Two duties, each with its time: 住民基本台帳の確認 and 本人確認.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityConfirmation {
    /// When the resident register was checked.
    pub resident_register_checked_at: UnixMillis,
    /// Which document was shown.
    pub document: IdentityDocument,
    /// When the document was checked.
    pub document_checked_at: UnixMillis,
}

/// All that a requester must say before anything is looked up. It carries no personal data, so it may be cloned and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// 利用目的
    pub purpose: Purpose,
    /// 法令上の根拠
    pub legal_basis: LegalBasis,
    /// 本人同意
    pub consent: Consent,
    /// 本人確認
    pub identity: IdentityConfirmation,
    /// The requester's staff id.
    pub operator_ref: Reference,
    /// 転入届: the notification that gave rise to the inquiry.
    pub event_reference: Reference,
    /// Its date.
    pub event_date: Date,
    /// The requester protects this person: its name isn't to be shown to residents.
    pub conceal_requester: bool,
}
