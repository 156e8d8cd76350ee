//! A person's history over real logs.

use std::sync::Arc;

use vrx_domain::{DisclosureReason, EntryKind, EntryMark, Reference, Role};
use vrx_tlog::VerifierKey;

use super::*;
use crate::{
    ServiceError, TenantServices,
    exchange::provide,
    registry::{AdoptRequest, adopt, inquire},
    testing::{Resident, World, caller, deadline, number, officer, size, staff},
};

/// Two provisions and one *nothing* about a mover, with somebody else's between them.
pub(super) async fn asked() -> World {
    let world = World::new().await;
    World::register(&world.provider, &[Resident::moved(1), Resident::moved(2)]).await;
    for serial in [1, 2, 1] {
        ask(&world, serial, false).await;
    }
    world
}

pub(super) async fn ask(world: &World, serial: u32, conceal: bool) -> u64 {
    world.clock.advance(1000);
    let (peer, member) = world.peer();
    let mut query = world.query(serial);
    query.evidence.conceal_requester = conceal;
    let recorded = provide(&world.provider, &peer, &member, query, deadline()).await;
    recorded.unwrap().log_index()
}

/// A history but for the imports that brought the person's rows.
pub(super) async fn read(
    tenant: &TenantServices,
    serial: u32,
    view: HistoryView,
) -> (History, Vec<HistoryRow>) {
    let (begun, mut rows) = read_all(tenant, serial, view).await;
    rows.retain(|row| !row.action.starts_with("import-"));
    (begun, rows)
}

async fn read_all(
    tenant: &TenantServices,
    serial: u32,
    view: HistoryView,
) -> (History, Vec<HistoryRow>) {
    let request = HistoryRequest {
        number: number(serial),
        view,
    };
    let begun = history(tenant, &officer(tenant, "mori"), request, deadline()).await;
    let mut begun = begun.unwrap();
    let mut rows = Vec::new();
    while let Some(part) = begun.next(tenant, deadline()).await.unwrap() {
        match part {
            HistoryPart::Row(row) => rows.push(*row),
            HistoryPart::Missing(missing) => panic!("{missing:?}"),
        }
    }
    let whole = HistoryTotals {
        rows: rows.len() as u64,
        ..HistoryTotals::default()
    };
    assert_eq!(begun.totals(), whole);
    (begun, rows)
}

async fn put(
    tenant: &TenantServices,
    by: &str,
    index: u64,
    kind: EntryMark,
    serial: u32,
) -> Result<MarkReport, ServiceError> {
    let request = MarkRequest {
        number: number(serial),
        index,
        mark: kind,
        reason: (kind == EntryMark::Withhold).then_some(DisclosureReason::HarmToPerson),
        document: Reference::parse("kessai-12").unwrap(),
    };
    mark(tenant, &officer(tenant, by), request, deadline()).await
}

fn actions(rows: &[HistoryRow]) -> Vec<&str> {
    rows.iter().map(|row| row.action.as_str()).collect()
}

#[tokio::test]
async fn a_history_has_every_provision_in_order_with_its_reasons_and_the_reading_itself() {
    let world = asked().await;
    let tenant = &world.provider;
    let before = size(tenant);
    let (begun, rows) = read(tenant, 1, HistoryView::Internal).await;
    assert_eq!(size(tenant), before + 1, "one entry a reading");
    assert!(begun.registered);
    assert_eq!(
        actions(&rows),
        ["query-records", "query-records", "history"]
    );
    let seqs: Vec<u64> = rows.iter().map(|row| row.subject_seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
    let first = &rows[0];
    assert_eq!(
        first.counterparty,
        Counterparty::Named("141003".parse().unwrap())
    );
    assert_eq!(
        (first.outcome.as_str(), first.cause.as_str()),
        ("found", "provided")
    );
    assert_eq!(first.legal_basis, "NBA-19-16");
    assert_eq!(
        first.consent.as_ref().unwrap().reference.as_str(),
        "consent-1"
    );
    assert_eq!(
        (first.event_reference.as_str(), first.actor.as_str()),
        ("movein-7", "sato")
    );
    assert_eq!(first.dose_count, 2);
    let days: Vec<_> = first
        .doses
        .iter()
        .map(|dose| dose.known.as_ref().unwrap())
        .map(|known| (known.number, known.date.to_string()))
        .collect();
    assert_eq!(
        days,
        [(1, "2021-06-01".to_owned()), (2, "2021-06-22".to_owned())]
    );
    assert_eq!(
        (rows[2].index, rows[2].actor.as_str()),
        (begun.review_index, "officer/mori")
    );
    assert_eq!(rows[2].time, begun.read_at);
}

#[tokio::test]
async fn each_row_proves_itself_under_the_one_checkpoint_of_the_history() {
    let world = asked().await;
    let tenant = &world.provider;
    let (begun, rows) = read(tenant, 1, HistoryView::Disclosure).await;
    let member = tenant.node.members.get(tenant.tenant.code).unwrap();
    let key = VerifierKey::parse(&member.log_vkey).unwrap();
    for row in &rows {
        let receipt = row.receipt.as_ref().unwrap();
        assert_eq!(receipt.checkpoint, begun.checkpoint());
        assert!(vrx_tlog::verify_receipt(receipt, &key, None).is_ok());
        assert_eq!(receipt.log_index, row.index);
    }
}

#[tokio::test]
async fn the_requesters_own_history_tells_of_inquiry_outcome_and_adoption() {
    let world = World::new().await;
    let mover = [Resident::moved(1)];
    World::register(&world.provider, &mover).await;
    World::register(
        &world.requester,
        &[Resident {
            doses: Vec::new(),
            ..Resident::moved(1)
        }],
    )
    .await;
    let tenant: &Arc<TenantServices> = &world.requester;
    let sato = staff(tenant, "sato");
    let inquired = inquire(tenant, &sato, world.inquiry(1), deadline()).await;
    let report = inquired.unwrap().into_parts().0;
    let request = AdoptRequest {
        inquiry: report.inquiry,
        confirm_birth_date_difference: false,
    };
    adopt(tenant, &sato, request, deadline()).await.unwrap();
    let (_, rows) = read(tenant, 1, HistoryView::Disclosure).await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.action.as_str(), row.phase.as_str(), row.dose_count))
        .collect();
    assert_eq!(
        told,
        [
            ("inquire", "sent", 0),
            ("inquire", "outcome", 2),
            ("adopt", "", 2),
            ("history", "", 0)
        ]
    );
    let provider = Counterparty::Named("142051".parse().unwrap());
    assert!(rows[..3].iter().all(|row| row.counterparty == provider));
    assert!(
        rows.iter()
            .all(|row| row.actor == "staff" || row.actor == "officer")
    );
    assert_eq!(rows[0].legal_basis, "NBA-19-16");
    assert!(rows[0].consent.is_some());
}

#[tokio::test]
async fn a_history_tells_with_which_imports_the_persons_rows_came() {
    let world = asked().await;
    let tenant = &world.provider;
    let (begun, rows) = read_all(tenant, 1, HistoryView::Internal).await;
    assert_eq!(
        actions(&rows),
        [
            "import-persons",
            "import-doses",
            "query-records",
            "query-records",
            "history"
        ]
    );
    let (persons, doses) = (&rows[0], &rows[1]);
    // About many, and linked to nobody.
    assert_eq!((persons.subject_seq, doses.subject_seq), (0, 0));
    assert_eq!((persons.dose_count, doses.dose_count), (0, 2));
    assert_eq!(persons.actor, "staff/sato");
    let member = tenant.node.members.get(tenant.tenant.code).unwrap();
    let key = VerifierKey::parse(&member.log_vkey).unwrap();
    for row in &rows {
        let receipt = row.receipt.as_ref().unwrap();
        assert_eq!(receipt.checkpoint, begun.checkpoint());
        assert!(vrx_tlog::verify_receipt(receipt, &key, None).is_ok());
    }
    let (_, rows) = read_all(tenant, 1, HistoryView::Disclosure).await;
    assert_eq!(actions(&rows)[..2], ["import-persons", "import-doses"]);
    assert_eq!(rows[1].actor, "staff");
}

#[tokio::test]
async fn a_number_that_is_nowhere_has_no_history_and_stays_nowhere() {
    let world = asked().await;
    let tenant = &world.provider;
    ask(&world, 77, false).await;
    for _ in 0..2 {
        let before = size(tenant);
        let (begun, rows) = read(tenant, 77, HistoryView::Internal).await;
        assert_eq!((begun.registered, rows.len()), (false, 0));
        assert_eq!(
            size(tenant),
            before + 1,
            "the reading is an entry all the same"
        );
    }
}

#[tokio::test]
async fn an_entry_that_is_not_disclosed_leaves_no_trace_in_what_the_person_is_given() {
    let world = asked().await;
    let tenant = &world.provider;
    let (_, rows) = read(tenant, 1, HistoryView::Internal).await;
    let hidden = rows[0].index;
    put(tenant, "mori", hidden, EntryMark::Withhold, 1)
        .await
        .unwrap();
    let (_, given) = read(tenant, 1, HistoryView::Disclosure).await;
    assert_eq!(actions(&given), ["query-records", "history", "history"]);
    assert!(given.iter().all(|row| row.index != hidden
        && row.subject_seq == 0
        && row.mark.is_none()
        && row.withheld.is_none()
        && row.cause.is_empty()));
    let (_, own) = read(tenant, 1, HistoryView::Internal).await;
    assert_eq!(own[0].withheld, Some(DisclosureReason::HarmToPerson));
    let marks: Vec<_> = own.iter().filter_map(|row| row.mark.clone()).collect();
    assert_eq!((marks.len(), marks[0].index), (1, hidden));
    assert_eq!(marks[0].document, "kessai-12");

    put(tenant, "mori", hidden, EntryMark::Release, 1)
        .await
        .unwrap();
    let (_, given) = read(tenant, 1, HistoryView::Disclosure).await;
    assert_eq!(given[0].index, hidden, "the newest mark stands");
}

#[tokio::test]
async fn a_mark_needs_a_reason_and_the_person_it_is_about() {
    let world = asked().await;
    let tenant = &world.provider;
    let (_, rows) = read(tenant, 1, HistoryView::Internal).await;
    let index = rows[0].index;
    let before = size(tenant);
    let other = put(tenant, "mori", index, EntryMark::Withhold, 2).await;
    assert_eq!(other.unwrap_err().field(), Some("log_index"));
    let request = MarkRequest {
        number: number(1),
        index,
        mark: EntryMark::Withhold,
        reason: None,
        document: Reference::parse("kessai-12").unwrap(),
    };
    let bare = mark(tenant, &officer(tenant, "mori"), request, deadline()).await;
    assert_eq!(bare.unwrap_err().field(), Some("reason"));
    assert_eq!(size(tenant), before);
}

#[tokio::test]
async fn a_concealed_counterparty_is_named_only_when_two_officers_have_said_so() {
    let world = asked().await;
    let tenant = &world.provider;
    let index = ask(&world, 1, true).await;
    let seen = async || {
        let (_, rows) = read(tenant, 1, HistoryView::Internal).await;
        let row = rows.into_iter().find(|row| row.index == index).unwrap();
        (row.counterparty, row.actor)
    };
    let named = Counterparty::Named("141003".parse().unwrap());
    assert_eq!(seen().await, (Counterparty::Concealed, String::new()));
    for _ in 0..2 {
        let report = put(tenant, "mori", index, EntryMark::NameCounterparty, 1).await;
        assert_eq!(report.unwrap().officers, 1);
        assert_eq!(seen().await.0, Counterparty::Concealed);
    }
    let report = put(tenant, "abe", index, EntryMark::NameCounterparty, 1).await;
    assert_eq!(report.unwrap().officers, 2);
    assert_eq!(seen().await, (named, "sato".to_owned()));
}

#[tokio::test]
async fn the_stricter_of_then_and_today_decides_whether_a_counterparty_is_named() {
    let world = asked().await;
    let tenant = &world.provider;
    let concealed = async |serial| {
        let (_, rows) = read(tenant, serial, HistoryView::Disclosure).await;
        let of = |row: &HistoryRow| row.counterparty == Counterparty::Concealed;
        let provisions = rows.iter().filter(|row| row.action == "query-records");
        provisions.map(of).collect::<Vec<_>>()
    };
    assert_eq!(concealed(1).await, [false, false]);
    // Protected since: all of the earlier ones too.
    let person = |protected_from| Resident {
        protected_from,
        doses: Vec::new(),
        ..Resident::moved(1)
    };
    World::register(tenant, &[person("20261120")]).await;
    ask(&world, 1, false).await;
    assert_eq!(concealed(1).await, [true, true, true]);
    // No longer protected: what was written while it held stays concealed, and with it what would tell of it.
    World::register(tenant, &[person("")]).await;
    ask(&world, 1, false).await;
    assert_eq!(concealed(1).await, [true; 4]);
    assert_eq!(concealed(2).await, [false]);
}

#[tokio::test]
async fn a_concealed_request_is_told_by_no_other_entry_and_history_and_story_agree() {
    let world = asked().await;
    let tenant = &world.provider;
    let of = |rows: &[HistoryRow]| -> Vec<HistoryRow> {
        let asked = rows.iter().filter(|row| row.action == "query-records");
        asked.cloned().collect()
    };
    let (_, before) = read(tenant, 1, HistoryView::Disclosure).await;
    assert!(of(&before).iter().all(|row| row.consent.is_some()));
    // The same matter, by the same municipality.
    let index = ask(&world, 1, true).await;
    let (_, given) = read(tenant, 1, HistoryView::Disclosure).await;
    let (_, internal) = read(tenant, 1, HistoryView::Internal).await;
    assert_eq!((of(&given).len(), of(&internal).len()), (3, 3));
    for (row, own) in of(&given).iter().zip(of(&internal)) {
        assert_eq!(row.counterparty, Counterparty::Concealed);
        let links = (&row.consent, &*row.event_reference, row.event_date);
        assert_eq!(
            links,
            (&None, "", None),
            "it would tell which matter it was"
        );
        assert_eq!(row.actor, "");
        // The officer sees the matter, and not who asked.
        assert_eq!(own.counterparty, Counterparty::Concealed);
        assert!(own.consent.is_some() && !own.event_reference.is_empty());
    }
    for (nth, by) in ["mori", "abe"].into_iter().enumerate() {
        put(tenant, by, index, EntryMark::NameCounterparty, 1)
            .await
            .unwrap();
        let (_, rows) = read(tenant, 1, HistoryView::Internal).await;
        for row in of(&rows) {
            let told = story(tenant, &officer(tenant, "mori"), row.index, deadline()).await;
            let told = told.unwrap().into_parts().0;
            assert_eq!(told.row.counterparty, row.counterparty, "{}", row.index);
            let named = nth == 1 && row.index == index;
            assert_eq!(row.counterparty != Counterparty::Concealed, named);
        }
    }
}

#[tokio::test]
async fn an_import_is_about_many_and_is_never_marked() {
    let world = asked().await;
    let tenant = &world.provider;
    let (_, rows) = read_all(tenant, 1, HistoryView::Internal).await;
    let import = rows.iter().find(|row| row.action == "import-persons");
    let before = size(tenant);
    let marked = put(
        tenant,
        "mori",
        import.unwrap().index,
        EntryMark::Withhold,
        1,
    )
    .await;
    assert!(matches!(marked, Err(ServiceError::FailedPrecondition(_))));
    assert_eq!(size(tenant), before);
}

#[tokio::test]
async fn only_an_officer_of_the_very_tenant_reads_a_history() {
    let world = asked().await;
    let tenant = &world.provider;
    let foreign = officer(&world.requester, "mori");
    let operator = caller("142051", Role::Operator, Some("ito"));
    let before = size(tenant);
    for stranger in [foreign, staff(tenant, "sato"), operator] {
        let request = HistoryRequest {
            number: number(1),
            view: HistoryView::Internal,
        };
        let refused = history(tenant, &stranger, request, deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
        let refused = story(tenant, &stranger, 1, deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
    }
    assert_eq!(size(tenant), before);
}

#[tokio::test]
async fn a_story_tells_what_belongs_to_the_same_inquiry_and_what_else_there_is() {
    let world = World::new().await;
    World::register(&world.provider, &[Resident::moved(1)]).await;
    let tenant = &world.requester;
    let sato = staff(tenant, "sato");
    for _ in 0..2 {
        inquire(tenant, &sato, world.inquiry(1), deadline())
            .await
            .unwrap();
    }
    let sent = list(
        tenant,
        &officer(tenant, "mori"),
        ListRequest {
            filter: EntryFilter {
                kind: Some(EntryKind::Inquiry),
                ..EntryFilter::default()
            },
            ..ListRequest::default()
        },
        deadline(),
    )
    .await;
    let sent = sent.unwrap().into_parts().0.entries[0].index;
    put(tenant, "mori", sent, EntryMark::Withhold, 1)
        .await
        .unwrap();
    let told = story(tenant, &officer(tenant, "mori"), sent, deadline()).await;
    let told = told.unwrap().into_parts().0;
    assert_eq!(told.row.phase, "sent");
    assert!(told.row.receipt.is_some());
    let relations: Vec<_> = told.related.iter().map(|(relation, _)| *relation).collect();
    assert_eq!(
        relations,
        [
            Relation::SameInquiry,
            Relation::SamePerson,
            Relation::SamePerson,
            Relation::Mark
        ]
    );
    assert_eq!((told.truncated, told.missing), (false, 0));
}
