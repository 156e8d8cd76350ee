use std::sync::Arc;

use futures_util::stream;
use tokio::sync::mpsc;
use vrx_storage::Lookup;

use super::*;
use crate::{
    registry::{ListImportsRequest, approve_import, import_persons, list_imports},
    testing::{
        File, Resident, World, deadline, doses_csv, import, import_with, number, persons_csv, size,
        staff,
    },
};

fn residents(count: u32) -> Vec<Resident> {
    (1..=count).map(Resident::moved).collect()
}

#[tokio::test]
async fn a_file_comes_in_chunk_by_chunk_and_running_it_again_changes_nothing() {
    let world = World::new().await;
    let tenant = &world.provider;
    let residents = residents(1200);
    let before = size(tenant);
    let (summary, events) = import(tenant, "sato", File::Persons, &persons_csv(&residents)).await;
    assert_eq!(
        (
            summary.rows,
            summary.entered,
            summary.unchanged,
            summary.refused
        ),
        (1200, 1200, 0, 0)
    );
    assert_eq!(summary.entries, 3, "500, 500 and 200 rows");
    assert_eq!(size(tenant), before + 3);
    assert!(matches!(
        events.last(),
        Some(ImportEvent::Progress { rows: 1200, .. })
    ));

    let (doses, _) = import(tenant, "sato", File::Doses, &doses_csv(&residents)).await;
    assert_eq!((doses.rows, doses.entered, doses.refused), (1200, 2400, 0));

    let counts = tenant.registry.counts().await.unwrap();
    let (again, _) = import(tenant, "suzuki", File::Persons, &persons_csv(&residents)).await;
    assert_eq!(
        (again.entered, again.unchanged, again.import),
        (0, 1200, None)
    );
    let (again, _) = import(tenant, "suzuki", File::Doses, &doses_csv(&residents)).await;
    assert_eq!(
        (again.entered, again.unchanged, again.import),
        (0, 2400, None)
    );
    assert_eq!(tenant.registry.counts().await.unwrap(), counts);
}

#[tokio::test]
async fn a_check_tells_the_same_and_writes_nothing() {
    let world = World::new().await;
    let tenant = &world.provider;
    let csv = persons_csv(&residents(3)).replace("1980-05-05,2,", "1980-05-05,7,");
    let (before, counts) = (size(tenant), tenant.registry.counts().await.unwrap());
    let request = ImportRequest {
        check_only: true,
        ..ImportRequest::default()
    };
    let (summary, events) = import_with(tenant, "sato", File::Persons, csv.as_bytes(), request)
        .await
        .unwrap();
    assert_eq!(
        (
            summary.rows,
            summary.refused,
            summary.entries,
            summary.import
        ),
        (3, 3, 0, None)
    );
    let refused = events
        .iter()
        .filter(|event| matches!(event, ImportEvent::Refused(_)))
        .count();
    assert_eq!(refused, 3);
    let good = persons_csv(&residents(3));
    let (summary, _) = import_with(tenant, "sato", File::Persons, good.as_bytes(), request)
        .await
        .unwrap();
    assert_eq!((summary.entered, summary.import), (3, None));
    assert_eq!(
        (size(tenant), tenant.registry.counts().await.unwrap()),
        (before, counts)
    );
}

#[tokio::test]
async fn a_bad_row_is_told_with_line_and_column_and_the_rows_around_it_are_kept() {
    let world = World::new().await;
    let tenant = &world.provider;
    let mut lines: Vec<String> = persons_csv(&residents(3))
        .lines()
        .map(str::to_owned)
        .collect();
    lines[2] = lines[2].replacen("1980-05-05", "1980-02-30", 1);
    let csv = lines.join("\r\n");
    let (summary, events) = import(tenant, "sato", File::Persons, &csv).await;
    assert_eq!((summary.entered, summary.refused), (2, 1));
    let refused: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ImportEvent::Refused(row) => Some(row),
            ImportEvent::Progress { .. } => None,
        })
        .collect();
    assert_eq!(
        (refused.len(), refused[0].line, refused[0].column.as_str()),
        (1, 3, "生年月日")
    );
    assert!(!refused[0].reason.contains("1980"));
    assert_eq!(
        (refused[0].code, refused[0].reason_ja),
        ("no-such-day", "暦にない日付です")
    );

    let (doses, events) = import(tenant, "sato", File::Doses, &doses_csv(&residents(3))).await;
    assert_eq!(
        (doses.entered, doses.refused),
        (4, 1),
        "both doses of one row are one refused row"
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, ImportEvent::Refused(row) if row.line == 3))
    );
}

#[tokio::test]
async fn a_file_of_another_layout_is_refused_whole() {
    let world = World::new().await;
    let csv = doses_csv(&residents(3));
    let request = ImportRequest::default();
    let refused = import_with(
        &world.provider,
        "sato",
        File::Persons,
        csv.as_bytes(),
        request,
    )
    .await;
    assert_eq!(refused.err().and_then(|error| error.field()), Some("file"));
}

#[tokio::test]
async fn what_one_person_imported_counts_only_after_another_approved_it() {
    let world = World::new().await;
    let tenant = &world.provider;
    let (summary, _) = import(tenant, "sato", File::Persons, &persons_csv(&residents(1))).await;
    let import = summary.import.unwrap();
    let approved = async || match tenant.persons.lookup(&number(1)).await.unwrap() {
        Lookup::Found(record) => record.approved.is_some(),
        Lookup::Unknown | Lookup::Mismatch { .. } => false,
    };
    assert!(!approved().await);
    let by_self = approve_import(tenant, &staff(tenant, "sato"), import, deadline()).await;
    assert!(matches!(by_self, Err(ServiceError::FailedPrecondition(_))));
    assert!(!approved().await);
    let report = approve_import(tenant, &staff(tenant, "suzuki"), import, deadline())
        .await
        .unwrap();
    assert_eq!((report.rows, report.log_index), (1, size(tenant) - 1));
    assert!(approved().await);
    let twice = approve_import(tenant, &staff(tenant, "suzuki"), import, deadline()).await;
    assert!(matches!(twice, Err(ServiceError::FailedPrecondition(_))));
    let unknown = approve_import(
        tenant,
        &staff(tenant, "suzuki"),
        ImportId::from_bytes([9; 16]),
        deadline(),
    )
    .await;
    assert_eq!(unknown.err(), Some(ServiceError::NotFound));
}

#[tokio::test]
async fn imports_are_listed_by_page() {
    let world = World::new().await;
    let tenant = &world.provider;
    World::register(tenant, &residents(2)).await;
    let caller = staff(tenant, "suzuki");
    let first = ListImportsRequest {
        page_size: 1,
        ..ListImportsRequest::default()
    };
    let page = list_imports(tenant, &caller, first, deadline())
        .await
        .unwrap();
    assert_eq!(page.imports.len(), 1);
    let next = ListImportsRequest {
        page_size: 1,
        page_token: page.next_page_token,
    };
    let stolen = list_imports(tenant, &staff(tenant, "sato"), next.clone(), deadline()).await;
    assert_eq!(
        stolen.err().and_then(|error| error.field()),
        Some("page_token")
    );
    let last = list_imports(tenant, &caller, next, deadline())
        .await
        .unwrap();
    assert!(last.next_page_token.is_empty());
    let all = [&page.imports[0], &last.imports[0]];
    assert!(
        all.iter().all(|import| import.imported_by == "sato"
            && import.approved_by.as_deref() == Some("suzuki"))
    );
    let mut kinds: Vec<_> = all
        .iter()
        .map(|import| (import.kind, import.entered))
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("doses", 4), ("persons", 2)]);
}

/// What the chunks between the two lines do doesn't matter: the later line meets what the earlier one left.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_comes_again_chunks_later_is_taken_as_if_each_chunk_had_followed_the_other() {
    let world = World::new().await;
    let tenant = &world.provider;
    let mut lines = residents(700);
    lines.push(Resident {
        ceased: "2026-11-02",
        ..Resident::moved(3)
    });
    lines.extend((701..2700).map(Resident::moved));
    lines.push(Resident::moved(1));
    let (summary, _) = import(tenant, "sato", File::Persons, &persons_csv(&lines)).await;
    assert_eq!(
        (summary.entered, summary.unchanged, summary.refused),
        (2700, 1, 0),
        "2,699 residents, one of them changed"
    );

    let (doses, _) = import(tenant, "sato", File::Doses, &doses_csv(&lines)).await;
    assert_eq!(
        (doses.entered, doses.unchanged, doses.refused),
        (2 * 2699, 4, 0),
        "two lines say again what stands"
    );
    let counts = tenant.registry.counts().await.unwrap();
    assert_eq!((counts.persons, counts.dose_revisions), (2699, 2 * 2699));

    let request = ListImportsRequest::default();
    let listed = list_imports(tenant, &staff(tenant, "sato"), request, deadline())
        .await
        .unwrap();
    let mut entered: Vec<_> = listed.imports.iter().map(|import| import.entered).collect();
    entered.sort_unstable();
    assert_eq!(entered, [2700, 2 * 2699], "one import a file");
}

#[tokio::test]
async fn a_caller_that_stops_listening_ends_the_import_and_what_was_taken_stays() {
    let world = World::new().await;
    let tenant = Arc::clone(&world.provider);
    let (sender, mut receiver) = mpsc::channel(1);
    let csv = persons_csv(&residents(5000));
    let pieces: Vec<_> = csv
        .as_bytes()
        .chunks(4096)
        .map(|piece| Ok(Zeroizing::new(piece.to_vec())))
        .collect();
    let caller = staff(&tenant, "sato");
    let work = tokio::spawn({
        let tenant = Arc::clone(&tenant);
        async move {
            import_persons(
                &tenant,
                &caller,
                ImportRequest::default(),
                stream::iter(pieces),
                sender,
            )
            .await
        }
    });
    assert!(receiver.recv().await.is_some());
    drop(receiver);
    assert!(matches!(
        work.await.unwrap(),
        Err(ServiceError::FailedPrecondition(_))
    ));
    let taken = tenant.registry.counts().await.unwrap().persons;
    assert!((500..5000).contains(&taken));
    let (summary, _) = import(&tenant, "sato", File::Persons, &csv).await;
    assert_eq!(summary.entered + summary.unchanged, 5000);
    assert_eq!(summary.unchanged, taken);
}
