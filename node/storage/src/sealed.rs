//! Rows as they come from a database, still sealed, and the one place where they are opened.
//!
//! Both databases fill these types; opening runs in the task of whoever asked, never on a database thread.

use std::collections::HashSet;

use vrx_crypto::{Context, Keyring, PersonKey, TagKind};
use vrx_domain::{
    Dose, DoseId, DoseStatus, ErasureId, ImportId, IndividualNumber, InquiryId, PersonId,
    RecordSpan, TenantId, UnixMillis,
};

use crate::body::{
    DoseBody, PersonBody, decode_dose, decode_erasure, decode_hold, decode_import, decode_inquiry,
    decode_person,
};
use crate::change::TagRow;
use crate::hold::HoldRecord;
use crate::prepare::{tag_rows, voucher_value};
use crate::registry::{ImportRecord, ImportState, InquiryRecord};
use crate::retention::{ErasureRun, PersonSpan};
use crate::{Lookup, PersonRecord, StorageError};

/// A row of `person`.
pub(crate) struct PersonKeyRow {
    pub(crate) id: PersonId,
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) number: Vec<u8>,
}

/// A row of `person_revision`.
pub(crate) struct PersonRevisionRow {
    pub(crate) revision: u32,
    pub(crate) import: ImportId,
    pub(crate) body: Vec<u8>,
}

/// A row of `dose_revision`.
pub(crate) struct DoseRevisionRow {
    pub(crate) dose: DoseId,
    pub(crate) revision: u32,
    pub(crate) import: ImportId,
    pub(crate) body: Vec<u8>,
}

/// What the statements of one lookup found: the person the tag led to, or a decoy in their place.
pub(crate) struct SealedLookup {
    /// Where the tag led; `None` when it led nowhere and the row is a decoy.
    pub(crate) tagged: Option<PersonId>,
    pub(crate) person: PersonKeyRow,
    /// The newest approved revision.
    pub(crate) approved: Option<PersonRevisionRow>,
    /// Newer ones that aren't approved, the newest first.
    pub(crate) entered: Vec<PersonRevisionRow>,
    /// The newest approved revision of each dose.
    pub(crate) doses: Vec<DoseRevisionRow>,
}

/// Bodies opened for every lookup at least: a person without doses costs as much as one with the usual number. Opening
/// one takes well under a microsecond; more doses than this don't show beside the network.
const BODIES_AT_LEAST: usize = 4;

/// Opens what a lookup found. A decoy is opened exactly like a person, and what came out is dropped.
pub(crate) fn open_lookup(
    keyring: &Keyring,
    tenant: &TenantId,
    number: &IndividualNumber,
    found: &SealedLookup,
) -> Result<Lookup, StorageError> {
    let id = found.person.id;
    let opened = open_person(keyring, tenant, found);
    // Compared in every case; for a decoy it is somebody else's number and the result is of no interest.
    let same = opened.as_ref().is_ok_and(|(owner, _)| owner.ct_eq(number));
    match found.tagged {
        None => {
            std::hint::black_box(opened.is_ok());
            std::hint::black_box(same);
            Ok(Lookup::Unknown)
        }
        Some(tagged) if tagged != id => Err(StorageError::Inconsistent {
            table: "person_tag",
            column: "person_id",
            row: tagged.to_string(),
        }),
        Some(_) => {
            let (_, record) = opened?;
            Ok(if same {
                Lookup::Found(Box::new(record))
            } else {
                Lookup::Mismatch { person: id }
            })
        }
    }
}

fn open_person(
    keyring: &Keyring,
    tenant: &TenantId,
    found: &SealedLookup,
) -> Result<(IndividualNumber, PersonRecord), StorageError> {
    let id = found.person.id;
    let (key, number) = open_keys(keyring, &found.person)?;
    let owner = Owner {
        tenant,
        key: &key,
        id,
    };
    let mut bodies = 0;
    let mut open = |row: &PersonRevisionRow| {
        bodies += 1;
        owner.person(row)
    };
    let approved = found.approved.as_ref().map(&mut open).transpose()?;
    let mut entered_protection = false;
    for row in &found.entered {
        entered_protection |= open(row)?.person.is_protected();
    }
    let mut doses = Vec::with_capacity(found.doses.len());
    for row in &found.doses {
        bodies += 1;
        let body = owner.dose(row)?;
        if body.status == DoseStatus::Approved {
            doses.push(body.dose);
        }
    }
    if let Some(row) = found.approved.as_ref().or(found.entered.first()) {
        for _ in bodies..BODIES_AT_LEAST {
            std::hint::black_box(owner.person(row).is_ok());
        }
    }
    doses.sort_by_key(|dose: &Dose| (dose.number, dose.date, dose.id));
    let record = PersonRecord {
        id,
        approved: approved.map(|body| body.person),
        entered_protection,
        doses,
    };
    Ok((number, record))
}

/// Unwraps a person's key and opens their number.
pub(crate) fn open_keys(
    keyring: &Keyring,
    row: &PersonKeyRow,
) -> Result<(PersonKey, IndividualNumber), StorageError> {
    let broken = |column| inconsistent("person", column, &row.id);
    let key = keyring
        .unwrap_person_key(row.id, &row.wrapped_key)
        .map_err(|_| broken("wrapped_key"))?;
    let number = keyring
        .open_number(row.id, &key, &row.number)
        .map_err(|_| broken("number"))?;
    Ok((key, number))
}

/// Opens a person's rows under the person's key, and holds what a row says in the clear against what was sealed.
pub(crate) struct Owner<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) key: &'a PersonKey,
    pub(crate) id: PersonId,
}

impl Owner<'_> {
    pub(crate) fn person(&self, row: &PersonRevisionRow) -> Result<PersonBody, StorageError> {
        self.key
            .open(
                self.tenant,
                Context::PersonBody,
                *self.id.as_bytes(),
                self.id,
                &row.body,
            )
            .ok()
            .and_then(|plain| decode_person(&plain).ok())
            .filter(|body| body.revision == row.revision && body.import == row.import)
            .ok_or_else(|| inconsistent("person_revision", "body", &self.id))
    }

    pub(crate) fn dose(&self, row: &DoseRevisionRow) -> Result<DoseBody, StorageError> {
        self.key
            .open(
                self.tenant,
                Context::DoseBody,
                *row.dose.as_bytes(),
                self.id,
                &row.body,
            )
            .ok()
            .and_then(|plain| decode_dose(row.dose, &plain).ok())
            .filter(|body| body.dose.revision == row.revision && body.import == row.import)
            .ok_or_else(|| inconsistent("dose_revision", "body", &row.dose))
    }
}

/// A person as an erasure looks at them: all revisions of everything, the newest of each first.
pub(crate) struct SealedSpan {
    pub(crate) person: PersonKeyRow,
    pub(crate) revisions: Vec<PersonRevisionRow>,
    /// By dose.
    pub(crate) doses: Vec<DoseRevisionRow>,
}

/// What a person's rows say about their end, and every tag that leads to them.
pub(crate) struct OpenedSpan {
    pub(crate) person: PersonSpan,
    pub(crate) tags: Vec<TagRow>,
}

/// Opens all of a person's rows. `approved` are the imports that a second person approved.
pub(crate) fn open_span(
    keyring: &Keyring,
    tenant: &TenantId,
    sealed: &SealedSpan,
    approved: &HashSet<ImportId>,
) -> Result<OpenedSpan, StorageError> {
    let id = sealed.person.id;
    let (key, number) = open_keys(keyring, &sealed.person)?;
    let owner = Owner {
        tenant,
        key: &key,
        id,
    };
    let mut span = RecordSpan::default();
    let mut tags = Vec::new();
    let mut lead = |kind, value: &[u8]| tag_rows(&mut tags, kind, &keyring.tags(kind, value), id);
    lead(TagKind::Number, number.digits());
    let mut newest_approved = None;
    for row in &sealed.revisions {
        let body = owner.person(row)?;
        let addressee = &body.person.addressee_number;
        lead(TagKind::Addressee, addressee.as_str().as_bytes());
        if approved.contains(&row.import) {
            newest_approved.get_or_insert(body.person.ceased_resident);
        } else if newest_approved.is_none() {
            span.waits_for_approval = true;
        }
    }
    span.ceased = newest_approved.flatten();
    let (mut doses, mut before) = (0, None);
    let mut newest_seen = false;
    for row in &sealed.doses {
        let body = owner.dose(row)?;
        lead(TagKind::Voucher, &voucher_value(&body.dose));
        if before != Some(row.dose) {
            (before, newest_seen) = (Some(row.dose), false);
            doses += 1;
        }
        if approved.contains(&row.import) {
            newest_seen = true;
        } else if !newest_seen {
            span.waits_for_approval = true;
        }
        // Of a corrected date the later one counts.
        span.last_dose = span.last_dose.max(Some(body.dose.date));
    }
    tags.sort_by_key(|row| (row.kind as u8, row.key.0, row.tag.0));
    tags.dedup_by_key(|row| (row.kind as u8, row.key.0, row.tag.0));
    Ok(OpenedSpan {
        person: PersonSpan { id, span, doses },
        tags,
    })
}

/// Opens an erasure's row.
pub(crate) fn open_erasure(
    keyring: &Keyring,
    id: ErasureId,
    rewritten_at: Option<UnixMillis>,
    body: &[u8],
) -> Result<ErasureRun, StorageError> {
    keyring
        .open_record(Context::ErasureRun, *id.as_bytes(), body)
        .ok()
        .and_then(|plain| decode_erasure(id, rewritten_at, &plain).ok())
        .ok_or_else(|| inconsistent("erasure_run", "body", &id))
}

/// Opens the row of a person's holds.
pub(crate) fn open_hold(
    keyring: &Keyring,
    person: PersonId,
    body: &[u8],
) -> Result<HoldRecord, StorageError> {
    keyring
        .open_record(Context::Hold, *person.as_bytes(), body)
        .ok()
        .and_then(|plain| decode_hold(person, &plain).ok())
        .ok_or_else(|| inconsistent("hold", "body", &person))
}

/// Opens an import's row.
pub(crate) fn open_import(
    keyring: &Keyring,
    id: ImportId,
    body: &[u8],
) -> Result<ImportRecord, StorageError> {
    keyring
        .open_record(Context::ImportBody, *id.as_bytes(), body)
        .ok()
        .and_then(|plain| decode_import(id, &plain).ok())
        .ok_or_else(|| inconsistent("import", "body", &id))
}

/// Opens all rows of imports, the newest entered first.
pub(crate) fn open_imports(
    keyring: &Keyring,
    rows: &[(ImportId, Vec<u8>)],
) -> Result<Vec<ImportRecord>, StorageError> {
    let mut imports = rows
        .iter()
        .map(|(id, body)| open_import(keyring, *id, body))
        .collect::<Result<Vec<_>, _>>()?;
    imports.sort_by_key(|import| {
        (
            std::cmp::Reverse(import.header.entered_at),
            import.header.id,
        )
    });
    Ok(imports)
}

/// Those whose sealed state says approved.
pub(crate) fn approved(imports: &[ImportRecord]) -> HashSet<ImportId> {
    imports
        .iter()
        .filter(|import| matches!(import.state, ImportState::Approved { .. }))
        .map(|import| import.header.id)
        .collect()
}

/// An inquiry's row, still sealed.
pub(crate) struct InquiryRow {
    pub(crate) version: u32,
    pub(crate) expires_at: UnixMillis,
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl InquiryRow {
    pub(crate) fn open(
        &self,
        keyring: &Keyring,
        id: InquiryId,
    ) -> Result<InquiryRecord, StorageError> {
        keyring
            .open_inquiry(id, &self.wrapped_key, &self.body)
            .ok()
            .and_then(|plain| decode_inquiry(self.version, self.expires_at, &plain).ok())
            .map(|body| InquiryRecord {
                id,
                expires_at: self.expires_at,
                version: self.version,
                body,
            })
            .ok_or_else(|| inconsistent("inquiry", "body", &id))
    }
}

pub(crate) fn inconsistent(
    table: &'static str,
    column: &'static str,
    row: &impl ToString,
) -> StorageError {
    StorageError::Inconsistent {
        table,
        column,
        row: row.to_string(),
    }
}
