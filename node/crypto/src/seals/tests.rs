//! One process, several processes, crashes, the limit.

use super::*;

const KEY: (KeyKind, KeyId) = (KeyKind::Record, KeyId(1));

fn kept(path: &Path) -> u64 {
    SealCounter::load(path, &[KEY])
        .unwrap()
        .used(KEY.0, KEY.1)
        .unwrap()
}

fn counter(path: &Path, already: u64) -> SealCounter {
    let counter = SealCounter::in_memory([KEY], already);
    counter.keep_in(path).unwrap();
    counter
}

#[test]
fn a_block_is_on_disk_before_its_first_seal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    let counter = counter(&path, 0);
    assert_eq!(kept(&path), 0);
    counter.take(KEY.0, KEY.1).unwrap();
    assert_eq!(kept(&path), SealCounter::BLOCK);
}

#[test]
fn a_crash_costs_the_block_and_a_clean_close_gives_the_rest_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    let first = counter(&path, 0);
    first.take(KEY.0, KEY.1).unwrap();
    drop(first); // no close: a crash
    let second = SealCounter::load(&path, &[KEY]).unwrap();
    for _ in 0..3 {
        second.take(KEY.0, KEY.1).unwrap();
    }
    assert_eq!(kept(&path), 2 * SealCounter::BLOCK);
    second.close().unwrap();
    assert_eq!(kept(&path), SealCounter::BLOCK + 3);
    second.take(KEY.0, KEY.1).unwrap();
    assert_eq!(kept(&path), 2 * SealCounter::BLOCK + 3);
}

#[test]
fn nothing_is_sealed_past_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    let counter = counter(&path, SealCounter::LIMIT - 2);
    assert_eq!(counter.take(KEY.0, KEY.1), Ok(()));
    assert_eq!(counter.take(KEY.0, KEY.1), Ok(()));
    assert_eq!(
        counter.take(KEY.0, KEY.1),
        Err(CryptoError::Exhausted(KEY.0, KEY.1))
    );
    counter.close().unwrap();
    let again = SealCounter::load(&path, &[KEY]).unwrap();
    assert_eq!(
        again.take(KEY.0, KEY.1),
        Err(CryptoError::Exhausted(KEY.0, KEY.1))
    );
}

#[test]
fn a_reservation_that_cannot_be_written_seals_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone").join("t.seals");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let counter = counter(&path, 0);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(matches!(
        counter.take(KEY.0, KEY.1),
        Err(CryptoError::Io { .. })
    ));
}

#[test]
fn threads_count_every_seal() {
    let counter = SealCounter::in_memory([KEY], 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| counter.take(KEY.0, KEY.1).unwrap()));
        }
    });
    assert_eq!(counter.used(KEY.0, KEY.1), Some(4000));
}

#[test]
fn a_file_in_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    let texts = [
        "",
        "vrx-seals 1",
        "vrx-seals 2\nrecord 1 0\n",
        "vrx-seals 1\nrecord 1\n",
        "vrx-seals 1\n",
        "vrx-seals 1\nrecord 1 0\nrecord 1 0\n",
        "vrx-seals 1\nrecord 1 4294967297\n",
        "vrx-seals 1\nother 1 0\n",
    ];
    for text in texts {
        std::fs::write(&path, text).unwrap();
        assert!(
            matches!(
                SealCounter::load(&path, &[KEY]),
                Err(CryptoError::Malformed(_))
            ),
            "{text:?}"
        );
    }
}

#[test]
fn two_processes_reserve_on_top_of_each_other_and_give_back_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    counter(&path, 7);
    let first = SealCounter::load(&path, &[KEY]).unwrap();
    let second = SealCounter::load(&path, &[KEY]).unwrap();
    first.take(KEY.0, KEY.1).unwrap();
    second.take(KEY.0, KEY.1).unwrap();
    second.take(KEY.0, KEY.1).unwrap();
    assert_eq!(kept(&path), 7 + 2 * SealCounter::BLOCK);
    assert_eq!(second.used(KEY.0, KEY.1), Some(7 + SealCounter::BLOCK + 2));
    first.close().unwrap();
    assert_eq!(kept(&path), 7 + 1 + SealCounter::BLOCK);
    first.close().unwrap();
    assert_eq!(kept(&path), 7 + 1 + SealCounter::BLOCK, "given back once");
    second.close().unwrap();
    assert_eq!(kept(&path), 7 + 1 + 2);
}

#[test]
fn processes_that_take_turns_lose_no_reservation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    counter(&path, 0);
    let (threads, rounds, seals) = (4, 5, 3);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let process = SealCounter::load(&path, &[KEY]).unwrap();
                    (0..seals).for_each(|_| process.take(KEY.0, KEY.1).unwrap());
                    assert!(kept(&path) >= SealCounter::BLOCK);
                    process.close().unwrap();
                }
            });
        }
    });
    assert_eq!(kept(&path), threads * rounds * seals);
}

#[test]
fn what_another_process_reserved_counts_against_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    counter(&path, SealCounter::LIMIT - SealCounter::BLOCK);
    let first = SealCounter::load(&path, &[KEY]).unwrap();
    let second = SealCounter::load(&path, &[KEY]).unwrap();
    first.take(KEY.0, KEY.1).unwrap();
    let exhausted = Err(CryptoError::Exhausted(KEY.0, KEY.1));
    assert_eq!(second.take(KEY.0, KEY.1), exhausted);
    first.close().unwrap();
    assert_eq!(second.take(KEY.0, KEY.1), Ok(()), "given back to everybody");
}

#[test]
fn saving_a_keyring_anew_keeps_what_other_processes_reserved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.seals");
    let first = counter(&path, 0);
    first.take(KEY.0, KEY.1).unwrap();
    let second = SealCounter::load(&path, &[KEY]).unwrap();
    second.take(KEY.0, KEY.1).unwrap();
    first.keep_in(&path).unwrap();
    assert_eq!(kept(&path), 1 + SealCounter::BLOCK);
    // A recovered keyring takes the larger of what it assumes and what stands.
    counter(&path, 1 << 30);
    assert_eq!(kept(&path), 1 << 30);
    counter(&path, 5);
    assert_eq!(kept(&path), 1 << 30);
}
