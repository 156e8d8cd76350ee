//! Whoever writes the database doesn't say what an erasure takes: no leaf, no kind, no name on its list, no place of another epoch.
//! Over both databases.

use std::collections::HashSet;

use tokio::sync::mpsc;
use vrx_domain::{ErasureId, UnixMillis};
use vrx_node::backup::{Destroyed, list_epoch, make_equal};
use vrx_node::returned::refuse;
use vrx_services::retention::{self, Advanced, Earlier, ErasureStage, advance, approve, propose};

use crate::nowhere::{GONE, STAYS, THEN};
use crate::tampered::{CODE, Scene, soon};

impl Scene {
    fn set_column(&self, column: &str, index: u64, hex: &str) {
        let value = self.hand.bytes(hex);
        self.hand.change(&format!(
            "UPDATE vrx.log_entry SET {column} = {value} WHERE tenant = {CODE} AND idx = {index}"
        ));
    }

    fn set_kind(&self, index: u64, kind: u8) {
        self.hand.change(&format!(
            "UPDATE vrx.log_entry SET kind = {kind} WHERE tenant = {CODE} AND idx = {index}"
        ));
    }

    fn leaf(&self, index: u64) -> String {
        let of = format!("log_entry WHERE tenant = {CODE} AND idx = {index}");
        self.hand.read("leaf", &of)
    }

    /// Steps until the run stands at this stage.
    async fn reach(&self, stage: ErasureStage) {
        while self.newest().await.stage != stage {
            assert_eq!(advance(&self.town.services).await.unwrap(), Advanced::Step);
        }
    }

    async fn propose(&self) -> Option<ErasureId> {
        let (progress, _) = mpsc::channel(1);
        let mori = self.town.officer("mori");
        propose(
            &self.town.services,
            &mori,
            Earlier::Stands,
            progress,
            soon(),
        )
        .await
        .map(|proposed| proposed.into_parts().0.id)
        .ok()
    }

    /// What the newest erasure's entry says.
    async fn said(&self, name: &str) -> u64 {
        let reader = self.town.services.log.reader();
        let recorded = reader.erasures(soon()).await.unwrap();
        recorded.entries.last().unwrap().count(name)
    }

    /// The three who were approved are gone and on the list, and nobody else.
    async fn assert_only_the_approved_are_gone(&self) {
        for nth in GONE {
            assert_eq!(self.town.person(nth).await, None);
        }
        assert!(self.town.person(STAYS).await.is_some());
        assert_eq!(self.town.destroyed().persons().len(), GONE.len());
        assert_eq!(self.said("persons").await, 3);
        let counts = self.town.tenant.store.counts().await.unwrap();
        assert_eq!((counts.persons, counts.dose_revisions), (1, 2));
    }
}

/// The times of leaves are those that were signed.
async fn a_leaf_that_was_made_older_gets_no_opening_erased(mut scene: Scene) {
    scene.town.tenant.clock.set(UnixMillis(THEN));
    scene.town.answer(STAYS).await;
    let young = scene.town.services.log.checkpoint().size() - 1;
    let (old, signed) = (scene.leaf(0), scene.leaf(young));
    let older = format!("{}{}{}", &signed[..20], &old[20..36], &signed[36..]);
    scene.set_column("leaf", young, &older);
    assert_eq!(scene.propose().await, None);
    assert_eq!(scene.alarms().await, ["log-fault"]);
    scene.set_column("leaf", young, &signed);

    scene.town.decide().await;
    scene.reach(ErasureStage::Openings).await;
    let first = scene.leaf(1);
    let last = if first.ends_with("00") { "01" } else { "00" };
    scene.set_column("leaf", 1, &format!("{}{last}", &first[..266]));
    assert_eq!(scene.town.work().await, Advanced::Stopped);
    assert!(scene.listed().await.is_empty());
    assert!(!scene.hand.opening(5).0.is_empty());
    scene.set_column("leaf", 1, &first);
    scene.finish().await;
    assert!(scene.hand.opening(5).0.is_empty());
    assert!(!scene.hand.opening(young).0.is_empty());
    assert_eq!(scene.faults().await, [None, None]);
    scene.end().await;
}

/// Neither saves an entry nor makes genesis one that is erased.
async fn a_kind_that_was_changed_decides_nothing(mut scene: Scene) {
    scene.town.decide().await;
    scene.reach(ErasureStage::Openings).await;
    for (index, kind, signed) in [(5, 6, 1), (0, 3, 6)] {
        scene.set_kind(index, kind);
        assert_eq!(scene.town.work().await, Advanced::Stopped);
        assert!(scene.listed().await.is_empty());
        assert!(!scene.hand.opening(index).0.is_empty());
        scene.set_kind(index, signed);
    }
    scene.finish().await;
    assert!(scene.hand.opening(5).0.is_empty());
    assert!(!scene.hand.opening(0).0.is_empty());
    assert_eq!(scene.faults().await, [None, None]);
    scene.end().await;
}

/// Everybody, decoys among them, as destroyed already, or as gone.
async fn whoever_is_put_on_an_erasures_list_stays_and_it_is_told(mut scene: Scene) {
    scene.town.decide().await;
    scene.hand.change(&format!(
        "INSERT INTO vrx.erasure_person (tenant, person_id, step) SELECT {CODE}, p.person_id, 2 FROM vrx.person p \
         WHERE p.tenant = {CODE} AND p.person_id NOT IN (SELECT person_id FROM vrx.erasure_person)"
    ));
    scene.reach(ErasureStage::Rows).await;
    scene.hand.change("UPDATE vrx.erasure_person SET step = 3");
    scene.finish().await;
    scene.assert_only_the_approved_are_gone().await;
    assert_eq!(scene.alarms().await, ["erasure-persons"]);
    assert_eq!(scene.said("persons_approved").await, 3);
    assert!(scene.said("stayed").await > 0);
    scene.end().await;
}

/// As if they had been claimed: without what leads to them.
async fn whoever_is_said_to_be_claimed_stays_and_is_found_again(mut scene: Scene) {
    scene.town.decide().await;
    let stays = scene.town.person(STAYS).await.unwrap();
    scene.hand.change(&format!(
        "INSERT INTO vrx.erasure_person (tenant, person_id, step) SELECT {CODE}, p.person_id, 1 FROM vrx.person p \
         WHERE p.tenant = {CODE} AND p.person_id NOT IN (SELECT person_id FROM vrx.erasure_person); \
         DELETE FROM vrx.person_tag WHERE person_id IN (SELECT person_id FROM vrx.erasure_person WHERE step = 1)"
    ));
    scene.finish().await;
    scene.assert_only_the_approved_are_gone().await;
    assert_eq!(scene.town.person(STAYS).await, Some(stays));
    scene.end().await;
}

async fn a_list_that_says_destroyed_saves_nobody_and_an_unknown_step_stops_the_run(
    mut scene: Scene,
) {
    scene.town.decide().await;
    scene.hand.change("UPDATE vrx.erasure_person SET step = 7");
    assert!(advance(&scene.town.services).await.is_err());
    assert_eq!(scene.newest().await.stage, ErasureStage::Keys);
    scene.hand.change("UPDATE vrx.erasure_person SET step = 2");
    scene.finish().await;
    scene.assert_only_the_approved_are_gone().await;
    assert!(scene.alarms().await.is_empty());
    scene.end().await;
}

async fn a_name_that_is_taken_off_the_list_is_missed_at_the_end(mut scene: Scene) {
    scene.town.decide().await;
    let gone = scene.town.person(GONE[0]).await.unwrap();
    let id = scene.hand.bytes(&hex::encode(gone.as_bytes()));
    scene.hand.change(&format!(
        "DELETE FROM vrx.erasure_person WHERE person_id = {id}"
    ));
    scene.finish().await;
    assert_eq!(scene.town.person(GONE[0]).await, Some(gone));
    assert_eq!(scene.alarms().await, ["erasure-persons"]);
    let said = [
        scene.said("persons").await,
        scene.said("stayed").await,
        scene.said("persons_approved").await,
    ];
    assert_eq!(said, [2, 0, 3]);
    scene.end().await;
}

async fn an_erasure_that_is_put_back_to_its_proposal_ends_with_its_approver(mut scene: Scene) {
    scene.town.tenant.clock.set(UnixMillis(THEN));
    let id = scene.propose().await.unwrap();
    let proposed = scene.hand.read("body", "erasure_run");
    let kato = scene.town.officer("kato");
    approve(&scene.town.services, &kato, id, soon())
        .await
        .unwrap();
    scene.finish().await;
    let before = scene.newest().await;
    let body = scene.hand.bytes(&proposed);
    scene
        .hand
        .change(&format!("UPDATE vrx.erasure_run SET body = {body}"));
    assert_eq!(scene.newest().await.approved, None);
    assert_eq!(scene.town.work().await, Advanced::Idle);
    assert_eq!(scene.newest().await, before);
    scene.end().await;
}

/// A place means an entry of its own epoch.
async fn a_place_that_is_listed_of_another_epoch_or_of_genesis_is_not_missed(scene: Scene) {
    scene.town.tenant.clock.set(UnixMillis(THEN));
    scene.town.answer(STAYS).await;
    let young = scene.town.services.log.checkpoint().size() - 1;
    let paths = [Destroyed::path(scene.town.keyrings())];
    let tenant = scene.town.services.tenant;
    list_epoch(&paths, &tenant, 2, (6, 1)).unwrap();
    let listed = |epoch, from, below| retention::Destroyed::Openings { epoch, from, below };
    let list = [
        listed(1, 0, 1),
        listed(1, young, young + 1),
        listed(2, 6, young),
    ];
    scene.town.services.destroyed.add(&list).await.unwrap();
    let refused = async || {
        let today = scene.town.services.node.clock.today();
        let (list, store) = (scene.town.destroyed(), &*scene.town.tenant.store);
        let refused = refuse(&list, tenant, store, today).await;
        refused.err().map(|failure| failure.message)
    };
    assert_eq!(refused().await, None);
    let list = [listed(2, 5, 7)];
    scene.town.services.destroyed.add(&list).await.unwrap();
    let why = refused().await.unwrap();
    assert!(why.contains("0 persons and 1 openings"), "{why}");

    let other = scene.town.keyrings().join("elsewhere/destroyed.list");
    let both = [paths[0].clone(), other.clone()];
    assert_eq!(make_equal(&both, &tenant).unwrap(), [(other.clone(), 5)]);
    assert!(make_equal(&both, &tenant).unwrap().is_empty());
    let lines = |path| -> HashSet<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(&other), lines(&paths[0]));
    scene.end().await;
}

over_both! {
    a_leaf_that_was_made_older_gets_no_opening_erased,
    a_kind_that_was_changed_decides_nothing,
    whoever_is_put_on_an_erasures_list_stays_and_it_is_told,
    whoever_is_said_to_be_claimed_stays_and_is_found_again,
    a_list_that_says_destroyed_saves_nobody_and_an_unknown_step_stops_the_run,
    a_name_that_is_taken_off_the_list_is_missed_at_the_end,
    an_erasure_that_is_put_back_to_its_proposal_ends_with_its_approver,
    a_place_that_is_listed_of_another_epoch_or_of_genesis_is_not_missed,
}
