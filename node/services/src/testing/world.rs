//! Two municipalities in one process: real stores, real logs, and a line between them that can be tampered with.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use vrx_crypto::Keyring;
use vrx_domain::{
    Caller, Member, MemberWitnesses, Members, Random, RequestId, Role, Tenant, TenantId,
};
use vrx_provision_log::{Deadline, LogOptions, ProvisionLog};
use vrx_storage::{SqliteOptions, SqliteTenant};
use vrx_tlog::{Receipt, VerifierKey, WitnessKey};
use zeroize::Zeroizing;

use super::{
    FixedClock, Resident, Seeded, TextCodec, caller, doses_csv, evidence, legal_bases, number,
    persons_csv,
};
use crate::{
    NodeServices, ServiceError, TenantPolicy, TenantServices,
    exchange::{AnswerBytes, ExchangeAnswer, ExchangeQuery, provide},
    ports::{
        GivenReceipt, PeerError, PeerExchange, PeerOutcome, PeerReply, ProvisionsQuery,
        ProvisionsReply, ReceiptsQuery, ReceiptsReply,
    },
    receipts::{ListReceipts, list_receipts},
    reconciliation::{Difference, ListProvisions, list_provisions, report_differences},
    refusals::Refusals,
    registry::{
        ImportEvent, ImportRequest, ImportSummary, InquireRequest, approve_import, import_doses,
        import_persons,
    },
    retention::{Destroyed, DestroyedList, NotListed},
    witnesses::Witnessing,
};

pub(crate) const PROVIDER: &str = "142051";
pub(crate) const REQUESTER: &str = "141003";

type TamperProvisions =
    Box<dyn FnMut(ProvisionsReply) -> Result<ProvisionsReply, PeerError> + Send>;
type TamperPage = Box<dyn FnMut(ReceiptsReply) -> Result<ReceiptsReply, PeerError> + Send>;
type Tamper = Box<dyn FnMut(PeerReply) -> Result<PeerReply, PeerError> + Send>;

/// The line between the two: calls the provider's use case as its transport would.
pub(crate) struct Line {
    provider: OnceLock<Arc<TenantServices>>,
    requester: OnceLock<Arc<TenantServices>>,
    /// Changes each page of receipts on its way back.
    receipts: Mutex<Option<TamperPage>>,
    /// Changes each page of provisions on its way back.
    provisions: Mutex<Option<TamperProvisions>>,
    tamper: Mutex<Option<Tamper>>,
    /// Called before a byte of the request leaves.
    before: Mutex<Option<Box<dyn Fn() + Send>>>,
    pub(crate) calls: AtomicU64,
}

#[async_trait]
impl PeerExchange for Line {
    fn identity(&self, tenant: &Tenant) -> Result<Caller, PeerError> {
        Ok(caller(&tenant.code.to_string(), Role::Exchange, None))
    }

    async fn query(
        &self,
        tenant: &Tenant,
        _member: &Member,
        query: &ExchangeQuery,
        deadline: Deadline,
    ) -> Result<PeerReply, PeerError> {
        if let Some(before) = &*self.before.lock() {
            before();
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let provider = Arc::clone(self.provider.get().unwrap());
        let presented = self.identity(tenant)?;
        let member = provider.node.members.get(tenant.code).unwrap().clone();
        let query = ExchangeQuery {
            request_id: query.request_id,
            asked: query.asked,
            number: vrx_domain::IndividualNumber::from_digits(query.number.digits())
                .ok()
                .unwrap(),
            evidence: query.evidence.clone(),
            known_log_size: query.known_log_size,
        };
        let request_id = query.request_id.to_string();
        let recorded = provide(&provider, &presented, &member, query, deadline).await;
        let (answer, receipt, openings) = recorded
            .map_err(|error| PeerError::Refused {
                code: error.code(),
                field: error.field(),
            })?
            .into_parts();
        let outcome = match answer {
            ExchangeAnswer::Found(answer) => PeerOutcome::Found {
                answer,
                k_subject: Zeroizing::new(*openings.k_subject()),
                k_actor: Zeroizing::new(*openings.k_actor()),
                k_content: Zeroizing::new(*openings.k_content()),
                receipt,
            },
            ExchangeAnswer::Nothing => PeerOutcome::Nothing {
                request_id,
                k_actor: Zeroizing::new(*openings.k_actor()),
                k_content: Zeroizing::new(*openings.k_content()),
                receipt,
            },
        };
        let reply = PeerReply { presented, outcome };
        match &mut *self.tamper.lock() {
            Some(tamper) => tamper(reply),
            None => Ok(reply),
        }
    }

    async fn receipts(
        &self,
        tenant: &Tenant,
        _member: &Member,
        query: &ReceiptsQuery,
        deadline: Deadline,
    ) -> Result<ReceiptsReply, PeerError> {
        let requester = Arc::clone(self.requester.get().unwrap());
        let presented = self.identity(tenant)?;
        let member = requester.node.members.get(tenant.code).unwrap().clone();
        let request = ListReceipts {
            log_origin: query.log_origin.clone(),
            from_index: query.from_index,
            page_size: 2,
            page_token: unhex(&query.page_token),
        };
        let page = list_receipts(&requester, &presented, &member, request, deadline).await;
        let page = page
            .map_err(|_| PeerError::Failed("unavailable"))?
            .into_parts()
            .0;
        let receipts = page.receipts.into_iter().map(|kept| GivenReceipt {
            request_id: kept.request_id,
            receipt: Receipt {
                log_index: kept.log_index,
                leaf: kept.leaf,
                checkpoint: kept.note,
                inclusion_proof: kept.proof,
                consistency_proof: Vec::new(),
            },
        });
        let reply = ReceiptsReply {
            receipts: receipts.collect(),
            next_page_token: crate::record::hex(&page.next_page_token),
        };
        match &mut *self.receipts.lock() {
            Some(tamper) => tamper(reply),
            None => Ok(reply),
        }
    }

    async fn provisions(
        &self,
        tenant: &Tenant,
        _member: &Member,
        query: &ProvisionsQuery,
        deadline: Deadline,
    ) -> Result<ProvisionsReply, PeerError> {
        let provider = Arc::clone(self.provider.get().unwrap());
        let presented = self.identity(tenant)?;
        let member = provider.node.members.get(tenant.code).unwrap().clone();
        let request = ListProvisions {
            log_origin: query.log_origin.clone(),
            from_index: query.from_index,
            known_log_size: query.known_log_size,
            page_size: 2,
            page_token: unhex(&query.page_token),
        };
        let page = list_provisions(&provider, &presented, &member, request, deadline).await;
        let page = page
            .map_err(|_| PeerError::Failed("unavailable"))?
            .into_parts()
            .0;
        let reply = ProvisionsReply {
            checkpoint: page.checkpoint,
            consistency_proof: page.consistency_proof,
            provisions: page.provisions,
            until_index: page.until_index,
            next_page_token: crate::record::hex(&page.next_page_token),
        };
        match &mut *self.provisions.lock() {
            Some(tamper) => tamper(reply),
            None => Ok(reply),
        }
    }

    async fn report_differences(
        &self,
        tenant: &Tenant,
        _member: &Member,
        log_origin: &str,
        differences: &[Difference],
        deadline: Deadline,
    ) -> Result<(), PeerError> {
        let provider = Arc::clone(self.provider.get().unwrap());
        let presented = self.identity(tenant)?;
        let member = provider.node.members.get(tenant.code).unwrap().clone();
        report_differences(
            &provider,
            &presented,
            &member,
            log_origin,
            differences,
            deadline,
        )
        .await
        .map(drop)
        .map_err(|_| PeerError::Failed("unavailable"))
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Provider (Fujisawa) and requester (Yokohama).
pub(crate) struct World {
    pub(crate) provider: Arc<TenantServices>,
    pub(crate) requester: Arc<TenantServices>,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) line: Arc<Line>,
    _folder: tempfile::TempDir,
}

/// A list of what was destroyed, in memory.
#[derive(Default)]
pub(crate) struct Listed(pub(crate) Mutex<Vec<Destroyed>>);

#[async_trait]
impl DestroyedList for Listed {
    async fn add(&self, destroyed: &[Destroyed]) -> Result<(), NotListed> {
        self.0.lock().extend(destroyed);
        Ok(())
    }

    async fn openings(&self, epoch: u32) -> Result<Vec<(u64, u64)>, NotListed> {
        Ok(Destroyed::openings(&self.0.lock(), epoch))
    }

    async fn persons(&self) -> Result<u64, NotListed> {
        Ok(Destroyed::persons(&self.0.lock()))
    }
}

struct Parts {
    tenant: Tenant,
    keyring: Arc<Keyring>,
    store: Arc<SqliteTenant>,
    log: Arc<ProvisionLog>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(TenantPolicy::default(), TenantPolicy::default()).await
    }

    /// With the provider's and the requester's policy; the directory says the same of hard-to-obtain consent.
    pub(crate) async fn with(provider: TenantPolicy, requester: TenantPolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::default());
        let random: Arc<dyn Random> = Arc::new(Seeded::new(1));
        let line = Arc::new(Line {
            provider: OnceLock::new(),
            requester: OnceLock::new(),
            receipts: Mutex::new(None),
            provisions: Mutex::new(None),
            tamper: Mutex::new(None),
            before: Mutex::new(None),
            calls: AtomicU64::new(0),
        });
        let first = Parts::open(folder.path(), PROVIDER, 1, &clock, &random).await;
        let second = Parts::open(folder.path(), REQUESTER, 2, &clock, &random).await;
        let members = Members::new(vec![
            first.member(1, &provider),
            second.member(2, &requester),
        ])
        .unwrap();
        let node = Arc::new(NodeServices {
            clock: Arc::clone(&clock) as _,
            random,
            codec: Arc::new(TextCodec),
            peers: Arc::clone(&line) as _,
            members: Arc::new(members),
        });
        let provider = first.services(&node, provider);
        let requester = second.services(&node, requester);
        assert!(line.provider.set(Arc::clone(&provider)).is_ok());
        assert!(line.requester.set(Arc::clone(&requester)).is_ok());
        Self {
            provider,
            requester,
            clock,
            line,
            _folder: folder,
        }
    }

    /// Changes each reply on its way back.
    pub(crate) fn tamper(
        &self,
        tamper: impl FnMut(PeerReply) -> Result<PeerReply, PeerError> + Send + 'static,
    ) {
        *self.line.tamper.lock() = Some(Box::new(tamper));
    }

    /// Changes each page of receipts on its way back.
    pub(crate) fn tamper_receipts(
        &self,
        tamper: impl FnMut(ReceiptsReply) -> Result<ReceiptsReply, PeerError> + Send + 'static,
    ) {
        *self.line.receipts.lock() = Some(Box::new(tamper));
    }

    /// Changes each page of provisions on its way back.
    pub(crate) fn tamper_provisions(
        &self,
        tamper: impl FnMut(ProvisionsReply) -> Result<ProvisionsReply, PeerError> + Send + 'static,
    ) {
        *self.line.provisions.lock() = Some(Box::new(tamper));
    }

    pub(crate) fn before_sending(&self, look: impl Fn() + Send + 'static) {
        *self.line.before.lock() = Some(Box::new(look));
    }

    /// Imports residents and their doses into a tenant, both approved by a second person.
    pub(crate) async fn register(tenant: &Arc<TenantServices>, residents: &[Resident]) {
        let mut imports = vec![
            import(tenant, "sato", File::Persons, &persons_csv(residents))
                .await
                .0,
        ];
        if residents.iter().any(|resident| !resident.doses.is_empty()) {
            imports.push(
                import(tenant, "sato", File::Doses, &doses_csv(residents))
                    .await
                    .0,
            );
        }
        for summary in imports {
            assert_eq!(summary.refused, 0);
            let import = summary.import.unwrap();
            approve_import(tenant, &staff(tenant, "suzuki"), import, deadline())
                .await
                .unwrap();
        }
    }

    pub(crate) fn inquiry(&self, serial: u32) -> InquireRequest {
        InquireRequest {
            request_id: RequestId::random(&*self.requester.node.random),
            provider: PROVIDER.parse().unwrap(),
            number: number(serial),
            evidence: evidence(),
        }
    }

    pub(crate) fn query(&self, serial: u32) -> ExchangeQuery {
        ExchangeQuery {
            request_id: RequestId::random(&*self.requester.node.random),
            asked: PROVIDER.parse().unwrap(),
            number: number(serial),
            evidence: evidence(),
            known_log_size: 0,
        }
    }

    /// The requester's node as the provider sees it.
    pub(crate) fn peer(&self) -> (Caller, Member) {
        let member = self
            .provider
            .node
            .members
            .get(REQUESTER.parse().unwrap())
            .unwrap();
        (caller(REQUESTER, Role::Exchange, None), member.clone())
    }
}

impl Parts {
    async fn open(
        folder: &Path,
        code: &str,
        byte: u8,
        clock: &Arc<FixedClock>,
        random: &Arc<dyn Random>,
    ) -> Self {
        let tenant = Tenant {
            id: TenantId::from_bytes([byte; 16]),
            code: code.parse().unwrap(),
        };
        let keyring = Arc::new(Keyring::create(&tenant, &**random).unwrap());
        let store = SqliteTenant::create(SqliteOptions {
            state_dir: folder.to_owned(),
            tenant,
            keyring: Arc::clone(&keyring),
            random: Arc::clone(random),
        })
        .await
        .unwrap();
        let store = Arc::new(store);
        let kept = folder.join(format!("{code}.checkpoint"));
        let options = LogOptions::new(
            tenant,
            "vrx.example",
            kept,
            Arc::clone(clock) as _,
            Arc::clone(random),
        );
        let log = ProvisionLog::start(Arc::clone(&store) as _, Arc::clone(&keyring), options)
            .await
            .unwrap();
        Self {
            tenant,
            keyring,
            store,
            log: Arc::new(log),
        }
    }

    fn member(&self, pin: u8, policy: &TenantPolicy) -> Member {
        let code = self.tenant.code;
        let origin = vrx_tlog::origin("vrx.example", &code.to_string(), 1);
        let key = VerifierKey::from_public_key(&origin, &self.keyring.log_public_key()).unwrap();
        Member {
            code,
            name: code.name().to_owned(),
            address: "localhost:1".to_owned(),
            server_name: "localhost".to_owned(),
            pins: vec![[pin; 32]],
            log_vkey: key.to_string(),
            witnesses: MemberWitnesses::default(),
            legal_bases: legal_bases(),
            allow_hard_to_obtain: policy.allow_hard_to_obtain,
        }
    }

    fn services(self, node: &Arc<NodeServices>, policy: TenantPolicy) -> Arc<TenantServices> {
        let own = caller(&self.tenant.code.to_string(), Role::Exchange, None);
        let name = vrx_tlog::witness_name("vrx.example", &self.tenant.code.to_string());
        let witness =
            WitnessKey::from_public_key(&name, &self.keyring.witness_public_key()).unwrap();
        let refusals = Refusals::new(Arc::clone(&self.log), Arc::clone(&node.clock), own);
        Arc::new(TenantServices {
            tenant: self.tenant,
            policy,
            keyring: self.keyring,
            persons: Arc::clone(&self.store) as _,
            registry: Arc::clone(&self.store) as _,
            receipts: Arc::clone(&self.store) as _,
            witness_store: Arc::clone(&self.store) as _,
            witnesses: Arc::new(Witnessing::none(witness)),
            retention: self.store as _,
            destroyed: Arc::new(Listed::default()),
            log: self.log,
            refusals: Arc::new(refusals),
            node: Arc::clone(node),
        })
    }
}

pub(crate) fn deadline() -> Deadline {
    Deadline::after(Duration::from_mins(1))
}

pub(crate) fn staff(tenant: &TenantServices, name: &str) -> Caller {
    caller(&tenant.tenant.code.to_string(), Role::Staff, Some(name))
}

pub(crate) fn officer(tenant: &TenantServices, name: &str) -> Caller {
    caller(&tenant.tenant.code.to_string(), Role::Officer, Some(name))
}

pub(crate) fn size(tenant: &TenantServices) -> u64 {
    tenant.log.checkpoint().size()
}

#[derive(Clone, Copy)]
pub(crate) enum File {
    Persons,
    Doses,
}

/// Imports a file in small pieces; what it said is collected.
pub(crate) async fn import(
    tenant: &Arc<TenantServices>,
    by: &str,
    file: File,
    csv: &str,
) -> (ImportSummary, Vec<ImportEvent>) {
    import_with(tenant, by, file, csv.as_bytes(), ImportRequest::default())
        .await
        .unwrap()
}

pub(crate) async fn import_with(
    tenant: &Arc<TenantServices>,
    by: &str,
    file: File,
    csv: &[u8],
    request: ImportRequest,
) -> Result<(ImportSummary, Vec<ImportEvent>), ServiceError> {
    let (sender, mut receiver) = mpsc::channel(4);
    let pieces: Vec<_> = csv
        .chunks(1000)
        .map(|piece| Ok(Zeroizing::new(piece.to_vec())))
        .collect();
    let caller = staff(tenant, by);
    let work = async {
        match file {
            File::Persons => {
                import_persons(tenant, &caller, request, stream::iter(pieces), sender).await
            }
            File::Doses => {
                import_doses(tenant, &caller, request, stream::iter(pieces), sender).await
            }
        }
    };
    let listen = async {
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        events
    };
    let (summary, events) = tokio::join!(work, listen);
    Ok((summary?, events))
}

/// An answer with other bytes.
pub(crate) fn rewritten(answer: &AnswerBytes, from: &str, to: &str) -> AnswerBytes {
    let text = std::str::from_utf8(answer.as_bytes()).unwrap();
    assert!(text.contains(from), "nothing to rewrite");
    AnswerBytes::new(Zeroizing::new(text.replace(from, to).into_bytes()))
}
