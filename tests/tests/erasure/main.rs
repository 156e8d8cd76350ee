//! An erasure from two officers' desks to its certificate, over real nodes; killed in the middle of it, and brought back by backups
//! and older copies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod returns;
mod town;

use std::path::Path;

use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA, wait_until};
use vrx_tests::desk::Ended;
use vrx_tests::exchange::{query, request, told};
use vrx_tests::log::ExportedLog;
use vrx_tests::on_both_databases;
use vrx_tests::process::Process;

use returns::{
    a_backup_of_the_middle_of_an_erasure_brings_nobody_back,
    an_older_database_put_back_is_not_served_before_it_is_erased_again,
};
use town::{
    KATO, MORI, OVER, PATIENCE, destroyed_list, done, finish, hold, import, is_nothing, newest,
    number, vrx,
};

on_both_databases! {
    an_erasure_that_is_killed_goes_on_and_ends_with_its_certificate,
    an_older_database_put_back_is_not_served_before_it_is_erased_again,
    a_backup_of_the_middle_of_an_erasure_brings_nobody_back,
}

async fn an_erasure_that_is_killed_goes_on_and_ends_with_its_certificate(on: On) {
    let demo = Demo::start_on(50, on).unwrap();
    let folder = tempfile::tempdir().unwrap();
    import(&demo, folder.path());
    hold(&demo, 5);
    hold_for_another_matter(&demo);

    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let answer = query(&channel, request(&number(0))).await.unwrap();
    let receipt = told(answer).unwrap().receipt().unwrap();

    let plan = done(&demo, MORI, &["retention", "plan"]);
    assert_eq!(plan["counts"]["persons"], OVER - 1, "{plan}");
    assert_eq!(plan["on_hold"], 1);
    assert!(!plan.to_string().contains("消去　試"));
    let first = done(&demo, MORI, &["retention", "propose"]);
    let second = vrx(&demo, KATO, &["retention", "propose"], "");
    assert_eq!(second.code, 1, "{}", second.errors);
    assert!(second.errors.contains("--replace"), "{}", second.errors);
    let proposed = done(&demo, MORI, &["retention", "propose", "--replace"]);
    let id = proposed["erasure_id"].as_str().unwrap().to_owned();
    assert_ne!(first["erasure_id"], proposed["erasure_id"]);
    let gone = first["erasure_id"].as_str().unwrap();
    let gone = ["retention", "approve", gone, "--irrevocably"];
    assert_eq!(vrx(&demo, KATO, &gone, "").code, 1, "it gave way");
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
    let lifted = lift(&demo, "kaiji-7").done().unwrap();
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
    certificate_proves_itself(&demo, &certificate);
    let entry = erasure["log_index"].to_string();
    let shown = done(&demo, MORI, &["log", "show", &entry]);
    assert_eq!(shown["entry"]["kind"], "erasure", "{shown}");
    assert_eq!(shown["proof"], "proved");
    let story = done(&demo, MORI, &["officer", "entry", &entry]);
    let told = &story["entry"]["erasure"];
    assert_eq!(told["erasure_id"], id.as_str(), "{story}");
    assert_eq!(told["persons"], OVER - 1, "{story}");
    assert_eq!(vrx(&demo, MORI, &["log", "verify"], "").code, 0);
    let (exit, _, errors) = demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "{errors}");
    // What was answered about a person before holds as it did.
    let vkey = &demo.node(FUJISAWA).unwrap().log_vkey;
    let log = ExportedLog::of(&demo, FUJISAWA).unwrap();
    log.holds_all(&[receipt], vkey).unwrap();
}

/// With the log's key alone, and no node.
fn certificate_proves_itself(demo: &Demo, certificate: &Path) {
    let vkey = demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let verify = |vkey: &str, file: &Path| {
        let file = file.to_str().unwrap();
        let verify = ["verify", "certificate", "--vkey", vkey, file];
        vrx(demo, MORI, &verify, "")
    };
    let proved = verify(&vkey, certificate).done().unwrap();
    assert_eq!(proved["persons"], (OVER - 1).to_string(), "{proved}");
    assert!(proved["final"].is_string() && proved["sha256"].is_string());

    let other = demo.node(YOKOHAMA).unwrap().log_vkey.clone();
    assert_eq!(verify(&other, certificate).code, 1, "another log's key");
    let text = std::fs::read_to_string(certificate).unwrap();
    let changed = certificate.with_file_name("changed.txt");
    let fewer = text.replace(" doses: ", " doses: 1");
    std::fs::write(&changed, fewer).unwrap();
    let refused = verify(&vkey, &changed);
    assert_eq!(refused.code, 1, "{}", refused.errors);
    std::fs::write(&changed, &text[..text.len() / 2]).unwrap();
    assert_eq!(verify(&vkey, &changed).code, 2, "no certificate");
}

/// Of the same person: it ends today, and takes nothing from the hold that stands.
fn hold_for_another_matter(demo: &Demo) {
    let today = vrx(demo, MORI, &["officer", "day"], "").done().unwrap();
    let today = today["reviews"].as_array().unwrap().last().unwrap()["day"].clone();
    let today = today.as_str().unwrap();
    let other = |reference, until| {
        let for_other = ["retention", "hold", "--ground", "other", "--reference"];
        let hold = [&for_other[..], &[reference, "--until", until]].concat();
        vrx(demo, KATO, &hold, &number(5))
    };
    assert_eq!(other("sonota-8", today).code, 0);
    let shorter = other("kaiji-7", today);
    assert_eq!(shorter.code, 1, "{}", shorter.errors);
    assert!(
        shorter.errors.contains("retention lift"),
        "{}",
        shorter.errors
    );
    assert_eq!(lift(demo, "sonota-9").code, 1);
    let listed = done(demo, KATO, &["retention", "list"]);
    assert_eq!(listed["holds"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(lift(demo, "sonota-8").code, 0);
}

fn lift(demo: &Demo, reference: &str) -> Ended {
    let lift = ["retention", "lift", "--reference", reference];
    vrx(demo, KATO, &lift, &number(5))
}
