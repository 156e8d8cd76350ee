//! The arguments, and which verb they lead to.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use vrx_domain::MunicipalityCode;

use crate::config::{Config, MEMBERS_SAMPLE, SAMPLE};
use crate::failure::Failure;
use crate::{hardening, init, local_log, restore, serve, telemetry};

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
    /// there is none. A node that is already set up is left alone (exit 64).
    Init(InitArguments),
    /// Serves until SIGTERM or SIGINT: then no new calls, those running end, the log is written out. A second signal, or
    /// the time limit in the configuration, cuts off what still runs. Nothing that was answered is ever lost.
    Serve(ServeArguments),
    /// Looks at the provision log of this machine; works whether the node serves or not, and changes nothing.
    #[command(subcommand)]
    Log(LogCommand),
    /// Puts a lost keyring back from its recovery copy, which comes decrypted on standard input:
    /// `age --decrypt --identity KEY COPY | vrx-node restore-keyring --config FILE`. Neither the recovery key nor the
    /// decrypted copy ever becomes a file here. A root key is made when it is gone too.
    RestoreKeyring {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
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
    /// The municipality; there is one in a configuration, so this only makes sure that it is the right one.
    #[arg(long, value_name = "CODE")]
    tenant: Option<MunicipalityCode>,
}

#[derive(Subcommand)]
enum LogCommand {
    /// Checks the whole log: every leaf, tile, opening and link, the root, the signed and the kept checkpoint.
    Verify(Which),
    /// Writes the signed checkpoint and all hash tiles in the layout of C2SP tlog-tiles. No entry and nothing about a
    /// person is in them.
    Export {
        #[command(flatten)]
        which: Which,
        /// Where to.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Prints the log's verifier key, one line for the members file of the other municipalities.
    Key(Which),
    /// Prints the newest signed checkpoint.
    Checkpoint(Which),
}

/// Does what the arguments say.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    hardening::harden()?;
    match arguments.command {
        Command::Init(InitArguments {
            config: Some(file), ..
        }) => set_up(&Config::load(&file)?),
        Command::Init(InitArguments {
            config: None,
            dir,
            tenant,
            recipients,
        }) => {
            let (Some(dir), Some(code)) = (dir, tenant) else {
                return Err(Failure::configuration(
                    "init needs --config FILE, or --dir DIR and --tenant CODE",
                ));
            };
            let file = init::sample_config(&dir, code, &recipients)?;
            let config = Config::load(&file)?;
            if config.tenant.code != code {
                return Err(wrong_tenant(&file, code, config.tenant.code));
            }
            set_up(&config)
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
        Command::Log(command) => log(command),
        Command::RestoreKeyring { config } => {
            let keyring = restore::restore(&Config::load(&config)?, &mut std::io::stdin().lock())?;
            print(&format!("The keyring is restored: {}\n", keyring.display()))
        }
        Command::Config { members } => print(if members { MEMBERS_SAMPLE } else { SAMPLE }),
    }
}

fn set_up(config: &Config) -> Result<(), Failure> {
    let done = runtime()?.block_on(init::init(config))?;
    print(&done.to_string())
}

fn log(command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Verify(which) => {
            let config = config_of(&which)?;
            print(&runtime()?.block_on(local_log::verify(&config))?.to_string())
        }
        LogCommand::Export { which, dir } => {
            let config = config_of(&which)?;
            print(&runtime()?.block_on(local_log::export(&config, &dir))?)
        }
        LogCommand::Key(which) => print(&format!("{}\n", local_log::key(&config_of(&which)?)?)),
        LogCommand::Checkpoint(which) => {
            let config = config_of(&which)?;
            print(&runtime()?.block_on(local_log::checkpoint(&config))?)
        }
    }
}

fn config_of(which: &Which) -> Result<Config, Failure> {
    let config = Config::load(&which.config)?;
    match which.tenant {
        Some(asked) if asked != config.tenant.code => {
            Err(wrong_tenant(&which.config, asked, config.tenant.code))
        }
        _ => Ok(config),
    }
}

fn wrong_tenant(file: &Path, asked: MunicipalityCode, found: MunicipalityCode) -> Failure {
    Failure::configuration(format!(
        "{}: tenant.code is {found}, --tenant says {asked}; give the configuration of {asked}",
        file.display()
    ))
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
    fn the_code_of_a_ward_is_no_tenant() {
        let arguments = ["vrx-node", "init", "--dir", "d", "--tenant", "141011"];
        assert!(Arguments::try_parse_from(arguments).is_err());
    }
}
