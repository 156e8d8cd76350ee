use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use vrx_domain::{EntryKind, MunicipalityCode};
use vrx_storage::{
    Change, KeptReceipt, ReceiptStore, RecoveredEntry, RecoveryAnswer, StorageError,
};

use super::*;
use crate::testing::{PROVIDER, REQUESTER, Resident, World, deadline, size, staff};

/// The provider's rows, with a log in them that lost its end: what a restore would have written.
struct Lost {
    rows: Arc<dyn ReceiptStore>,
    log: LostLog,
    is_away: AtomicBool,
}

#[async_trait]
impl ReceiptStore for Lost {
    async fn receipts(
        &self,
        provider: MunicipalityCode,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<KeptReceipt>, StorageError> {
        self.rows.receipts(provider, origin, from, count).await
    }

    async fn lost_logs(&self) -> Result<Vec<LostLog>, StorageError> {
        if self.is_away.swap(false, Ordering::SeqCst) {
            return Err(StorageError::Busy);
        }
        Ok(vec![self.log.clone()])
    }

    async fn recovered(
        &self,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<RecoveredEntry>, StorageError> {
        self.rows.recovered(origin, from, count).await
    }

    async fn recovered_under(
        &self,
        origin: &str,
        tree_size: u64,
    ) -> Result<Option<RecoveredEntry>, StorageError> {
        self.rows.recovered_under(origin, tree_size).await
    }

    async fn recovery_answers(&self, origin: &str) -> Result<Vec<RecoveryAnswer>, StorageError> {
        self.rows.recovery_answers(origin).await
    }
}

/// A provider that answered so many inquiries, and then lost all of its log after `from_index` entries of it (counted from the first
/// answer).
struct Scene {
    world: World,
    provider: Arc<TenantServices>,
    lost: LostLog,
    /// Places of the answers' entries.
    answers: Vec<u64>,
}

impl Scene {
    async fn new(answers: u32, kept: usize) -> Self {
        let world = World::new().await;
        World::register(&world.provider, &[Resident::moved(1)]).await;
        let mut places = Vec::new();
        for nth in 0..answers {
            let desk = staff(&world.requester, "sato");
            // Found and nothing in turn.
            let inquiry = world.inquiry(1 + nth % 2);
            let report = crate::registry::inquire(&world.requester, &desk, inquiry, deadline())
                .await
                .unwrap()
                .into_parts()
                .0;
            places.push(report.provider_log_index.unwrap());
        }
        let lost = LostLog {
            origin: vrx_tlog::origin("vrx.example", PROVIDER, 1),
            from_index: places[kept],
            signed: None,
        };
        Self {
            provider: with_lost(&world.provider, &lost, false),
            world,
            lost,
            answers: places.split_off(kept),
        }
    }

    async fn ask(&self) -> Result<Option<Counts>, NotAnswered> {
        let code = REQUESTER.parse().unwrap();
        Ask {
            ctx: Arc::clone(&self.provider),
            member: self.provider.node.members.get(code).unwrap().clone(),
            lost: Arc::new(self.lost.clone()),
            entering: Arc::default(),
        }
        .once()
        .await
    }

    /// Receipts, entries and refused ones of a member that answers now.
    async fn answered(&self) -> (u64, u64, u64) {
        let counts = self.ask().await.unwrap().unwrap();
        (counts.receipts, counts.entered, counts.refused)
    }

    async fn recovered(&self) -> Vec<u64> {
        let rows = &self.provider.receipts;
        let entries = rows.recovered(&self.lost.origin, 0, 1_000).await.unwrap();
        entries.into_iter().map(|entry| entry.log_index).collect()
    }

    /// Content of the provider's control entries from an index on, by action.
    async fn control(&self, from: u64) -> Vec<(String, Vec<(String, String)>)> {
        let reader = self.provider.log.reader();
        let entries = reader.entries(from, 1_000, deadline()).await.unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let of_kind = |code| code == EntryKind::Control.code();
        entries
            .into_iter()
            .filter(|entry| of_kind(entry.leaf.kind))
            .map(|entry| {
                let opening = entry.opening.unwrap();
                let values: Vec<String> = opening.content.values().map(text).collect();
                let pairs = values.chunks(2).map(|two| (two[0].clone(), two[1].clone()));
                (text(opening.actor.get("action").unwrap()), pairs.collect())
            })
            .collect()
    }
}

fn with_lost(tenant: &Arc<TenantServices>, lost: &LostLog, is_away: bool) -> Arc<TenantServices> {
    Arc::new(TenantServices {
        receipts: Arc::new(Lost {
            rows: Arc::clone(&tenant.receipts),
            log: lost.clone(),
            is_away: AtomicBool::new(is_away),
        }),
        ..TenantServices::clone(tenant)
    })
}

#[tokio::test]
async fn each_lost_answer_becomes_one_entry_that_says_where_it_stood_and_who_held_its_receipt() {
    let scene = Scene::new(5, 2).await;
    let before = size(&scene.provider);
    assert_eq!(scene.answered().await, (3, 3, 0));
    assert_eq!(scene.recovered().await, scene.answers);
    assert_eq!(size(&scene.provider), before + 3 + 1);
    let entries = scene.control(before).await;
    let places: Vec<u64> = entries[..3]
        .iter()
        .map(|(action, content)| {
            assert_eq!(action, "recover-entry");
            let names: Vec<&str> = content.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(
                names,
                [
                    "log_origin",
                    "log_index",
                    "leaf",
                    "time",
                    "member",
                    "request_id",
                    "checkpoint_size",
                    "checkpoint_root"
                ]
            );
            assert_eq!(content[0].1, scene.lost.origin);
            assert_eq!(content[4].1, REQUESTER);
            content[1].1.parse().unwrap()
        })
        .collect();
    // Written together, in whatever order.
    let mut sorted = places.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, scene.answers);
    assert_eq!(entries[3].0, "recovery-answered");
}

#[tokio::test]
async fn a_member_that_answered_is_not_asked_again_and_nothing_is_entered_twice() {
    let scene = Scene::new(4, 1).await;
    // Ended after one page: nobody has answered, two entries stand.
    let mut page = 0;
    scene.world.tamper_receipts(move |reply| {
        page += 1;
        if page == 2 {
            return Err(PeerError::Failed("no-connection"));
        }
        Ok(reply)
    });
    let broken = scene.ask().await;
    assert_eq!(
        broken,
        Err(NotAnswered::Peer(PeerError::Failed("no-connection")))
    );
    assert_eq!(scene.recovered().await, scene.answers[..2]);
    assert_eq!(scene.answered().await, (3, 1, 0));
    assert_eq!(scene.recovered().await, scene.answers);
    let after = size(&scene.provider);
    assert_eq!(scene.ask().await, Ok(None));
    assert_eq!(size(&scene.provider), after);
}

#[tokio::test]
async fn a_receipt_that_isnt_believed_is_an_alarm_in_the_log_and_spares_the_others() {
    type Spoil = fn(&mut crate::ports::GivenReceipt);
    let cases: [(&str, Spoil); 3] = [
        ("receipt-doesnt-hold", |given| given.receipt.leaf[60] ^= 1),
        ("receipt-doesnt-hold", |given| {
            let note = &mut given.receipt.checkpoint;
            *note = note.replace("/log/1\n", "/log/2\n");
        }),
        ("receipt-doesnt-hold", |given| {
            given.receipt.inclusion_proof.clear();
        }),
    ];
    for (alarm, spoil) in cases {
        let scene = Scene::new(3, 0).await;
        scene.world.tamper_receipts(move |mut reply| {
            if reply.receipts.len() > 1 {
                spoil(&mut reply.receipts[1]);
            }
            Ok(reply)
        });
        let before = size(&scene.provider);
        assert_eq!(scene.answered().await, (3, 2, 1));
        assert_eq!(
            scene.recovered().await,
            [scene.answers[0], scene.answers[2]]
        );
        let entries = scene.control(before).await;
        let alarms: Vec<_> = entries
            .iter()
            .filter(|(action, _)| action == "alarm")
            .collect();
        assert_eq!(alarms.len(), 1);
        assert_eq!(alarms[0].1[0], ("alarm".to_owned(), alarm.to_owned()));
        assert_eq!(alarms[0].1[2].1, scene.answers[1].to_string());
    }
}

#[tokio::test]
async fn a_receipt_that_contradicts_what_stands_is_an_alarm() {
    let newest = async |scene: &Scene, before| {
        let entries = scene.control(before).await;
        let (action, content) = entries.into_iter().next().unwrap();
        assert_eq!(action, "alarm");
        content[0].1.clone()
    };
    // Another leaf was entered again at this place.
    let scene = Scene::new(1, 0).await;
    let other = RecoveredEntry {
        origin: scene.lost.origin.clone(),
        log_index: scene.answers[0],
        leaf: [0; 134],
        tree: (1 << 40, [0; 32]),
        member: "131041".parse().unwrap(),
        request_id: vrx_domain::RequestId::from_bytes([1; 16]).unwrap(),
    };
    let enter = async |scene: &Scene, entry: RecoveredEntry| {
        let recovering = Recovering::new(&scene.provider, &scene.lost).unwrap();
        let change = Change::recover_entry(entry);
        recovering
            .record_for_test(change)
            .await
            .unwrap_or_else(|_| panic!("is recorded"));
    };
    enter(&scene, other.clone()).await;
    let before = size(&scene.provider);
    assert_eq!(scene.answered().await, (1, 0, 1));
    assert_eq!(newest(&scene, before).await, "two-leaves-at-one-place");

    // A checkpoint of the same size with another root was in another receipt.
    let scene = Scene::new(1, 0).await;
    let elsewhere = RecoveredEntry {
        log_index: scene.answers[0] + 100,
        tree: (scene.answers[0] + 1, [0; 32]),
        ..other
    };
    enter(&scene, elsewhere).await;
    let before = size(&scene.provider);
    assert_eq!(scene.answered().await, (1, 0, 1));
    assert_eq!(newest(&scene, before).await, "own-log-forked");

    // A restored entry comes back although nobody asked for it.
    let mut scene = Scene::new(2, 0).await;
    scene.world.tamper_receipts({
        let first = scene.answers[0];
        move |mut reply| {
            reply
                .receipts
                .retain(|given| given.receipt.log_index == first);
            Ok(reply)
        }
    });
    scene.lost.from_index = scene.answers[1];
    let world = &scene.world;
    let kept = world
        .requester
        .receipts
        .receipts(PROVIDER.parse().unwrap(), &scene.lost.origin, 0, 1)
        .await
        .unwrap()
        .remove(0);
    world.tamper_receipts(move |mut reply| {
        let given = &mut reply.receipts[0];
        given.receipt.log_index = kept.log_index;
        given.receipt.leaf = kept.leaf;
        given.receipt.checkpoint.clone_from(&kept.note);
        given.receipt.inclusion_proof.clone_from(&kept.proof);
        Ok(reply)
    });
    let before = size(&scene.provider);
    assert_eq!(scene.answered().await, (1, 0, 1));
    assert_eq!(newest(&scene, before).await, "receipt-not-asked-for");
}

#[tokio::test]
async fn a_list_that_doesnt_rise_or_doesnt_end_is_no_answer() {
    let scene = Scene::new(3, 0).await;
    scene.world.tamper_receipts(|mut reply| {
        reply.receipts.reverse();
        Ok(reply)
    });
    let refused = scene.ask().await;
    assert_eq!(
        refused,
        Err(NotAnswered::Peer(PeerError::Failed(
            "receipts-out-of-order"
        )))
    );
    scene.world.tamper_receipts(|mut reply| {
        reply.receipts.clear();
        Ok(reply)
    });
    let refused = scene.ask().await;
    assert_eq!(
        refused,
        Err(NotAnswered::Peer(PeerError::Failed("broken-reply")))
    );
    assert!(scene.recovered().await.is_empty());
}

#[tokio::test]
async fn the_task_goes_on_until_database_and_members_answer_and_then_ends() {
    let scene = Scene::new(3, 1).await;
    let mut calls = 0;
    scene.world.tamper_receipts(move |reply| {
        calls += 1;
        if calls == 1 {
            return Err(PeerError::Failed("no-connection"));
        }
        Ok(reply)
    });
    let provider = with_lost(&scene.world.provider, &scene.lost, true);
    let recovery = Recovery::start(Arc::new(Tenants::new([provider])));
    recovery.0.ended().await;
    assert_eq!(scene.recovered().await, scene.answers);
    let provider = Arc::clone(&scene.provider);
    let before = size(&provider);
    let again = Recovery::start(Arc::new(Tenants::new([provider])));
    again.0.ended().await;
    assert_eq!(size(&scene.provider), before);
}

#[tokio::test]
async fn a_node_that_ends_doesnt_wait_for_members_that_are_away() {
    let scene = Scene::new(1, 0).await;
    scene
        .world
        .tamper_receipts(|_| Err(PeerError::Failed("no-connection")));
    let tenants = Tenants::new([Arc::clone(&scene.provider)]);
    let recovery = Recovery::start(Arc::new(tenants));
    recovery.shutdown().await;
    assert!(scene.recovered().await.is_empty());
}

#[tokio::test]
async fn a_receipt_over_other_entries_than_the_restored_ones_is_an_alarm_although_its_signature_holds()
 {
    let scene = Scene::new(1, 0).await;
    let place = scene.answers[0];
    // What somebody with this log's key could sign: other entries before the same answer.
    let (keyring, origin) = (
        Arc::clone(&scene.provider.keyring),
        scene.lost.origin.clone(),
    );
    scene.world.tamper_receipts(move |mut reply| {
        let receipt = &mut reply.receipts[0].receipt;
        let mut tree = vrx_tlog::Tree::new();
        for index in 0..place {
            tree.append(vrx_tlog::leaf_hash(&index.to_be_bytes()));
        }
        tree.append(vrx_tlog::leaf_hash(&receipt.leaf));
        let key = vrx_tlog::VerifierKey::from_public_key(&origin, &keyring.log_public_key());
        let body = vrx_tlog::Checkpoint {
            origin: origin.clone(),
            size: place + 1,
            root: tree.root(),
        }
        .body();
        let sign = |text: &[u8]| keyring.sign_log(text);
        receipt.checkpoint = vrx_tlog::sign_note(&body, &key.unwrap(), sign);
        let path = tree.snapshot().inclusion(place, &vrx_tlog::NoTiles);
        receipt.inclusion_proof = path.unwrap();
        Ok(reply)
    });
    let before = size(&scene.provider);
    assert_eq!(scene.answered().await, (1, 0, 1));
    let entries = scene.control(before).await;
    assert_eq!(entries[0].1[0].1, "contradicts-restored-entries");
    assert!(scene.recovered().await.is_empty());
}
