//! Shows one entry: its opening's fields and the proof that it stands in the log.

use vrx_domain::{Caller, EntryKind, Fields, Role, UnixMillis, audit::LOG_SHOW};
use vrx_provision_log::{Deadline, Opening, Recorded};
use vrx_tlog::{Hash, Leaf, Receipt};

use super::{look::Look, opened::Opened};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, entry_error, hex, pairs},
    tenants::TenantServices,
};

/// One entry in full. The `k_…` of its commitments aren't shown: they are as secret as the number.
pub struct ShownEntry {
    /// Index in the log.
    pub index: u64,
    /// When.
    pub time: UnixMillis,
    /// Kind of entry.
    pub kind: u8,
    /// The leaf, 134 bytes.
    pub leaf: Vec<u8>,
    /// The opening's fields: actor's, subject's (never the number), content's.
    pub fields: Vec<ShownField>,
    /// Position of this entry among those of the same person; 0 if it has no known person.
    pub subject_seq: u64,
    /// The entry before it of the same person.
    pub previous_index: Option<u64>,
    /// Audit path to the checkpoint's root.
    pub inclusion_proof: Vec<Hash>,
    /// The signed checkpoint that the proof leads to.
    pub checkpoint: String,
}

/// One field of an opening, as text (hashes and ids in hex).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownField {
    /// `actor`, `subject` or `content`.
    pub part: &'static str,
    /// The field's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The entry at `index`. If it is about a person, the look is one about that person too.
pub async fn show(
    ctx: &TenantServices,
    caller: &Caller,
    index: u64,
    deadline: Deadline,
) -> Result<Recorded<ShownEntry>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let proved = ctx.log.reader().entry(index, deadline).await;
    let proved = proved.map_err(|error| entry_error(ctx, index, &error))?;
    let shown = shown(
        &proved.entry.leaf,
        proved.entry.opening.as_ref(),
        proved.receipt,
    );
    let look = Look {
        caller,
        action: LOG_SHOW,
        more: &[],
    };
    let said = Opened::of(&proved.entry);
    look.record(ctx, index, said.as_ref(), shown, deadline)
        .await
}

/// The leaf at `index` and its proof, without what it is about: nobody is looked at, and whatever became of its opening, the leaf stands.
pub async fn prove(
    ctx: &TenantServices,
    caller: &Caller,
    index: u64,
    deadline: Deadline,
) -> Result<Recorded<ShownEntry>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let proved = ctx.log.reader().leaf(index, deadline).await;
    let (leaf, receipt) = proved.map_err(|error| entry_error(ctx, index, &error))?;
    let shown = shown(&leaf, None, receipt);
    let content = [("index", index.to_string())];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "log-prove",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, shown, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

fn shown(leaf: &Leaf, opening: Option<&Opening>, receipt: Receipt) -> ShownEntry {
    let mut fields = Vec::new();
    if let Some(opening) = opening {
        for (part, table) in [
            ("actor", &opening.actor),
            ("subject", &opening.subject),
            ("content", &opening.content),
        ] {
            fields.extend(shown_fields(part, table));
        }
    }
    let opening = opening.filter(|opening| opening.subject_tag.is_some());
    ShownEntry {
        index: leaf.index,
        time: UnixMillis(leaf.time),
        kind: leaf.kind,
        leaf: receipt.leaf.to_vec(),
        fields,
        subject_seq: opening.map_or(0, |opening| opening.subject_seq),
        previous_index: opening.and_then(|opening| opening.previous_index),
        inclusion_proof: receipt.inclusion_proof,
        checkpoint: receipt.checkpoint,
    }
}

/// The fields of one part; where name and value stand in turn, each pair becomes one.
fn shown_fields(part: &'static str, table: &Fields) -> Vec<ShownField> {
    let mut shown = Vec::new();
    let mut fields = table.0.iter();
    while let Some(field) = fields.next() {
        let (name, value) = match (field.name, fields.as_slice().first()) {
            ("name", Some(next)) if next.name == "value" => {
                fields.next();
                (
                    String::from_utf8_lossy(&field.value).into_owned(),
                    &next.value,
                )
            }
            (name, _) => (name.to_owned(), &field.value),
        };
        let value = value_text(&name, value);
        shown.push(ShownField { part, name, value });
    }
    shown
}

fn value_text(name: &str, value: &[u8]) -> String {
    match name {
        // The exchange's own: bytes. A desk's hash of the same name is text already.
        "caller_certificate_sha256" => hex(value),
        "answer_sha256" if value.len() == 32 => hex(value),
        "dose_ids" => value.chunks(16).map(hex).collect::<Vec<_>>().join(" "),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use vrx_domain::{
        DoseId, Outcome,
        audit::{desk_content, exchange_content},
    };

    use super::*;

    #[test]
    fn hashes_and_ids_are_shown_in_hex_and_pairs_as_one_field() {
        let ids = [DoseId::from_bytes([1; 16]), DoseId::from_bytes([2; 16])];
        let content = exchange_content(Outcome::Found, &[0xab; 32], 3, &ids);
        let shown = shown_fields("content", &content);
        assert_eq!(shown[0].value, "found");
        assert_eq!(shown[1].value, "ab".repeat(32));
        assert_eq!(shown[2].value, "3");
        assert_eq!(
            shown[3].value,
            format!("{} {}", "01".repeat(16), "02".repeat(16))
        );
        let shown = shown_fields(
            "content",
            &desk_content(&[("phase", "sent"), ("answer_sha256", "ff")]),
        );
        assert_eq!(shown.len(), 2);
        assert_eq!(
            (shown[0].name.as_str(), shown[0].value.as_str()),
            ("phase", "sent")
        );
        assert_eq!(
            (shown[1].name.as_str(), shown[1].value.as_str()),
            ("answer_sha256", "ff")
        );
    }
}
