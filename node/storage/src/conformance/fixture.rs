//! A store under test with what its tests share: a keyring, sample residents, a log that needs no tree.

use std::sync::Arc;

use parking_lot::Mutex;
use vrx_crypto::{Keyring, TagKind};
use vrx_domain::{
    AddresseeNumber, Date, Dose, DoseId, DoseNumber, DoseOrigin, ImportId, IndividualNumber,
    Person, PersonalText, Random, Sex, Tenant, TenantId, UnixMillis, VoucherNumber,
};

use crate::{
    AppendError, BatchItem, BatchRows, Change, ChangeError, DoseRow, EntryRow, HeadRow,
    ImportHeader, ImportKind, Lookup, PersonRecord, PersonRow, Prepared, PreparedChunk, SealBatch,
    SubjectTag, TenantStore,
};

/// Randomness that repeats (splitmix64): ids and nonces of a test are the same in every run.
pub struct Seeded(Mutex<u64>);

impl Seeded {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock();
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// The member of staff who enters things.
pub const CLERK: &str = "spiffe://vrx.test/municipality/142051/staff/clerk";
/// The member of staff who approves them.
pub const CHIEF: &str = "spiffe://vrx.test/municipality/142051/staff/chief";

/// A store under test.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn TenantStore>,
    /// Another process's handle on it; the same handle where the database belongs to one process.
    pub second: Arc<dyn TenantStore>,
    /// Its tenant.
    pub tenant: Tenant,
    /// Its keys.
    pub keyring: Arc<Keyring>,
    /// Its randomness.
    pub random: Arc<Seeded>,
}

impl Fixture {
    /// The tenant of all fixtures: Fujisawa, with an id made of ones.
    pub fn tenant() -> Tenant {
        Tenant {
            id: TenantId::from_bytes([1; 16]),
            code: "142051".parse().unwrap(),
        }
    }

    /// The other process.
    #[must_use]
    pub fn other(&self) -> Self {
        Self {
            store: Arc::clone(&self.second),
            second: Arc::clone(&self.store),
            tenant: self.tenant,
            keyring: Arc::clone(&self.keyring),
            random: Arc::clone(&self.random),
        }
    }

    /// Appends items as one batch to the end of the log.
    pub async fn append(&self, items: Vec<BatchItem>) -> Result<Prepared, AppendError> {
        let head = self.store.head().await.unwrap();
        let items: Arc<[BatchItem]> = items.into();
        let seal = seal(items.iter().map(|item| item.subject).collect());
        self.store.append((head.size, head.root), items, seal).await
    }

    /// Commits one change with an entry about nobody.
    pub async fn commit(&self, change: Change) -> Result<(), ChangeError> {
        let item = BatchItem {
            change: Some(change),
            subject: self.nobody(),
        };
        self.append(vec![item])
            .await
            .unwrap()
            .results
            .pop()
            .unwrap()
    }

    /// Random bytes in place of a subject.
    pub fn nobody(&self) -> SubjectTag {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes);
        SubjectTag(bytes)
    }

    /// The subject tag of a sample person.
    pub fn subject(&self, nth: u64) -> SubjectTag {
        let tags = self.keyring.tags(TagKind::Subject, number(nth).digits());
        SubjectTag(tags.active().1.0)
    }

    /// Begins an import by [`CLERK`].
    pub async fn begin(&self, kind: ImportKind) -> ImportId {
        let header = self.header(kind);
        let id = header.id;
        self.commit(Change::create_import(header)).await.unwrap();
        id
    }

    /// An import's header by [`CLERK`].
    pub fn header(&self, kind: ImportKind) -> ImportHeader {
        ImportHeader {
            id: ImportId::random(&*self.random),
            kind,
            entered_by: CLERK.to_owned(),
            entered_at: UnixMillis(1_000),
            digest: [7; 32],
        }
    }

    /// Approves an import by [`CHIEF`].
    pub async fn approve(&self, import: ImportId) -> Result<(), ChangeError> {
        self.commit(Change::approve_import(
            import,
            CHIEF.to_owned(),
            UnixMillis(2_000),
        ))
        .await
    }

    /// Prepares residents and commits them.
    pub async fn enter(
        &self,
        import: ImportId,
        rows: impl Into<Arc<[PersonRow]>>,
    ) -> PreparedChunk {
        let mut chunk = self
            .store
            .prepare_persons(import, rows.into())
            .await
            .unwrap();
        if let Some(change) = chunk.change.take() {
            self.commit(change).await.unwrap();
        }
        chunk
    }

    /// Prepares doses and commits them.
    pub async fn enter_doses(
        &self,
        import: ImportId,
        rows: impl Into<Arc<[DoseRow]>>,
    ) -> PreparedChunk {
        let mut chunk = self.store.prepare_doses(import, rows.into()).await.unwrap();
        if let Some(change) = chunk.change.take() {
            self.commit(change).await.unwrap();
        }
        chunk
    }

    /// Sample residents 0 to `count`, approved, with `doses` doses each.
    pub async fn residents(&self, count: u64, doses: u32) {
        let import = self.begin(ImportKind::Persons).await;
        let rows: Vec<PersonRow> = (0..count).map(row).collect();
        self.enter(import, rows).await;
        let ledger: Vec<DoseRow> = (0..count)
            .flat_map(|nth| (1..=doses).map(move |number| dose_row(nth, number)))
            .collect();
        self.enter_doses(import, ledger).await;
        self.approve(import).await.unwrap();
    }

    /// Looks up a sample person who must be found.
    pub async fn found(&self, nth: u64) -> PersonRecord {
        match self.store.lookup(&number(nth)).await.unwrap() {
            Lookup::Found(record) => *record,
            Lookup::Unknown => panic!("sample person {nth} is unknown"),
            Lookup::Mismatch { .. } => panic!("the tag of sample person {nth} leads astray"),
        }
    }
}

/// A seal without a tree: the root is the size, eight times over.
pub fn seal(subjects: Vec<SubjectTag>) -> SealBatch {
    Box::new(move |prepared| Ok(rows(&subjects, prepared)))
}

/// The rows of such a seal.
pub fn rows(subjects: &[SubjectTag], prepared: &Prepared) -> BatchRows {
    let head = &prepared.head;
    let mut entries: Vec<EntryRow> = Vec::new();
    for (at, subject) in subjects.iter().enumerate() {
        if prepared.results[at].is_err() {
            continue;
        }
        let index = head.size + entries.len() as u64;
        let before = entries
            .iter()
            .rev()
            .find(|entry| entry.subject == *subject)
            .map(|entry| entry.subject_seq)
            .or(prepared.heads[at].map(|head| head.seq));
        entries.push(EntryRow {
            index,
            entry_id: u128::from(index).to_be_bytes(),
            kind: 1,
            leaf: [u8::try_from(index % 251).unwrap(); 134],
            opening_key: vec![1; 77],
            opening: vec![2; 600],
            subject: *subject,
            subject_seq: before.unwrap_or(0) + 1,
        });
    }
    let size = head.size + entries.len() as u64;
    let head = HeadRow {
        size,
        root: root(size),
        epoch: 1,
        last_time: size,
        checkpoint: Some(format!("checkpoint before {size}")),
    };
    BatchRows {
        entries,
        tiles: Vec::new(),
        head,
    }
}

/// The root of a log of this size, in these tests.
pub fn root(size: u64) -> [u8; 32] {
    let mut root = [0; 32];
    root.chunks_exact_mut(8)
        .for_each(|chunk| chunk.copy_from_slice(&size.to_be_bytes()));
    root
}

/// The number of the n-th sample person.
pub fn number(nth: u64) -> IndividualNumber {
    let payload = format!("{:011}", 10_000_000_000 + nth);
    let digits: [u8; 11] = payload.as_bytes().try_into().unwrap();
    let check = IndividualNumber::check_digit(&digits).unwrap();
    let digits: Vec<u8> = digits.into_iter().chain([check]).collect();
    IndividualNumber::from_digits(&digits).ok().unwrap()
}

/// The addressee number of the n-th sample person.
pub fn addressee(nth: u64) -> AddresseeNumber {
    AddresseeNumber::parse(&format!("{}", 1000 + nth))
        .ok()
        .unwrap()
}

/// The n-th sample person.
pub fn person(nth: u64) -> Person {
    Person {
        addressee_number: addressee(nth),
        name_kanji: PersonalText::new(format!("見本　{nth}")),
        name_kana: PersonalText::new("ミホン".to_owned()),
        birth_date: Date::from_ymd(1980, 2, 29).unwrap(),
        sex: Sex::Female,
        address: PersonalText::new("藤沢市朝日町１－１".to_owned()),
        became_resident: Some(Date::from_ymd(2001, 4, 1).unwrap()),
        ceased_resident: Some(Date::from_ymd(2022, 3, 31).unwrap()),
        protection: None,
    }
}

/// The n-th sample person as a line of a file.
pub fn row(nth: u64) -> PersonRow {
    PersonRow {
        number: number(nth),
        person: person(nth),
    }
}

/// A dose of the n-th sample person.
pub fn dose(nth: u64, number: u32) -> Dose {
    Dose {
        id: DoseId::from_bytes((u128::from(nth) << 64 | u128::from(number) << 8 | 1).to_be_bytes()),
        number: DoseNumber::new(number).unwrap(),
        date: Date::from_ymd(2021, 5 + number, 1).unwrap(),
        vaccine_code: String::new(),
        product_name: String::new(),
        manufacturer: "ファイザー".to_owned(),
        lot_number: "EW4811".to_owned(),
        venue: "市民会館".to_owned(),
        doctor: "医師".to_owned(),
        place: Fixture::tenant().code.into(),
        voucher: VoucherNumber::parse(&format!("{nth:010}")).ok().unwrap(),
        registered_at: Some("20210601120000".to_owned()),
        revision: 1,
        origin: DoseOrigin::Own,
    }
}

/// A dose of the n-th sample person as a line of a ledger.
pub fn dose_row(nth: u64, number: u32) -> DoseRow {
    DoseRow {
        addressee: Some(addressee(nth)),
        dose: dose(nth, number),
    }
}
