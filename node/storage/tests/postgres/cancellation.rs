//! Callers that go away in the middle: what was acknowledged stands, and nobody inherits their transaction.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinSet;
use vrx_domain::UnixMillis;
use vrx_storage::conformance::{Fixture, number, root, seal};
use vrx_storage::{BatchItem, ImportKind, PostgresLimits, SubjectTag};

use crate::scene::Scene;

/// Steps after which a caller may go away: more than any call here has.
const STEPS: usize = 60;

/// One connection, so that whoever comes next gets the one that the last caller left.
fn one_connection() -> PostgresLimits {
    PostgresLimits {
        connections: 1,
        ..PostgresLimits::default()
    }
}

/// Lets a future go that many steps, each as far as its next answer, then drops it. `None` if it hadn't come to its end.
async fn steps<F: Future>(count: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = count;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

fn entry(subject: SubjectTag) -> Arc<[BatchItem]> {
    Arc::new([BatchItem {
        change: None,
        subject,
    }])
}

/// Appends one entry; says where it stands.
async fn append(fixture: &Fixture, subject: SubjectTag) -> u64 {
    let head = fixture.store.head().await.unwrap();
    let expected = (head.size, head.root);
    let prepared = fixture
        .store
        .append(expected, entry(subject), seal(vec![subject]))
        .await;
    prepared.unwrap().head.size
}

/// The log has no gap, and every entry that somebody was told of stands where they were told.
async fn holds(fixture: &Fixture, told: &HashMap<u64, SubjectTag>) {
    let entries = fixture.second.entries(0, 60_000).await.unwrap();
    let head = fixture.second.head().await.unwrap();
    assert_eq!(
        (head.size, head.root),
        (entries.len() as u64, root(entries.len() as u64))
    );
    assert!(
        entries
            .iter()
            .map(|entry| entry.index)
            .eq(0..entries.len() as u64)
    );
    for (index, subject) in told {
        assert_eq!(
            entries[usize::try_from(*index).unwrap()].subject,
            *subject,
            "entry {index}"
        );
    }
}

#[tokio::test]
async fn whoever_comes_after_a_caller_that_went_away_is_inside_no_transaction_of_theirs() {
    let scene = Scene::fresh().await;
    let fixture = scene.fixture(one_connection()).await;
    fixture.residents(3, 1).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let kinds = 6;
    let mut ended = vec![0; kinds];
    let mut written = 0;
    for count in 0..STEPS {
        for (kind, ends) in ended.iter_mut().enumerate() {
            // Once it comes to its end, more steps are the same.
            if *ends == 3 {
                continue;
            }
            let store = &fixture.store;
            let done = match kind {
                0 => steps(count, store.canary()).await.map(Result::unwrap),
                1 => steps(count, store.lookup(&number(1))).await.map(|found| {
                    drop(found.unwrap());
                }),
                2 => steps(count, fixture.approve(import)).await.map(drop),
                3 => steps(count, store.expire_inquiries(UnixMillis(1)))
                    .await
                    .map(|result| assert_eq!(result, Ok(0))),
                4 => steps(count, store.entries(0, 10))
                    .await
                    .map(|result| drop(result.unwrap())),
                _ => steps(count, append(&fixture, fixture.nobody()))
                    .await
                    .map(drop),
            };
            written += u64::from(kind == 0 && done.is_some());
            *ends += u64::from(done.is_some());
            // Acknowledged through the connection that is there now: lost, if that one were inside a transaction.
            store.canary().await.unwrap();
            written += 1;
        }
    }
    assert!(
        ended.iter().all(|ends| *ends == 3),
        "{STEPS} steps are enough"
    );
    let kept: u64 = scene
        .database
        .sql("SELECT written FROM vrx.canary")
        .parse()
        .unwrap();
    // A canary whose caller went away while it committed may have been written too, at most one a round.
    assert!(
        kept >= written,
        "{kept} of {written} acknowledged writes are kept"
    );
    assert!(kept <= written + STEPS as u64);
    scene.database.server().wait_for(
        scene.database.name(),
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND usename = 'vrx_node' AND state LIKE 'idle in transaction%')",
    );
    holds(&fixture, &HashMap::new()).await;
}

#[tokio::test]
async fn an_append_whose_caller_goes_away_stands_whole_or_not_at_all() {
    let scene = Scene::fresh().await;
    let fixture = scene.fixture(one_connection()).await;
    let mut told = HashMap::new();
    let mut outcomes = [0_u32; 3];
    for count in 0..STEPS {
        let (gone, next) = (fixture.nobody(), fixture.nobody());
        let before = fixture.second.head().await.unwrap();
        let batch: Arc<[BatchItem]> = entry(gone)
            .iter()
            .chain(&*entry(gone))
            .map(|item| BatchItem {
                change: None,
                subject: item.subject,
            })
            .collect();
        let expected = (before.size, before.root);
        let seal = seal(vec![gone, gone]);
        let answer = steps(count, fixture.store.append(expected, batch, seal)).await;
        let index = append(&fixture, next).await;
        told.insert(index, next);
        match (answer, index - before.size) {
            (None, 0) => outcomes[0] += 1,
            (None, 2) => outcomes[1] += 1,
            (Some(answer), 2) => {
                assert_eq!(answer.unwrap().head.size, before.size);
                told.insert(before.size, gone);
                told.insert(before.size + 1, gone);
                outcomes[2] += 1;
            }
            (answer, added) => panic!("{added} entries of a batch of two; {answer:?}"),
        }
    }
    assert!(outcomes[0] > 0 && outcomes[2] > 0, "{outcomes:?}");
    holds(&fixture, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_among_others_take_nobody_elses_entry_along() {
    let scene = Scene::fresh().await;
    let limits = PostgresLimits {
        connections: 2,
        ..PostgresLimits::default()
    };
    let fixture = Arc::new(scene.fixture(limits).await);
    let mut callers = JoinSet::new();
    for caller in 0..6_usize {
        let fixture = Arc::clone(&fixture);
        callers.spawn(async move {
            let mut told = Vec::new();
            for round in 0..25_usize {
                let subject = fixture.nobody();
                if caller % 2 == 0 {
                    told.push((append(&fixture, subject).await, subject));
                } else {
                    let count = (round * 7 + caller * 3) % STEPS;
                    if let Some(index) = steps(count, append(&fixture, subject)).await {
                        told.push((index, subject));
                    }
                }
            }
            told
        });
    }
    let told: HashMap<u64, SubjectTag> = callers.join_all().await.into_iter().flatten().collect();
    assert!(
        told.len() >= 75,
        "nobody was told of two entries at one place"
    );
    holds(&fixture, &told).await;
}
