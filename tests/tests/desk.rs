//! The program `vrx` at three desks: staff import, approve, inquire and adopt; a privacy officer reads and verifies; whoever may not is told so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;

use vrx_tests::demo::{Demo, On, YOKOHAMA};
use vrx_tests::desk::{self, Ended, INQUIRE};
use vrx_tests::on_both_databases;

on_both_databases! {
    blocking:
    importing_the_same_file_again_changes_nothing,
    a_bad_row_never_stops_the_rows_around_it_and_is_listed_without_its_values,
    a_mover_s_records_are_inquired_adopted_and_seen_by_both_officers,
    whoever_has_nothing_to_get_gets_nothing_and_that_is_no_failure,
    each_way_to_fail_has_its_exit_code,
    a_number_typed_where_none_belongs_is_not_repeated,
}

fn vrx(demo: &Demo, profile: &str, arguments: &[&str], input: &str) -> Ended {
    desk::vrx(demo, profile, arguments, input).unwrap()
}

const HEADER: &str = "個人番号,宛名番号,漢字氏名,カナ氏名,生年月日,性別,住所,住民となった日,住民でなくなった日,支援措置開始日,支援措置終了日";

fn person(number: &str, addressee: &str, born: &str) -> String {
    format!(
        "{number},{addressee},髙橋　試,タカハシ　タメス,{born},9,神奈川県藤沢市本町1番地,20200101,,,"
    )
}

fn write(path: &Path, rows: &[String]) {
    std::fs::write(path, format!("{HEADER}\r\n{}\r\n", rows.join("\r\n"))).unwrap();
}

fn importing_the_same_file_again_changes_nothing(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    for kind in ["persons", "doses"] {
        let file = demo.folder().join(format!("samples/{kind}.csv"));
        let ended = vrx(
            &demo,
            "142051-staff-tanaka",
            &["import", kind, file.to_str().unwrap()],
            "",
        );
        assert_eq!(ended.code, 0, "{}", ended.errors);
        let summary = ended.json().unwrap();
        assert_eq!(summary["rows_new"], 0, "{summary}");
        assert_eq!(summary["rows_refused"], 0, "{summary}");
        assert_eq!(summary["import_id"], "", "{summary}");
        assert_eq!(summary["encoding"], "CP932");
    }
}

fn a_bad_row_never_stops_the_rows_around_it_and_is_listed_without_its_values(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("persons.csv");
    let rows = [
        person("123456789010", "D-1", "19800101"),
        person("123456789018", "D-2", "19800101"),
        person("621498320257", "D-3", "19800230"),
    ];
    write(&file, &rows);
    let import = ["import", "persons", file.to_str().unwrap()];

    let mut check = import.to_vec();
    check.push("--check");
    let checked = vrx(&demo, "142051-staff-tanaka", &check, "");
    assert_eq!(checked.code, 1, "{}", checked.errors);
    assert_eq!(checked.json().unwrap()["import_id"], "");

    let ended = vrx(&demo, "142051-staff-tanaka", &import, "");
    assert_eq!(ended.code, 1, "{}", ended.errors);
    let summary = ended.json().unwrap();
    assert_eq!(summary["rows_read"], 3, "{summary}");
    assert_eq!(summary["rows_new"], 1, "{summary}");
    assert_eq!(summary["rows_refused"], 2, "{summary}");

    let listed = std::fs::read_to_string(folder.path().join("persons.csv.refused.csv")).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(lines[1].starts_with("2,個人番号,"), "{listed}");
    assert!(lines[2].starts_with("4,生年月日,"), "{listed}");
    for text in [&listed, &ended.output, &ended.errors] {
        assert!(!text.contains("1234567890") && !text.contains("6214983202"));
    }

    // Whoever imported can't approve; another person can, once.
    let import = summary["import_id"].as_str().unwrap().to_owned();
    let own = vrx(
        &demo,
        "142051-staff-tanaka",
        &["import", "approve", &import],
        "",
    );
    assert!(matches!(own.code, 1 | 77), "{} {}", own.code, own.errors);
    let other = vrx(
        &demo,
        "142051-staff-suzuki",
        &["import", "approve", &import],
        "",
    );
    assert_eq!(other.code, 0, "{}", other.errors);
    assert_eq!(other.json().unwrap()["rows_approved"], 1);
    let imports = vrx(&demo, "142051-staff-suzuki", &["import", "list"], "")
        .json()
        .unwrap();
    let approved = imports
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["import_id"] == import.as_str())
        .unwrap();
    assert_eq!(approved["state"], "approved");
}

fn a_mover_s_records_are_inquired_adopted_and_seen_by_both_officers(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let mover = &demo.numbers("provided")[20];
    let ended = vrx(&demo, "141003-staff-tanaka", &INQUIRE, mover);
    assert_eq!(ended.code, 0, "{}", ended.errors);
    let answer = ended.json().unwrap();
    assert_eq!(answer["outcome"], "found", "{answer}");
    assert_eq!(answer["birth_date_match"], "same", "{answer}");
    assert_eq!(answer["adoptable"], true, "{answer}");
    assert!(!answer["doses"].as_array().unwrap().is_empty());
    assert!(!ended.output.contains(mover.as_str()));

    let inquiry_id = answer["inquiry_id"].as_str().unwrap();
    let adopted = vrx(&demo, "141003-staff-tanaka", &["adopt", inquiry_id], "");
    assert_eq!(adopted.code, 0, "{}", adopted.errors);
    assert_eq!(
        adopted.json().unwrap()["doses_adopted"].as_u64().unwrap(),
        answer["doses"].as_array().unwrap().len() as u64
    );
    let imports = vrx(&demo, "141003-staff-tanaka", &["import", "list"], "");
    assert_eq!(imports.json().unwrap()[0]["kind"], "adoption");

    let index = answer["provider_log_index"].to_string();
    let shown = vrx(&demo, "142051-officer-mori", &["log", "show", &index], "");
    assert_eq!(shown.code, 0, "{}", shown.errors);
    let shown = shown.json().unwrap();
    assert_eq!(shown["proof"], "proved");
    assert_eq!(shown["commitments_verified"], true);
    assert_eq!(shown["entry"]["kind"], "exchange");
    assert!(!shown.to_string().contains(mover.as_str()));

    let list = ["log", "list", "--kind", "inquiry"];
    let inquiries = vrx(&demo, "141003-officer-mori", &list, "").json().unwrap();
    assert!(inquiries["entries"].as_array().unwrap().len() >= 2);
    for officer in ["142051-officer-mori", "141003-officer-mori"] {
        let verified = vrx(&demo, officer, &["log", "verify"], "");
        assert_eq!(verified.code, 0, "{}", verified.errors);
        let verified = verified.json().unwrap();
        assert_eq!(verified["signature_checked"], true);
        assert!(verified["proofs_checked"].as_u64().unwrap() > 0);
    }
}

fn whoever_has_nothing_to_get_gets_nothing_and_that_is_no_failure(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    for kind in ["doseless", "protected", "resident", "entered"] {
        let ended = vrx(
            &demo,
            "141003-staff-tanaka",
            &INQUIRE,
            &demo.numbers(kind)[0],
        );
        assert_eq!(ended.code, 0, "{kind}: {}", ended.errors);
        let answer = ended.json().unwrap();
        assert_eq!(answer["outcome"], "nothing", "{kind}");
        assert_eq!(answer["doses"].as_array().unwrap().len(), 0);
    }
}

fn each_way_to_fail_has_its_exit_code(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let persons = demo.folder().join("samples/entered-persons.csv");
    let import = ["import", "persons", persons.to_str().unwrap()];
    let refused = |profile: &str, arguments: &[&str], input: &str| {
        let ended = vrx(&demo, profile, arguments, input);
        assert!(ended.errors.starts_with("vrx: "), "{}", ended.errors);
        ended.code
    };
    // Not allowed: each role has its own service.
    assert_eq!(refused("142051-officer-mori", &import, ""), 77);
    assert_eq!(refused("142051-staff-tanaka", &["log", "list"], ""), 77);
    assert_eq!(refused("142051-operator-ito", &["log", "verify"], ""), 77);
    // Usage: a wrong number, which is not repeated; a file that isn't there.
    let wrong = vrx(&demo, "141003-staff-tanaka", &INQUIRE, "123456789010");
    assert_eq!(wrong.code, 2);
    assert!(!wrong.errors.contains("1234"));
    assert_eq!(
        refused(
            "142051-staff-tanaka",
            &["import", "persons", "none.csv"],
            ""
        ),
        2
    );
    // Configuration: no profile; the other town's node at this address.
    assert_eq!(refused("nobody", &["log", "list"], ""), 64);
    let other = demo.node(YOKOHAMA).unwrap().address.clone();
    let elsewhere = ["--address", &other, "log", "list"];
    assert_eq!(refused("142051-officer-mori", &elsewhere, ""), 64);
    // Unavailable: nobody listens there.
    let nowhere = ["--address", "127.0.0.1:9", "log", "list"];
    assert_eq!(refused("142051-officer-mori", &nowhere, ""), 69);
}

fn a_number_typed_where_none_belongs_is_not_repeated(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = demo.numbers("provided")[38].clone();
    let number = number.as_str();
    let calls: [&[&str]; 11] = [
        &["officer", "history", number],
        &["officer", "history", "--number-file", number],
        &["officer", "history", &format!("--{number}")],
        &["officer", "entry", number],
        &["officer", "mark", number, "release", "--document", "K-1"],
        &["log", "show", number],
        &["adopt", number],
        &["import", "approve", number],
        &["retention", "approve", number, "--irrevocably"],
        &["retention", "hold", number],
        &["inquire", "--from", number],
    ];
    for call in calls {
        let ended = vrx(&demo, "142051-officer-mori", call, "");
        assert_eq!(ended.code, 2, "{}", ended.errors);
        assert!(!ended.errors.contains(number) && !ended.output.contains(number));
        let told = ended.errors.contains("個人番号は引数");
        // Where the parser wants another argument first it repeats nothing.
        assert!(
            told || !ended.errors.contains('*'),
            "{call:?} {}",
            ended.errors
        );
    }
    let parted = format!("{} {} {}", &number[..4], &number[4..8], &number[8..]);
    let ended = vrx(&demo, "142051-officer-mori", &["log", "show", &parted], "");
    assert!(!ended.errors.contains(&parted), "{}", ended.errors);
    let inquiry = [&INQUIRE[..], &[number]].concat();
    let ended = vrx(&demo, "141003-staff-tanaka", &inquiry, "");
    assert!(ended.errors.contains("個人番号は引数"), "{}", ended.errors);
    assert!(!ended.errors.contains(number));
}
