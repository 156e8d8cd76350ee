//! What officers and the operator do, and who there is to be erased.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use vrx_domain::IndividualNumber;
use vrx_tests::demo::{Demo, FUJISAWA, On, wait_until};
use vrx_tests::desk::{self, Ended, INQUIRE};

const HEADER: &str = "個人番号,宛名番号,漢字氏名,カナ氏名,生年月日,性別,住所,住民となった日,住民でなくなった日,支援措置開始日,支援措置終了日";
pub(crate) const MORI: &str = "142051-officer-mori";
pub(crate) const KATO: &str = "142051-officer-kato";

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// People who moved away long ago.
pub(crate) const OVER: u64 = 230;

pub(crate) fn vrx(demo: &Demo, profile: &str, arguments: &[&str], input: &str) -> Ended {
    desk::vrx(demo, profile, arguments, input).unwrap()
}

pub(crate) fn done(demo: &Demo, profile: &str, arguments: &[&str]) -> Value {
    vrx(demo, profile, arguments, "").done().unwrap()
}

/// The number of the n-th of them.
pub(crate) fn number(nth: u64) -> String {
    let payload = format!("{:011}", 90_000_000_000 + nth);
    let digits: [u8; 11] = payload.as_bytes().try_into().unwrap();
    let check = char::from(IndividualNumber::check_digit(&digits).unwrap());
    format!("{payload}{check}")
}

/// Imports them, approved.
pub(crate) fn import(demo: &Demo, folder: &Path) {
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

pub(crate) fn hold(demo: &Demo, nth: u64) {
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

pub(crate) fn newest(demo: &Demo) -> Value {
    done(demo, MORI, &["retention", "list"])["erasures"][0].take()
}

pub(crate) fn destroyed_list(demo: &Demo) -> PathBuf {
    let config = &demo.node(FUJISAWA).unwrap().config;
    config.parent().unwrap().join("keyrings/destroyed.list")
}

pub(crate) fn is_nothing(demo: &Demo, number: &str) {
    let answer = vrx(demo, "141003-staff-tanaka", &INQUIRE, number)
        .done()
        .unwrap();
    assert_eq!(answer["outcome"], "nothing");
}

/// What the operator does of it: on SQLite the node rewrote its small file by itself, and while it serves nobody else may; on
/// PostgreSQL the tables' owner rewrites them.
pub(crate) async fn finish(demo: &Demo, on: On) {
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
    let owner = owner(demo);
    let finish = ["erase", "finish", "--owner", &owner];
    let (exit, said, errors) = demo.vrx_node(FUJISAWA, &finish).unwrap();
    assert_eq!(exit, 0, "{errors}");
    assert!(said.contains("tables were rewritten"), "{said}");
    let (_, said, _) = demo.vrx_node(FUJISAWA, &finish).unwrap();
    assert!(said.contains("No erasure waits"), "{said}");
}

/// The address of the role that owns the tables, on PostgreSQL.
pub(crate) fn owner(demo: &Demo) -> String {
    let config = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().config).unwrap();
    let url = config.split('"').find(|word| word.starts_with("postgres:"));
    url.unwrap().replace("_node@", "_owner@")
}

/// Two officers decide on an erasure of everybody who is due.
pub(crate) fn decide(demo: &Demo) {
    let proposed = done(demo, MORI, &["retention", "propose"]);
    let id = proposed["erasure_id"].as_str().unwrap();
    done(demo, KATO, &["retention", "approve", id, "--irrevocably"]);
}

/// Until the erasure that was decided on is recorded.
pub(crate) async fn recorded(demo: &Demo, on: On) {
    finish(demo, on).await;
    wait_until(PATIENCE, "the erasure's end", || {
        Ok(newest(demo)["stage"] == "recorded")
    })
    .await
    .unwrap();
}
