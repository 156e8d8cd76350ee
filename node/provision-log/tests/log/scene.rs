//! A tenant with a keyring, a clock and a log, and what its callers ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vrx_crypto::{Keyring, TagKind};
use vrx_domain::audit::{Fields, desk_actor, exchange_content, exchange_subject};
use vrx_domain::{
    Caller, Cause, Clock, EntryKind, IndividualNumber, Outcome, Random, Role, SpiffeId, Tenant,
    TenantId, UnixMillis,
};
use vrx_provision_log::{
    Deadline, Entry, LogOptions, ProvisionLog, RecordError, Recorded, StartError, Subject,
};
use vrx_storage::SubjectTag;
use vrx_tlog::{Hash, verify_receipt};

use crate::faulty_log_store::FaultyLogStore;

/// Three valid individual numbers.
pub(crate) const NUMBERS: [&str; 3] = ["123456789018", "000000000019", "111111111118"];

pub(crate) struct FakeClock(pub(crate) AtomicU64);

impl Clock for FakeClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic_nanos(&self) -> u64 {
        0
    }
}

/// Repeatable randomness (`SplitMix64`).
pub(crate) struct Seeded(AtomicU64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self
                .0
                .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst)
                .wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) struct Scene {
    pub(crate) store: Arc<FaultyLogStore>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) options: LogOptions,
    pub(crate) folder: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let tenant = Tenant {
            id: TenantId::from_bytes([7; 16]),
            code: "142051".parse().unwrap(),
        };
        let random = Arc::new(Seeded::new(1));
        let keyring = Arc::new(Keyring::create(&tenant, &*random).ok().unwrap());
        let clock = Arc::new(FakeClock(AtomicU64::new(1_790_000_000_000)));
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("checkpoint");
        let mut options = LogOptions::new(tenant, "vrx.example", kept, clock.clone(), random);
        options.store_timeout = Duration::from_secs(5);
        Self {
            store: FaultyLogStore::new(),
            keyring,
            clock,
            options,
            folder,
        }
    }

    pub(crate) async fn start(&self) -> Result<ProvisionLog, StartError> {
        self.start_on(&self.store).await
    }

    pub(crate) async fn start_on(
        &self,
        store: &Arc<FaultyLogStore>,
    ) -> Result<ProvisionLog, StartError> {
        ProvisionLog::start(store.clone(), self.keyring.clone(), self.options.clone()).await
    }

    pub(crate) fn kept(&self) -> PathBuf {
        self.options.kept_checkpoint.clone()
    }

    pub(crate) fn tag(&self, number: &str) -> SubjectTag {
        let (_, tag) = self
            .keyring
            .tags(TagKind::Subject, number.as_bytes())
            .active();
        SubjectTag(tag.0)
    }

    /// An exchange entry about a person who is here.
    pub(crate) fn found(&self, number: &str) -> Entry {
        let fields = exchange_subject(
            &IndividualNumber::parse(number).ok().unwrap(),
            &Cause::Provided,
        );
        Entry {
            kind: EntryKind::Exchange,
            actor: actor(),
            subject: Subject::Known {
                tag: self.tag(number),
                fields,
            },
            content: exchange_content(Outcome::Found, &[1; 32], 0, &[]),
        }
    }

    /// A desk entry about nobody.
    pub(crate) fn desk() -> Entry {
        Entry {
            kind: EntryKind::Desk,
            actor: actor(),
            subject: Subject::Unknown,
            content: Fields::default(),
        }
    }

    /// An exchange entry about a number that isn't here.
    pub(crate) fn unknown() -> Entry {
        Entry {
            kind: EntryKind::Exchange,
            actor: actor(),
            subject: Subject::Unknown,
            content: exchange_content(Outcome::Nothing, &[2; 32], 0, &[]),
        }
    }

    /// Checks a receipt as its requester does, and that its leaf stands in the store.
    pub(crate) fn check<T>(&self, recorded: Recorded<T>, known: Option<(u64, Hash)>) -> u64 {
        let key = self.verifier_key();
        let (_, receipt, _) = recorded.into_parts();
        verify_receipt(&receipt, &key, known).unwrap();
        let stored = self.store.all_entries();
        let row = &stored[usize::try_from(receipt.log_index).unwrap()];
        assert_eq!(row.leaf, receipt.leaf, "a receipt without its leaf");
        receipt.log_index
    }

    pub(crate) fn verifier_key(&self) -> vrx_tlog::VerifierKey {
        let origin = vrx_tlog::origin("vrx.example", "142051", 1);
        vrx_tlog::VerifierKey::from_public_key(&origin, &self.keyring.log_public_key()).unwrap()
    }
}

pub(crate) fn actor() -> Fields {
    let id = SpiffeId::new(
        "vrx.example",
        "141003".parse().unwrap(),
        Role::Exchange,
        None,
    )
    .unwrap();
    desk_actor(
        &Caller {
            id,
            fingerprint: [4; 32],
            spki: [5; 32],
        },
        "query",
    )
}

/// Long enough for what comes, on a machine that does much else.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// Lets every task of a test go on until it waits for something: they share one thread.
pub(crate) async fn let_all_wait() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn record(
    log: &ProvisionLog,
    entry: Entry,
) -> Result<Recorded<&'static str>, RecordError> {
    log.record(entry, None, "the answer", soon()).await
}
