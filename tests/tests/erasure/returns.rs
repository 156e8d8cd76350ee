//! What was erased doesn't come back: not with an older copy of the database, not with a backup, not on another machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA, program, wait_until};
use vrx_tests::exchange::{Told, query, request, told};
use vrx_tests::process::Process;

use crate::town::{
    MORI, OVER, PATIENCE, decide, destroyed_list, hold, import, newest, number, owner, recorded,
    vrx,
};

/// Fujisawa's node, whose backups the test can open, run by the test.
struct Scene {
    demo: Demo,
    on: On,
    identity: PathBuf,
    process: Process,
}

impl Scene {
    async fn start(on: On) -> Self {
        let demo = Demo::start_on(50, on).unwrap();
        let identity = demo.folder().join("backup-identity");
        let made = run(Command::new("age-keygen").arg("-o").arg(&identity));
        assert_eq!(made.0, 0, "age is installed by tests/setup.sh: {}", made.2);
        let recipient = run(Command::new("age-keygen").arg("-y").arg(&identity)).1;
        let process = Process::take_over(&demo, FUJISAWA).await.unwrap();
        process
            .configure(|config| {
                config.insert("backup_dir".to_owned(), "backups".into());
                let recipients = vec![toml::Value::from(recipient.trim())];
                config.insert("backup_recipients".to_owned(), recipients.into());
            })
            .unwrap();
        let mut scene = Self {
            demo,
            on,
            identity,
            process,
        };
        scene.serve().await;
        let folder = tempfile::tempdir().unwrap();
        import(&scene.demo, folder.path());
        scene
    }

    async fn serve(&mut self) {
        self.process.start(&self.demo).await.unwrap();
    }

    fn home(&self) -> PathBuf {
        let config = &self.demo.node(FUJISAWA).unwrap().config;
        config.parent().unwrap().to_owned()
    }

    /// An operator's verb.
    fn verb(&self, arguments: &[&str], input: Stdio) -> (i32, String, String) {
        // A verb that serves where it ought to refuse would never end.
        let mut command = Command::new("timeout");
        command.arg("60").arg(program("vrx-node").unwrap());
        command.args(arguments).stdin(input);
        command
            .arg("--config")
            .arg(&self.demo.node(FUJISAWA).unwrap().config)
            .env("PGPASSFILE", self.demo.folder().join("pgpass"));
        run(&mut command)
    }

    fn owners(&self, arguments: &[&str], input: Stdio) -> (i32, String, String) {
        if self.on == On::Sqlite {
            return self.verb(arguments, input);
        }
        let owner = owner(&self.demo);
        self.verb(&[arguments, &["--owner", &owner]].concat(), input)
    }

    fn back_up(&self) {
        let (exit, _, errors) = self.verb(&["backup"], Stdio::null());
        assert_eq!(exit, 0, "{errors}");
    }

    fn restore(&self) -> String {
        let backups = std::fs::read_dir(self.home().join("backups")).unwrap();
        let backup = backups
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().ends_with(".vrx.age"))
            .unwrap();
        let restore = [
            "restore",
            "--tenant",
            FUJISAWA,
            "--new-epoch",
            backup.to_str().unwrap(),
        ];
        let identity = std::fs::File::open(&self.identity).unwrap();
        let (exit, said, errors) = self.owners(&restore, identity.into());
        assert_eq!(exit, 0, "{errors}");
        said
    }

    /// The database is gone.
    fn lose_the_rows(&self) {
        if self.on == On::Sqlite {
            return database_files(&self.demo)
                .iter()
                .for_each(|file| std::fs::remove_file(file).unwrap());
        }
        let tables = "SELECT string_agg(format('vrx.%I', relname), ', ') FROM pg_class \
                      JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant' \
                      WHERE relnamespace = 'vrx'::regnamespace AND relkind IN ('r', 'p')";
        let tables = self.demo.sql(FUJISAWA, tables).unwrap();
        let truncate = format!("TRUNCATE {tables}");
        self.demo.sql(FUJISAWA, &truncate).unwrap();
    }

    async fn nobody_is_back(&self) {
        let channel = self.demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
        for nth in [0, 120, OVER - 1] {
            let answer = query(&channel, request(&number(nth))).await.unwrap();
            let answer = told(answer).unwrap();
            assert!(matches!(answer, Told::Nothing(_)), "{nth}");
        }
        let (exit, _, errors) = self.verb(&["log", "verify"], Stdio::null());
        assert_eq!(exit, 0, "{errors}");
    }
}

/// Copied by hand before an erasure and copied back after it, with no checkpoint that would tell.
pub(crate) async fn an_older_database_put_back_is_not_served_before_it_is_erased_again(on: On) {
    let mut scene = Scene::start(on).await;
    scene.process.kill().unwrap();
    let older = Older::keep(&scene);
    scene.serve().await;
    decide(&scene.demo);
    recorded(&scene.demo, on).await;
    scene.process.kill().unwrap();
    older.put_back(&scene);

    let serve = ["serve", "--accept-missing-checkpoint"];
    let (exit, said, errors) = scene.verb(&serve, Stdio::null());
    assert_eq!(exit, 74, "{said}{errors}");
    assert!(errors.contains("erase again"), "{errors}");
    assert!(errors.contains(&format!("{OVER} persons")), "{errors}");
    let (exit, said, errors) = scene.owners(&["erase", "again"], Stdio::null());
    assert_eq!(exit, 0, "{errors}");
    assert!(said.contains("Erased again"), "{said}");
    let (_, said, _) = scene.owners(&["erase", "again"], Stdio::null());
    assert!(said.contains("Nothing on the list"), "{said}");
    scene.process.accept_missing_checkpoint();
    scene.serve().await;
    scene.nobody_is_back().await;
}

/// Some are erased in it already, some aren't; all are by the time it is brought back.
pub(crate) async fn a_backup_of_the_middle_of_an_erasure_brings_nobody_back(on: On) {
    let mut scene = Scene::start(on).await;
    decide(&scene.demo);
    let list = destroyed_list(&scene.demo);
    wait_until(PATIENCE, "keys that go", || Ok(list.exists()))
        .await
        .unwrap();
    scene.process.kill().unwrap();
    scene.back_up();
    scene.serve().await;
    recorded(&scene.demo, on).await;
    scene.process.kill().unwrap();
    scene.lose_the_rows();
    scene.restore();
    scene.serve().await;
    scene.nobody_is_back().await;
    recorded(&scene.demo, on).await;
    assert_eq!(newest(&scene.demo)["stage"], "recorded");
    scene.nobody_is_back().await;
}

/// What is left: the keys' copies, the backups, and the list that stands beside them.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_stays_erased_when_the_machine_is_lost() {
    let mut scene = Scene::start(On::Sqlite).await;
    hold(&scene.demo, 5);
    scene.back_up();
    decide(&scene.demo);
    recorded(&scene.demo, On::Sqlite).await;
    scene.process.kill().unwrap();
    scene.lose_the_rows();
    let home = scene.home();
    std::fs::remove_dir_all(scene.demo.node(FUJISAWA).unwrap().state_dir.clone()).unwrap();
    for file in files(&home.join("kept")) {
        std::fs::remove_file(file).unwrap();
    }
    std::fs::remove_file(destroyed_list(&scene.demo)).unwrap();

    let said = scene.restore();
    assert!(said.contains("rows of persons on the list"), "{said}");
    scene.serve().await;
    scene.nobody_is_back().await;
    let lift = ["retention", "lift", "--reference", "kaiji-7"];
    let lifted = vrx(&scene.demo, MORI, &lift, &number(5)).done().unwrap();
    assert_eq!(lifted["lifted"], true, "whoever was on hold is there");
}

/// A copy of the rows as they were.
struct Older(tempfile::TempDir);

/// What holds persons, on PostgreSQL.
const TABLES: [&str; 4] = ["person", "person_tag", "person_revision", "dose_revision"];

impl Older {
    fn keep(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if scene.on == On::Sqlite {
            for file in database_files(&scene.demo) {
                let name = file.file_name().unwrap();
                std::fs::copy(&file, folder.path().join(name)).unwrap();
            }
        } else {
            for table in TABLES {
                let keep = format!("CREATE TABLE public.older_{table} AS TABLE vrx.{table}");
                scene.demo.sql(FUJISAWA, &keep).unwrap();
            }
        }
        Self(folder)
    }

    fn put_back(&self, scene: &Scene) {
        if scene.on == On::Postgres {
            for table in TABLES {
                let put = format!(
                    "INSERT INTO vrx.{table} TABLE public.older_{table} ON CONFLICT DO NOTHING"
                );
                scene.demo.sql(FUJISAWA, &put).unwrap();
            }
            return;
        }
        scene.lose_the_rows();
        let state = scene.demo.node(FUJISAWA).unwrap().state_dir.join(FUJISAWA);
        for file in files(self.0.path()) {
            std::fs::copy(&file, state.join(file.file_name().unwrap())).unwrap();
        }
        for file in files(&scene.home().join("kept")) {
            std::fs::remove_file(file).unwrap();
        }
    }
}

fn database_files(demo: &Demo) -> Vec<PathBuf> {
    let state = demo.node(FUJISAWA).unwrap().state_dir.join(FUJISAWA);
    let mut files = files(&state);
    files.retain(|path| path.to_string_lossy().contains(".db"));
    files
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}
