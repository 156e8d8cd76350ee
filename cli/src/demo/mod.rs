//! `vrx demo`: two municipalities on this machine, as real programs over real mutual TLS, exchange the records of invented movers, and
//! witness each other's logs.
//!
//! [`town`] is one municipality: its identities, configuration and profiles. [`node`] is its running program. [`story`] is what people see.
//! [`database`] is where its rows are when they are in PostgreSQL. [`description`] is `demo.json`, by which any other gRPC client can be pointed at the nodes.

mod database;
mod description;
mod node;
mod people;
mod story;
mod town;

use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use vrx_certs_dev::{Federation, IdentitySpec};

use crate::{clock, failure::Failure, output::Output};
use database::{Database, Server};
use description::{Description, Identity};
use node::{Node, Program};
use people::Samples;
use town::Town;

/// Trust domain of everything here.
const TRUST_DOMAIN: &str = "demo.vrx.example";
/// Who provides.
const FUJISAWA: &str = "142051";
/// Who asks.
const YOKOHAMA: &str = "141003";

/// 2つの自治体で交換を実演する / show an exchange between two municipalities
///
/// 藤沢市と横浜市のノードをこの計算機で動かし、架空の転入者の接種記録を照会します。
/// Makes certificates, starts two real vrx-node processes on free ports, imports and approves invented residents, inquires, adopts, shows
/// what each privacy officer sees, verifies both logs, and verifies a mover's history by files and the other's cosignature. vrx-node is looked for beside this program, or where `VRX_NODE_BIN` says.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 実演後もノードを動かしたままにし、DIR/demo.json を書く / leave the nodes running
    #[arg(long)]
    keep: bool,
    /// 使うフォルダー (新しいもの)。--keep では省略時 ./vrx-demo / a new folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// 証人を置かない。省略時は、互いの提供記録の証人になる / no witnesses; otherwise each cosigns the other's log
    #[arg(long)]
    without_witnesses: bool,
    /// 藤沢市の住民の人数 (40 以上) / residents of Fujisawa, at least 40
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    residents: usize,
    /// 両方のノードを PostgreSQL で動かす。USER はデータベースとロールを作れること。DB の隣に `<DB>_142051` と `<DB>_141003` を作る /
    /// both nodes on PostgreSQL; USER may make databases and roles
    ///
    /// Makes the databases `<DB>_142051` and `<DB>_141003` on that server, and for each the roles `…_owner` and `…_node`; drops
    /// first what an earlier demo made there, and never what somebody else made. Dropped at the end without --keep or --dir. A
    /// password is read from PGPASSFILE or ~/.pgpass. A server on this machine is spoken to without TLS unless sslmode says
    /// otherwise; any other one is verified.
    #[arg(long, value_name = "postgres://USER@HOST:PORT/DB")]
    database: Option<String>,
    /// 乱数の種 / seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let started = clock::now();
    let mut program = Program::find()?;
    let (dir, passing) = folder(&args)?;
    let server = match &args.database {
        Some(text) => Some(Server::parse(text, &dir)?),
        None => None,
    };
    if let Some(server) = &server {
        program.use_passwords(server.password_file());
    }
    let mut nodes = Vec::new();
    let outcome = tokio::select! {
        outcome = play(&args, &dir, &program, server.as_ref(), &mut nodes, output) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::NotDone("中断しました / interrupted".to_owned())),
    };
    let outcome = match outcome {
        Ok(description) if args.keep => {
            let seconds = clock::now().duration_since(started).as_secs();
            return kept(&description, &dir, server.as_ref(), seconds, output);
        }
        outcome => outcome.map(|_| ()),
    };
    let logs: Vec<PathBuf> = nodes
        .iter()
        .map(|node: &Node| node.log_file().to_owned())
        .collect();
    let stopped = stop_all(nodes, output).await;
    match outcome.and(stopped) {
        Ok(()) => {
            if passing {
                for code in [FUJISAWA, YOKOHAMA] {
                    server
                        .as_ref()
                        .map_or(Ok(()), |server| server.remove(&program, code))?;
                }
                std::fs::remove_dir_all(&dir)
                    .map_err(|error| Failure::file("削除", &dir, &error))?;
            }
            let seconds = clock::now().duration_since(started).as_secs();
            if !output.json(|| serde_json::json!({ "done": true, "seconds": seconds }))? {
                output.line(&format!("\n実演は {seconds} 秒で終わりました / done"))?;
            }
            Ok(())
        }
        Err(failure) => {
            output.hint(&format!(
                "実演のファイルは {} にあります / files are kept",
                dir.display()
            ))?;
            for log in logs {
                output.hint(&format!("ノードのログ / the node's log: {}", log.display()))?;
            }
            Err(failure)
        }
    }
}

/// The folder, made, and whether it goes again with the demo.
fn folder(args: &Args) -> Result<(PathBuf, bool), Failure> {
    let (wanted, passing) = match (&args.dir, args.keep) {
        (Some(dir), _) => (dir.clone(), false),
        (None, true) => (PathBuf::from("vrx-demo"), false),
        (None, false) => (
            std::env::temp_dir().join(format!("vrx-demo-{}", std::process::id())),
            true,
        ),
    };
    let used = std::fs::read_dir(&wanted).is_ok_and(|mut entries| entries.next().is_some());
    if used {
        return Err(Failure::Usage(format!(
            "{} は空ではありません。別の --dir を指定するか、中を確認して消してください / the folder isn't empty",
            wanted.display()
        )));
    }
    std::fs::create_dir_all(&wanted).map_err(|error| Failure::file("作成", &wanted, &error))?;
    let dir = wanted
        .canonicalize()
        .map_err(|error| Failure::file("作成", &wanted, &error))?;
    Ok((dir, passing))
}

/// Everything up to (and without) the stop.
async fn play(
    args: &Args,
    dir: &Path,
    program: &Program,
    server: Option<&Server>,
    nodes: &mut Vec<Node>,
    output: &Output,
) -> Result<Description, Failure> {
    output.say(
        "■ 1. 証明書と設定を作り、2つのノードを起動します / certificates, configuration, two nodes",
    )?;
    let federation =
        Federation::create(dir.join("certs"), TRUST_DOMAIN).map_err(|error| not_made(&error))?;
    let recovery = recovery_recipient(dir)?;
    let database = |code| -> Result<Option<Database>, Failure> {
        let Some(server) = server else {
            return Ok(None);
        };
        let database = server.make(program, code)?;
        output.say(&format!(
            "  データベース {database} を作りました / made a database and its roles"
        ))?;
        Ok(Some(database))
    };
    let found = |code| Town::found(code, dir, &federation, &recovery, database(code)?);
    let (mut fujisawa, mut yokohama) = (found(FUJISAWA)?, found(YOKOHAMA)?);
    for town in [&mut fujisawa, &mut yokohama] {
        let owner = town
            .database
            .as_ref()
            .map(|database| database.owner.as_str());
        program.init(&town.config, owner)?;
        town.log_vkey = program.log_key(&town.config, town.code())?;
        town.witness_vkey = program.witness_key(&town.config, town.code())?;
        town.write_profiles(&federation)?;
    }
    if !args.without_witnesses {
        fujisawa.ask_witness(&yokohama)?;
        yokohama.ask_witness(&fujisawa)?;
    }
    town::write_members(dir, &[&fujisawa, &yokohama])?;
    for town in [&fujisawa, &yokohama] {
        nodes.push(Node::start(program, town)?);
    }
    for (node, town) in nodes.iter_mut().zip([&fujisawa, &yokohama]) {
        node.wait_ready(&town.profile("operator")?).await?;
        output.say(&format!(
            "  {} {} が {} で動いています (pid {})",
            town.code(),
            town.name(),
            town.address,
            node.pid()
        ))?;
    }

    output.say("\n■ 2. 架空の住民と接種記録を CP932 のファイルから取り込み、別の職員が承認します / import and approve")?;
    let samples = Samples::make(args, dir, &fujisawa, &yokohama)?;
    story::import_and_approve(&fujisawa, &samples.fujisawa, output).await?;
    story::import_movers(&yokohama, &samples.yokohama, output).await?;

    let description = describe(&federation, &[&fujisawa, &yokohama], nodes, &samples)?;
    description.write(&dir.join("demo.json"))?;
    let from = clock::now();
    story::exchange(&fujisawa, &yokohama, &samples, output).await?;
    story::officers(&[&fujisawa, &yokohama], from, output).await?;
    if !args.without_witnesses {
        let proofs = dir.join("disclosure");
        story::disclosure(&fujisawa, &yokohama, &samples, &proofs, output).await?;
    }
    Ok(description)
}

fn describe(
    federation: &Federation,
    towns: &[&Town],
    nodes: &[Node],
    samples: &Samples,
) -> Result<Description, Failure> {
    let mut identities: Vec<Identity> = towns.iter().flat_map(|town| town.identities()).collect();
    // A certificate-issuance service (接種証明書), for Fujisawa.
    let service = federation
        .issue(&IdentitySpec::new(FUJISAWA, "certificate"))
        .map_err(|error| not_made(&error))?;
    identities.push(Identity {
        municipality_code: FUJISAWA.to_owned(),
        role: "certificate".to_owned(),
        name: None,
        cert: service.cert_path,
        key: service.key_path,
    });
    Ok(Description {
        trust_domain: TRUST_DOMAIN.to_owned(),
        ca_cert: federation.ca_cert(),
        nodes: towns
            .iter()
            .zip(nodes)
            .map(|(town, node)| town.describe(node))
            .collect(),
        identities,
        persons: samples.persons.clone(),
    })
}

/// Whoever holds this key can restore the keyrings of the demo. A real office keeps it on paper, in a safe.
fn recovery_recipient(dir: &Path) -> Result<String, Failure> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let identity = age::x25519::Identity::generate();
    let path = dir.join("recovery-identity.txt");
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{}", identity.to_string().expose_secret()))
        .map_err(|error| Failure::file("作成", &path, &error))?;
    Ok(identity.to_public().to_string())
}

fn kept(
    description: &Description,
    dir: &Path,
    server: Option<&Server>,
    seconds: i64,
    output: &Output,
) -> Result<(), Failure> {
    let passwords = server.map_or(String::new(), |server| {
        format!("PGPASSFILE={} ", server.password_file().display())
    });
    let pids: Vec<String> = description
        .nodes
        .iter()
        .map(|node| node.pid.to_string())
        .collect();
    let json = || {
        serde_json::json!({
            "demo_json": dir.join("demo.json"),
            "seconds": seconds,
            "pids": description.nodes.iter().map(|node| node.pid).collect::<Vec<_>>(),
        })
    };
    if output.json(json)? {
        return Ok(());
    }
    output.line(&format!(
        "\n実演は {seconds} 秒で終わりました。ノードは動き続けています / the nodes keep running"
    ))?;
    output.line(&format!(
        "  接続先・証明書・見本の一覧 / description: {}",
        dir.join("demo.json").display()
    ))?;
    output.line(&format!(
        "  プロファイル / profiles:              {}",
        dir.join("profiles").display()
    ))?;
    for node in &description.nodes {
        output.line(&format!(
            "  {} {} {}  ログ {}",
            node.municipality_code,
            node.name,
            node.address,
            node.log_file.display()
        ))?;
        output.line(&format!(
            "    再起動 / restart: {passwords}vrx-node serve --config {}",
            node.config.display()
        ))?;
    }
    output.line(&format!("  止める / stop: kill {}", pids.join(" ")))
}

async fn stop_all(nodes: Vec<Node>, output: &Output) -> Result<(), Failure> {
    if nodes.is_empty() {
        return Ok(());
    }
    output.say("\n■ ノードを停止します / stopping the nodes")?;
    for node in &nodes {
        node.terminate();
    }
    let mut outcome = Ok(());
    for node in nodes {
        outcome = outcome.and(node.wait_ended().await);
    }
    outcome
}

fn not_made(error: &vrx_certs_dev::CertError) -> Failure {
    Failure::Configuration(format!(
        "実演用の証明書を作れません / can't make certificates: {error}"
    ))
}
