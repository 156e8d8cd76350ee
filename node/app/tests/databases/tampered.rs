//! Whoever writes the database: an erasure that is put back isn't run again, and no opening is blanked or put back unseen. Over both
//! databases.

use std::sync::Arc;

use vrx_domain::{EntryKind, Members, UnixMillis};
use vrx_node::returned::refuse;
use vrx_provision_log::{Deadline, Depth, Fault};
use vrx_services::audit;
use vrx_services::retention::{
    Advanced, Destroyed, Earlier, ErasureRun, ErasureStage, approve, list, propose,
};
use vrx_storage::postgres::PostgresOwner;
use vrx_storage::waits_for_rewriting;
use vrx_testkit::TestTenant;
use vrx_testkit::postgres::{PostgresServer, ServerOptions, TestDatabase};

use crate::nowhere::{PATIENCE, STAYS, Town};
use crate::{cluster, owner};

pub(crate) const CODE: &str = "142051";

/// Another hand in a database.
pub(crate) enum Hand {
    Sqlite(rusqlite::Connection),
    Postgres(TestDatabase),
}

impl Hand {
    /// Changes rows.
    pub(crate) fn change(&self, sql: &str) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(&sql.replace("vrx.", "")).unwrap(),
            Self::Postgres(database) => drop(database.sql(sql)),
        }
    }

    pub(crate) fn read(&self, column: &str, of: &str) -> String {
        match self {
            Self::Sqlite(connection) => connection
                .query_row(&format!("SELECT hex({column}) FROM {of}"), [], |row| {
                    row.get(0)
                })
                .unwrap(),
            Self::Postgres(database) => database
                .sql(&format!("SELECT encode({column}, 'hex') FROM vrx.{of}"))
                .trim()
                .to_owned(),
        }
    }

    pub(crate) fn bytes(&self, hex: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{hex}'"),
            Self::Postgres(_) => format!("decode('{hex}', 'hex')"),
        }
    }

    pub(crate) fn opening(&self, index: u64) -> (String, String) {
        let of = format!("log_entry WHERE tenant = {CODE} AND idx = {index}");
        (self.read("opening_key", &of), self.read("opening", &of))
    }

    fn put(&self, index: u64, (key, opening): &(String, String)) {
        let (key, opening) = (self.bytes(key), self.bytes(opening));
        self.change(&format!(
            "UPDATE vrx.log_entry SET opening_key = {key}, opening = {opening} WHERE tenant = {CODE} AND idx = {index}"
        ));
    }

    fn blank(&self, index: u64) {
        self.put(index, &(String::new(), String::new()));
    }
}

pub(crate) struct Scene {
    pub(crate) town: Town,
    pub(crate) hand: Hand,
    owner: Option<PostgresOwner>,
}

impl Scene {
    pub(crate) async fn sqlite() -> Self {
        let town = Town::new(TestTenant::create(CODE, Members::default()).await).await;
        let file = town.tenant.folder().join("state").join(CODE).join("vrx.db");
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        Self {
            town,
            hand: Hand::Sqlite(connection),
            owner: None,
        }
    }

    pub(crate) async fn postgres() -> Self {
        let start = || Arc::new(PostgresServer::start(ServerOptions::default()));
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        let database = TestDatabase::on(&server);
        let mut owner = owner(&database).await;
        let cluster = cluster(&database).await;
        let tenant = TestTenant::create_in(cluster, &mut owner, CODE, Members::default()).await;
        Self {
            town: Town::new(tenant).await,
            hand: Hand::Postgres(database),
            owner: Some(owner),
        }
    }

    /// All steps of a run, the owner's among them.
    pub(crate) async fn finish(&mut self) {
        let ended = self.town.work().await;
        let Some(owner) = &mut self.owner else {
            return assert_eq!(ended, Advanced::Idle);
        };
        assert_eq!(ended, Advanced::WaitsForOperator);
        let services = &self.town.services;
        let keyring = Arc::clone(&services.keyring);
        let waits = move |id: &[u8; 16], body: &[u8]| waits_for_rewriting(&keyring, id, body);
        let now = services.node.clock.now();
        let rewritten = owner.rewrite_erased(services.tenant, &waits, now).await;
        rewritten.unwrap();
        assert_eq!(self.town.work().await, Advanced::Idle);
    }

    /// The openings of everything that was logged until now go, years later.
    async fn erase_openings_again(&mut self) {
        let now = self.town.services.node.clock.now();
        let years = UnixMillis(now.0 + 8 * 366 * 24 * 3_600_000);
        self.town.tenant.clock.set(years);
        let (progress, _) = tokio::sync::mpsc::channel(1);
        let (mori, kato) = (self.town.officer("mori"), self.town.officer("kato"));
        let services = &self.town.services;
        let proposed = propose(services, &mori, Earlier::Stands, progress, soon()).await;
        let id = proposed.unwrap().into_parts().0.id;
        approve(services, &kato, id, soon()).await.unwrap();
        self.finish().await;
    }

    pub(crate) async fn newest(&self) -> ErasureRun {
        let mori = self.town.officer("mori");
        let runs = list(&self.town.services, &mori, soon()).await.unwrap();
        runs.into_parts().0.runs.remove(0)
    }

    /// What a verification says first, by the list of what was destroyed or without it.
    async fn fault(&self, listed: &[(u64, u64)]) -> Option<Fault> {
        let services = &self.town.services;
        let reader = services.log.reader();
        let whole = reader.verify_all(Depth::Openings, &mut |_, _| {}).await;
        if let Some(fault) = whole.unwrap().fault {
            return Some(fault);
        }
        self.blanks(listed).await
    }

    async fn blanks(&self, listed: &[(u64, u64)]) -> Option<Fault> {
        let services = &self.town.services;
        let reader = services.log.reader();
        let blanks = reader.verify_blanks(&*services.retention, listed, soon());
        blanks.await.unwrap()
    }

    pub(crate) async fn listed(&self) -> Vec<(u64, u64)> {
        self.town.services.destroyed.openings(1).await.unwrap()
    }

    /// What every way to look says.
    pub(crate) async fn faults(&self) -> [Option<Fault>; 2] {
        let listed = self.listed().await;
        [self.fault(&[]).await, self.fault(&listed).await]
    }

    /// Alarms of the log, by their names.
    pub(crate) async fn alarms(&self) -> Vec<String> {
        let reader = self.town.services.log.reader();
        let entries = reader.entries(0, 1_000, soon()).await.unwrap();
        let openings = entries.iter().filter_map(|entry| entry.opening.as_ref());
        let alarms = openings.filter(|opening| opening.actor.get("action") == Some(b"alarm"));
        alarms
            .map(|opening| {
                let said = opening.content.values().nth(1).unwrap();
                String::from_utf8_lossy(said).into_owned()
            })
            .collect()
    }

    pub(crate) async fn end(self) {
        self.town.tenant.close().await;
    }
}

pub(crate) fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

async fn an_erasure_that_is_put_back_is_not_run_again(mut scene: Scene) {
    scene.town.decide().await;
    let hand = &scene.hand;
    let approved = hand.read("body", "erasure_run");
    scene.finish().await;
    let before = scene.newest().await;
    assert_eq!(scene.faults().await, [None, None]);

    let stays = scene.town.person(STAYS).await.unwrap();
    let id = hex::encode(stays.as_bytes());
    for nth in 1..3 {
        let hand = &scene.hand;
        hand.change(&format!(
            "UPDATE vrx.erasure_run SET body = {}, rewritten_at = NULL; \
             INSERT INTO vrx.erasure_person (tenant, person_id, step) VALUES ({CODE}, {}, 0)",
            hand.bytes(&approved),
            hand.bytes(&id)
        ));
        for fault in scene.faults().await {
            assert_eq!(fault, Some(Fault::Replayed(before.entry.unwrap())));
        }
        let kato = scene.town.officer("kato");
        assert_eq!(scene.town.work().await, Advanced::Idle);
        let again = approve(&scene.town.services, &kato, before.id, soon()).await;
        assert!(again.is_err());
        assert_eq!(scene.town.person(STAYS).await, Some(stays));
        assert_eq!(scene.alarms().await, vec!["erasure-replayed"; nth]);
        let settled = scene.newest().await;
        assert_eq!(settled.stage, ErasureStage::Recorded);
        assert_eq!((settled.done, settled.entry), (before.done, before.entry));
        assert_eq!(settled.certificate, before.certificate);
        assert_eq!(scene.faults().await, [None, None]);
    }
    let reader = scene.town.services.log.reader();
    assert_eq!(reader.erasures(soon()).await.unwrap().entries.len(), 1);
    scene.end().await;
}

async fn no_opening_is_blanked_or_put_back_unseen(mut scene: Scene) {
    // Of entry 5, an answer about somebody who goes.
    let erased = scene.hand.opening(5);
    assert!(!erased.0.is_empty());
    scene.town.decide().await;
    scene.finish().await;
    assert_eq!(scene.faults().await, [None, None]);
    assert!(scene.hand.opening(5).0.is_empty());
    let last = scene.town.services.log.checkpoint().size() - 1;
    let kept: Vec<u64> = scene.kept(last).await;
    let other = scene.hand.opening(kept[0]);

    let all_find = async |what: &str| {
        // Whose head was at it is found by that too.
        assert!(scene.faults().await.iter().all(Option::is_some), "{what}");
        for listed in [Vec::new(), scene.listed().await] {
            let fault = scene.blanks(&listed).await;
            assert!(
                matches!(fault, Some(Fault::Blanks { .. })),
                "{what}: {fault:?}"
            );
        }
    };
    scene.hand.blank(kept[0]);
    all_find("one more").await;
    scene.hand.put(5, &erased);
    all_find("another in the place of one").await;
    scene.hand.put(kept[0], &other);
    all_find("one put back").await;
    scene.hand.blank(5);
    assert_eq!(scene.faults().await, [None, None]);
    let genesis = scene.hand.opening(0);
    scene.hand.blank(0);
    assert_eq!(scene.fault(&[]).await, Some(Fault::Blank(0)));
    scene.hand.put(0, &genesis);

    // A second erasure goes on from the first; what somebody blanked in between shows in it for ever.
    scene.erase_openings_again().await;
    assert_eq!(scene.faults().await, [None, None]);
    assert!(scene.alarms().await.is_empty());
    let last = scene.town.services.log.checkpoint().size() - 1;
    let kept = scene.kept(last).await;
    scene.hand.blank(kept[0]);
    scene.erase_openings_again().await;
    let newest = scene.newest().await;
    for fault in scene.faults().await {
        assert_eq!(fault, Some(Fault::ErasureEntry(newest.entry.unwrap())));
    }
    assert_eq!(scene.alarms().await, ["blank-openings"]);
    let (progress, _) = tokio::sync::mpsc::channel(1);
    let mori = scene.town.officer("mori");
    let verified = audit::verify(&scene.town.services, &mori, progress, soon()).await;
    let faults = verified.unwrap().into_parts().0.faults;
    assert!(faults[0].contains("消去によらず"), "{faults:?}");
    scene.end().await;
}

/// Nothing leads to the person any more, as if nobody had ever asked.
async fn somebody_whose_every_entry_was_blanked_doesnt_go_unnoticed(scene: Scene) {
    let (hand, of) = (&scene.hand, format!("tenant = {CODE} AND idx = 8"));
    let (empty, nobody) = (hand.bytes(""), hand.bytes(&"ff".repeat(32)));
    hand.change(&format!(
        "UPDATE vrx.log_entry SET opening_key = {empty}, opening = {empty}, subject = {nobody} WHERE {of}"
    ));
    if matches!(hand, Hand::Sqlite(_)) {
        hand.change("DELETE FROM subject_head");
    }
    let fault = Fault::Blanks {
        blank: 1,
        explained: 0,
    };
    assert_eq!(scene.faults().await, [Some(fault.clone()), Some(fault)]);
    scene.end().await;
}

/// An older copy of the database would bring it back; a run that is about to blank it is none.
async fn an_opening_that_stands_though_it_is_listed_is_refused_unless_a_run_is_coming_to_it(
    mut scene: Scene,
) {
    let erased = scene.hand.opening(5);
    scene.town.decide().await;
    let listed = [Destroyed::Openings {
        epoch: 1,
        from: 5,
        below: 7,
    }];
    scene.town.services.destroyed.add(&listed).await.unwrap();
    let refused = async |scene: &Scene| {
        let (tenant, store) = (scene.town.services.tenant, &*scene.town.tenant.store);
        let today = scene.town.services.node.clock.today();
        let refused = refuse(&scene.town.destroyed(), tenant, store, today).await;
        refused.err().map(|failure| failure.message)
    };
    assert_eq!(refused(&scene).await, None);
    scene.finish().await;
    assert_eq!(refused(&scene).await, None);
    scene.hand.put(5, &erased);
    let why = refused(&scene).await.unwrap();
    assert!(why.contains("0 persons and 1 openings"), "{why}");
    assert!(why.contains("erase again"), "{why}");
    scene.end().await;
}

async fn what_a_restore_blanked_is_told_by_the_next_erasure(mut scene: Scene) {
    scene.town.decide().await;
    // On the list, and blank although the run hasn't come to them: a backup of the middle of the run came back.
    let listed = [Destroyed::Openings {
        epoch: 1,
        from: 5,
        below: 7,
    }];
    scene.town.services.destroyed.add(&listed).await.unwrap();
    for place in [5, 6] {
        scene.hand.blank(place);
    }
    let listed = scene.listed().await;
    assert_eq!(scene.fault(&listed).await, None);
    scene.finish().await;
    let reader = scene.town.services.log.reader();
    let entry = reader.erasures(soon()).await.unwrap().entries.remove(0);
    assert_eq!(entry.count("blanked_again"), 2);
    assert_eq!(entry.count("blanked"), entry.count("openings") + 2);
    assert!(scene.alarms().await.is_empty());
    assert_eq!(scene.faults().await, [None, None]);
    scene.end().await;
}

impl Scene {
    /// Entries about people whose openings stand, the last ones first.
    async fn kept(&self, last: u64) -> Vec<u64> {
        let reader = self.town.services.log.reader();
        let outlines = reader.outlines(0, 1_000, soon()).await.unwrap();
        outlines
            .iter()
            .rev()
            .filter(|outline| outline.index <= last && outline.has_opening)
            .filter(|outline| outline.kind == EntryKind::Desk.code())
            .map(|outline| outline.index)
            .collect()
    }
}

over_both! {
    an_erasure_that_is_put_back_is_not_run_again,
    no_opening_is_blanked_or_put_back_unseen,
    what_a_restore_blanked_is_told_by_the_next_erasure,
    somebody_whose_every_entry_was_blanked_doesnt_go_unnoticed,
    an_opening_that_stands_though_it_is_listed_is_refused_unless_a_run_is_coming_to_it,
}
