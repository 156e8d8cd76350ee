//! Persons who don't exist: what is read and opened in place of an unknown number.
//!
//! A decoy is sealed exactly like a person with three doses; only, no tag leads to it. One stands at ff..ff, so that there
//! is somebody at or after every random place.

use vrx_crypto::Keyring;
use vrx_domain::{
    AddresseeNumber, Date, Dose, DoseId, DoseNumber, DoseOrigin, ImportId, IndividualNumber,
    Person, PersonId, PersonalText, Random, Sex, Tenant, VoucherNumber,
};

use crate::StorageError;
use crate::change::Chunk;
use crate::prepare::{Sealer, Sealing};

/// The import that decoys came with: nobody's, and always approved, so that a decoy is opened like a person.
pub(crate) const DECOY_IMPORT: ImportId = ImportId::from_bytes([0; 16]);

/// Decoys in a new database. Later a random place mostly leads to a real row, whose contents are dropped the same way.
pub(crate) const DECOYS: u32 = 16;

/// Doses of each.
pub(crate) const DOSES: u32 = 3;

/// Seals all decoys.
pub(crate) fn decoys(
    tenant: &Tenant,
    keyring: &Keyring,
    random: &dyn Random,
) -> Result<Chunk, StorageError> {
    let sealing = Sealing {
        tenant: &tenant.id,
        keyring,
        random,
    };
    let mut sealer = Sealer::new(&sealing, DECOY_IMPORT);
    let failed = || StorageError::Invalid("a decoy couldn't be made");
    for at in 0..DECOYS {
        let id = if at == 0 {
            PersonId::from_bytes([0xff; 16])
        } else {
            PersonId::random(random)
        };
        let person = person().ok_or_else(failed)?;
        let number = number(random).ok_or_else(failed)?;
        let key = sealer.add_as(id, &number, &person)?;
        for nth in 1..=DOSES {
            let dose = dose(tenant, random, nth).ok_or_else(failed)?;
            sealer.dose(&key, id, dose.id, 1, &dose)?;
        }
    }
    Ok(sealer.into_chunk())
}

/// A random number with a right check digit. It may be somebody's: no tag says so, and it is never compared for effect.
fn number(random: &dyn Random) -> Option<IndividualNumber> {
    let mut bytes = [0; 11];
    random.fill(&mut bytes);
    let payload = bytes.map(|byte| b'0' + byte % 9 + 1);
    let check = IndividualNumber::check_digit(&payload)?;
    let mut digits = zeroize::Zeroizing::new([0; 12]);
    let (head, last) = digits.split_first_chunk_mut::<11>()?;
    *head = payload;
    *last.first_mut()? = check;
    IndividualNumber::from_digits(digits.as_slice()).ok()
}

/// As long as a usual row.
fn person() -> Option<Person> {
    Some(Person {
        addressee_number: AddresseeNumber::parse("0000000000").ok()?,
        name_kanji: PersonalText::new("住民　太郎".to_owned()),
        name_kana: PersonalText::new("ジュウミン　タロウ".to_owned()),
        birth_date: Date::from_ymd(1970, 1, 1).ok()?,
        sex: Sex::Unknown,
        address: PersonalText::new("神奈川県藤沢市朝日町一丁目１番地の１".to_owned()),
        became_resident: Date::from_ymd(2000, 1, 1).ok(),
        ceased_resident: None,
        protection: None,
    })
}

fn dose(tenant: &Tenant, random: &dyn Random, number: u32) -> Option<Dose> {
    Some(Dose {
        id: DoseId::random(random),
        number: DoseNumber::new(number).ok()?,
        date: Date::from_ymd(2021, 5 + number, 1).ok()?,
        vaccine_code: String::new(),
        product_name: String::new(),
        manufacturer: "ファイザー".to_owned(),
        lot_number: "EW4811".to_owned(),
        venue: "市民会館".to_owned(),
        doctor: "医師　花子".to_owned(),
        place: tenant.code.into(),
        voucher: VoucherNumber::parse("0000000000").ok()?,
        registered_at: Some("20210601120000".to_owned()),
        revision: 1,
        origin: DoseOrigin::Own,
    })
}
