//! PostgreSQL with 1, 10, 100 and 1,700 tenants of equal total size, and what row-level security and partitions cost, each as
//! a ratio in one run: `make benchtenants`.
//!
//! With several numbers of residents it also shows what their number costs: rows a second while they are put in, this process's memory,
//! the database's size, and an answer's latency.
//!
//! A figure is answers a second of the provider's use case (policy, lookup, decision, one durable entry) in one process, with
//! everything but TLS and HTTP/2: those are measured by `vrx-bench`, and would hide what the database costs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::panic
)]

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vrx_domain::audit::{desk_actor, desk_content};
use vrx_domain::{
    AddresseeNumber, Caller, Clock, Consent, ConsentMethod, Date, Dose, DoseId, DoseNumber,
    DoseOrigin, EntryKind, Evidence, IdentityConfirmation, IdentityDocument, ImportId,
    IndividualNumber, LegalBasis, Member, Members, MunicipalityCode, Person, PersonalText, Purpose,
    Random, Reference, RequestId, Role, Sex, SpiffeId, UnixMillis, VoucherNumber,
};
use vrx_provision_log::{Deadline, Entry, Subject};
use vrx_services::exchange::{ExchangeAnswer, ExchangeQuery, provide};
use vrx_storage::{
    Change, DoseRow, ImportHeader, ImportKind, PersonRow, PostgresCluster, PostgresLimits,
    PostgresOwner, PostgresUrl,
};
use vrx_testkit::TestTenant;
use vrx_testkit::postgres::{NODE, PostgresServer, ServerOptions, TestDatabase};
use vrx_tests::bench::{machine, statistics::median};

const REQUESTER: &str = "141003";
const DOSES: u32 = 3;
const CHUNK: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures tenants, partitions and row-level security on a PostgreSQL server of its own.
#[derive(Parser)]
struct Arguments {
    /// Residents in all, spread over the tenants; several numbers for a database each.
    #[arg(long, value_delimiter = ',', default_values_t = [20_000])]
    persons: Vec<u64>,
    /// Numbers of tenants.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_700])]
    tenants: Vec<usize>,
    /// Questions in flight.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Rounds of alternating windows.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of one window.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of the node.
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Also prints, for each number of tenants, what the server says of its statements (`pg_stat_statements`).
    #[arg(long)]
    statements: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let mut options = ServerOptions::default()
        .setting("shared_buffers", "1GB")
        .setting("max_wal_size", "4GB")
        .setting("max_locks_per_transaction", "1024");
    if arguments.statements {
        options = options
            .setting("shared_preload_libraries", "pg_stat_statements")
            .setting("pg_stat_statements.track_planning", "on");
    }
    let server = Arc::new(PostgresServer::start(options));
    let load = machine::load();
    let mut towns = Vec::new();
    for persons in &arguments.persons {
        for count in &arguments.tenants {
            towns.push(Prefecture::found(&server, *count, *persons, &arguments).await);
        }
    }
    println!(
        "cores {}  load {load}  doses a person {DOSES}  in flight {}  connections {}  {}",
        machine::cores(),
        arguments.in_flight,
        arguments.connections,
        server.sql("postgres", "SHOW server_version").trim(),
    );

    let window = Duration::from_secs(arguments.seconds);
    println!(
        "{:>8} {:>10} {:>12} {:>22} {:>14}",
        "tenants", "persons", "rows in/s", "memory while put in MB", "database MB"
    );
    for town in &towns {
        println!(
            "{:>8} {:>10} {:>12.0} {:>22.0} {:>14}",
            town.tenants.len(),
            town.all_persons,
            town.put_in_rate,
            town.memory,
            town.database
                .sql("SELECT pg_database_size(current_database()) / 1000000")
                .trim(),
        );
    }
    let mut rates = vec![Vec::new(); towns.len()];
    let mut times = vec![latencies(); towns.len()];
    for round in 1..=arguments.rounds {
        for ((town, rates), times) in towns.iter().zip(&mut rates).zip(&mut times) {
            progress(&format!("round {round}, {} tenants", town.tenants.len()));
            let (rate, took) = town.answers(arguments.in_flight, window).await;
            rates.push(rate);
            times.add(took).expect("latencies of one scale");
        }
    }
    println!(
        "{:>8} {:>10} {:>12} {:>14} {:>9} {:>9}",
        "tenants", "persons", "answers/s", "to the first", "p50 ms", "p99 ms"
    );
    for ((town, rates_of), times) in towns.iter().zip(&rates).zip(&times) {
        let ratios: Vec<f64> = rates_of
            .iter()
            .zip(&rates[0])
            .map(|(rate, first)| rate / first)
            .collect();
        println!(
            "{:>8} {:>10} {:>12.0} {:>14.2} {:>9.2} {:>9.2}",
            town.tenants.len(),
            town.all_persons,
            median(rates_of.clone()),
            median(ratios),
            times.value_at_quantile(0.5) as f64 / 1_000.0,
            times.value_at_quantile(0.99) as f64 / 1_000.0,
        );
    }
    if arguments.statements {
        for town in &towns {
            print_statements(town, arguments.in_flight, window).await;
        }
    }

    println!(
        "{:<46} {:>8} {:>12} {:>10}",
        "without", "tenants", "answers/s", "costs"
    );
    for town in &towns {
        let (with, without) = alternating(town, &arguments, RLS_OFF, RLS_ON).await;
        print_cost("row-level security", town, &with, &without);
    }
    if let Some(town) = towns.first().filter(|town| town.tenants.len() == 1) {
        let code = town.codes[0].as_u32();
        let (off, on) = (plain(code), parted(code));
        let (with, without) = alternating(town, &arguments, &off, &on).await;
        print_cost(
            "partitions (tables of their own in their place)",
            town,
            &with,
            &without,
        );
    }
    for town in towns {
        town.close().await;
    }
}

const TABLES: [&str; 6] = [
    "person",
    "person_revision",
    "dose_revision",
    "person_tag",
    "log_entry",
    "log_tile",
];

const RLS_OFF: &str = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class
    WHERE relnamespace = 'vrx'::regnamespace AND relrowsecurity AND NOT relispartition LOOP
    EXECUTE format('ALTER TABLE vrx.%I DISABLE ROW LEVEL SECURITY', t); END LOOP; END $$";
const RLS_ON: &str = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class
    WHERE relnamespace = 'vrx'::regnamespace AND relforcerowsecurity AND NOT relispartition LOOP
    EXECUTE format('ALTER TABLE vrx.%I ENABLE ROW LEVEL SECURITY', t); END LOOP; END $$";

/// The one tenant's partitions become tables of their own: what answers questions names them either way.
fn plain(code: u32) -> String {
    let detach =
        |table: &&str| format!("ALTER TABLE vrx.{table} DETACH PARTITION vrx.{table}_{code:06}");
    let all: Vec<String> = TABLES.iter().map(detach).collect();
    format!("BEGIN; {}; COMMIT", all.join("; "))
}

/// And back.
fn parted(code: u32) -> String {
    let attach = |table: &&str| {
        format!(
            "ALTER TABLE vrx.{table} ATTACH PARTITION vrx.{table}_{code:06} FOR VALUES IN ({code})"
        )
    };
    let all: Vec<String> = TABLES.iter().map(attach).collect();
    format!("BEGIN; {}; COMMIT", all.join("; "))
}

/// Windows with and without something, in turn.
async fn alternating(
    town: &Prefecture,
    arguments: &Arguments,
    off: &str,
    on: &str,
) -> (Vec<f64>, Vec<f64>) {
    let window = Duration::from_secs(arguments.seconds);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        with.push(town.rate(arguments.in_flight, window).await);
        town.database.sql(off);
        without.push(town.rate(arguments.in_flight, window).await);
        town.database.sql(on);
    }
    (with, without)
}

fn print_cost(what: &str, town: &Prefecture, with: &[f64], without: &[f64]) {
    let ratios: Vec<f64> = with
        .iter()
        .zip(without)
        .map(|(with, without)| with / without)
        .collect();
    println!(
        "{what:<46} {:>8} {:>12.0} {:>10.2}",
        town.tenants.len(),
        median(without.to_vec()),
        median(ratios)
    );
}

/// What the server counted of each statement during one window.
async fn print_statements(town: &Prefecture, in_flight: usize, window: Duration) {
    town.database.sql(
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()",
    );
    let rate = town.rate(in_flight, window).await;
    println!(
        "statements with {} tenants, {rate:.0} answers/s: calls | microseconds to plan | to execute | what",
        town.tenants.len()
    );
    print!("{}", town.database.sql(
        "SELECT calls, (1000 * mean_plan_time)::int, (1000 * mean_exec_time)::int, left(translate(query, E'\\n', ' '), 60)
         FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         ORDER BY total_plan_time + total_exec_time DESC LIMIT 12",
    ));
}

/// One database with many tenants in one process.
struct Prefecture {
    tenants: Vec<Arc<TestTenant>>,
    codes: Vec<MunicipalityCode>,
    /// Residents of one tenant.
    persons: u64,
    all_persons: u64,
    /// Persons and doses a second while they were put in.
    put_in_rate: f64,
    /// The most that this process had in memory meanwhile, in megabytes.
    memory: f64,
    cluster: Arc<PostgresCluster>,
    database: TestDatabase,
}

impl Prefecture {
    async fn found(
        server: &Arc<PostgresServer>,
        count: usize,
        all_persons: u64,
        arguments: &Arguments,
    ) -> Self {
        let database = TestDatabase::on(server);
        let owner_url = PostgresUrl::parse(&database.owner_url()).expect("the owner's address");
        let node_url = PostgresUrl::parse(&database.node_url()).expect("the node's address");
        let mut owner = PostgresOwner::connect(&owner_url).await.expect("the owner");
        owner.migrate().await.expect("the schema");
        owner.grant(NODE).await.expect("grants");
        let limits = PostgresLimits {
            connections: arguments.connections,
            ..PostgresLimits::default()
        };
        let cluster = PostgresCluster::connect(&node_url, limits)
            .await
            .expect("the cluster");
        let requester: MunicipalityCode = REQUESTER.parse().expect("a code");
        let codes: Vec<MunicipalityCode> = (10_000..480_000)
            .filter_map(|code| MunicipalityCode::try_from(code).ok())
            .filter(|code| *code != requester)
            .take(count)
            .collect();
        let persons = (all_persons / count as u64).max(1);
        let mut tenants = Vec::new();
        let (mut filling, mut memory) = (Duration::ZERO, 0_f64);
        for (nth, code) in codes.iter().enumerate() {
            if nth % 100 == 0 {
                progress(&format!("{count} tenants: {nth} are there"));
            }
            let members = Members::new(vec![member(requester)]).expect("a member");
            let tenant =
                TestTenant::create_in(Arc::clone(&cluster), &mut owner, &code.to_string(), members)
                    .await;
            let begun = Instant::now();
            memory = memory.max(fill(&tenant, *code, persons).await);
            filling += begun.elapsed();
            tenants.push(Arc::new(tenant));
        }
        owner.close().await.expect("the owner's end");
        database.sql("ANALYZE");
        Self {
            tenants,
            codes,
            persons,
            all_persons,
            put_in_rate: (persons * count as u64 * u64::from(1 + DOSES)) as f64
                / filling.as_secs_f64(),
            memory,
            cluster,
            database,
        }
    }

    /// Answers a second with so many questions in flight, spread evenly over tenants and persons.
    async fn rate(&self, in_flight: usize, window: Duration) -> f64 {
        self.answers(in_flight, window).await.0
    }

    /// The same, and how long each answer took, in microseconds.
    async fn answers(&self, in_flight: usize, window: Duration) -> (f64, Histogram<u64>) {
        let until = Instant::now() + window;
        let mut tasks = JoinSet::new();
        for nth in 0..in_flight {
            let (tenants, persons) = (self.tenants.clone(), self.persons);
            tasks.spawn(async move {
                let mut took = latencies();
                let mut at = nth as u64 * 7919;
                while Instant::now() < until {
                    at = at
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let place = usize::try_from((at >> 33) % tenants.len() as u64).unwrap_or(0);
                    let asked = Instant::now();
                    ask(&tenants[place], (at >> 20) % persons).await;
                    took.saturating_record(
                        u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX),
                    );
                }
                took
            });
        }
        let begun = Instant::now();
        let mut took = latencies();
        while let Some(done) = tasks.join_next().await {
            took.add(done.expect("a question"))
                .expect("latencies of one scale");
        }
        (took.len() as f64 / begun.elapsed().as_secs_f64(), took)
    }

    async fn close(self) {
        for tenant in self.tenants {
            if let Some(tenant) = Arc::into_inner(tenant) {
                tenant.close().await;
            }
        }
        self.cluster.close().await;
    }
}

async fn ask(tenant: &TestTenant, nth: u64) {
    let services = &tenant.services;
    let requester: MunicipalityCode = REQUESTER.parse().expect("a code");
    let query = ExchangeQuery {
        request_id: RequestId::random(&*tenant.random),
        asked: tenant.tenant().code,
        number: number(nth),
        evidence: evidence(&*tenant.clock),
        known_log_size: 0,
    };
    let member = services
        .node
        .members
        .get(requester)
        .expect("the member")
        .clone();
    let deadline = Deadline::after(PATIENCE);
    let recorded = provide(
        services,
        &caller(requester, Role::Exchange),
        &member,
        query,
        deadline,
    )
    .await;
    let (answer, _, _) = recorded
        .unwrap_or_else(|error| panic!("no answer: {error}"))
        .into_parts();
    assert!(
        matches!(answer, ExchangeAnswer::Found(_)),
        "everybody asked for is there"
    );
}

/// Residents 0 to `persons` with doses, approved, through the same changes that an import makes.
///
/// Gives the most that this process had in memory meanwhile, in megabytes.
async fn fill(tenant: &TestTenant, code: MunicipalityCode, persons: u64) -> f64 {
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

/// Microseconds up to a minute, three digits kept.
fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds of a histogram")
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

fn member(code: MunicipalityCode) -> Member {
    Member {
        code,
        name: code.name().to_owned(),
        address: "127.0.0.1:1".to_owned(),
        server_name: "localhost".to_owned(),
        pins: vec![[1; 32]],
        log_vkey: String::new(),
        legal_bases: vec![LegalBasis::parse("NBA-19-16").expect("a legal basis")],
        allow_hard_to_obtain: false,
    }
}

fn caller(code: MunicipalityCode, role: Role) -> Caller {
    let name = (role == Role::Staff).then_some("clerk");
    let id = SpiffeId::new("vrx.test", code, role, name).expect("an identity");
    Caller {
        id,
        fingerprint: [2; 32],
        spki: [1; 32],
    }
}

fn evidence(clock: &dyn Clock) -> Evidence {
    let reference = |text: &str| Reference::parse(text).expect("a reference");
    let checked = UnixMillis(clock.now().0 - 60_000);
    Evidence {
        purpose: Purpose::MoveIn,
        legal_basis: LegalBasis::parse("NBA-19-16").expect("a legal basis"),
        consent: Consent {
            reference: reference("consent-1"),
            obtained_on: Date::from_ymd(2021, 10, 1).expect("a date"),
            method: ConsentMethod::Written,
        },
        identity: IdentityConfirmation {
            resident_register_checked_at: checked,
            document: IdentityDocument::NumberCard,
            document_checked_at: checked,
        },
        operator_ref: reference("sato"),
        event_reference: reference("movein-7"),
        event_date: Date::from_ymd(2021, 10, 2).expect("a date"),
        conceal_requester: false,
    }
}

fn number(nth: u64) -> IndividualNumber {
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

fn progress(what: &str) {
    eprintln!("tenants: {what}");
}
