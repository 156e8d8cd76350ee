//! A provider's disk is lost after its last backup: the answers that it gave since come back from the receipts of those who asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use vrx_proto::v1::ListReceiptsRequest;
use vrx_proto::v1::receipt_service_client::ReceiptServiceClient;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA, program, wait_until};
use vrx_tests::desk::{self, INQUIRE};
use vrx_tests::exchange::check_receipt;
use vrx_tests::on_both_databases;

on_both_databases! {
    lost_answers_come_back_as_entries_once_however_late_their_requester_is_there,
    a_receipt_that_was_tampered_with_is_an_alarm_and_spares_the_others,
}

const LIMIT: Duration = Duration::from_mins(1);
const OFFICER: &str = "142051-officer-mori";

async fn lost_answers_come_back_as_entries_once_however_late_their_requester_is_there(on: On) {
    let mut scene = Scene::start(on);
    let demo = &scene.demo;
    let provided = demo.numbers("provided");
    let doseless = demo.numbers("doseless");
    let before = [inquire(demo, &provided[0]), inquire(demo, &doseless[0])];
    scene.back_up();
    let demo = &scene.demo;
    // Found and nothing, and in between an entry of the node's own that nobody has a receipt of.
    let mut lost = vec![inquire(demo, &provided[1]), inquire(demo, &doseless[1])];
    vrx(demo, OFFICER, &["log", "list"], "");
    lost.extend([inquire(demo, &provided[2]), inquire(demo, &provided[0])]);
    assert!(before.iter().max() < lost.iter().min());

    scene.lose_the_disk().await;
    scene.end(YOKOHAMA).await;
    let said = scene.restore();
    assert!(said.contains("The log goes on in epoch 2"), "{said}");
    assert!(said.contains("vrx-node log recovered"), "{said}");
    scene.demo.restart(FUJISAWA).await.unwrap();
    scene
        .wait_for_line("a member's receipts can't be had yet")
        .await;
    let away = scene.recovered();
    for part in [
        "not answered yet",
        "0 of 1 members answered; entered again: 0.",
    ] {
        assert!(away.contains(part), "{part}: {away}");
    }
    // Ended and started before anybody has answered: it goes on asking.
    scene.end(FUJISAWA).await;
    scene.demo.restart(FUJISAWA).await.unwrap();
    scene.demo.restart(YOKOHAMA).await.unwrap();
    let done = scene.wait_answered().await;
    assert!(done.contains("4 receipts, 0 of them refused"), "{done}");
    assert!(done.contains("entered again: 4."), "{done}");
    // The officer's look into the log has no receipt elsewhere.
    assert!(done.contains("Entries without a receipt: 1, at "), "{done}");
    assert_eq!(scene.recovered_places(), lost);

    scene.end(FUJISAWA).await;
    scene.demo.restart(FUJISAWA).await.unwrap();
    assert_eq!(scene.recovered(), done);
    assert_eq!(scene.recovered_places(), lost, "each once");
    let (exit, _, errors) = scene.demo.vrx_node(FUJISAWA, &["log", "verify"]).unwrap();
    assert_eq!(exit, 0, "{errors}");
    // What the member says of it is one entry of its own.
    let given = actions(&scene.demo, "141003-officer-mori", "list-receipts");
    assert_eq!(given.len(), 1);
    only_the_own_log_s(&scene.demo, before[0], before.len() + lost.len()).await;
    scene.goes_on_in_the_new_epoch().await;
}

/// Fujisawa gets the receipts of its own log from Yokohama, found and nothing alike, and no others.
async fn only_the_own_log_s(demo: &Demo, from_index: u64, held: usize) {
    let channel = demo.channel(YOKOHAMA, FUJISAWA, "exchange").unwrap();
    let origin = |code| vrx_tlog::origin(&demo.description.trust_domain, code, 1);
    let ask = async |log_origin, page_size| {
        let request = ListReceiptsRequest {
            municipality_code: YOKOHAMA.to_owned(),
            log_origin,
            from_index,
            page_size,
            ..ListReceiptsRequest::default()
        };
        let mut client = ReceiptServiceClient::new(channel.clone());
        client.list_receipts(request).await
    };
    let page = ask(origin(FUJISAWA), 0).await.unwrap().into_inner();
    assert_eq!(
        (page.receipts.len(), page.next_page_token.as_str()),
        (held, "")
    );
    let vkey = &demo.node(FUJISAWA).unwrap().log_vkey;
    for kept in page.receipts {
        check_receipt(&kept.receipt.unwrap(), vkey).unwrap();
    }
    let first = ask(origin(FUJISAWA), 1).await.unwrap().into_inner();
    assert_eq!(first.receipts.len(), 1);
    assert!(!first.next_page_token.is_empty());
    let refused = ask(origin(YOKOHAMA), 0).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

async fn a_receipt_that_was_tampered_with_is_an_alarm_and_spares_the_others(on: On) {
    let mut scene = Scene::start(on);
    scene.back_up();
    let numbers = scene.demo.numbers("provided");
    let lost: Vec<u64> = numbers[..3]
        .iter()
        .map(|number| inquire(&scene.demo, number))
        .collect();
    scene.lose_the_disk().await;
    scene.end(YOKOHAMA).await;
    scene.tamper_with_the_receipt_of(lost[1]);
    scene.restore();
    scene.demo.restart(YOKOHAMA).await.unwrap();
    scene.demo.restart(FUJISAWA).await.unwrap();
    let done = scene.wait_answered().await;
    assert!(done.contains("3 receipts, 1 of them refused"), "{done}");
    assert_eq!(scene.recovered_places(), [lost[0], lost[2]]);
    scene.wait_for_line("receipt-doesnt-hold").await;
    let alarms = actions(&scene.demo, OFFICER, "alarm");
    assert_eq!(alarms.len(), 1);
    let alarm = content(&scene.demo, OFFICER, alarms[0]);
    let of = |name: &str| alarm.iter().find(|pair| pair.0 == name).unwrap().1.clone();
    assert_eq!(of("alarm"), "receipt-doesnt-hold");
    assert_eq!(of("log_index"), lost[1].to_string());
    assert_eq!(of("member"), YOKOHAMA);
}

/// Fujisawa's node with backups, and Yokohama's, which asks it.
struct Scene {
    demo: Demo,
    on: On,
    identity: PathBuf,
}

impl Scene {
    fn start(on: On) -> Self {
        let demo = Demo::start_on(500, on).unwrap();
        let identity = demo.folder().join("backup-identity");
        let made = run(Command::new("age-keygen").arg("-o").arg(&identity), None);
        assert_eq!(made.0, 0, "age is installed by tests/setup.sh: {}", made.2);
        let recipient = run(Command::new("age-keygen").arg("-y").arg(&identity), None).1;
        let config = &demo.node(FUJISAWA).unwrap().config;
        let text = std::fs::read_to_string(config).unwrap();
        let keys = format!(
            "backup_dir = \"backups\"\nbackup_recipients = [\"{}\"]\n",
            recipient.trim()
        );
        std::fs::write(config, keys + &text).unwrap();
        Self { demo, on, identity }
    }

    fn home(&self) -> PathBuf {
        let config = &self.demo.node(FUJISAWA).unwrap().config;
        config.parent().unwrap().to_owned()
    }

    fn back_up(&self) {
        let (exit, _, errors) = self.demo.vrx_node(FUJISAWA, &["backup"]).unwrap();
        assert_eq!(exit, 0, "{errors}");
    }

    async fn end(&self, code: &str) {
        self.demo.signal(code, "TERM").unwrap();
        self.demo.wait_ended(code).await.unwrap();
    }

    /// Fujisawa's rows are gone; its keys and the kept checkpoint stand elsewhere.
    async fn lose_the_disk(&self) {
        self.end(FUJISAWA).await;
        match self.on {
            On::Sqlite => {
                let state = self.demo.node(FUJISAWA).unwrap().state_dir.join(FUJISAWA);
                for entry in std::fs::read_dir(&state).unwrap() {
                    let path = entry.unwrap().path();
                    if path.file_name().unwrap().to_string_lossy().contains(".db") {
                        std::fs::remove_file(path).unwrap();
                    }
                }
            }
            On::Postgres => {
                let tables = "SELECT string_agg(format('vrx.%I', relname), ', ') FROM pg_class \
                              JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant' \
                              WHERE relnamespace = 'vrx'::regnamespace AND relkind IN ('r', 'p')";
                let tables = self.sql(FUJISAWA, tables);
                self.sql(FUJISAWA, &format!("TRUNCATE {tables}"));
            }
        }
    }

    fn restore(&self) -> String {
        let backups = std::fs::read_dir(self.home().join("backups")).unwrap();
        let backup = backups
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().ends_with(".vrx.age"))
            .unwrap();
        let config = &self.demo.node(FUJISAWA).unwrap().config;
        let mut command = Command::new(program("vrx-node").unwrap());
        command
            .args(["restore", "--tenant", FUJISAWA, "--new-epoch", "--config"])
            .arg(config)
            .env("PGPASSFILE", self.demo.folder().join("pgpass"));
        if self.on == On::Postgres {
            let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
            let node = config["database"].as_str().unwrap();
            command.args(["--owner", &node.replace("_node@", "_owner@")]);
        }
        let (exit, said, errors) = run(command.arg(backup), Some(&self.identity));
        assert_eq!(exit, 0, "{errors}");
        self.give_the_new_key_to(&format!("profiles/{OFFICER}.toml"));
        said
    }

    /// Puts what `vrx-node log key` prints now in the place of the old epoch's key.
    fn give_the_new_key_to(&self, file: &str) {
        let (exit, key, errors) = self.demo.vrx_node(FUJISAWA, &["log", "key"]).unwrap();
        assert_eq!(exit, 0, "{errors}");
        assert!(key.contains("/142051/log/2+"), "{key}");
        let old = &self.demo.node(FUJISAWA).unwrap().log_vkey;
        let file = self.demo.folder().join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(&file, text.replace(old, key.trim())).unwrap();
    }

    fn recovered(&self) -> String {
        let (exit, said, errors) = self.demo.vrx_node(FUJISAWA, &["log", "recovered"]).unwrap();
        assert_eq!(exit, 0, "{errors}");
        said
    }

    async fn wait_answered(&self) -> String {
        let mut said = String::new();
        let answered = || {
            said = self.recovered();
            Ok(said.contains("1 of 1 members answered"))
        };
        wait_until(LIMIT, "the member has answered", answered)
            .await
            .unwrap();
        said
    }

    async fn wait_for_line(&self, part: &str) {
        let file = self.demo.node(FUJISAWA).unwrap().log_file.clone();
        let there = || Ok(std::fs::read_to_string(&file)?.contains(part));
        wait_until(LIMIT, part, there).await.unwrap();
    }

    /// The places in the lost log for which Fujisawa's log has an entry now, rising.
    fn recovered_places(&self) -> Vec<u64> {
        let entries = actions(&self.demo, OFFICER, "recover-entry");
        let place = |index: u64| {
            let content = content(&self.demo, OFFICER, index);
            let of = |name: &str| content.iter().find(|pair| pair.0 == name).unwrap();
            assert!(of("log_origin").1.ends_with("/142051/log/1"));
            assert_eq!(of("member").1, YOKOHAMA);
            of("log_index").1.parse().unwrap()
        };
        let mut places: Vec<u64> = entries.into_iter().map(place).collect();
        places.sort_unstable();
        places
    }

    /// With the new key in the members file an inquiry is answered as before.
    async fn goes_on_in_the_new_epoch(&mut self) {
        self.give_the_new_key_to("members.toml");
        self.end(YOKOHAMA).await;
        self.demo.restart(YOKOHAMA).await.unwrap();
        inquire(&self.demo, &self.demo.numbers("provided")[5]);
        // What the new epoch goes on from was answered under the old one's name: nothing of it was asked twice.
        let reconciled = vrx(
            &self.demo,
            "141003-officer-mori",
            &["log", "reconcile", FUJISAWA],
            "",
        );
        let count = |name: &str| reconciled[name].as_u64().unwrap();
        assert_eq!(count("receipts"), 1, "{reconciled}");
        assert!(count("carried_over") >= 2, "{reconciled}");
        assert_eq!(count("provisions"), count("carried_over") + 1);
        assert_eq!((count("unanswered"), count("differences")), (0, 0));
        // The other officer's profile still has the old epoch's key.
        let other = "142051-officer-kato";
        let checked = desk::vrx(&self.demo, other, &["officer", "entry", "1"], "").unwrap();
        assert_eq!(checked.code, 1, "{}", checked.errors);
        assert!(
            checked.errors.contains("key of another epoch"),
            "{checked:?}"
        );
        assert_eq!(checked.json().unwrap()["proof"], "other-epoch");
    }

    /// Somebody with Yokohama's database in hands changes one letter of a signature.
    fn tamper_with_the_receipt_of(&self, index: u64) {
        let change = format!(
            "UPDATE {}receipt SET note = substr(note, 1, length(note) - 12) || \
             CASE WHEN substr(note, length(note) - 11, 1) = 'A' THEN 'B' ELSE 'A' END || \
             substr(note, length(note) - 10) WHERE log_index = {index}",
            if self.on == On::Sqlite { "" } else { "vrx." }
        );
        match self.on {
            On::Sqlite => {
                let state = self.demo.node(YOKOHAMA).unwrap().state_dir.join(YOKOHAMA);
                let database = rusqlite::Connection::open(state.join("vrx.db")).unwrap();
                assert_eq!(database.execute(&change, []).unwrap(), 1);
            }
            On::Postgres => {
                self.sql(YOKOHAMA, &change);
            }
        }
    }

    /// Runs a statement on a node's database as the server's superuser.
    fn sql(&self, code: &str, sql: &str) -> String {
        let config = std::fs::read_to_string(&self.demo.node(code).unwrap().config).unwrap();
        let config: toml::Table = config.parse().unwrap();
        let url = config["database"].as_str().unwrap();
        let name = url.rsplit('/').next().unwrap();
        let name = name.split('?').next().unwrap();
        let server = self.demo.server().unwrap();
        server.sql(name, sql).trim().to_owned()
    }
}

/// Asks Fujisawa from Yokohama's desk about somebody; gives the place of the answer in Fujisawa's log.
fn inquire(demo: &Demo, number: &str) -> u64 {
    let answer = vrx(demo, "141003-staff-tanaka", &INQUIRE, number);
    let place = answer["provider_log_index"].as_u64();
    place.unwrap_or_else(|| panic!("{answer}"))
}

fn actions(demo: &Demo, officer: &str, action: &str) -> Vec<u64> {
    desk::control_entries(demo, officer, action).unwrap()
}

fn content(demo: &Demo, officer: &str, index: u64) -> Vec<(String, String)> {
    desk::content(demo, officer, index).unwrap()
}

/// What `vrx --json` shows, run with a profile of the demo.
fn vrx(demo: &Demo, profile: &str, arguments: &[&str], input: &str) -> Value {
    let ended = desk::vrx(demo, profile, arguments, input);
    ended.and_then(|ended| ended.done()).unwrap()
}

/// Exit code, output and errors of a command.
fn run(command: &mut Command, input: Option<&Path>) -> (i32, String, String) {
    let stdin = input.map_or(Stdio::null(), |file| File::open(file).unwrap().into());
    let output = command.stdin(stdin).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}
