//! 消去証明書: the text that a municipality shows, signed with the key of its log as a C2SP note.

use vrx_domain::{ERASURE_CERTIFICATE, FINAL_DAYS, UnixMillis};
use vrx_storage::ErasureRun;
use vrx_tlog::sign_note;

use crate::tenants::TenantServices;

/// What was done.
pub(super) const METHOD: &str = "個人ごとの鍵を破棄し、行を削除し、ファイルを書き直した / keys of persons destroyed, rows deleted, files rewritten";

/// The two dates of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dates {
    /// When keys, rows, write-ahead log and free pages were gone: an instant.
    pub(super) live: String,
    /// When the last backup is destroyed that may hold the persons: a day.
    pub(super) last_backup: String,
}

impl Dates {
    pub(super) fn of(rewritten_at: UnixMillis) -> Self {
        let last = rewritten_at.date_jst().plus_days(FINAL_DAYS);
        Self {
            live: rewritten_at.to_rfc3339_jst(),
            last_backup: last.map(|day| day.to_string()).unwrap_or_default(),
        }
    }
}

/// Who approved a run, and when.
pub(super) fn approval(run: &ErasureRun) -> (String, String) {
    run.approved
        .as_ref()
        .map(|(by, at)| (by.clone(), at.to_rfc3339_jst()))
        .unwrap_or_default()
}

/// The signed certificate of a run whose files were rewritten.
pub(super) fn certificate(ctx: &TenantServices, run: &ErasureRun, dates: &Dates) -> String {
    let key = ctx.log.reader().verifier_key();
    let (approved_by, approved_at) = approval(run);
    let code = ctx.tenant.code;
    let text = format!(
        "{ERASURE_CERTIFICATE}\n\
         市区町村 municipality: {code} {}\n\
         消去番号 erasure: {}\n\
         提供記録 log: {}\n\
         提案 proposed: {} {}\n\
         承認 approved: {approved_by} {approved_at}\n\
         住民 persons: {}\n\
         接種記録 doses: {}\n\
         提供記録の内容 openings: {}\n\
         方法 method: {METHOD}\n\
         消去完了 live: {}\n\
         最後の控えの破棄 final: {}\n",
        code.name(),
        run.id,
        key.name(),
        run.proposed_by,
        run.proposed_at.to_rfc3339_jst(),
        run.done.persons,
        run.done.doses,
        run.done.openings,
        dates.live,
        dates.last_backup,
    );
    sign_note(&text, key, |message| ctx.keyring.sign_log(message))
}
