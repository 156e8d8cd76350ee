//! The arguments, and which verb they lead to.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vrx_domain::MunicipalityCode;
use vrx_provision_log::Bundles;
use vrx_storage::postgres::PostgresUrl;

use crate::config::{Config, MEMBERS_SAMPLE, SAMPLE, TenantConfig};
use crate::failure::Failure;
use crate::{
    backup, erase, hardening, init, local_log, migrate, recovered, restore, returned, serve,
    telemetry, tenant_move, trial,
};

/// The node with which a municipality keeps its residents' vaccination records and exchanges them with other
/// municipalities.
///
/// A node is set up once with `init`, runs with `serve`, and its provision log (提供記録) is checked and exported with
/// `log`. Everything else about it stands in one commented TOML file.
///
/// Exit codes: 0 done, 2 wrong arguments, 64 the configuration can't be used, 69 something doesn't answer (a port, a disk,
/// a database in use), 70 a bug, 74 what is stored is refused (an older database was put back, a log that doesn't verify).
#[derive(Parser)]
#[command(name = "vrx-node", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes folders, root key (when absent), keyring, its recovery copy, and the database with the log's first entry.
    ///
    /// With --config the file must be there. With --dir a commented configuration is written to DIR/node.toml first, when
    /// there is none. Tenants that are set up already are left alone, so one can be added later; when all are, nothing is
    /// done (exit 64). On PostgreSQL the database is made ready by `migrate`, or here with --owner.
    Init(InitArguments),
    /// Brings a PostgreSQL database to this version: schema, rights of the nodes' role, partitions and first rows of each
    /// tenant of the configuration that is there. Can be run again; says what it did. Migrate before the nodes are upgraded:
    /// nodes of this version and of the one before work on the same schema.
    Migrate(MigrateArguments),
    /// Serves until SIGTERM or SIGINT: then no new calls, those running end, the log is written out. A second signal, or
    /// the time limit in the configuration, cuts off what still runs. Nothing that was answered is ever lost.
    Serve(ServeArguments),
    /// Looks at the provision log of this machine; works whether the node serves or not, and changes nothing.
    #[command(subcommand)]
    Log(LogCommand),
    /// Puts a lost keyring back from its recovery copy, which comes decrypted on standard input:
    /// `age --decrypt --identity KEY COPY | vrx-node restore-keyring --config FILE`. Neither the recovery key nor the
    /// decrypted copy ever becomes a file here. A root key is made when it is gone too.
    RestoreKeyring(Which),
    /// Backs up the data of the configuration's tenants, while the node serves: one consistent state of each, encrypted with age
    /// for `backup_recipients`, with a manifest beside it that says whose it is, where its log stands and what it hashes to.
    /// The log is checked leaf by leaf meanwhile; a damaged one makes no backup. Backups beyond `backup_keep` are removed
    /// when the new one stands. No key of the node is in a backup: keep the recovery copies of the keyrings apart from them.
    Backup {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only this municipality; all of the configuration otherwise.
        #[arg(long, value_name = "CODE")]
        tenant: Option<MunicipalityCode>,
        /// Where to, instead of `backup_dir`.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Brings a tenant back from a backup, in place of what stands: `vrx-node restore --config FILE --tenant CODE BACKUP < IDENTITY`.
    /// The age identity (AGE-SECRET-KEY-1…) comes on standard input and is never a file here. The node must be stopped.
    ///
    /// The recovery point is the moment at which the backup was begun (`made_at` in its manifest): entries and records of after
    /// that are not in it, with the daily timer up to a day of them. Everything is decrypted into a new place and checked there:
    /// the file's hash, the rows of each table, every leaf of the log against its root, the log against the checkpoint that is
    /// kept at the second path. Only then does it take the place of what stood. A log older than the kept checkpoint is refused
    /// (exit 74), unless --new-epoch. What stands on the list of destroyed keys (destroyed.list in
    /// `keyring_dir`) is left out: persons, and openings of the log.
    ///
    /// After --new-epoch the serving node asks the members for the receipts of the answers given since, and enters those again:
    /// `vrx-node log recovered`.
    ///
    /// After a lost disk: `restore-keyring` first, then this. On PostgreSQL the database must not hold the tenant yet.
    Restore(RestoreArguments),
    /// The operator's part of an erasure (消去) that two officers decided: see `vrx retention`.
    #[command(subcommand)]
    Erase(EraseCommand),
    /// Moves tenants between databases.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Makes a PostgreSQL database for a trial and drops it again: what `vrx demo --database` does first and last.
    #[command(subcommand, hide = true)]
    TrialDatabase(TrialCommand),
    /// Prints a commented sample of the configuration, or of the members file.
    Config {
        /// The members file instead.
        #[arg(long)]
        members: bool,
    },
}

#[derive(Args)]
struct InitArguments {
    /// The configuration.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "dir",
        conflicts_with = "dir"
    )]
    config: Option<PathBuf>,
    /// A folder for a new node: DIR/node.toml is the configuration.
    #[arg(long, value_name = "DIR", requires = "tenant")]
    dir: Option<PathBuf>,
    /// The municipality code to write into a new configuration.
    #[arg(long, value_name = "CODE")]
    tenant: Option<MunicipalityCode>,
    /// An age recipient (age1…, made by `age-keygen` on another machine) that can restore the keys; a new configuration needs
    /// at least one, and may have several.
    #[arg(long = "recovery-recipient", value_name = "AGE1…", requires = "dir")]
    recipients: Vec<String>,
    /// The address of the role that owns the PostgreSQL database of the configuration: migrates it too, and writes the
    /// first entries. A password is read from the file that PGPASSFILE names.
    #[arg(long, value_name = "POSTGRES_URL")]
    owner: Option<String>,
}

#[derive(Args)]
struct MigrateArguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The address of the role that owns the database, `postgres://OWNER@HOST/DATABASE?sslrootcert=FILE`. A password is read
    /// from the file that PGPASSFILE names.
    #[arg(long, value_name = "POSTGRES_URL")]
    owner: String,
    /// The cluster, where several are configured; `database` is called default.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

#[derive(Args)]
struct ServeArguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Accept the database although no checkpoint is kept for it at the second path: after that path was lost, and when
    /// you know that the database is the newest one.
    #[arg(long)]
    accept_missing_checkpoint: bool,
}

#[derive(Args)]
struct Which {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The municipality; needed where the configuration has several.
    #[arg(long, value_name = "CODE")]
    tenant: Option<MunicipalityCode>,
}

#[derive(Args)]
struct RestoreArguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The municipality.
    #[arg(long, value_name = "CODE")]
    tenant: MunicipalityCode,
    /// The encrypted file (….vrx.age); its manifest (….vrx.json) must stand beside it.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Go on with a log that is older than what was signed, when there is no newer backup: in a new epoch, whose first entry names
    /// the state it goes on from and the last one that was signed. The log's key changes its name: the other municipalities
    /// need the new one.
    #[arg(long)]
    new_epoch: bool,
    /// On PostgreSQL, the address of the role that owns the database.
    #[arg(long, value_name = "POSTGRES_URL")]
    owner: Option<String>,
}

#[derive(Subcommand)]
enum TenantCommand {
    /// Moves a tenant from SQLite or its cluster to another cluster. It is read-only meanwhile (on SQLite the node must be
    /// stopped); every row is compared at the end, and the log's root; only then does the target serve. Interrupted, it is run
    /// again and goes on. Afterwards the configuration's line is changed as it says.
    Move {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The municipality.
        #[arg(long, value_name = "CODE")]
        tenant: MunicipalityCode,
        /// The cluster to move to: its name in the configuration, or the nodes' address of its database.
        #[arg(long, value_name = "CLUSTER_OR_POSTGRES_URL")]
        to: String,
        /// The address of the role that owns that database.
        #[arg(long, value_name = "POSTGRES_URL")]
        owner: String,
        /// Instead: empties the target and lets the tenant be served from where it was. Not once the target serves.
        #[arg(long)]
        abandon: bool,
    },
}

#[derive(Subcommand)]
enum EraseCommand {
    /// Rewrites the database's files without what an erasure deleted: until then pages that were freed may still hold it, and the
    /// erasure isn't recorded. On SQLite only for files above 128 MB, with the node stopped: smaller ones the node rewrites by
    /// itself. On PostgreSQL always, as the owner, while nodes serve: each of the tenant's tables is locked while it is written
    /// anew, so choose a quiet hour. Does nothing where no erasure waits.
    Finish {
        #[command(flatten)]
        which: Which,
        /// On PostgreSQL, the address of the role that owns the database.
        #[arg(long, value_name = "POSTGRES_URL")]
        owner: Option<String>,
    },
    /// Erases again what stands on the list of what was destroyed (destroyed.list in `keyring_dir` and `backup_dir`) and is in the
    /// database all the same, because an older copy of it was put back by hand: a node doesn't serve that. On SQLite with the node
    /// stopped, on PostgreSQL as the owner. The database's files are rewritten at the end. A restore does this by itself.
    Again {
        #[command(flatten)]
        which: Which,
        /// On PostgreSQL, the address of the role that owns the database.
        #[arg(long, value_name = "POSTGRES_URL")]
        owner: Option<String>,
    },
}

#[derive(Subcommand)]
enum TrialCommand {
    /// Makes the database NAME with the roles `NAME_owner` and `NAME_node`.
    Make {
        #[command(flatten)]
        trial: TrialArguments,
        /// Where the roles' passwords are added.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Drops what `make` made, and nothing else.
    Remove(TrialArguments),
}

#[derive(Args)]
struct TrialArguments {
    /// A role that may make databases and roles.
    #[arg(long, value_name = "POSTGRES_URL")]
    admin: String,
    /// The database.
    #[arg(long, value_name = "NAME")]
    name: String,
}

#[derive(Subcommand)]
enum LogCommand {
    /// Checks the whole log: every leaf, tile, opening and link, the root, the signed and the kept checkpoint.
    Verify(Which),
    /// Writes the signed checkpoint and all hash tiles in the layout of C2SP tlog-tiles. No entry and nothing about a
    /// person is in them. `vrx verify log` checks what was written, on any machine.
    Export {
        #[command(flatten)]
        which: Which,
        /// Where to: a new folder, or that of an earlier export of this log of the same kind.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The entries' leaves too (`tile/entries`): kind, time and commitments of each entry, nothing in plain. For the
        /// municipality's privacy officer alone: they tell when something was done and how often.
        #[arg(long)]
        entries: bool,
    },
    /// Prints the log's verifier key, one line for the members file of the other municipalities.
    Key(Which),
    /// Prints the key that others check this municipality's cosignatures with, one line for the `witnesses` of those that it witnesses.
    WitnessKey(Which),
    /// Prints the newest signed checkpoint.
    Checkpoint(Which),
    /// After `restore --new-epoch`: which members gave back their receipts of the answers that were lost, how many of those were
    /// entered again, and for which entries no receipt came.
    Recovered(Which),
}

/// Does what the arguments say.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    hardening::harden()?;
    match arguments.command {
        Command::Init(arguments) => {
            let file = configuration_of(&arguments)?;
            let config = Config::load(&file)?;
            if arguments.tenant.is_some() {
                config.tenant(&file, arguments.tenant)?;
            }
            let url = match &arguments.owner {
                Some(text) => Some(address("--owner", text)?),
                None => None,
            };
            let owner = url.as_ref().map(|url| init::Owner {
                url,
                config_file: &file,
            });
            let done = runtime()?.block_on(init::init(&config, owner))?;
            print(&done.to_string())
        }
        Command::Migrate(MigrateArguments {
            config: file,
            owner,
            cluster,
        }) => {
            let config = Config::load(&file)?;
            let owner = address("--owner", &owner)?;
            let migrating = migrate::migrate(&config, &file, &owner, cluster.as_deref());
            print(&runtime()?.block_on(migrating)?.to_string())
        }
        Command::Serve(ServeArguments {
            config,
            accept_missing_checkpoint,
        }) => {
            let file = config;
            let config = Config::load(&file)?;
            config.check_files(&file)?;
            telemetry::start(&config.logging)?;
            runtime()?.block_on(serve::serve(&config, &file, accept_missing_checkpoint))
        }
        Command::Log(command) => log(&command),
        Command::RestoreKeyring(which) => {
            let config = Config::load(&which.config)?;
            let code = which.of(&config)?.code;
            let keyring = restore::restore(&config, code, &mut std::io::stdin().lock())?;
            print(&format!("The keyring is restored: {}\n", keyring.display()))
        }
        Command::Backup {
            config: file,
            tenant,
            dir,
        } => {
            let config = Config::load(&file)?;
            let (made, failed) =
                runtime()?.block_on(backup::backup(&config, &file, tenant, dir))?;
            for done in made {
                print(&done.to_string())?;
            }
            failed.map_or(Ok(()), Err)
        }
        Command::Restore(arguments) => restore_data(arguments),
        Command::Erase(command) => erase(&command),
        Command::Tenant(command) => move_tenant(command),
        Command::TrialDatabase(TrialCommand::Make {
            trial,
            password_file,
        }) => {
            let admin = address("--admin", &trial.admin)?;
            runtime()?.block_on(trial::make(&admin, &trial.name, &password_file))
        }
        Command::TrialDatabase(TrialCommand::Remove(trial)) => {
            let admin = address("--admin", &trial.admin)?;
            runtime()?.block_on(trial::remove(&admin, &trial.name))
        }
        Command::Config { members } => print(if members { MEMBERS_SAMPLE } else { SAMPLE }),
    }
}

fn erase(command: &EraseCommand) -> Result<(), Failure> {
    let (EraseCommand::Finish { which, owner } | EraseCommand::Again { which, owner }) = command;
    let config = Config::load(&which.config)?;
    let owner = match owner {
        Some(text) => Some(address("--owner", text)?),
        None => None,
    };
    let tenant = which.of(&config)?;
    match command {
        EraseCommand::Finish { .. } => {
            let finishing = erase::finish(&config, tenant, owner.as_ref());
            print(&runtime()?.block_on(finishing)?.to_string())
        }
        EraseCommand::Again { .. } => {
            let erasing = returned::erase_again(&config, tenant, owner.as_ref());
            print(&runtime()?.block_on(erasing)?.to_string())
        }
    }
}

fn restore_data(arguments: RestoreArguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let owner = match &arguments.owner {
        Some(text) => Some(address("--owner", text)?),
        None => None,
    };
    let wanted = backup::Wanted {
        settings: config.tenant(&arguments.config, Some(arguments.tenant))?,
        backup: arguments.backup,
        epoch: if arguments.new_epoch {
            backup::Epoch::New
        } else {
            backup::Epoch::Same
        },
        owner,
    };
    let mut input = std::io::stdin();
    let restoring = backup::restore_backup(&config, wanted, &mut input);
    print(&runtime()?.block_on(restoring)?.to_string())
}

fn move_tenant(command: TenantCommand) -> Result<(), Failure> {
    let TenantCommand::Move {
        config: file,
        tenant,
        to,
        owner,
        abandon,
    } = command;
    let config = Config::load(&file)?;
    let settings = config.tenant(&file, Some(tenant))?;
    let target = tenant_move::Target::new(&config, &to, address("--owner", &owner)?)?;
    if abandon {
        let abandoned = tenant_move::abandon(&config, settings, target);
        return print(&runtime()?.block_on(abandoned)?);
    }
    let moved = tenant_move::move_tenant(&config, settings, target);
    print(&runtime()?.block_on(moved)?.to_string())
}

/// The address in an argument. An error doesn't repeat it, as the argument parser would: a password might stand in it.
fn address(argument: &str, text: &str) -> Result<PostgresUrl, Failure> {
    PostgresUrl::parse(text).map_err(|error| Failure::configuration(format!("{argument}: {error}")))
}

/// The configuration that `init` works with; written first where --dir asks for a new node.
fn configuration_of(arguments: &InitArguments) -> Result<PathBuf, Failure> {
    match (&arguments.config, &arguments.dir, arguments.tenant) {
        (Some(file), _, _) => Ok(file.clone()),
        (None, Some(dir), Some(code)) => init::sample_config(dir, code, &arguments.recipients),
        (None, _, _) => Err(Failure::configuration(
            "init needs --config FILE, or --dir DIR and --tenant CODE",
        )),
    }
}

fn log(command: &LogCommand) -> Result<(), Failure> {
    let (LogCommand::Verify(which)
    | LogCommand::Export { which, .. }
    | LogCommand::Key(which)
    | LogCommand::WitnessKey(which)
    | LogCommand::Checkpoint(which)
    | LogCommand::Recovered(which)) = command;
    let config = Config::load(&which.config)?;
    let tenant = which.of(&config)?;
    match command {
        LogCommand::Verify(_) => {
            let whole = runtime()?.block_on(local_log::verify(&config, tenant))?;
            print(&whole.to_string())
        }
        LogCommand::Export { dir, entries, .. } => {
            let bundles = if *entries {
                Bundles::Write
            } else {
                Bundles::Leave
            };
            print(&runtime()?.block_on(local_log::export(&config, tenant, dir, bundles))?)
        }
        LogCommand::Key(_) => print(&format!("{}\n", local_log::key(&config, tenant)?)),
        LogCommand::WitnessKey(_) => {
            print(&format!("{}\n", local_log::witness_key(&config, tenant)?))
        }
        LogCommand::Recovered(_) => {
            let recovered = runtime()?.block_on(recovered::recovered(&config, tenant))?;
            print(&recovered.to_string())
        }
        LogCommand::Checkpoint(_) => {
            print(&runtime()?.block_on(local_log::checkpoint(&config, tenant))?)
        }
    }
}

impl Which {
    fn of<'a>(&self, config: &'a Config) -> Result<&'a TenantConfig, Failure> {
        Ok(config.tenant(&self.config, self.tenant)?)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("the runtime can't start: {error}")))
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::unavailable(format!("standard output can't be written: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_names_every_exit_code() {
        let help = Arguments::command().render_long_help().to_string();
        for code in ["64", "69", "70", "74"] {
            assert!(help.contains(code), "{code}");
        }
    }

    #[test]
    fn an_address_with_a_password_is_refused_without_repeating_it() {
        let failure = address("--owner", "postgres://owner:geheim@db.example/vrx").unwrap_err();
        assert!(failure.message.contains("PGPASSFILE"), "{failure}");
        assert!(!failure.message.contains("geheim"), "{failure}");
    }

    #[test]
    fn the_code_of_a_ward_is_no_tenant() {
        let arguments = ["vrx-node", "init", "--dir", "d", "--tenant", "141011"];
        assert!(Arguments::try_parse_from(arguments).is_err());
    }
}
