//! A privacy officer at the desk: a resident's history on paper and in files, what isn't disclosed, a missing entry, a day and a month.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use serde_json::Value;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::desk::{self, Ended, INQUIRE};
use vrx_tests::on_both_databases;
use vrx_tlog::{Leaf, TlogProof, VerifierKey, leaf_hash};

on_both_databases! {
    blocking:
    a_residents_history_is_given_as_json_csv_and_pdf_with_a_proof_of_each_entry,
    an_entry_that_is_not_disclosed_is_nowhere_in_what_the_person_is_given,
    a_protected_persons_counterparties_are_not_named,
    a_day_is_shown_signed_off_and_reported_in_the_same_bytes_twice,
    whoever_looks_at_one_entry_stands_in_what_the_person_is_given,
    what_cannot_be_meant_is_refused_before_anything_is_recorded,
    whoever_is_no_officer_of_the_municipality_learns_nothing,
}

const OFFICER: &str = "142051-officer-mori";

fn vrx(demo: &Demo, profile: &str, arguments: &[&str], input: &str) -> Ended {
    desk::vrx(demo, profile, arguments, input).unwrap()
}

fn ask(demo: &Demo, number: &str) -> u64 {
    let answer = vrx(demo, "141003-staff-tanaka", &INQUIRE, number).done();
    answer.unwrap()["provider_log_index"].as_u64().unwrap()
}

fn history(demo: &Demo, number: &str, more: &[&str]) -> Value {
    let arguments = [&["officer", "history"], more].concat();
    vrx(demo, OFFICER, &arguments, number).done().unwrap()
}

/// What came, but for the imports that brought the person's rows.
fn entries(history: &Value) -> Vec<&Value> {
    let parts = history["entries"].as_array().unwrap().iter();
    parts.filter(|part| !is_import(part)).collect()
}

fn imports(history: &Value) -> Vec<&Value> {
    let parts = history["entries"].as_array().unwrap().iter();
    parts.filter(|part| is_import(part)).collect()
}

fn is_import(part: &Value) -> bool {
    let action = part["action"].as_str();
    action.is_some_and(|action| action.starts_with("import-"))
}

fn a_residents_history_is_given_as_json_csv_and_pdf_with_a_proof_of_each_entry(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = &demo.numbers("provided")[30];
    let asked = [ask(&demo, number), ask(&demo, number)];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pdf, csv, proofs) = (path("h.pdf"), path("h.csv"), path("proofs"));
    let files = ["--pdf", &pdf, "--csv", &csv, "--proofs", &proofs];
    let given = history(&demo, number, &files);
    assert_eq!(given["registered"], true);
    assert_eq!(
        (&given["missing"], &given["proofs"]),
        (&0.into(), &"proved".into())
    );
    let rows = entries(&given);
    assert_eq!(rows.len(), 3, "two provisions and this reading");
    for (row, index) in rows.iter().zip(asked) {
        assert_eq!(row["log_index"], index);
        assert_eq!(row["counterparty"], YOKOHAMA);
        assert_eq!(
            (&row["outcome"], &row["purpose"]),
            (&"found".into(), &"move-in".into())
        );
        assert_eq!(row["consent"]["reference"], "consent-desk-1");
        assert_eq!(row["legal_basis"], "NBA-19-16");
        assert!(row["doses"][0]["date"].is_string(), "{row}");
        assert!(
            row["cause"].is_null() && row["subject_seq"].is_null(),
            "{row}"
        );
    }
    assert_eq!(rows[2]["log_index"], given["review_index"]);
    let brought = imports(&given);
    assert_eq!(
        (&brought[0]["action"], &brought[1]["action"]),
        (&"import-persons".into(), &"import-doses".into())
    );
    assert_eq!(brought[1]["dose_count"], rows[0]["dose_count"]);

    // Each proof stands alone: another tool needs the log's key and nothing else.
    let key = VerifierKey::parse(&demo.node(FUJISAWA).unwrap().log_vkey).unwrap();
    for row in imports(&given).iter().chain(&rows) {
        let file = format!("{proofs}/{}.tlog-proof", row["log_index"]);
        let proof = TlogProof::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let leaf = proof.extra.clone().unwrap();
        assert_eq!(Leaf::decode(&leaf).unwrap().index, proof.index);
        proof.verify(&leaf_hash(&leaf), &key).unwrap();
    }
    let table = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 6);
    assert!(
        table.contains("神奈川県横浜市") && table.contains("転入に伴う"),
        "{table}"
    );
    let printed = std::fs::read(&pdf).unwrap();
    assert!(printed.starts_with(b"%PDF-"));
    assert!(printed.len() > 10_000, "the typeface's glyphs are in it");
    for bytes in [table.as_bytes(), &printed, given.to_string().as_bytes()] {
        let hit = bytes.windows(12).any(|window| window == number.as_bytes());
        assert!(!hit, "the number is in an export");
    }
    // The reading was an entry about the person: the next one shows it.
    assert_eq!(entries(&history(&demo, number, &["--internal"])).len(), 4);
    // A number that is nowhere.
    let nobody = history(&demo, "123456789018", &[]);
    assert_eq!(
        (&nobody["registered"], entries(&nobody).len()),
        (&false.into(), 0)
    );
    assert!(nobody["read_at"].is_string(), "{nobody}");
}

fn an_entry_that_is_not_disclosed_is_nowhere_in_what_the_person_is_given(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = &demo.numbers("provided")[31];
    let (hidden, shown) = (ask(&demo, number), ask(&demo, number));
    let index = hidden.to_string();
    let withhold = ["officer", "mark", &index, "withhold", "--document", "K-1"];
    let no_reason = vrx(&demo, OFFICER, &withhold, "");
    assert_eq!(no_reason.code, 2, "{}", no_reason.errors);
    let withhold = [&withhold[..], &["--reason", "1"]].concat();
    let other = &demo.numbers("provided")[32];
    assert_eq!(
        vrx(&demo, OFFICER, &withhold, other).code,
        2,
        "another person's"
    );
    vrx(&demo, OFFICER, &withhold, number).done().unwrap();

    let given = history(&demo, number, &[]);
    let indexes: Vec<_> = entries(&given)
        .iter()
        .map(|row| row["log_index"].as_u64())
        .collect();
    assert_eq!(indexes, [Some(shown), given["review_index"].as_u64()]);
    assert!(!given.to_string().contains("K-1"));
    let own = history(&demo, number, &["--internal"]);
    assert_eq!(entries(&own)[0]["withheld"], 1);
    let story = vrx(&demo, OFFICER, &["officer", "entry", &index], "")
        .done()
        .unwrap();
    assert_eq!(
        (&story["proof"], &story["missing"]),
        (&"proved".into(), &0.into())
    );
    let related = story["related"].as_array().unwrap();
    assert!(
        related.iter().any(|one| one["relation"] == "mark"),
        "{story}"
    );

    let release = ["officer", "mark", &index, "release", "--document", "K-2"];
    vrx(&demo, OFFICER, &release, number).done().unwrap();
    let given = history(&demo, number, &[]);
    assert_eq!(entries(&given)[0]["log_index"], hidden);
}

fn a_protected_persons_counterparties_are_not_named(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = &demo.numbers("protected")[3];
    let index = ask(&demo, number).to_string();
    for view in [&[][..], &["--internal"]] {
        let given = history(&demo, number, view);
        let row = &entries(&given)[0];
        assert_eq!(row["counterparty_concealed"], true);
        assert!(row["counterparty"].is_null() && !row.to_string().contains(YOKOHAMA));
    }
    let name = [
        "officer",
        "mark",
        &index,
        "name-counterparty",
        "--document",
        "K-3",
    ];
    let marked = vrx(&demo, OFFICER, &name, number).done().unwrap();
    assert_eq!(marked["officers"], 1, "it takes two");
    let given = history(&demo, number, &[]);
    assert_eq!(entries(&given)[0]["counterparty_concealed"], true);
    let story = vrx(&demo, OFFICER, &["officer", "entry", &index], "")
        .done()
        .unwrap();
    assert_eq!(story["entry"]["counterparty_concealed"], true);
}

fn a_day_is_shown_signed_off_and_reported_in_the_same_bytes_twice(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    ask(&demo, &demo.numbers("provided")[33]);
    let today = vrx(&demo, OFFICER, &["officer", "day"], "").done().unwrap();
    assert!(today["kinds"]["exchange"].as_u64().unwrap() >= 1, "{today}");
    assert_eq!(today["counterparties"][0]["municipality_code"], YOKOHAMA);
    assert_eq!(
        (&today["complete"], &today["partial"]),
        (&false.into(), &false.into())
    );
    let days = today["reviews"].as_array().unwrap();
    let date = days.last().unwrap()["day"].as_str().unwrap().to_owned();

    let review = ["officer", "review", "--date", &date];
    let signed = vrx(&demo, OFFICER, &review, "").done().unwrap();
    assert_eq!(
        (&signed["complete"], &signed["root"].as_str().unwrap().len()),
        (&false.into(), &64)
    );
    let after = vrx(&demo, OFFICER, &["officer", "day", "--date", &date], "")
        .done()
        .unwrap();
    let this = after["reviews"].as_array().unwrap().last().unwrap().clone();
    let signatures = this["signatures"].as_array().unwrap();
    assert!(
        signatures
            .iter()
            .any(|one| one["log_index"] == signed["log_index"]),
        "{this}"
    );
    assert_eq!(this["reviewed"], false, "the day isn't over");

    let folder = tempfile::tempdir().unwrap();
    let size = (signed["log_index"].as_u64().unwrap() + 1).to_string();
    let mut made = Vec::new();
    for name in ["one.pdf", "two.pdf"] {
        let path = folder.path().join(name);
        let month = &date[..7];
        let report = ["officer", "report", "--month", month, "--log-size", &size];
        let report = [&report[..], &["--pdf", path.to_str().unwrap()]].concat();
        let said = vrx(&demo, OFFICER, &report, "");
        assert_eq!(said.done().unwrap()["until_index"].to_string(), size);
        made.push((said.output, std::fs::read(path).unwrap()));
    }
    assert!(made[0] == made[1], "the report changed");
}

fn whoever_looks_at_one_entry_stands_in_what_the_person_is_given(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = &demo.numbers("provided")[35];
    let index = ask(&demo, number);
    let place = index.to_string();
    let shown = vrx(&demo, OFFICER, &["log", "show", &place], "").done();
    assert_eq!(shown.unwrap()["entry"]["subject_seq"], 1);
    let told = vrx(&demo, OFFICER, &["officer", "entry", &place], "").done();
    let told = told.unwrap();
    let related = told["related"].as_array().unwrap();
    assert_eq!(related.len(), 1, "{told}");
    assert_eq!(related[0]["relation"], "look");
    // A verification of the log asks for proofs, this entry's among them, and looks at nobody.
    let every = ["log", "verify", "--proofs", "100000"];
    vrx(&demo, OFFICER, &every, "").done().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (csv, proofs) = (path("h.csv"), path("proofs"));
    let files = ["--csv", &csv, "--proofs", &proofs];
    let given = history(&demo, number, &files);
    assert_eq!(given["proofs"], "proved");
    let said: Vec<_> = entries(&given)
        .iter()
        .map(|row| (row["action"].as_str().unwrap(), row["looked_at"].as_u64()))
        .collect();
    let looks = [("log-show", Some(index)), ("log-story", Some(index))];
    assert_eq!(said[1..3], looks);
    assert_eq!(
        (said[0].0, said[3].0, said.len()),
        ("query-records", "history", 4)
    );
    assert_eq!(entries(&given)[1]["actor"], "officer");
    assert!(given["read_at"].as_str().unwrap().ends_with("+09:00"));
    let table = std::fs::read_to_string(&csv).unwrap();
    assert!(table.contains("提供記録の閲覧（一件の経緯）"), "{table}");

    // Each row of the history offline, the looks among them.
    let vkey = demo.node(FUJISAWA).unwrap().log_vkey.clone();
    for row in entries(&given) {
        let file = format!("{proofs}/{}.tlog-proof", row["log_index"]);
        let verify = ["verify", "receipt", "--vkey", &vkey, &file];
        let verified = vrx(&demo, OFFICER, &verify, "").done().unwrap();
        assert_eq!(
            (&verified["log_index"], &verified["kind"]),
            (&row["log_index"], &row["kind"])
        );
    }

    // What isn't disclosed isn't disclosed by who looked at it.
    let withhold = ["officer", "mark", &place, "withhold", "--document", "K-4"];
    let withhold = [&withhold[..], &["--reason", "1"]].concat();
    vrx(&demo, OFFICER, &withhold, number).done().unwrap();
    let given = history(&demo, number, &[]);
    assert!(
        entries(&given).iter().all(|row| row["action"] == "history"),
        "{given}"
    );
    assert!(
        !given
            .to_string()
            .contains(&format!("\"looked_at\":{index}"))
    );
    assert_eq!(entries(&history(&demo, number, &["--internal"])).len(), 7);
}

fn what_cannot_be_meant_is_refused_before_anything_is_recorded(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = &demo.numbers("provided")[36];
    let index = ask(&demo, number).to_string();
    let refused = |arguments: &[&str], input: &str, code, why: &str| {
        let ended = vrx(&demo, OFFICER, arguments, input);
        assert_eq!(ended.code, code, "{arguments:?} {}", ended.errors);
        assert!(ended.errors.contains(why), "{arguments:?} {}", ended.errors);
        assert_eq!(ended.output, "", "{arguments:?}");
    };
    let other = &demo.numbers("provided")[37];
    let two = format!("{number}\n{other}\n");
    refused(&["officer", "history"], &two, 2, "2行以上");
    let review = |date| ["officer", "review", "--date", date];
    refused(&review("1900-01-01"), "", 2, "提供記録が始まる前の日");
    refused(&review("2999-01-01"), "", 2, "未来の日付");
    let day = ["officer", "day", "--date", "1900-01-01"];
    refused(&day, "", 2, "（日: 提供記録が始まる前の日");
    let month = ["officer", "report", "--month", "2999-01"];
    refused(&month, "", 2, "（月: 未来の日付");
    // No place for the answer: then nothing is asked, for what is asked is recorded.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (taken, none, full) = (path("taken.pdf"), path("none/h.pdf"), path("full"));
    std::fs::write(&taken, "a report").unwrap();
    std::fs::create_dir(&full).unwrap();
    std::fs::write(path("full/1.tlog-proof"), "another person's").unwrap();
    let both = path("both");
    for (files, why) in [
        (vec!["--pdf", &taken], "すでにあります"),
        (vec!["--pdf", &none], "フォルダー"),
        (vec!["--csv", &none], "フォルダー"),
        (vec!["--proofs", &full], "空ではありません"),
        (vec!["--pdf", &both, "--csv", &both], "2つの書き出し先"),
    ] {
        let arguments = [&["officer", "history"], files.as_slice()].concat();
        refused(&arguments, number, 2, why);
    }
    let again = ["officer", "report", "--month", "2026-01", "--pdf", &taken];
    refused(&again, "", 2, "すでにあります");
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "a report");
    refused(&["log", "list", "--limit", "0"], "", 2, "1 以上の件数");
    let name = ["officer", "mark", &index, "name-counterparty"];
    let name = [&name[..], &["--document", "K-5"]].concat();
    refused(&name, number, 1, "伏せている相手方の名はありません");
    let rows = history(&demo, number, &["--internal"]);
    assert_eq!(entries(&rows).len(), 2, "the provision and this reading");
    let newest = ["log", "list", "--newest-first", "--limit", "3"];
    let newest = vrx(&demo, OFFICER, &newest, "").done().unwrap();
    let indexes: Vec<u64> = entries(&newest)
        .iter()
        .map(|entry| entry["log_index"].as_u64().unwrap())
        .collect();
    let last = newest["log_size"].as_u64().unwrap() - 1;
    assert_eq!(indexes, [last, last - 1, last - 2]);
}

fn whoever_is_no_officer_of_the_municipality_learns_nothing(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let number = &demo.numbers("provided")[34];
    let index = ask(&demo, number).to_string();
    let calls: [(&[&str], &str); 5] = [
        (&["officer", "history"], number),
        (
            &["officer", "mark", &index, "release", "--document", "K-1"],
            number,
        ),
        (&["officer", "entry", &index], ""),
        (&["officer", "day"], ""),
        (&["officer", "review", "--date", "2026-01-01"], ""),
    ];
    let address = demo.node(FUJISAWA).unwrap().address.clone();
    let strangers: [(&str, &[&str]); 3] = [
        ("142051-staff-tanaka", &[]),
        ("142051-operator-ito", &[]),
        // Another municipality's officer, at this municipality's node.
        (
            "141003-officer-mori",
            &["--address", &address, "--municipality-code", FUJISAWA],
        ),
    ];
    for (profile, more) in strangers {
        for (call, input) in calls {
            let ended = vrx(&demo, profile, &[more, call].concat(), input);
            assert_eq!(ended.code, 77, "{profile} {call:?}: {}", ended.errors);
            // The node hangs up on a foreign certificate, and the client reads why.
            let told = ended.errors.contains("この証明書を受け付けませんでした");
            assert_eq!(told, !more.is_empty(), "{}", ended.errors);
            assert_eq!(ended.output, "", "{profile} {call:?}");
            assert!(!ended.errors.contains(number.as_str()));
        }
    }
    assert_eq!(entries(&history(&demo, number, &[])).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_taken_out_of_the_middle_shows_loudly_and_the_rest_is_still_given() {
    let mut demo = Demo::start(200).unwrap();
    let number = demo.numbers("provided")[5].clone();
    let asked: Vec<u64> = (0..3).map(|_| ask(&demo, &number)).collect();
    demo.signal(FUJISAWA, "TERM").unwrap();
    demo.wait_ended(FUJISAWA).await.unwrap();
    {
        // What someone with the database could do: the leaf has to stay, or the log's root would tell at once.
        let state = demo.node(FUJISAWA).unwrap().state_dir.join(FUJISAWA);
        let database = rusqlite::Connection::open(state.join("vrx.db")).unwrap();
        let emptied = database.execute(
            "UPDATE log_entry SET opening_key = x'', opening = x'', subject = randomblob(32) WHERE idx = ?1",
            [i64::try_from(asked[1]).unwrap()],
        );
        assert_eq!(emptied.unwrap(), 1);
        // And rows can be made to name another entry than the one they came with.
        let moved = database.execute(
            "UPDATE dose_revision SET log_index = ?1",
            [i64::try_from(asked[0]).unwrap()],
        );
        assert!(moved.unwrap() > 0);
    }
    demo.restart(FUJISAWA).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("h.csv");
    let arguments = ["officer", "history", "--csv", csv.to_str().unwrap()];
    let ended = vrx(&demo, OFFICER, &arguments, &number);
    assert_eq!(ended.code, 1, "{}", ended.errors);
    assert!(
        ended.errors.contains("2 件欠けています"),
        "{}",
        ended.errors
    );
    let given = ended.json().unwrap();
    assert_eq!(given["missing"], 2);
    let told: Vec<_> = entries(&given)
        .iter()
        .map(|part| (part["kind"].as_str().unwrap(), part["log_index"].as_u64()))
        .collect();
    assert_eq!(
        told,
        [
            ("gap", None),
            ("exchange", Some(asked[0])),
            ("gap", None),
            ("exchange", Some(asked[2])),
            ("desk", given["review_index"].as_u64())
        ]
    );
    let gaps: Vec<_> = entries(&given)
        .iter()
        .filter(|part| part["kind"] == "gap")
        .map(|gap| (gap["last_index"].as_u64(), gap["erased"].as_bool()))
        .collect();
    assert_eq!(
        gaps,
        // Blank, and no erasure has gone over it.
        [(Some(asked[0]), Some(false)), (Some(asked[1]), Some(false))]
    );
    assert!(std::fs::read_to_string(&csv).unwrap().contains("欠落"));
    let index = asked[2].to_string();
    let story = vrx(&demo, OFFICER, &["officer", "entry", &index], "");
    assert_eq!(story.code, 1, "{}", story.errors);
}
