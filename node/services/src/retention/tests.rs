use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use vrx_domain::{EntryKind, HoldGround, Reference, Role};
use vrx_provision_log::Depth;
use vrx_storage::{ErasureCounts, ErasureRun, ErasureStage};
use vrx_tlog::SignedNote;

use super::{
    Advanced, Destroyed, DestroyedList, Earlier, ErasurePlan, ErasureProposal, HoldReport,
    HoldRequest, NotListed, advance, approve, lift_hold, list, place_hold, plan, propose,
};
use crate::{
    ServiceError, TenantServices,
    audit::{HistoryPart, HistoryRequest, HistoryView, history, show},
    exchange::{ExchangeAnswer, provide},
    testing::{Resident, World, caller, day, deadline, number, officer, size, staff},
};

const EIGHT_YEARS: u64 = 8 * 366 * 24 * 3_600_000;

/// Somebody whose records are over.
fn over(serial: u32) -> Resident {
    Resident {
        ceased: "2020-01-01",
        ..Resident::moved(serial)
    }
}

/// A list that can't be written when told.
#[derive(Default)]
struct Moody {
    listed: Mutex<Vec<Destroyed>>,
    fails: AtomicBool,
}

#[async_trait]
impl DestroyedList for Moody {
    async fn add(&self, destroyed: &[Destroyed]) -> Result<(), NotListed> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(NotListed("no room".to_owned()));
        }
        self.listed.lock().extend(destroyed);
        Ok(())
    }

    async fn openings(&self) -> Result<Vec<(u64, u64)>, NotListed> {
        Ok(Destroyed::openings(&self.listed.lock()))
    }
}

/// The provider's register, with a list to look at.
struct Scene {
    world: World,
    town: Arc<TenantServices>,
    list: Arc<Moody>,
}

impl Scene {
    /// Three whose records are over, and one who moved out this month.
    async fn new() -> Self {
        let world = World::new().await;
        let residents = [over(1), over(2), over(3), Resident::moved(4)];
        World::register(&world.provider, &residents).await;
        let list = Arc::new(Moody::default());
        let own = &world.provider;
        let town = Arc::new(TenantServices {
            destroyed: Arc::clone(&list) as _,
            ..TenantServices::clone(own)
        });
        Self { world, town, list }
    }

    async fn plan(&self) -> ErasurePlan {
        let (progress, _) = mpsc::channel(1);
        let mori = officer(&self.town, "mori");
        let planned = plan(&self.town, &mori, progress, deadline()).await;
        planned.unwrap().into_parts().0
    }

    async fn propose(&self) -> Result<ErasureProposal, ServiceError> {
        let (progress, _) = mpsc::channel(1);
        let mori = officer(&self.town, "mori");
        let proposed = propose(&self.town, &mori, Earlier::Stands, progress, deadline()).await?;
        Ok(proposed.into_parts().0)
    }

    /// Proposes and has it approved.
    async fn decide(&self) {
        let id = self.propose().await.unwrap().id;
        let kato = officer(&self.town, "kato");
        approve(&self.town, &kato, id, deadline()).await.unwrap();
    }

    async fn finish(&self) {
        while advance(&self.town).await.unwrap() == Advanced::Step {}
    }

    async fn run(&self) -> ErasureRun {
        let mori = officer(&self.town, "mori");
        let list = list(&self.town, &mori, deadline()).await.unwrap();
        list.into_parts().0.runs.remove(0)
    }

    async fn hold(&self, serial: u32, until: Option<&str>) -> Result<HoldReport, ServiceError> {
        self.hold_for("kaiji-1", serial, until).await
    }

    async fn hold_for(
        &self,
        reference: &str,
        serial: u32,
        until: Option<&str>,
    ) -> Result<HoldReport, ServiceError> {
        let request = HoldRequest {
            number: number(serial),
            until: until.map(day),
            ground: HoldGround::Disclosure,
            reference: Reference::parse(reference).unwrap(),
        };
        place_hold(
            &self.town,
            &officer(&self.town, "mori"),
            request,
            deadline(),
        )
        .await
    }

    async fn lift(&self, reference: &str, serial: u32) -> HoldReport {
        let mori = officer(&self.town, "mori");
        let (number, reference) = (number(serial), Reference::parse(reference).unwrap());
        let lifted = lift_hold(&self.town, &mori, &number, &reference, deadline()).await;
        lifted.unwrap()
    }

    /// Whether the other municipality is told anything, which is one entry either way.
    async fn is_provided(&self, serial: u32) -> bool {
        let (caller, member) = self.world.peer();
        let before = size(&self.town);
        let query = self.world.query(serial);
        let answer = provide(&self.town, &caller, &member, query, deadline()).await;
        let answer = answer.unwrap().into_parts().0;
        assert_eq!(size(&self.town), before + 1);
        matches!(answer, ExchangeAnswer::Found(_))
    }

    async fn assert_whole(&self) -> u64 {
        let verified = self.town.log.reader();
        let report = verified.verify_all(Depth::Openings, &mut |_, _| {}).await;
        let report = report.unwrap();
        assert_eq!(report.fault, None);
        report.erased
    }
}

#[tokio::test]
async fn a_dry_run_counts_by_class_and_changes_nothing() {
    let scene = Scene::new().await;
    scene.hold(3, None).await.unwrap();
    let before = size(&scene.town);
    let plan = scene.plan().await;
    let counts = ErasureCounts {
        persons: 2,
        doses: 4,
        openings: 0,
    };
    assert_eq!((plan.counts, plan.on_hold, plan.waiting), (counts, 1, 0));
    assert_eq!(plan, scene.plan().await);
    assert_eq!(size(&scene.town), before + 2, "each is an entry");
    assert_eq!(advance(&scene.town).await.unwrap(), Advanced::Idle);
    assert!(scene.is_provided(1).await);
}

#[tokio::test]
async fn only_the_own_officers_decide_and_never_one_alone() {
    let scene = Scene::new().await;
    let id = scene.propose().await.unwrap().id;
    let town = &scene.town;
    let code = town.tenant.code.to_string();
    for stranger in [
        staff(town, "tanaka"),
        caller(&code, Role::Operator, Some("ito")),
        officer(&scene.world.requester, "kato"),
    ] {
        let refused = approve(town, &stranger, id, deadline()).await;
        assert_eq!(refused, Err(ServiceError::PermissionDenied));
        let (progress, _) = mpsc::channel(1);
        let refused = propose(town, &stranger, Earlier::Stands, progress, deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
        let reference = Reference::parse("kaiji-1").unwrap();
        let refused = lift_hold(town, &stranger, &number(1), &reference, deadline()).await;
        assert_eq!(refused, Err(ServiceError::PermissionDenied));
    }
    let own = approve(town, &officer(town, "mori"), id, deadline()).await;
    assert!(matches!(own, Err(ServiceError::FailedPrecondition(_))));
    assert_eq!(advance(town).await.unwrap(), Advanced::Idle);
    approve(town, &officer(town, "kato"), id, deadline())
        .await
        .unwrap();
    let again = approve(town, &officer(town, "kato"), id, deadline()).await;
    assert!(matches!(again, Err(ServiceError::FailedPrecondition(_))));
    let second = scene.propose().await;
    assert!(matches!(second, Err(ServiceError::FailedPrecondition(_))));
}

#[tokio::test]
async fn an_erased_person_is_nothing_and_the_log_holds_with_one_record_of_it() {
    let scene = Scene::new().await;
    let earlier = scene.town.log.checkpoint();
    assert!(scene.is_provided(2).await);
    scene.decide().await;
    scene.finish().await;
    for serial in [1, 2, 3] {
        assert!(!scene.is_provided(serial).await, "{serial}");
    }
    assert!(scene.is_provided(4).await);
    assert_eq!(scene.assert_whole().await, 0);
    let proof = scene
        .town
        .log
        .reader()
        .consistency(earlier.size(), &scene.town.log.checkpoint(), deadline())
        .await;
    proof.unwrap();

    let run = scene.run().await;
    assert_eq!(run.stage, ErasureStage::Recorded);
    assert_eq!((run.done.persons, run.done.doses, run.stayed), (3, 6, 0));
    let entries = scene.town.log.reader().entries(0, 1_000, deadline()).await;
    let records: Vec<_> = entries
        .unwrap()
        .into_iter()
        .filter(|entry| entry.leaf.kind == EntryKind::Erasure.code())
        .collect();
    assert_eq!(records.len(), 1);
    assert_eq!(Some(records[0].leaf.index), run.entry);
    let content = &records[0].opening.as_ref().unwrap().content;
    let said: Vec<_> = content.values().map(String::from_utf8_lossy).collect();
    let of = |name: &str| {
        let at = said.iter().position(|word| word == name).unwrap();
        said[at + 1].to_string()
    };
    assert_eq!(of("persons"), "3");
    assert!(of("proposed_by").ends_with("/officer/mori"));
    assert!(of("approved_by").ends_with("/officer/kato"));
    assert_eq!(of("final"), "2026-12-28");

    let note = SignedNote::parse(&run.certificate).unwrap();
    note.verify(scene.town.log.reader().verifier_key()).unwrap();
    for line in [
        "住民 persons: 3",
        "接種記録 doses: 6",
        "最後の控えの破棄 final: 2026-12-28",
        "消去完了 live: 2026-11-23T",
    ] {
        assert!(note.text().contains(&format!("\n{line}")), "{line}");
    }
    assert_eq!(scene.list.listed.lock().len(), 3);
    assert_eq!(advance(&scene.town).await.unwrap(), Advanced::Idle);
    assert!(matches!(
        scene.propose().await,
        Err(ServiceError::FailedPrecondition("nothing is due"))
    ));
}

#[tokio::test]
async fn nothing_is_destroyed_before_it_stands_on_the_list_and_nothing_is_half_visible() {
    let scene = Scene::new().await;
    scene.decide().await;
    scene.list.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(advance(&scene.town).await.is_err());
        let persons = scene.town.registry.counts().await.unwrap().persons;
        assert_eq!(persons, 4, "the keys stand");
        assert!(!scene.is_provided(1).await, "and nobody is found by them");
    }
    scene.list.fails.store(false, Ordering::SeqCst);
    let mut stages = Vec::new();
    while advance(&scene.town).await.unwrap() == Advanced::Step {
        stages.push(scene.run().await.stage);
        for serial in [1, 2, 3] {
            assert!(!scene.is_provided(serial).await);
        }
        assert!(scene.is_provided(4).await);
    }
    stages.dedup();
    assert_eq!(
        stages,
        [
            ErasureStage::Keys,
            ErasureStage::Rows,
            ErasureStage::Openings,
            ErasureStage::Rewriting,
            ErasureStage::Recorded
        ]
    );
    let counts = scene.town.registry.counts().await.unwrap();
    assert_eq!((counts.persons, counts.dose_revisions), (1, 2));
}

#[tokio::test]
async fn a_look_outlives_the_opening_of_the_entry_that_was_looked_at() {
    let scene = Scene::new().await;
    assert!(scene.is_provided(4).await);
    let place = size(&scene.town) - 1;
    scene.world.clock.advance(EIGHT_YEARS);
    let mori = officer(&scene.town, "mori");
    let shown = show(&scene.town, &mori, place, deadline()).await;
    let look = shown.unwrap().log_index();
    scene.decide().await;
    scene.finish().await;
    let request = HistoryRequest {
        number: number(4),
        view: HistoryView::Internal,
    };
    let begun = history(&scene.town, &mori, request, deadline()).await;
    let mut begun = begun.unwrap();
    let mut told = Vec::new();
    while let Some(part) = begun.next(&scene.town, deadline()).await.unwrap() {
        told.push(match part {
            HistoryPart::Missing(missing) => ("erased", missing.last_index, None),
            HistoryPart::Row(row) => ("row", row.index, row.looked_at),
        });
    }
    assert_eq!(
        told,
        [
            ("erased", place, None),
            ("row", look, Some(place)),
            ("row", begun.review_index, None)
        ]
    );
    // What is erased shows nothing of anybody any more.
    let again = show(&scene.town, &mori, place, deadline()).await.unwrap();
    let again = again.log_index();
    let entries = scene.town.log.reader().entries(again, 1, deadline()).await;
    let opening = entries.unwrap().remove(0).opening.unwrap();
    assert!(opening.subject_tag.is_none());
}

#[tokio::test]
async fn openings_end_by_their_own_age_but_those_of_a_person_on_hold() {
    let scene = Scene::new().await;
    assert!(scene.is_provided(1).await);
    let about_held = size(&scene.town);
    assert!(scene.is_provided(2).await);
    scene.hold(2, None).await.unwrap();
    let hold = size(&scene.town) - 1;
    let mori = officer(&scene.town, "mori");
    // One look at each of the two.
    for index in [about_held, about_held - 1] {
        show(&scene.town, &mori, index, deadline()).await.unwrap();
    }
    let old = size(&scene.town);
    scene.world.clock.advance(EIGHT_YEARS);
    assert!(scene.is_provided(2).await);
    let plan = scene.plan().await;
    assert_eq!(plan.openings_below, old);
    assert_eq!((plan.counts.persons, plan.on_hold), (3, 1));
    scene.decide().await;
    scene.finish().await;
    let run = scene.run().await;
    assert_eq!(run.done.openings, plan.counts.openings);
    assert_eq!(scene.assert_whole().await, plan.counts.openings);
    let entries = scene.town.log.reader().entries(0, 1_000, deadline()).await;
    for entry in entries.unwrap() {
        let of_people = ![EntryKind::Genesis, EntryKind::Control, EntryKind::Erasure]
            .iter()
            .any(|kind| kind.code() == entry.leaf.kind);
        // The answer about the held person, the entry of the hold itself, and the look at that answer.
        let is_held = [about_held, hold, hold + 1].contains(&entry.leaf.index);
        let is_blank = entry.leaf.index < old && of_people && !is_held;
        assert_eq!(entry.opening.is_none(), is_blank, "{}", entry.leaf.index);
    }
    let ranges: Vec<Destroyed> = scene.list.listed.lock().clone();
    let blanked: u64 = ranges
        .iter()
        .map(|what| match what {
            Destroyed::Person(_) => 0,
            Destroyed::Openings { from, below } => below - from,
        })
        .sum();
    assert_eq!(blanked, plan.counts.openings);
    assert!(!scene.is_provided(1).await);
    assert!(scene.is_provided(2).await);
}

#[tokio::test]
async fn a_hold_needs_a_person_and_a_day_to_come_and_is_always_an_entry() {
    let scene = Scene::new().await;
    let before = size(&scene.town);
    let unknown = scene.hold(9, None).await.unwrap();
    assert_eq!((unknown.done, unknown.log_index), (false, before));
    let past = scene.hold(1, Some("2026-11-22")).await;
    assert!(matches!(
        past,
        Err(ServiceError::InvalidArgument { field: "until", .. })
    ));
    assert!(scene.hold(1, Some("2026-11-23")).await.unwrap().done);
    assert_eq!(scene.plan().await.on_hold, 1);
    scene.world.clock.advance(24 * 3_600_000);
    assert_eq!(scene.plan().await.on_hold, 0, "its last day is over");
    let (lifted, again) = (
        scene.lift("kaiji-1", 1).await,
        scene.lift("kaiji-1", 1).await,
    );
    assert_eq!((lifted.done, again.done), (true, false));
}

#[tokio::test]
async fn a_hold_for_another_matter_takes_nothing_from_the_one_that_stands() {
    let scene = Scene::new().await;
    scene.hold_for("soshou-1", 1, None).await.unwrap();
    scene
        .hold_for("kaiji-2", 1, Some("2026-11-23"))
        .await
        .unwrap();
    let listed = || async {
        let mori = officer(&scene.town, "mori");
        let list = list(&scene.town, &mori, deadline()).await.unwrap();
        let holds = list.into_parts().0.holds.into_iter();
        let mut references: Vec<_> = holds.map(|hold| hold.reference.to_string()).collect();
        references.sort();
        references
    };
    assert_eq!(listed().await, ["kaiji-2", "soshou-1"]);
    let shorter = scene.hold_for("soshou-1", 1, Some("2030-01-01")).await;
    assert!(matches!(shorter, Err(ServiceError::FailedPrecondition(_))));
    assert!(!scene.lift("kaiji-3", 1).await.done);

    scene.world.clock.advance(24 * 3_600_000);
    assert_eq!(listed().await, ["soshou-1"], "the other's last day is over");
    let plan = scene.plan().await;
    assert_eq!((plan.counts.persons, plan.on_hold), (2, 1));
    scene.decide().await;
    scene.finish().await;
    assert!(scene.is_provided(1).await);
    assert!(scene.lift("soshou-1", 1).await.done);
    assert_eq!(scene.plan().await.counts.persons, 1);
}
