//! Residents with doses, put into a tenant through the changes that an import makes.

use vrx_domain::audit::{desk_actor, desk_content};
use vrx_domain::{
    AddresseeNumber, Clock as _, Date, Dose, DoseId, DoseNumber, DoseOrigin, EntryKind, ImportId,
    IndividualNumber, MunicipalityCode, Person, PersonalText, Random, Role, Sex, SpiffeId,
    VoucherNumber,
};
use vrx_provision_log::{Deadline, Entry, Subject};
use vrx_storage::{Change, DoseRow, ImportHeader, ImportKind, PersonRow};
use vrx_testkit::TestTenant;

use super::questions::caller;
use super::{PATIENCE, progress};

/// Doses of each resident.
pub(super) const DOSES: u32 = 3;
const CHUNK: u64 = 500;

/// Residents 0 to `persons` with doses, approved, through the same changes that an import makes.
///
/// Gives the most that this process had in memory meanwhile, in megabytes.
pub(super) async fn fill(tenant: &TestTenant, code: MunicipalityCode, persons: u64) -> f64 {
    let mut memory = resident();
    let registry = &tenant.services.registry;
    let id = ImportId::random(&*tenant.random);
    let header = ImportHeader {
        id,
        kind: ImportKind::Persons,
        entered_by: caller(code, Role::Staff).id.to_string(),
        entered_at: tenant.clock.now(),
        digest: [0; 32],
    };
    commit(tenant, Change::create_import(header)).await;
    let mut from = 0;
    while from < persons {
        let to = (from + CHUNK / u64::from(DOSES)).min(persons);
        let rows: Vec<PersonRow> = (from..to)
            .map(|nth| PersonRow {
                number: number(nth),
                person: person(nth),
            })
            .collect();
        let chunk = registry
            .prepare_persons(id, rows.into())
            .await
            .expect("residents");
        commit(tenant, chunk.change.expect("new residents")).await;
        let doses: Vec<DoseRow> = (from..to)
            .flat_map(|nth| (1..=DOSES).map(move |dose| (nth, dose)))
            .map(|(nth, number)| DoseRow {
                addressee: Some(addressee(nth)),
                dose: dose(&*tenant.random, code, nth, number),
            })
            .collect();
        let chunk = registry
            .prepare_doses(id, doses.into())
            .await
            .expect("doses");
        commit(tenant, chunk.change.expect("new doses")).await;
        memory = memory.max(resident());
        if from / 100_000 != to / 100_000 {
            progress(&format!("{to} of {persons} residents, {memory:.0} MB"));
        }
        from = to;
    }
    let chief = SpiffeId::new("vrx.test", code, Role::Staff, Some("chief")).expect("an identity");
    commit(
        tenant,
        Change::approve_import(id, chief.to_string(), tenant.clock.now()),
    )
    .await;
    memory
}

/// This process's memory, in megabytes.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    (resident.unwrap_or(0) * 4_096) as f64 / 1e6
}

async fn commit(tenant: &TestTenant, change: Change) {
    let clerk = caller(tenant.tenant().code, Role::Staff);
    let entry = Entry {
        kind: EntryKind::Desk,
        actor: desk_actor(&clerk, "import"),
        subject: Subject::Unknown,
        content: desk_content(&[]),
    };
    let recorded = tenant
        .services
        .log
        .record(entry, Some(change), (), Deadline::after(PATIENCE))
        .await;
    drop(recorded.unwrap_or_else(|error| panic!("not recorded: {error}")));
}

pub(super) fn number(nth: u64) -> IndividualNumber {
    let payload = format!("{:011}", 10_000_000_000 + nth);
    let digits: [u8; 11] = payload.as_bytes().try_into().expect("eleven digits");
    let check = IndividualNumber::check_digit(&digits).expect("a check digit");
    let digits: Vec<u8> = digits.into_iter().chain([check]).collect();
    IndividualNumber::from_digits(&digits).unwrap_or_else(|_| panic!("a number"))
}

fn addressee(nth: u64) -> AddresseeNumber {
    AddresseeNumber::parse(&format!("{}", 1_000 + nth))
        .unwrap_or_else(|_| panic!("an addressee number"))
}

fn person(nth: u64) -> Person {
    Person {
        addressee_number: addressee(nth),
        name_kanji: PersonalText::new("見本　太郎".to_owned()),
        name_kana: PersonalText::new("ミホン　タロウ".to_owned()),
        birth_date: Date::from_ymd(1980, 2, 29).expect("a date"),
        sex: Sex::Female,
        address: PersonalText::new("神奈川県藤沢市朝日町一丁目１番地の１".to_owned()),
        became_resident: Date::from_ymd(2001, 4, 1).ok(),
        ceased_resident: Date::from_ymd(2021, 3, 31).ok(),
        protection: None,
    }
}

fn dose(random: &dyn Random, code: MunicipalityCode, nth: u64, number: u32) -> Dose {
    Dose {
        id: DoseId::random(random),
        number: DoseNumber::new(number).expect("a dose number"),
        date: Date::from_ymd(2021, 5 + number, 1).expect("a date"),
        vaccine_code: String::new(),
        product_name: String::new(),
        manufacturer: "ファイザー".to_owned(),
        lot_number: "EW4811".to_owned(),
        venue: "市民会館".to_owned(),
        doctor: "医師　花子".to_owned(),
        place: code.into(),
        voucher: VoucherNumber::parse(&format!("{nth:010}"))
            .unwrap_or_else(|_| panic!("a voucher number")),
        registered_at: None,
        revision: 1,
        origin: DoseOrigin::Own,
    }
}
