//! Another tenant's rows are as nobody's: what is said, how many statements it takes, and how long, for every function that can
//! be asked about something.

use std::collections::BTreeSet;

use vrx_domain::{DoseNumber, ImportId, InquiryId, PersonId, UnixMillis};
use vrx_storage::conformance::{Fixture, addressee, dose_row, number, row};
use vrx_storage::{Adoption, BatchItem, ImportKind, Lookup, SubjectTag};
use vrx_testkit::Turns;

use crate::isolation::two_tenants;

/// Pairs of questions; the first of them find everything cold.
const PAIRS: usize = 200;

/// The traits, as they are written.
const TRAITS: [&str; 5] = [
    include_str!("../../src/log.rs"),
    include_str!("../../src/persons.rs"),
    include_str!("../../src/receipts.rs"),
    include_str!("../../src/registry.rs"),
    include_str!("../../src/store.rs"),
];

/// Functions that take the name of something, which may be another tenant's.
const ASK: [&str; 16] = [
    "entered_with",
    "entries",
    "import",
    "inquiry",
    "leaves",
    "lookup",
    "peer_checkpoint",
    "prepare_adoption",
    "prepare_doses",
    "prepare_persons",
    "receipts",
    "recovered",
    "recovered_under",
    "recovery_answers",
    "subject_head",
    "tiles",
];

/// Functions that take nothing of the kind: they are about the whole tenant, or write what the caller brings.
const ASK_NOTHING: [&str; 12] = [
    "append",
    "canary",
    "close",
    "counts",
    "expire_inquiries",
    "head",
    "imports",
    "lookup_queue",
    "lost_logs",
    "outcome_is_knowable",
    "prepare_inquiry",
    "statements",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The other tenant has it.
    Theirs,
    /// Nobody has it.
    Nobodys,
}

/// What the other tenant has.
struct Known {
    imports: Vec<ImportId>,
    persons: Vec<PersonId>,
    subject: SubjectTag,
    nobody: SubjectTag,
}

#[test]
fn every_function_of_the_traits_is_on_a_list() {
    let mut written = BTreeSet::new();
    for text in TRAITS {
        let mut is_trait = false;
        for line in text.lines() {
            is_trait = (is_trait && line != "}") || line.starts_with("pub trait ");
            let line = line.strip_prefix("    ").filter(|_| is_trait);
            let name = line.and_then(|line| {
                let name = line.strip_prefix("async ").unwrap_or(line);
                name.strip_prefix("fn ")?.split('(').next()
            });
            written.extend(name);
        }
    }
    let listed: BTreeSet<&str> = ASK.into_iter().chain(ASK_NOTHING).collect();
    assert_eq!(written, listed);
}

#[tokio::test]
async fn what_the_other_tenant_has_is_asked_for_like_what_nobody_has() {
    let (_scene, theirs, ours, _) = two_tenants().await;
    let subject = theirs.subject(1);
    let item = BatchItem {
        change: None,
        subject,
    };
    theirs.append(vec![item]).await.unwrap();
    let imports = theirs.store.imports().await.unwrap();
    let mut persons = Vec::new();
    for nth in 0..20 {
        persons.push(theirs.found(nth).await.id);
    }
    let known = Known {
        imports: imports.iter().map(|import| import.header.id).collect(),
        persons,
        subject,
        nobody: theirs.nobody(),
    };
    assert!(!known.imports.is_empty());
    for function in ASK {
        let statements = async |whose, nth| {
            let before = ours.store.statements();
            let said = ask(&ours, &known, function, whose, nth).await;
            (said, ours.store.statements() - before)
        };
        for nth in 0..4 {
            let (theirs, nobodys) = (
                statements(Whose::Theirs, nth).await,
                statements(Whose::Nobodys, nth).await,
            );
            // The first question of all makes up its mind about what is approved.
            if nth > 0 {
                assert_eq!(theirs, nobodys, "{function}");
            }
            assert_eq!(theirs.0, nobodys.0, "{function}");
        }
        let (known, ours) = (&known, &ours);
        let turns = Turns::take(
            PAIRS,
            async |nth| drop(ask(ours, known, function, Whose::Theirs, nth).await),
            async |nth| drop(ask(ours, known, function, Whose::Nobodys, nth).await),
        );
        turns.await.assert_alike(function);
    }
}

/// How the test above fails: one statement more, each time, is seen.
#[tokio::test]
async fn one_statement_more_is_seen_in_the_times() {
    let (_scene, theirs, ours, _) = two_tenants().await;
    let known = Known {
        imports: Vec::new(),
        persons: Vec::new(),
        subject: theirs.subject(1),
        nobody: theirs.nobody(),
    };
    let turns = Turns::until_told_apart(
        20 * PAIRS,
        async |nth| drop(ask(&ours, &known, "lookup", Whose::Theirs, nth).await),
        async |nth| {
            drop(ask(&ours, &known, "lookup", Whose::Nobodys, nth).await);
            ours.store.head().await.unwrap();
        },
    );
    let turns = turns.await;
    assert!(turns.tell_apart() && turns.share() < 0.5, "{turns:?}");
}

/// What is said to a question: about something of the other tenant, or of nobody.
async fn ask(fixture: &Fixture, known: &Known, function: &str, whose: Whose, nth: usize) -> String {
    let store = &fixture.store;
    let theirs = whose == Whose::Theirs;
    let nth = nth as u64;
    // The other tenant has 20 residents.
    let person = if theirs { nth % 20 } else { 1_000 + nth };
    let log = if theirs { "a log" } else { "b log" };
    let from = if theirs { 1 } else { 1_000 };
    let import = |id| ImportId::from_bytes(id);
    match function {
        "lookup" => match store.lookup(&number(person)).await {
            Ok(Lookup::Unknown) => "unknown".to_owned(),
            Ok(_) => "found".to_owned(),
            Err(error) => error.to_string(),
        },
        "import" => {
            let id = if theirs {
                known.imports[usize::try_from(nth).unwrap() % known.imports.len()]
            } else {
                import([9; 16])
            };
            format!("{:?}", store.import(id).await)
        }
        "entered_with" => {
            let id = if theirs {
                known.persons[usize::try_from(nth).unwrap() % known.persons.len()]
            } else {
                PersonId::from_bytes([9; 16])
            };
            format!("{:?}", store.entered_with(id).await)
        }
        "inquiry" => {
            let id = InquiryId::from_bytes([if theirs { 5 } else { 6 }; 16]);
            let found = store.inquiry(id, UnixMillis(1)).await;
            format!("{:?}", found.map(|found| found.is_some()))
        }
        "peer_checkpoint" => {
            let peer = if theirs { "131041" } else { "131016" };
            format!("{:?}", store.peer_checkpoint(peer.parse().unwrap()).await)
        }
        "receipts" => {
            let provider = "141003".parse().unwrap();
            format!("{:?}", store.receipts(provider, log, 0, 9).await)
        }
        "recovered" => format!("{:?}", store.recovered(log, 0, 9).await),
        "recovered_under" => format!("{:?}", store.recovered_under(log, 2).await),
        "recovery_answers" => format!("{:?}", store.recovery_answers(log).await),
        "subject_head" => {
            let subject = if theirs { known.subject } else { known.nobody };
            format!("{:?}", store.subject_head(subject).await)
        }
        "leaves" => format!("{:?}", store.leaves(from, 9).await),
        "entries" => format!("{:?}", store.entries(from, 9).await),
        "tiles" => format!("{:?}", store.tiles(&[(0, from - 1)]).await),
        "prepare_persons" => {
            let chunk = store
                .prepare_persons(import([9; 16]), vec![row(person)].into())
                .await;
            format!("{:?}", chunk.map(|chunk| chunk.outcomes))
        }
        "prepare_doses" => {
            let mut row = dose_row(0, 1);
            row.addressee = Some(addressee(person));
            let chunk = store.prepare_doses(import([9; 16]), vec![row].into()).await;
            format!("{:?}", chunk.map(|chunk| chunk.outcomes))
        }
        "prepare_adoption" => {
            let mut dose = dose_row(0, 1).dose;
            dose.number = DoseNumber::new(1).unwrap();
            let adoption = Adoption {
                import: fixture.header(ImportKind::Adoption),
                number: number(person),
                doses: vec![dose],
            };
            let chunk = store.prepare_adoption(&adoption).await;
            format!("{:?}", chunk.map(|chunk| chunk.outcomes))
        }
        other => panic!("{other} is never asked"),
    }
}
