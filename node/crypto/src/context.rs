//! What a ciphertext is bound to: the associated data of every envelope.

use vrx_domain::TenantId;

/// The registered places a ciphertext may stand in. Each has a label, unique for ever: a ciphertext moved to another
/// column doesn't open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// A person's key, wrapped by the record key.
    PersonKey,
    /// The individual number (個人番号), sealed under number key and person key.
    PersonNumber,
    /// A person's basic data (宛名基本情報).
    PersonBody,
    /// One dose (接種記録).
    DoseBody,
    /// What an import remembers of itself.
    ImportBody,
    /// The key of a log entry's opening, wrapped by the log key.
    OpeningKey,
    /// A log entry's opening.
    Opening,
    /// The key of an inquiry (照会), wrapped by the record key.
    InquiryKey,
    /// What an inquiry asked and what came back.
    InquiryBody,
    /// The end of a person's linked list of log entries.
    SubjectHead,
    /// An opaque page token of a list call.
    PageToken,
    /// What exempts a person from erasure (消去の保留).
    Hold,
    /// An erasure (消去), from its proposal on.
    ErasureRun,
    /// The keyring file, sealed by the root key.
    Keyring,
}

impl Context {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::PersonKey,
        Self::PersonNumber,
        Self::PersonBody,
        Self::DoseBody,
        Self::ImportBody,
        Self::OpeningKey,
        Self::Opening,
        Self::InquiryKey,
        Self::InquiryBody,
        Self::SubjectHead,
        Self::PageToken,
        Self::Hold,
        Self::ErasureRun,
        Self::Keyring,
    ];

    /// The registered label. It is part of what is sealed on disk: never edit one.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PersonKey => "vrx/1/person-key",
            Self::PersonNumber => "vrx/1/person-number",
            Self::PersonBody => "vrx/1/person-body",
            Self::DoseBody => "vrx/1/dose-body",
            Self::ImportBody => "vrx/1/import-body",
            Self::OpeningKey => "vrx/1/opening-key",
            Self::Opening => "vrx/1/opening",
            Self::InquiryKey => "vrx/1/inquiry-key",
            Self::InquiryBody => "vrx/1/inquiry-body",
            Self::SubjectHead => "vrx/1/subject-head",
            Self::PageToken => "vrx/1/page-token",
            Self::Hold => "vrx/1/hold",
            Self::ErasureRun => "vrx/1/erasure-run",
            Self::Keyring => "vrx/1/keyring",
        }
    }
}

/// The owner of rows that belong to no person.
pub(crate) const NO_OWNER: [u8; 16] = [0; 16];

/// Where a ciphertext stands: which tenant, which column, which row, whose.
pub(crate) struct Place<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) context: Context,
    pub(crate) row: &'a [u8; 16],
    pub(crate) owner: &'a [u8; 16],
}

impl Place<'_> {
    /// header (version, key id) | tenant uuid 16 | label length u8 | label | row id 16 | owner's person id 16.
    pub(crate) fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let label = self.context.label().as_bytes();
        // Labels are ours and short (a test holds them under 256 bytes).
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a label is shorter than 256 bytes; a test says so"
        )]
        let length = label.len() as u8;
        let mut data = Vec::with_capacity(header.len() + 16 + 1 + label.len() + 16 + 16);
        data.extend_from_slice(header);
        data.extend_from_slice(self.tenant.as_bytes());
        data.push(length);
        data.extend_from_slice(label);
        data.extend_from_slice(self.row);
        data.extend_from_slice(self.owner);
        data
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_context_has_a_label_of_its_own_that_fits_its_length_byte() {
        let labels: HashSet<&str> = Context::ALL.into_iter().map(Context::label).collect();
        assert_eq!(labels.len(), Context::ALL.len());
        assert!(
            labels
                .iter()
                .all(|label| label.len() < 256 && label.is_ascii())
        );
    }
}
