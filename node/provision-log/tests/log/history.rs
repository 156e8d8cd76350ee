//! A person's entries, followed back: what was hidden shows, and what lies behind it is found all the same.

use vrx_provision_log::{ProvisionLog, Step, SubjectWalk};
use vrx_storage::EntryRow;

use crate::scene::{NUMBERS, Scene, record, soon};

/// Five entries about one person among others', at 1, 3, 5, 7 and 9.
async fn five(scene: &Scene) -> ProvisionLog {
    let log = scene.start().await.unwrap();
    for _ in 0..5 {
        record(&log, scene.found(NUMBERS[0])).await.unwrap();
        record(&log, Scene::unknown()).await.unwrap();
    }
    log
}

/// The walk in words: `seq@index`, and `first..last?` for entries that are missing.
async fn walked(scene: &Scene, log: &ProvisionLog) -> Vec<String> {
    let tag = scene.tag(NUMBERS[0]);
    let head = log.reader().subject_head(tag, soon()).await.unwrap();
    let head = head.unwrap();
    let mut walk = SubjectWalk::from(tag, head.seq, head.last_index);
    let mut words = Vec::new();
    while let Some(step) = walk.step(log.reader(), soon()).await.unwrap() {
        words.push(match step {
            Step::Entry(entry) => {
                let seq = entry.opening.as_ref().unwrap().subject_seq;
                format!("{seq}@{}", entry.leaf.index)
            }
            Step::Missing {
                count,
                first_seq,
                last_index,
                erased,
            } => format!(
                "{count} from {first_seq} to {last_index}{}",
                if erased { " erased" } else { "" }
            ),
        });
    }
    words
}

#[tokio::test]
async fn a_whole_history_is_followed_to_its_first_entry() {
    let scene = Scene::new();
    let log = five(&scene).await;
    assert_eq!(
        walked(&scene, &log).await,
        ["5@9", "4@7", "3@5", "2@3", "1@1"]
    );
}

#[tokio::test]
async fn an_entry_that_was_hidden_in_the_middle_shows_and_the_older_ones_are_still_found() {
    type Hide = fn(&mut EntryRow);
    let hide: [(&str, Hide); 3] = [
        ("1 from 3 to 5 erased", |row| {
            row.opening_key.clear();
            row.opening.clear();
        }),
        ("1 from 3 to 5", |row| row.opening[40] ^= 1),
        ("1 from 3 to 5", |row| row.leaf[0] = 9),
    ];
    for (said, hide) in hide {
        let scene = Scene::new();
        let log = five(&scene).await;
        scene.store.tamper(5, hide);
        assert_eq!(
            walked(&scene, &log).await,
            ["5@9", "4@7", said, "2@3", "1@1"]
        );
    }
}

#[tokio::test]
async fn two_hidden_entries_and_a_hidden_beginning_are_counted() {
    let scene = Scene::new();
    let log = five(&scene).await;
    for index in [5, 7] {
        scene.store.tamper(index, |row| row.opening[40] ^= 1);
    }
    assert_eq!(
        walked(&scene, &log).await,
        ["5@9", "2 from 3 to 7", "2@3", "1@1"]
    );
    for index in [1, 3] {
        scene.store.tamper(index, |row| row.opening[40] ^= 1);
    }
    assert_eq!(walked(&scene, &log).await, ["5@9", "4 from 1 to 7"]);
}

#[tokio::test]
async fn a_row_that_only_says_that_it_is_about_the_person_is_not_believed() {
    let scene = Scene::new();
    let log = five(&scene).await;
    let tag = scene.tag(NUMBERS[0]);
    scene.store.tamper(5, |row| row.opening[40] ^= 1);
    scene.store.tamper(4, |row| {
        (row.subject, row.subject_seq) = (tag, 2);
    });
    assert_eq!(
        walked(&scene, &log).await,
        ["5@9", "4@7", "1 from 3 to 5", "2@3", "1@1"]
    );
}

#[tokio::test]
async fn the_root_of_a_smaller_log_is_what_its_checkpoint_said() {
    let scene = Scene::new();
    let log = five(&scene).await;
    let then = log.checkpoint();
    for _ in 0..300 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    let now = log.checkpoint();
    let root = log.reader().root_at(then.size(), &now, soon()).await;
    assert_eq!(root.unwrap(), then.root());
    assert!(
        log.reader()
            .root_at(now.size() + 1, &now, soon())
            .await
            .is_err()
    );
}
