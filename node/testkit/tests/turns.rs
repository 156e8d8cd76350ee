//! What a verdict about times is worth: chance alone is never taken for a difference, a small one is found each time.

#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use vrx_domain::Random as _;
use vrx_testkit::{SeededRandom, Turns};

/// Pairs of calls that take `usual` with a long tail, the second kind `more` on top.
fn turns(seed: u64, more: Duration) -> Turns {
    let random = SeededRandom::new(seed);
    let call = || {
        let mut bytes = [0; 2];
        random.fill(&mut bytes);
        let tail = if bytes[0] < 20 { 9_000 } else { 0 };
        Duration::from_micros(2_000 + u64::from(bytes[1]) * 2 + tail)
    };
    let mut turns = Turns::default();
    for _ in 0..200 {
        turns.add(call(), call() + more);
    }
    turns
}

#[test]
fn what_differs_by_chance_alone_is_not_told_apart() {
    for seed in 0..500 {
        let turns = turns(seed, Duration::ZERO);
        assert!(!turns.tell_apart(), "seed {seed}: {}", turns.share());
    }
}

#[test]
fn what_takes_a_little_longer_each_time_is_told_apart() {
    for seed in 0..500 {
        for more in [Duration::from_micros(250), Duration::from_millis(5)] {
            let turns = turns(seed, more);
            assert!(turns.tell_apart(), "seed {seed}: {}", turns.share());
            assert!(turns.share() < 0.5);
        }
    }
}

#[tokio::test]
async fn each_kind_is_called_once_a_pair_and_begins_every_other_one() {
    let order = std::cell::RefCell::new(Vec::new());
    let turns = Turns::take(
        3,
        async |nth| order.borrow_mut().push(('a', nth)),
        async |nth| order.borrow_mut().push(('b', nth)),
    );
    turns.await;
    let expected = [('a', 0), ('b', 0), ('b', 1), ('a', 1), ('a', 2), ('b', 2)];
    assert_eq!(order.into_inner(), expected);
}
