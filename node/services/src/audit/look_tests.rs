//! Looks at one entry by its place, in the history of whom the entry is about.

use vrx_domain::{DisclosureReason, EntryKind, EntryMark, Reference};

use super::{
    history_tests::{ask, asked, read},
    *,
};
use crate::{
    ServiceError, TenantServices,
    testing::{World, deadline, number, officer, size},
};

async fn look(tenant: &TenantServices, index: u64) -> u64 {
    let shown = show(tenant, &officer(tenant, "mori"), index, deadline()).await;
    shown.unwrap().log_index()
}

async fn tell(tenant: &TenantServices, index: u64) -> (u64, Story) {
    let told = story(tenant, &officer(tenant, "mori"), index, deadline()).await;
    let told = told.unwrap();
    (told.log_index(), told.into_parts().0)
}

async fn put(tenant: &TenantServices, index: u64, mark: EntryMark) -> Result<u64, ServiceError> {
    let request = MarkRequest {
        number: number(1),
        index,
        mark,
        reason: (mark == EntryMark::Withhold).then_some(DisclosureReason::HarmToPerson),
        document: Reference::parse("kessai-12").unwrap(),
    };
    let marked = super::mark(tenant, &officer(tenant, "mori"), request, deadline()).await;
    marked.map(|report| report.log_index)
}

/// Places, with the place that was looked at.
fn places(rows: &[HistoryRow]) -> Vec<(u64, Option<u64>)> {
    rows.iter().map(|row| (row.index, row.looked_at)).collect()
}

/// What a person is given: the places of it, without the reading itself.
async fn given(tenant: &TenantServices) -> Vec<u64> {
    let (begun, rows) = read(tenant, 1, HistoryView::Disclosure).await;
    rows.iter()
        .filter(|row| row.action != "history")
        .map(|row| row.index)
        .filter(|index| *index != begun.review_index)
        .collect()
}

/// The world of `asked`, and the places of the person's two provisions.
async fn scene() -> (World, [u64; 2]) {
    let world = asked().await;
    let (_, rows) = read(&world.provider, 1, HistoryView::Internal).await;
    let provisions = [rows[0].index, rows[1].index];
    (world, provisions)
}

#[tokio::test]
async fn whoever_looks_at_one_entry_stands_in_the_history_of_whom_it_is_about() {
    let (world, [first, second]) = scene().await;
    let tenant = &world.provider;
    let shown = look(tenant, first).await;
    let (told, _) = tell(tenant, second).await;
    // A look is an entry about the person too.
    let again = look(tenant, shown).await;
    for view in [HistoryView::Internal, HistoryView::Disclosure] {
        let (_, rows) = read(tenant, 1, view).await;
        let seen = places(&rows);
        for look in [
            (shown, Some(first)),
            (told, Some(second)),
            (again, Some(shown)),
        ] {
            assert!(seen.contains(&look), "{look:?} {seen:?}");
        }
        let row = rows.iter().find(|row| row.index == told).unwrap();
        assert_eq!(row.action, "log-story");
        assert!(row.receipt.is_some());
        let actor = match view {
            HistoryView::Internal => "officer/mori",
            HistoryView::Disclosure => "officer",
        };
        assert_eq!(row.actor, actor);
    }
    let (_, others) = read(tenant, 2, HistoryView::Internal).await;
    assert!(others.iter().all(|row| row.looked_at.is_none()));
}

#[tokio::test]
async fn the_story_of_an_entry_names_the_looks_at_it() {
    let (world, [first, second]) = scene().await;
    let tenant = &world.provider;
    let shown = look(tenant, first).await;
    look(tenant, second).await;
    let (_, story) = tell(tenant, first).await;
    let looks: Vec<u64> = story
        .related
        .iter()
        .filter(|(relation, _)| *relation == Relation::Look)
        .map(|(_, row)| row.index)
        .collect();
    assert_eq!((looks, story.missing), (vec![shown], 0));
}

#[tokio::test]
async fn a_look_at_an_entry_about_nobody_and_a_proof_alone_are_about_nobody() {
    let (world, [first, _]) = scene().await;
    let tenant = &world.provider;
    let unknown = ask(&world, 99, false).await;
    let before = read(tenant, 1, HistoryView::Internal).await.1.len();
    let mori = officer(tenant, "mori");
    for index in [0, unknown] {
        let place = look(tenant, index).await;
        let looked = tenant.log.reader().entries(place, 1, deadline()).await;
        let looked = looked.unwrap().remove(0).opening.unwrap();
        assert!(looked.subject_tag.is_none() && looked.subject.0.is_empty());
    }
    let entries = size(tenant);
    let proved = prove(tenant, &mori, first, deadline()).await.unwrap();
    assert_eq!(size(tenant), entries + 1, "reading is an entry");
    let proved = proved.into_parts().0;
    assert_eq!((proved.index, proved.fields.len()), (first, 0));
    assert_eq!((proved.subject_seq, proved.previous_index), (0, None));
    // The one more is the reading of before itself.
    let after = read(tenant, 1, HistoryView::Internal).await.1.len();
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn a_look_at_what_is_not_disclosed_is_not_disclosed_either() {
    let (world, [first, second]) = scene().await;
    let tenant = &world.provider;
    let hidden = look(tenant, first).await;
    let behind = look(tenant, hidden).await;
    let open = look(tenant, second).await;
    let mark = put(tenant, first, EntryMark::Withhold).await.unwrap();
    let at_mark = look(tenant, mark).await;
    assert_eq!(given(tenant).await, [second, open]);
    let (_, own) = read(tenant, 1, HistoryView::Internal).await;
    for index in [hidden, behind, at_mark] {
        assert!(own.iter().any(|row| row.index == index), "{index}");
    }
    put(tenant, first, EntryMark::Release).await.unwrap();
    assert_eq!(given(tenant).await, [first, second, hidden, behind, open]);
    // A look can be kept back by itself.
    put(tenant, open, EntryMark::Withhold).await.unwrap();
    assert_eq!(given(tenant).await, [first, second, hidden, behind]);
}

#[tokio::test]
async fn a_look_in_a_list_that_its_entry_is_not_in_is_no_entry_of_the_person() {
    use vrx_domain::audit::{desk_actor, desk_content, look_subject};
    use vrx_provision_log::{Entry, Subject};
    let (world, [first, _]) = scene().await;
    let tenant = &world.provider;
    let others = read(tenant, 2, HistoryView::Internal).await.1[0].index;
    let forge = async |said: u64, committed: u64| {
        let entry = Entry {
            kind: EntryKind::Desk,
            actor: desk_actor(&officer(tenant, "mori"), "log-show"),
            subject: Subject::Known {
                tag: crate::record::subject_tag(tenant, &number(1)),
                fields: look_subject(committed, "log-show"),
            },
            content: desk_content(&[("index", &said.to_string())]),
        };
        let recorded = tenant.log.record(entry, None, (), deadline()).await;
        recorded.unwrap().log_index()
    };
    let missing = async || {
        let request = HistoryRequest {
            number: number(1),
            view: HistoryView::Internal,
        };
        let mori = officer(tenant, "mori");
        let mut begun = history(tenant, &mori, request, deadline()).await.unwrap();
        let mut missing = Vec::new();
        while let Some(part) = begun.next(tenant, deadline()).await.unwrap() {
            if let HistoryPart::Missing(part) = part {
                missing.push((part.count, part.last_index));
            }
        }
        missing
    };
    forge(first, first).await;
    assert_eq!(missing().await, []);
    let strange = forge(others, others).await;
    assert_eq!(missing().await, [(1, strange)]);
    let otherwise = forge(first, others).await;
    assert_eq!(missing().await, [(1, strange), (1, otherwise)]);
}

#[tokio::test]
async fn naming_a_counterparty_that_nothing_conceals_is_refused() {
    let (world, [first, _]) = scene().await;
    let tenant = &world.provider;
    let (before, look) = (size(tenant), look(tenant, first).await);
    for index in [first, look] {
        let refused = put(tenant, index, EntryMark::NameCounterparty).await;
        let why = "the entry conceals no counterparty";
        assert_eq!(refused, Err(ServiceError::FailedPrecondition(why)));
    }
    assert_eq!(size(tenant), before + 1);
    let concealed = ask(&world, 1, true).await;
    assert!(
        put(tenant, concealed, EntryMark::NameCounterparty)
            .await
            .is_ok()
    );
}
