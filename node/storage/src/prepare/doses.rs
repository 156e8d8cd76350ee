//! Doses of an import chunk, or of an answer that is adopted.

use std::collections::{HashMap, HashSet};

use vrx_crypto::{PersonKey, Tag, TagKind, Tags};
use vrx_domain::{Dose, DoseId, DoseStatus, ImportId, PersonId};

use super::{Existing, ExistingPerson, Probe, Sealer, Sealing, active, voucher_value};
use crate::StorageError;
use crate::body::DoseBody;
use crate::registry::{DoseRow, PreparedChunk, RowOutcome, RowRefusal};
use crate::sealed::{Owner, inconsistent, open_keys};

/// Two probes a row: the owner (by addressee number, or by voucher where the column was empty), and the voucher.
pub(crate) fn probe_doses(sealing: &Sealing<'_>, rows: &[DoseRow]) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::with_capacity(rows.len() * 2);
    let mut before: Option<&DoseRow> = None;
    for row in rows {
        // A person's doses stand together in a ledger: what is the same as a row before isn't hashed again.
        let earlier = |nth: usize| {
            probes
                .get(probes.len().checked_sub(nth)?)
                .map(|p| p.tags.clone())
        };
        let same_voucher = before.is_some_and(|before| {
            before.dose.voucher == row.dose.voucher && before.dose.place == row.dose.place
        });
        let same_owner = before.is_some_and(|before| before.addressee == row.addressee);
        let voucher = earlier(1).filter(|_| same_voucher).unwrap_or_else(|| {
            sealing
                .keyring
                .tags(TagKind::Voucher, &voucher_value(&row.dose))
        });
        let owner = match &row.addressee {
            None => Probe {
                kind: TagKind::Voucher,
                tags: voucher.clone(),
            },
            Some(addressee) => Probe {
                kind: TagKind::Addressee,
                tags: earlier(2).filter(|_| same_owner).unwrap_or_else(|| {
                    sealing
                        .keyring
                        .tags(TagKind::Addressee, addressee.as_str().as_bytes())
                }),
            },
        };
        probes.extend([
            owner,
            Probe {
                kind: TagKind::Voucher,
                tags: voucher,
            },
        ]);
        before = Some(row);
    }
    probes
}

/// One dose to be compared and sealed.
pub(crate) struct Incoming<'a> {
    /// Whose it is; `None` when nobody was found.
    pub(crate) owner: Option<PersonId>,
    pub(crate) dose: &'a Dose,
    /// The voucher's tags, and whom they lead to already.
    pub(crate) voucher: &'a Tags,
    pub(crate) voucher_owner: Option<PersonId>,
}

/// Compares each dose with the newest revision of the same one (dose number, place and voucher number of the same
/// person), and seals what is new.
pub(crate) fn prepare_doses<'a>(
    sealing: &Sealing<'_>,
    import: ImportId,
    incoming: impl IntoIterator<Item = Incoming<'a>>,
    existing: &Existing,
) -> Result<PreparedChunk, StorageError> {
    let mut sealer = Sealer::new(sealing, import);
    let mut outcomes = Vec::new();
    let mut owners: HashMap<PersonId, OpenedOwner> = HashMap::new();
    let mut tagged: HashSet<Tag> = HashSet::new();
    for Incoming {
        owner,
        dose,
        voucher,
        voucher_owner,
    } in incoming
    {
        let Some(id) = owner else {
            outcomes.push(RowOutcome::Refused(RowRefusal::NoSuchPerson));
            continue;
        };
        let owner = match owners.entry(id) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let standing = existing
                    .persons
                    .get(&id)
                    .ok_or_else(|| inconsistent("person_tag", "person_id", &id))?;
                entry.insert(OpenedOwner::open(sealing, id, standing)?)
            }
        };
        let outcome = match owner.judge(dose) {
            Judged::Same => RowOutcome::Unchanged,
            Judged::Repeated => RowOutcome::Refused(RowRefusal::Repeated),
            Judged::Changed(at, revision) => {
                sealer.dose(&owner.key, id, at, revision, dose)?;
                RowOutcome::Changed
            }
            Judged::New => {
                sealer.dose(&owner.key, id, dose.id, 1, dose)?;
                // A voucher that leads to somebody already is left alone: it only helps rows without an addressee.
                if voucher_owner.is_none() && tagged.insert(active(voucher)) {
                    sealer.tag(TagKind::Voucher, voucher, id);
                }
                RowOutcome::Added
            }
        };
        outcomes.push(outcome);
    }
    Ok(sealer.finish(outcomes))
}

/// What one dose is to its person.
enum Judged {
    New,
    Same,
    Changed(DoseId, u32),
    Repeated,
}

/// A person's key and opened doses, once a chunk.
struct OpenedOwner {
    key: PersonKey,
    standing: Vec<DoseBody>,
    /// Dose number, place and voucher of the doses of this chunk.
    taken: Vec<(u32, u32, vrx_domain::VoucherNumber)>,
}

impl OpenedOwner {
    fn open(
        sealing: &Sealing<'_>,
        id: PersonId,
        standing: &ExistingPerson,
    ) -> Result<Self, StorageError> {
        let (key, _) = open_keys(sealing.keyring, &standing.row)?;
        let owner = Owner {
            tenant: sealing.tenant,
            key: &key,
            id,
        };
        let standing = standing
            .doses
            .iter()
            .map(|row| owner.dose(row))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            key,
            standing,
            taken: Vec::new(),
        })
    }

    fn judge(&mut self, dose: &Dose) -> Judged {
        let natural = (
            dose.number.get(),
            dose.place.as_u32(),
            dose.voucher.duplicate(),
        );
        if self.taken.contains(&natural) {
            return Judged::Repeated;
        }
        self.taken.push(natural);
        let standing = self.standing.iter().find(|body| {
            body.dose.number == dose.number
                && body.dose.place == dose.place
                && body.dose.voucher == dose.voucher
        });
        match standing {
            None => Judged::New,
            Some(body) if body.status == DoseStatus::Approved && same(&body.dose, dose) => {
                Judged::Same
            }
            Some(body) => Judged::Changed(body.dose.id, body.dose.revision.saturating_add(1)),
        }
    }
}

/// Whether a row says what stands. An adopted dose that comes back in a later answer is the same one, whatever the log
/// index of that answer.
fn same(a: &Dose, b: &Dose) -> bool {
    a.number == b.number
        && a.date == b.date
        && a.vaccine_code == b.vaccine_code
        && a.product_name == b.product_name
        && a.manufacturer == b.manufacturer
        && a.lot_number == b.lot_number
        && a.venue == b.venue
        && a.doctor == b.doctor
        && a.place == b.place
        && a.voucher == b.voucher
        && a.registered_at == b.registered_at
        && std::mem::discriminant(&a.origin) == std::mem::discriminant(&b.origin)
}
