//! The number is nowhere: not in the state folders, not in the logs, not in what callers are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::exchange::{individual_number, query, request, spellings, told};
use vrx_tests::on_both_databases;

on_both_databases! {
    after_matches_misses_and_errors_no_file_and_no_text_holds_a_number,
}

async fn after_matches_misses_and_errors_no_file_and_no_text_holds_a_number(on: On) {
    let demo = Demo::start_on(2_000, on).unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let planted = individual_number(31_415_926_535);
    let found = demo.numbers("provided")[3].clone();
    let protected = demo.numbers("protected")[0].clone();

    let mut texts: Vec<(String, Vec<u8>)> = Vec::new();
    for number in [&planted, &found, &protected] {
        for _ in 0..20 {
            told(query(&channel, request(number)).await.unwrap()).unwrap();
        }
        let mut wrong = request(number);
        wrong.event_date = None;
        let status = query(&channel, wrong).await.expect_err("no event date");
        texts.push((
            "the refusal's text".into(),
            format!("{status:?}").into_bytes(),
        ));
        let mut misplaced = request(number);
        misplaced.operator_ref.clone_from(number);
        let status = query(&channel, misplaced)
            .await
            .expect_err("a number as a reference");
        texts.push((
            "the refusal's text".into(),
            format!("{status:?}").into_bytes(),
        ));
        let mut elsewhere = request(number);
        elsewhere.municipality_code = "011002".into();
        let status = query(&channel, elsewhere).await.expect_err("not a tenant");
        texts.push((
            "the refusal's text".into(),
            format!("{status:?}").into_bytes(),
        ));
    }
    let mut wrong_digit = planted.clone();
    wrong_digit.replace_range(11.., if planted.ends_with('1') { "2" } else { "1" });
    let status = query(&channel, request(&wrong_digit))
        .await
        .expect_err("check digit");
    texts.push((
        "the refusal's text".into(),
        format!("{status:?}").into_bytes(),
    ));

    // Once while the nodes run (write-ahead log included) and once after they ended.
    texts.extend(files(&demo));
    search(&texts, &[&planted, &found, &protected, &wrong_digit]);
    for code in [FUJISAWA, YOKOHAMA] {
        demo.signal(code, "TERM").unwrap();
        demo.wait_ended(code).await.unwrap();
    }
    search(&files(&demo), &[&planted, &found, &protected, &wrong_digit]);
    if let Some(server) = demo.server() {
        // Tables, the server's own log of changes, its statistics of statements, and what it told its operator.
        server.sql("postgres", "CHECKPOINT");
        let mut files: Vec<(String, Vec<u8>)> = walk(&server.data_folder())
            .into_iter()
            // The server goes on: a file may be gone by now.
            .filter_map(|path| Some((path.display().to_string(), std::fs::read(&path).ok()?)))
            .collect();
        files.push(("the server's log".to_owned(), server.log().into_bytes()));
        search(&files, &[&planted, &found, &protected, &wrong_digit]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_would_find_a_number_if_one_were_written() {
    let number = individual_number(27_182_818_284);
    let needles = spellings(&number);
    assert_eq!(find(b"before and after", &needles), None);
    for (spelling, bytes) in &needles {
        let hidden = [b"before ".as_slice(), bytes, b" after"].concat();
        assert!(find(&hidden, &needles).is_some(), "{spelling}");
    }
}

fn search(haystacks: &[(String, Vec<u8>)], numbers: &[&String]) {
    assert!(haystacks.len() > 10, "nothing to search in");
    let needles: Vec<(&str, Vec<u8>)> = numbers
        .iter()
        .flat_map(|number| spellings(number))
        .collect();
    for (name, bytes) in haystacks {
        if let Some(spelling) = find(bytes, &needles) {
            panic!("{name} holds a number as {spelling}");
        }
    }
}

/// The first needle that is somewhere in the haystack: one walk through it for all of them.
fn find<'n>(haystack: &[u8], needles: &[(&'n str, Vec<u8>)]) -> Option<&'n str> {
    // By the first byte that isn't zero: databases are full of zeroes.
    let mut by_byte = vec![Vec::new(); 256];
    for (spelling, needle) in needles {
        let place = needle.iter().position(|byte| *byte != 0).unwrap();
        by_byte[usize::from(needle[place])].push((place, needle, *spelling));
    }
    haystack.iter().enumerate().find_map(|(at, byte)| {
        by_byte[usize::from(*byte)]
            .iter()
            .find(|(place, needle, _)| {
                at.checked_sub(*place)
                    .is_some_and(|from| haystack[from..].starts_with(needle))
            })
            .map(|(_, _, spelling)| *spelling)
    })
}

/// Everything that the two nodes keep and write: state, kept checkpoints, keyrings, recovery copies, logs.
fn files(demo: &Demo) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for node in &demo.description.nodes {
        let home = node.config.parent().unwrap();
        for path in walk(home).into_iter().chain(walk(&node.state_dir)) {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
        found.push((
            node.log_file.display().to_string(),
            std::fs::read(&node.log_file).unwrap(),
        ));
    }
    found
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(walk(&path));
        } else {
            paths.push(path);
        }
    }
    paths
}
