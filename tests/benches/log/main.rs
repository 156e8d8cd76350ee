//! A log of a million entries: how fast it grows, with a witness and without; how long its verification, its export, a start and a
//! person's history of a thousand entries take: `make benchlog`.
//!
//! The tenant is in SQLite, in this process, without TLS and HTTP/2; entries are those of answered exchange calls. A sync of the same
//! disk stands beside the rate: each batch waits for one.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::panic
)]

mod witness;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vrx_crypto::TagKind;
use vrx_domain::audit::{exchange_actor, exchange_content, exchange_subject};
use vrx_domain::{
    Caller, Cause, Consent, ConsentMethod, Date, DoseId, EntryKind, Evidence, IdentityConfirmation,
    IdentityDocument, IndividualNumber, LegalBasis, Members, Outcome, Purpose, Reference,
    RequestId, Role, SpiffeId, UnixMillis,
};
use vrx_provision_log::{Bundles, Deadline, Depth, Entry, Subject};
use vrx_services::audit::{HistoryPart, HistoryRequest, HistoryView};
use vrx_storage::SubjectTag;
use vrx_testkit::TestTenant;
use vrx_tests::bench::{machine, statistics::median};

const CODE: &str = "142051";
const REQUESTER: &str = "141003";
const PATIENCE: Duration = Duration::from_mins(10);

/// Measures a log of many entries.
#[derive(Parser)]
struct Arguments {
    /// Entries in all.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// People that they are about, evenly.
    #[arg(long, default_value_t = 1_000)]
    persons: u64,
    /// Entries that wait for the disk at the same time.
    #[arg(long, default_value_t = 512)]
    in_flight: u64,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let tenant = Arc::new(TestTenant::create(CODE, Members::default()).await);
    let folder = tenant.folder().to_owned();
    let syncs = machine::fsync_rate(&folder, Duration::from_secs(1)).expect("a disk");
    println!(
        "cores {}  load {}  syncs/s {syncs:.0}  entries {}  persons {}  in flight {}",
        machine::cores(),
        machine::load(),
        arguments.entries,
        arguments.persons,
        arguments.in_flight,
    );
    println!(
        "{:<44} {:>10} {:>14} {:>12}",
        "what", "seconds", "entries/s", "MB"
    );
    // Windows in turn, so that what the machine does meanwhile falls on both.
    let mut rates = Vec::new();
    for (nth, what) in ["recorded", "recorded, with a witness"]
        .iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let asking = (nth % 2 == 1).then(|| witness::asking(&tenant));
        let asking = match asking {
            None => None,
            Some(asking) => Some(asking.await),
        };
        let (took, memory) = grow(&tenant, &arguments, nth as u64, 6).await;
        row(what, took, arguments.entries / 6, memory);
        rates.push(took.as_secs_f64());
        if let Some(asking) = asking {
            println!(
                "{:<44} {:>10}",
                "  entries cosigned by then",
                asking.end().await
            );
        }
    }
    let ratios = rates
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[alone, seen]| alone / seen);
    println!(
        "rate with a witness / without: {:.2}",
        median(ratios.collect())
    );

    let begun = Instant::now();
    let size = tenant.services.log.checkpoint().size();
    let tenant = Arc::into_inner(tenant).expect("nobody else records");
    let tenant = tenant.restart().await;
    row(
        "ended and started again (beside: database)",
        begun.elapsed(),
        size,
        folder_mb(&folder.join("state")),
    );

    let (took, rows) = history(&tenant).await;
    row("one person's history", took, rows, 0.0);
    let reader = tenant.services.log.reader();
    for (what, depth) in [
        ("verified: leaves and tiles", Depth::Tree),
        ("verified: openings too", Depth::Openings),
    ] {
        let begun = Instant::now();
        let report = reader
            .verify_all(depth, &mut |_, _| ())
            .await
            .expect("a report");
        assert!(report.is_whole(), "{report:?}");
        row(what, begun.elapsed(), size, 0.0);
    }
    for (what, name, bundles) in [
        (
            "exported: checkpoint and hash tiles",
            "tiles",
            Bundles::Leave,
        ),
        ("exported: entry bundles too", "bundles", Bundles::Write),
    ] {
        let to = folder.join(name);
        let begun = Instant::now();
        reader
            .export(&to, bundles, &mut |_, _| ())
            .await
            .expect("an export");
        row(what, begun.elapsed(), size, folder_mb(&to));
    }
    tenant.close().await;
}

fn row(what: &str, took: Duration, entries: u64, megabytes: f64) {
    let seconds = took.as_secs_f64();
    println!(
        "{what:<44} {seconds:>10.2} {:>14.0} {megabytes:>12.1}",
        entries as f64 / seconds
    );
}

fn folder_mb(folder: &Path) -> f64 {
    machine::folder_size(folder).expect("a folder") as f64 / 1e6
}

/// Reads everything about one person, each entry with its proof.
async fn history(tenant: &TestTenant) -> (Duration, u64) {
    let (services, begun) = (&*tenant.services, Instant::now());
    let id = SpiffeId::new(
        "vrx.test",
        tenant.tenant().code,
        Role::Officer,
        Some("mori"),
    );
    let officer = Caller {
        id: id.expect("an identity"),
        fingerprint: [3; 32],
        spki: [3; 32],
    };
    let request = HistoryRequest {
        number: number(0),
        view: HistoryView::Internal,
    };
    let deadline = Deadline::after(PATIENCE);
    let history = vrx_services::audit::history(services, &officer, request, deadline).await;
    let mut history = history.expect("a history");
    while let Some(part) = history.next(services, deadline).await.expect("an entry") {
        assert!(matches!(part, HistoryPart::Row(_)), "{part:?}");
    }
    (begun.elapsed(), history.totals().rows)
}

/// Records one of so many shares of the entries; gives the time and the most memory of this process, in megabytes.
async fn grow(
    tenant: &Arc<TestTenant>,
    arguments: &Arguments,
    share: u64,
    shares: u64,
) -> (Duration, f64) {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for worker in 0..arguments.in_flight {
        let (tenant, step) = (Arc::clone(tenant), arguments.in_flight);
        let entries = arguments.entries / shares;
        let (first, persons) = (share * entries, arguments.persons);
        tasks.spawn(async move {
            let mut nth = worker;
            while nth < entries {
                let deadline = Deadline::after(PATIENCE);
                let recorded = tenant
                    .services
                    .log
                    .record(entry(&tenant, (first + nth) % persons), None, (), deadline)
                    .await;
                drop(recorded.unwrap_or_else(|error| panic!("not recorded: {error}")));
                nth += step;
            }
        });
    }
    let mut memory = 0_u64;
    while let Some(done) = tasks.join_next().await {
        done.expect("a worker");
        memory = memory.max(machine::anonymous_memory(std::process::id()).unwrap_or(0));
    }
    (begun.elapsed(), memory as f64 / 1e6)
}

/// What an answered call about this person leaves.
fn entry(tenant: &TestTenant, person: u64) -> Entry {
    let number = number(person);
    let keyring = &tenant.services.keyring;
    let (_, tag) = keyring.tags(TagKind::Subject, number.digits()).active();
    let id = SpiffeId::new(
        "vrx.test",
        REQUESTER.parse().expect("a code"),
        Role::Exchange,
        None,
    );
    let caller = Caller {
        id: id.expect("an identity"),
        fingerprint: [2; 32],
        spki: [1; 32],
    };
    let request = RequestId::random(&*tenant.random);
    Entry {
        kind: EntryKind::Exchange,
        actor: exchange_actor(&caller, &request, tenant.tenant().code, &evidence()),
        subject: Subject::Known {
            tag: SubjectTag(tag.0),
            fields: exchange_subject(&number, &Cause::Provided),
        },
        content: exchange_content(
            Outcome::Found,
            &[7; 32],
            0,
            &[DoseId::from_bytes([9; 16]); 3],
        ),
    }
}

fn evidence() -> Evidence {
    let reference = |text: &str| Reference::parse(text).expect("a reference");
    let checked = UnixMillis(1_700_000_000_000);
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
