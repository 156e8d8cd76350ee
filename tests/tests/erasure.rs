//! An erasure from two officers' desks to its certificate, over real nodes; killed in the middle of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use vrx_domain::IndividualNumber;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA, wait_until};
use vrx_tests::desk::{self, Ended, INQUIRE};
use vrx_tests::exchange::{query, request, told};
use vrx_tests::log::ExportedLog;
use vrx_tests::on_both_databases;
use vrx_tests::process::Process;

on_both_databases! {
    an_erasure_that_is_killed_goes_on_and_ends_with_its_certificate,
}

const HEADER: &str = "個人番号,宛名番号,漢字氏名,カナ氏名,生年月日,性別,住所,住民となった日,住民でなくなった日,支援措置開始日,支援措置終了日";
const MORI: &str = "142051-officer-mori";
const KATO: &str = "142051-officer-kato";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// People who moved away long ago.
const OVER: u64 = 230;

fn vrx(demo: &Demo, profile: &str, arguments: &[&str], input: &str) -> Ended {
    desk::vrx(demo, profile, arguments, input).unwrap()
}

fn done(demo: &Demo, profile: &str, arguments: &[&str]) -> Value {
    vrx(demo, profile, arguments, "").done().unwrap()
}

/// The number of the n-th of them.
fn number(nth: u64) -> String {
    let payload = format!("{:011}", 90_000_000_000 + nth);
    let digits: [u8; 11] = payload.as_bytes().try_into().unwrap();
    let check = char::from(IndividualNumber::check_digit(&digits).unwrap());
    format!("{payload}{check}")
}

/// Imports them, approved.
fn import(demo: &Demo, folder: &Path) {
    let rows: Vec<String> = (0..OVER)
        .map(|nth| {
            format!(
                "{},E-{nth},消去　試,ショウキョ　タメス,19300101,9,神奈川県藤沢市本町1番地,19700101,20100401,,",
                number(nth)
            )
        })
        .collect();
    let file = folder.join("over.csv");
    std::fs::write(&file, format!("{HEADER}\r\n{}\r\n", rows.join("\r\n"))).unwrap();
    let import = ["import", "persons", file.to_str().unwrap()];
    let imported = done(demo, "142051-staff-tanaka", &import);
    assert_eq!(imported["rows_new"], OVER, "{imported}");
    let id = imported["import_id"].as_str().unwrap();
    done(demo, "142051-staff-suzuki", &["import", "approve", id]);
}

fn hold(demo: &Demo, nth: u64) {
    let hold = [
        "retention",
        "hold",
        "--ground",
        "disclosure",
        "--reference",
        "kaiji-7",
    ];
    let held = vrx(demo, MORI, &hold, &number(nth)).done().unwrap();
    assert_eq!(held["placed"], true);
}

fn newest(demo: &Demo) -> Value {
    done(demo, MORI, &["retention", "list"])["erasures"][0].take()
}

fn destroyed_list(demo: &Demo) -> PathBuf {
    let config = &demo.node(FUJISAWA).unwrap().config;
    config.parent().unwrap().join("keyrings/destroyed.list")
}

fn is_nothing(demo: &Demo, number: &str) {
    let answer = vrx(demo, "141003-staff-tanaka", &INQUIRE, number)
        .done()
        .unwrap();
    assert_eq!(answer["outcome"], "nothing");
}

/// What the operator does of it: on SQLite the node rewrote its small file by itself, and while it serves nobody else may; on
/// PostgreSQL the tables' owner rewrites them.
async fn finish(demo: &Demo, on: On) {
    if on == On::Sqlite {
        let (exit, _, errors) = demo.vrx_node(FUJISAWA, &["erase", "finish"]).unwrap();
        assert_eq!(exit, 69, "{errors}");
        return;
    }
    wait_until(PATIENCE, "the rows' end", || {
        Ok(newest(demo)["stage"] == "rewriting")
    })
    .await
    .unwrap();
    let config = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().config).unwrap();
    let url = config.split('"').find(|word| word.starts_with("postgres:"));
    let owner = url.unwrap().replace("_node@", "_owner@");
    let finish = ["erase", "finish", "--owner", &owner];
    let (exit, said, errors) = demo.vrx_node(FUJISAWA, &finish).unwrap();
    assert_eq!(exit, 0, "{errors}");
    assert!(said.contains("tables were rewritten"), "{said}");
    let (_, said, _) = demo.vrx_node(FUJISAWA, &finish).unwrap();
    assert!(said.contains("No erasure waits"), "{said}");
}

async fn an_erasure_that_is_killed_goes_on_and_ends_with_its_certificate(on: On) {
    let demo = Demo::start_on(50, on).unwrap();
    let folder = tempfile::tempdir().unwrap();
    import(&demo, folder.path());
    hold(&demo, 5);

    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let answer = query(&channel, request(&number(0))).await.unwrap();
    let receipt = told(answer).unwrap().receipt().unwrap();

    let plan = done(&demo, MORI, &["retention", "plan"]);
    assert_eq!(plan["counts"]["persons"], OVER - 1, "{plan}");
    assert_eq!(plan["on_hold"], 1);
    assert!(!plan.to_string().contains("消去　試"));
    let proposed = done(&demo, MORI, &["retention", "propose"]);
    let id = proposed["erasure_id"].as_str().unwrap().to_owned();
    let approve = ["retention", "approve", &id, "--irrevocably"];
    assert_eq!(vrx(&demo, MORI, &approve, "").code, 1, "the same officer");
    assert_eq!(vrx(&demo, "142051-operator-ito", &approve, "").code, 77);
    assert_eq!(vrx(&demo, "142051-staff-tanaka", &approve, "").code, 77);
    assert_eq!(vrx(&demo, "141003-officer-mori", &approve, "").code, 1);
    let early = vrx(&demo, MORI, &["retention", "certificate", &id], "");
    assert_eq!(early.code, 1, "{}", early.errors);

    // Killed whenever so many keys are about to go, or have just gone.
    let mut process = Process::take_over(&demo, FUJISAWA).await.unwrap();
    process.start(&demo).await.unwrap();
    done(&demo, KATO, &approve);
    let list = destroyed_list(&demo);
    for keys in [1, 150, OVER - 1] {
        wait_until(PATIENCE, "keys that go", || {
            let list = std::fs::read_to_string(&list).unwrap_or_default();
            Ok(list.lines().count() as u64 >= keys)
        })
        .await
        .unwrap();
        process.kill().unwrap();
        process.start(&demo).await.unwrap();
        is_nothing(&demo, &number(0));
    }
    finish(&demo, on).await;
    wait_until(PATIENCE, "the erasure's end", || {
        Ok(newest(&demo)["stage"] == "recorded")
    })
    .await
    .unwrap();

    let listed = done(&demo, KATO, &["retention", "list"]);
    assert_eq!(listed["holds"][0]["reference"], "kaiji-7", "{listed}");
    assert_eq!(listed["holds"].as_array().unwrap().len(), 1);
    let erasure = newest(&demo);
    assert_eq!(erasure["done"]["persons"], OVER - 1, "{erasure}");
    assert_eq!(
        (&erasure["proposed_by"], &erasure["approved_by"]),
        (&"mori".into(), &"kato".into())
    );
    for nth in [0, 100, OVER - 1] {
        is_nothing(&demo, &number(nth));
    }
    let lift = ["retention", "lift"];
    let lifted = vrx(&demo, KATO, &lift, &number(5)).done().unwrap();
    assert_eq!(lifted["lifted"], true, "whoever was on hold is there");
    let certificate = folder.path().join("certificate.txt");
    let save = [
        "retention",
        "certificate",
        &id,
        "--output",
        certificate.to_str().unwrap(),
    ];
    assert_eq!(done(&demo, MORI, &save)["signature_checked"], true);
    let text = std::fs::read_to_string(&certificate).unwrap();
    assert!(text.starts_with("消去証明書"), "{text}");
    assert!(
        text.contains(" final: ") && text.contains(" live: "),
        "{text}"
    );
    let entry = erasure["log_index"].to_string();
    let shown = done(&demo, MORI, &["log", "show", &entry]);
    assert_eq!(shown["entry"]["kind"], "erasure", "{shown}");
    assert_eq!(shown["proof"], "proved");
    assert_eq!(vrx(&demo, MORI, &["log", "verify"], "").code, 0);
    let (exit, _, errors) = demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "{errors}");
    // What was answered about a person before holds as it did.
    let vkey = &demo.node(FUJISAWA).unwrap().log_vkey;
    let log = ExportedLog::of(&demo, FUJISAWA).unwrap();
    log.holds_all(&[receipt], vkey).unwrap();
}
