//! What this room's tests share: time, randomness, evidence, an answer codec of text, tenants over real stores.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use vrx_domain::{
    Caller, Clock, Consent, ConsentMethod, Date, Dose, DoseId, DoseNumber, DoseOrigin, Evidence,
    IdentityConfirmation, IdentityDocument, LegalBasis, Purpose, Random, Reference, Role, SpiffeId,
    UnixMillis, VoucherNumber,
};

/// Noon of 23 November 2026 in Japan.
pub(crate) const NOON: u64 = 1_795_402_800_000;

/// A clock that stands until it is set.
pub(crate) struct FixedClock(AtomicU64);

impl FixedClock {
    pub(crate) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Default for FixedClock {
    fn default() -> Self {
        Self(AtomicU64::new(NOON))
    }
}

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic_nanos(&self) -> u64 {
        self.now().0 * 1_000_000
    }
}

/// Randomness that repeats: SHA-256 of seed and counter.
pub(crate) struct Seeded(Mutex<(u64, u64)>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new((seed, 0)))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock();
        for chunk in bytes.chunks_mut(32) {
            state.1 += 1;
            let block = Sha256::digest([state.0.to_be_bytes(), state.1.to_be_bytes()].concat());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

pub(crate) fn day(text: &str) -> Date {
    text.parse().unwrap()
}

pub(crate) fn legal_bases() -> Vec<LegalBasis> {
    vec![LegalBasis::parse("NBA-19-16").unwrap()]
}

/// Evidence that passes at [`NOON`].
pub(crate) fn evidence() -> Evidence {
    Evidence {
        purpose: Purpose::MoveIn,
        legal_basis: legal_bases().remove(0),
        consent: Consent {
            reference: Reference::parse("consent-1").unwrap(),
            obtained_on: day("2026-11-20"),
            method: ConsentMethod::Written,
        },
        identity: IdentityConfirmation {
            resident_register_checked_at: UnixMillis(NOON - 60_000),
            document: IdentityDocument::NumberCard,
            document_checked_at: UnixMillis(NOON - 120_000),
        },
        operator_ref: Reference::parse("sato").unwrap(),
        event_reference: Reference::parse("movein-7").unwrap(),
        event_date: day("2026-11-19"),
        conceal_requester: false,
    }
}

pub(crate) fn caller(code: &str, role: Role, name: Option<&str>) -> Caller {
    let id = SpiffeId::new("vrx.example", code.parse().unwrap(), role, name).unwrap();
    let fingerprint = Sha256::digest(id.to_string()).into();
    Caller {
        id,
        fingerprint,
        spki: fingerprint,
    }
}

/// A dose of its own id, by number and day.
pub(crate) fn dose(number: u32, date: &str) -> Dose {
    let id: [u8; 32] = Sha256::digest(format!("{number}{date}")).into();
    Dose {
        id: DoseId::from_bytes(*id.first_chunk::<16>().unwrap()),
        number: DoseNumber::new(number).unwrap(),
        date: day(date),
        vaccine_code: String::new(),
        product_name: "コミナティ筋注".to_owned(),
        manufacturer: "ファイザー".to_owned(),
        lot_number: "EX3617".to_owned(),
        venue: "市民会館".to_owned(),
        doctor: "湘南太郎".to_owned(),
        place: "142051".parse().unwrap(),
        voucher: VoucherNumber::parse("0000000001").ok().unwrap(),
        registered_at: None,
        revision: 1,
        origin: DoseOrigin::Own,
    }
}

mod codec;
mod files;
mod world;

pub(crate) use codec::TextCodec;
pub(crate) use files::{Resident, doses_csv, number, persons_csv};
pub(crate) use world::{
    File, PROVIDER, REQUESTER, World, deadline, import, import_with, officer, rewritten, size,
    staff,
};
