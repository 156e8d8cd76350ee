//! Backups taken by the real program while a real node answers, opened by another program, brought back elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use vrx_tests::demo::{Demo, FUJISAWA, YOKOHAMA, program, wait_until};
use vrx_tests::exchange::{query, request, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_serving_node_holds_every_answer_given_before_it_and_comes_back_elsewhere() {
    let demo = Demo::start(2_000).unwrap();
    let home = demo
        .node(FUJISAWA)
        .unwrap()
        .config
        .parent()
        .unwrap()
        .to_owned();
    let identity = home.join("backup-identity");
    let config = configuration(&demo, &home, "backup.toml", &recipient(&identity));

    let (answered, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let asking = {
        let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
        let numbers = demo.numbers("provided");
        let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
        tokio::spawn(async move {
            for number in numbers.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let answer = query(&channel, request(number)).await.unwrap();
                let index = told(answer).unwrap().receipt().unwrap().log_index;
                answered.store(usize::try_from(index).unwrap(), Ordering::Relaxed);
            }
        })
    };
    let limit = Duration::from_mins(1);
    wait_until(limit, "a hundred answers", || {
        Ok(answered.load(Ordering::Relaxed) > 100)
    })
    .await
    .unwrap();
    let before = answered.load(Ordering::Relaxed);
    let made = run(&mut vrx_node(&["backup"], &config));
    stop.store(true, Ordering::Relaxed);
    asking.await.unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));

    let backup = only(&home.join("backups"), ".vrx.age");
    let manifest: serde_json::Value =
        serde_json::from_reader(File::open(backup.with_extension("json")).unwrap()).unwrap();
    let size = usize::try_from(manifest["log"]["size"].as_u64().unwrap()).unwrap();
    assert!(
        size > before,
        "an answer of before the backup is missing: {size} entries, index {before} was answered"
    );

    // Another program opens it, and nothing of it can be read without.
    let plain = run(Command::new("age")
        .arg("--decrypt")
        .arg("--identity")
        .arg(&identity)
        .arg(&backup));
    assert!(
        plain.status.success(),
        "age is installed by tests/setup.sh: {}",
        text(&plain.stderr)
    );
    assert!(plain.stdout.starts_with(b"vrx-copy"));

    comes_back_elsewhere(&home, &config, &backup, &identity, size);
}

/// Restored into an empty place: older than what was signed or not is said, and a new epoch goes on from an older one.
fn comes_back_elsewhere(home: &Path, config: &Path, backup: &Path, identity: &Path, size: usize) {
    // Elsewhere: an empty folder for the data, and a second path of its own that keeps nothing yet.
    let elsewhere = home.join("elsewhere.toml");
    let moved = std::fs::read_to_string(config).unwrap();
    let moved = moved
        .replace("state_dir = \"state\"", "state_dir = \"elsewhere\"")
        .replace(
            "kept_checkpoint_dir = \"kept\"",
            "kept_checkpoint_dir = \"elsewhere-kept\"",
        );
    assert!(
        moved.contains("elsewhere-kept") && moved.contains("\"elsewhere\""),
        "{moved}"
    );
    std::fs::write(&elsewhere, moved).unwrap();
    std::fs::create_dir(home.join("elsewhere-kept")).unwrap();
    let mut restore = vrx_node(&["restore", "--tenant", FUJISAWA], &elsewhere);
    let restored = run(restore.arg(backup).stdin(File::open(identity).unwrap()));
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let verified = run(vrx_node(&["log", "verify"], &elsewhere).stdin(Stdio::null()));
    // Nothing is kept there, so whether it is the newest can't be said, and isn't.
    assert!(!verified.status.success());
    assert!(
        text(&verified.stderr).contains("no checkpoint is kept"),
        "{}",
        text(&verified.stderr)
    );
    let kept = std::fs::read_to_string(home.join(format!("kept/{FUJISAWA}.checkpoint"))).unwrap();
    std::fs::write(
        home.join(format!("elsewhere-kept/{FUJISAWA}.checkpoint")),
        &kept,
    )
    .unwrap();
    let signed: usize = kept.lines().nth(1).unwrap().parse().unwrap();
    // The copy is written once a second: whether it has run ahead of the backup is chance, what follows from it isn't.
    let is_newest = signed <= size;
    let older = run(&mut vrx_node(&["log", "verify"], &elsewhere));
    assert_eq!(older.status.success(), is_newest, "{}", text(&older.stderr));
    let mut again = vrx_node(
        &["restore", "--tenant", FUJISAWA, "--new-epoch"],
        &elsewhere,
    );
    let again = run(again.arg(backup).stdin(File::open(identity).unwrap()));
    assert_eq!(
        again.status.success(),
        !is_newest,
        "{}",
        text(&again.stderr)
    );
    let whole = run(&mut vrx_node(&["log", "verify"], &elsewhere));
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    assert!(text(&whole.stdout).contains("The log is whole"));
}

/// The node's configuration with the keys of backups, beside the node's own.
fn configuration(demo: &Demo, home: &Path, name: &str, recipient: &str) -> PathBuf {
    let text = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().config).unwrap();
    let path = home.join(name);
    let keys = format!("backup_dir = \"backups\"\nbackup_recipients = [\"{recipient}\"]\n");
    std::fs::write(&path, keys + &text).unwrap();
    path
}

/// Makes an identity with age's own program; gives whom to encrypt for.
fn recipient(identity: &Path) -> String {
    let made = run(Command::new("age-keygen").arg("-o").arg(identity));
    assert!(
        made.status.success(),
        "age is installed by tests/setup.sh: {}",
        text(&made.stderr)
    );
    let shown = run(Command::new("age-keygen").arg("-y").arg(identity));
    text(&shown.stdout).trim().to_owned()
}

fn vrx_node(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(program("vrx-node").unwrap());
    command.args(arguments).arg("--config").arg(config);
    command
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().display().to_string();
    command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; tests/setup.sh installs what is missing")
    })
}

fn only(folder: &Path, suffix: &str) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    let found = files.find(|path| path.to_string_lossy().ends_with(suffix));
    found.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
