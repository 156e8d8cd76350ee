//! Two municipalities that witness each other's logs: over real HTTPS, on both databases, with one of them away, and with a whole
//! machine whose log is rewritten and signed anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod house;
mod rewritten;

use std::path::Path;
use std::time::Duration;

use http::{Method, header};
use sha2::{Digest as _, Sha256};
use tonic::Code;
use vrx_certs_dev::{Federation, IdentitySpec};
use vrx_tests::demo::{FUJISAWA, On, YOKOHAMA, program};
use vrx_tests::exchange::{query, request, told};
use vrx_tests::metrics::Scrape;
use vrx_tests::process::Process;
use vrx_tests::tls::{self, PemFiles};
use vrx_tests::{desk, foreign, on_both_databases};
use vrx_tlog::{
    AddCheckpoint, Checkpoint, SignedNote, Tree, VerifierKey, WitnessKey, leaf_hash,
    read_entry_bundle,
};

use house::{Answered, House, ask, get, until};

on_both_databases! {
    two_nodes_witness_each_other_and_serve_their_logs,
    a_witness_answers_each_request_with_the_status_of_the_specification,
    without_its_witness_a_node_stops_providing_and_resumes_when_it_is_back,
}

/// The newest checkpoint of Fujisawa's with Yokohama's cosignature, once the newest one has it.
async fn cosigned(
    house: &House,
    log: &VerifierKey,
    witness: &WitnessKey,
) -> (SignedNote, Checkpoint) {
    let channel = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    let note = until("the newest checkpoint is cosigned", async || {
        let answer = get(&channel, "/municipality/142051/log/checkpoint").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.header(&header::CONTENT_TYPE),
            "text/plain; charset=utf-8"
        );
        assert_eq!(answer.header(&header::CACHE_CONTROL), "private, no-cache");
        let note = SignedNote::parse(&answer.text()).unwrap();
        note.cosigned(witness).is_ok().then_some(note)
    })
    .await;
    let checkpoint = Checkpoint::open(&note.to_string(), log, log.name()).unwrap();
    (note, checkpoint)
}

async fn two_nodes_witness_each_other_and_serve_their_logs(on: On) {
    let house = House::build(on, 14_400).await;
    let log = VerifierKey::parse(&house.demo.node(FUJISAWA).unwrap().log_vkey).unwrap();
    let witness = house.witness_key(YOKOHAMA);
    let channel = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    for number in house.demo.numbers("provided").iter().take(3) {
        told(query(&channel, request(number)).await.unwrap()).unwrap();
    }
    let (note, checkpoint) = cosigned(&house, &log, &witness).await;
    assert!(house.serves(FUJISAWA, "142051/witnesses").await);
    let path = |rest: &str| format!("/municipality/142051/{rest}");
    let answer = get(&channel, &path("log/checkpoint.witnessed")).await;
    assert_eq!((answer.status, answer.text()), (200, note.to_string()));

    // Code that isn't ours reads it so too, and passes over the cosignature.
    let read = foreign::checkpoint(&note.to_string(), &log.to_string()).unwrap();
    assert_eq!(
        (read.size(), read.hash().0),
        (checkpoint.size, checkpoint.root)
    );
    // The leaf hashes under it make its root.
    let size = checkpoint.size;
    assert!((4..256).contains(&size), "{size}");
    let tile = get(&channel, &path(&format!("log/tile/0/000.p/{size}"))).await;
    assert_eq!(tile.status, 200);
    assert_eq!(
        tile.header(&header::CONTENT_TYPE),
        "application/octet-stream"
    );
    assert_eq!(
        tile.header(&header::CACHE_CONTROL),
        "private, max-age=31536000, immutable"
    );
    let mut tree = Tree::new();
    for hash in tile.body.chunks(32) {
        tree.append(hash.try_into().unwrap());
    }
    assert_eq!(tree.root(), checkpoint.root);
    let shorter = get(&channel, &path("log/tile/0/000.p/2")).await;
    assert_eq!(shorter.body, tile.body[..64]);
    assert_eq!(house.size(FUJISAWA).await, size, "reading is no entry");
    for beyond in [
        format!("log/tile/0/000.p/{}", size + 1),
        "log/tile/0/000".to_owned(),
        "log/tile/1/000.p/1".to_owned(),
        "log/tile/0/001.p/1".to_owned(),
        "log/tile/63/000".to_owned(),
        "log/tile/0/0".to_owned(),
        "log".to_owned(),
    ] {
        let answer = get(&channel, &path(&beyond)).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, "not found\n"),
            "{beyond}"
        );
    }
    let posted = ask(&channel, Method::POST, &path("log/checkpoint"), "").await;
    assert_eq!(
        (posted.status, posted.header(&header::ALLOW).as_str()),
        (405, "GET")
    );

    let head = ask(&channel, Method::HEAD, &path("log/checkpoint"), "").await;
    assert_eq!(
        (head.status, head.header(&header::ALLOW).as_str()),
        (405, "GET")
    );
    assert!(head.body.is_empty());

    // What Yokohama remembers of it stands at its own node.
    let hash = hex::encode(Sha256::digest(log.name()));
    let yokohama = house.channel(YOKOHAMA, FUJISAWA, "exchange");
    let remembered = get(
        &yokohama,
        &format!("/municipality/141003/witness/{hash}/checkpoint"),
    )
    .await;
    let remembered = SignedNote::parse(&remembered.text()).unwrap();
    assert_eq!(remembered.text(), note.text());
    remembered.verify(&log).unwrap();
    remembered.cosigned(&witness).unwrap();

    entries_go_to_the_officer_alone(&house, &tile, size).await;
    nobody_else_is_told_anything(&house).await;
}

/// The bundle hashes to the tile, and reading it is an entry of the log.
async fn entries_go_to_the_officer_alone(house: &House, tile: &Answered, size: u64) {
    let path = format!("/municipality/142051/log/tile/entries/000.p/{size}");
    let officer = house.channel(FUJISAWA, FUJISAWA, "officer");
    let bundle = get(&officer, &path).await;
    assert_eq!(bundle.status, 200);
    assert_eq!(bundle.header(&header::CACHE_CONTROL), "no-store");
    let hashes: Vec<u8> = read_entry_bundle(&bundle.body)
        .unwrap()
        .into_iter()
        .flat_map(leaf_hash)
        .collect();
    assert_eq!(hashes, tile.body);
    let listed = desk::vrx(&house.demo, "142051-officer-mori", &["log", "list"], "");
    let listed = listed.unwrap().done().unwrap().to_string();
    assert_eq!(listed.matches("log-bundle").count(), 1, "{listed}");
    let beyond = get(&officer, "/municipality/142051/log/tile/entries/001").await;
    assert_eq!(beyond.status, 404);
    let tile = get(&officer, "/municipality/142051/log/tile/0/000.p/1").await;
    assert_eq!(tile.status, 200);
    for (code, role) in [(YOKOHAMA, "exchange"), (FUJISAWA, "staff")] {
        let refused = get(&house.channel(FUJISAWA, code, role), &path).await;
        assert_eq!(refused.status, 403, "{role} of {code}");
    }
}

/// Not for you and not here sound the same.
async fn nobody_else_is_told_anything(house: &House) {
    let federation = Federation::open(house.demo.folder().join("certs")).unwrap();
    let issue = |code, role| {
        let issued = federation.issue(&IdentitySpec::new(code, role)).unwrap();
        let files = PemFiles {
            cert: issued.cert_path,
            key: issued.key_path,
            ca: house.demo.description.ca_cert.clone(),
        };
        let name = &house.demo.node(FUJISAWA).unwrap().server_name;
        tls::channel(&files, house.address(FUJISAWA), name).unwrap()
    };
    let witness = issue(YOKOHAMA, "witness");
    let read = get(&witness, "/municipality/142051/log/checkpoint").await;
    assert_eq!(read.status, 200, "a member's witness");
    let staff = house.channel(FUJISAWA, FUJISAWA, "staff");
    let member = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    let mut said = Vec::new();
    for (what, channel, path) in [
        ("staff", &staff, "/municipality/142051/log/checkpoint"),
        ("staff, nothing", &staff, "/municipality/142051/nothing"),
        (
            "a tenant that isn't here",
            &member,
            "/municipality/141003/log/checkpoint",
        ),
        (
            "no municipality",
            &member,
            "/municipality/142052/log/checkpoint",
        ),
        (
            "nobody's witness",
            &issue("121002", "witness"),
            "/municipality/142051/log/checkpoint",
        ),
        (
            "nobody's node",
            &issue("121002", "exchange"),
            "/municipality/142051/log/tile/0/000.p/1",
        ),
    ] {
        let answer = get(channel, path).await;
        assert_eq!(answer.status, 403, "{what}");
        said.push((answer.header(&header::CONTENT_TYPE), answer.body));
    }
    said.dedup();
    assert_eq!(said.len(), 1);
}

async fn a_witness_answers_each_request_with_the_status_of_the_specification(on: On) {
    let house = House::build(on, 14_400).await;
    let log = VerifierKey::parse(&house.demo.node(FUJISAWA).unwrap().log_vkey).unwrap();
    let witness = house.witness_key(YOKOHAMA);
    let (note, checkpoint) = cosigned(&house, &log, &witness).await;
    let size = checkpoint.size;
    let channel = house.channel(YOKOHAMA, FUJISAWA, "exchange");
    let post = async |body: &str| {
        ask(
            &channel,
            Method::POST,
            "/municipality/141003/witness/add-checkpoint",
            body,
        )
        .await
    };
    let request = |old_size, proof: Vec<[u8; 32]>, checkpoint: &SignedNote| {
        AddCheckpoint {
            old_size,
            proof,
            checkpoint: checkpoint.clone(),
        }
        .to_string()
    };
    let plain = note.clone().retain(|line| line.name == log.name());
    let again = post(&request(size, vec![], &plain)).await;
    assert_eq!(again.status, 200, "{}", again.text());
    let (_, time) = vrx_tlog::witness::read_cosignature(&again.text(), &note, &witness).unwrap();
    assert!(time >= note.cosigned(&witness).unwrap());

    let conflict = post(&request(size - 1, vec![], &plain)).await;
    assert_eq!(
        (conflict.status, conflict.text()),
        (409, format!("{size}\n"))
    );
    assert_eq!(conflict.header(&header::CONTENT_TYPE), "text/x.tlog.size");
    let unknown = plain.to_string().replace("/log/1\n", "/log/2\n");
    let unknown = SignedNote::parse(&unknown).unwrap();
    let changed = plain
        .to_string()
        .replace(&format!("\n{size}\n"), &format!("\n{}\n", size + 1));
    let changed = SignedNote::parse(&changed).unwrap();
    for (what, status, body) in [
        ("no request", 400, String::new()),
        ("an old size beyond", 400, request(size + 1, vec![], &plain)),
        (
            "63 lines and one",
            400,
            request(size, vec![[1; 32]; 64], &plain),
        ),
        ("longer than any", 400, "x".repeat(70_000)),
        ("longer than a window", 400, "x".repeat(3_000_000)),
        ("changed", 403, request(size, vec![], &changed)),
        ("another log", 404, request(0, vec![], &unknown)),
        (
            "a proof of nothing",
            422,
            request(size, vec![[1; 32]], &plain),
        ),
    ] {
        let answer = post(&body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(
            answer.header(&header::CONTENT_TYPE),
            "text/plain; charset=utf-8",
            "{what}"
        );
    }
    let got = get(&channel, "/municipality/141003/witness/add-checkpoint").await;
    assert_eq!(
        (got.status, got.header(&header::ALLOW).as_str()),
        (405, "POST")
    );
    let staff = house.channel(YOKOHAMA, YOKOHAMA, "staff");
    let body = request(size, vec![], &plain);
    let path = "/municipality/141003/witness/add-checkpoint";
    let refused = ask(&staff, Method::POST, path, &body).await;
    assert_eq!(refused.status, 403);
}

async fn without_its_witness_a_node_stops_providing_and_resumes_when_it_is_back(on: On) {
    let mut house = House::build(on, 10).await;
    let channel = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    let number = house.demo.numbers("provided")[0].clone();
    let asked = async || match query(&channel, request(&number)).await {
        Ok(response) => {
            told(response).unwrap();
            Code::Ok
        }
        Err(status) => status.code(),
    };
    let series = |name: &str| format!("{name}{{municipality=\"{FUJISAWA}\"}}");
    let metrics = house.metrics(FUJISAWA).to_owned();
    let providing = async || {
        let scrape = Scrape::of(&metrics).await.unwrap();
        (
            scrape.value(&series("vrx_witness_providing")).unwrap(),
            scrape
                .value(&series("vrx_witness_quorum_age_seconds"))
                .unwrap(),
        )
    };
    until("there is a quorum", async || {
        let scrape = Scrape::of(house.metrics(FUJISAWA)).await.unwrap();
        let size = scrape.value(&series("vrx_witness_quorum_size"))?;
        (size > 1.0).then_some(())
    })
    .await;
    assert_eq!(asked().await, Code::Ok);
    assert_eq!(providing().await.0.to_bits(), 1_f64.to_bits());

    house.kill(YOKOHAMA);
    until("the limit passes", async || {
        (asked().await == Code::Unavailable).then_some(())
    })
    .await;
    let (provides, age) = providing().await;
    assert_eq!(provides.to_bits(), 0_f64.to_bits());
    assert!(age >= 10.0, "{age}");
    let size = house.size(FUJISAWA).await;
    for _ in 0..3 {
        assert_eq!(asked().await, Code::Unavailable);
    }
    assert_eq!(
        house.size(FUJISAWA).await,
        size,
        "nothing left, so nothing was recorded"
    );
    house.wait_unready(FUJISAWA).await;
    assert!(!house.serves(FUJISAWA, FUJISAWA).await);
    assert!(!house.serves(FUJISAWA, "142051/witnesses").await);
    for line in [
        "a witness didn't cosign",
        "at the limit this municipality stops providing",
        "provides nothing until they cosign again",
    ] {
        until(line, async || {
            house.said(FUJISAWA).contains(line).then_some(())
        })
        .await;
    }
    // Not even a restart helps: the limit counts from the quorum that is kept.
    house.kill(FUJISAWA);
    house.spawn(FUJISAWA);
    until("it says so again", async || {
        let said = house.said(FUJISAWA);
        (said
            .matches("provides nothing until they cosign again")
            .count()
            >= 2)
            .then_some(())
    })
    .await;
    let channel = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    let refused = query(&channel, request(&number)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    house.start(YOKOHAMA).await;
    until("it provides again", async || {
        let answer = query(&channel, request(&number)).await;
        answer.is_ok().then_some(())
    })
    .await;
    let line = "the witnesses have cosigned again";
    until(line, async || {
        house.said(FUJISAWA).contains(line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_resident_is_given_carries_the_witnesss_cosignature_or_says_that_it_doesnt() {
    let mut house = House::build(On::Sqlite, 14_400).await;
    let number = house.demo.numbers("provided")[0].clone();
    let channel = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    told(query(&channel, request(&number)).await.unwrap()).unwrap();
    let (log, witness) = (
        house.demo.node(FUJISAWA).unwrap().log_vkey.clone(),
        house.witness_key(YOKOHAMA).to_string(),
    );
    let folder = house.demo.folder().join("disclosed");
    let history = |house: &House, folder: &Path| {
        let folder = folder.to_str().unwrap();
        let arguments = ["officer", "history", "--proofs", folder];
        let ended = desk::vrx(&house.demo, "142051-officer-mori", &arguments, &number);
        ended.unwrap()
    };
    let verify = |house: &House, file: &Path| {
        let file = file.to_str().unwrap();
        let arguments = [
            "verify",
            "proof",
            "--vkey",
            &log,
            "--witness",
            &witness,
            file,
        ];
        desk::vrx(&house.demo, "142051-officer-mori", &arguments, "").unwrap()
    };
    let given = history(&house, &folder).done().unwrap();
    assert_eq!(given["witnesses"], "cosigned", "{given}");
    assert_eq!(given["proofs"], "proved");
    let entries = given["entries"].as_array().unwrap();
    assert!(entries.len() >= 2);
    for entry in entries {
        let file = folder.join(format!("{}.tlog-proof", entry["log_index"]));
        let proved = verify(&house, &file).done().unwrap();
        assert_eq!(proved["quorum"], 1, "{proved}");
        assert_eq!(proved["cosignatures"].as_array().unwrap().len(), 1);
        // The reading itself stands under it too.
        assert!(proved["size"].as_u64() > given["review_index"].as_u64());
    }
    let index = entries[0]["log_index"].to_string();
    let story = desk::vrx(
        &house.demo,
        "142051-officer-mori",
        &["officer", "entry", &index],
        "",
    );
    assert_eq!(story.unwrap().done().unwrap()["witnesses"], "cosigned");

    // Without the witness the officer isn't kept waiting for ever, and is told.
    house.kill(YOKOHAMA);
    let folder = house.demo.folder().join("alone");
    let given = history(&house, &folder).done().unwrap();
    assert_eq!(given["witnesses"], "not-in-time");
    assert_eq!(given["proofs"], "proved");
    let file = folder.join(format!("{}.tlog-proof", given["review_index"]));
    assert_eq!(verify(&house, &file).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_before_the_first_quorum_isnt_begun_anew_by_a_restart() {
    let mut house = House::build(On::Sqlite, 10).await;
    house.kill(FUJISAWA);
    house.kill(YOKOHAMA);
    // As if the first quorum had never stood.
    let node = house.demo.node(FUJISAWA).unwrap();
    let database = node.state_dir.join(FUJISAWA).join("vrx.db");
    let database = rusqlite::Connection::open(database).unwrap();
    database
        .execute("DELETE FROM cosigned_checkpoint", [])
        .unwrap();
    drop(database);
    for _ in 0..2 {
        house.spawn(FUJISAWA);
        until("it stops providing", async || {
            let scrape = Scrape::of(house.metrics(FUJISAWA)).await.ok()?;
            let name = format!("vrx_witness_providing{{municipality=\"{FUJISAWA}\"}}");
            (scrape.value(&name)? < 1.0).then_some(())
        })
        .await;
        let scrape = Scrape::of(house.metrics(FUJISAWA)).await.unwrap();
        let name = format!("vrx_witness_quorum_age_seconds{{municipality=\"{FUJISAWA}\"}}");
        assert!(scrape.value(&name).unwrap() >= 10.0);
        house.kill(FUJISAWA);
    }
    let spawned = tokio::time::Instant::now();
    house.spawn(FUJISAWA);
    let age = until("it tells its age", async || {
        let scrape = Scrape::of(house.metrics(FUJISAWA)).await.ok()?;
        scrape.value(&format!(
            "vrx_witness_quorum_age_seconds{{municipality=\"{FUJISAWA}\"}}"
        ))
    })
    .await;
    assert!(age > spawned.elapsed().as_secs_f64() + 9.0, "{age}");
}

#[test]
fn the_demos_towns_witness_each_other_and_its_story_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let ended = std::process::Command::new(program("vrx").unwrap())
        .args(["demo", "--residents", "40", "--dir"])
        .arg(dir.path().join("demo"))
        .env("VRX_NODE_BIN", program("vrx-node").unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}");
    assert!(
        said.contains("証人 1 者のうち 1 者が連署しています"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_log_take_no_witness_for_a_liar() {
    let house = House::build(On::Postgres, 14_400).await;
    let demo = &house.demo;
    let mut second = Process::beside(demo, FUJISAWA, "second").unwrap();
    let metrics = [
        house.metrics(FUJISAWA).to_owned(),
        second.with_metrics().unwrap(),
    ];
    second.start(demo).await.unwrap();
    let first = house.channel(FUJISAWA, YOKOHAMA, "exchange");
    let other = demo.channel_at(second.address(), FUJISAWA, YOKOHAMA, "exchange");
    let other = other.unwrap();
    // Both add to the log and ask the witness about it all the time.
    let numbers = demo.numbers("provided");
    let begun = tokio::time::Instant::now();
    let mut asked = 0_u32;
    for number in numbers.iter().cycle() {
        for channel in [&first, &other] {
            told(query(channel, request(number)).await.unwrap()).unwrap();
            asked += 1;
        }
        if begun.elapsed() > Duration::from_secs(15) {
            break;
        }
    }
    let series = |name: &str| format!("{name}{{municipality=\"{FUJISAWA}\"}}");
    for metrics in &metrics {
        until("all is witnessed", async || {
            let scrape = Scrape::of(metrics).await.unwrap();
            let size = scrape.value(&series("vrx_log_size"))?;
            let quorum = scrape.value(&series("vrx_witness_quorum_size"))?;
            let is_all = size >= f64::from(asked) && size.to_bits() == quorum.to_bits();
            is_all.then_some(())
        })
        .await;
        let scrape = Scrape::of(metrics).await.unwrap();
        let providing = scrape.value(&series("vrx_witness_providing")).unwrap();
        assert_eq!(providing.to_bits(), 1_f64.to_bits());
    }
    for said in [house.said(FUJISAWA), second.said().unwrap()] {
        assert!(!said.contains("alarm"), "{said}");
        assert!(!said.contains("contradict"), "{said}");
    }
}

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);
