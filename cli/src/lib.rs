//! The program `vrx`: what a municipality's staff, privacy officers and operators do from their desks.
//!
//! It speaks to a node over mutual TLS and opens no database. One command a file under `command/`; `demo/` shows the whole of it with two
//! real nodes; `sample/` invents the residents; `paper/` prints. The rules are the node's: here is only what a person needs to ask it and to read its answer.
//!
//! - Start reading at [`run`], then `command/inquire.rs`: it has a bit of everything.
//! - `profile.rs` and `connect.rs` say whom we talk to and what has to hold before the first byte leaves; `failure.rs` says which exit code
//!   an outcome has, and what to do next; `labels.rs` and `words.rs` say what stands in the log, and what a node says, in Japanese.
//! - To add a command: a file under `command/` with its `Args` and `run`, one variant in `Command`, one arm in `dispatch`.
//! - The individual number never comes as an argument: other users of the machine can read the process list. `mask.rs` keeps what was
//!   typed as one all the same out of every error.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod arguments;
mod clock;
mod command;
mod connect;
mod demo;
mod encoding;
mod failure;
mod labels;
mod mask;
mod output;
mod outputs;
mod paper;
mod profile;
mod receipt;
mod sample;
mod words;

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{failure::Failure, output::Output, profile::ConnectionArgs};

/// 自治体間の接種記録交換ノードを操作します / operates a node that keeps and exchanges vaccination records.
///
/// 職員 (staff) は取込・照会・取得を、個人情報保護担当 (officer) は提供記録の確認を行います。
/// 接続先と証明書は --profile または環境変数 `VRX_PROFILE` で指定します。
#[derive(Parser, Debug)]
#[command(
    name = "vrx",
    version,
    after_help = "終了コード / exit codes:\n  \
        0 完了 done   1 拒否された行・未完了・検証失敗 rows refused, not done or not proved   2 使い方 usage\n  \
        64 設定 configuration   69 利用できない unavailable   77 許可されていない not allowed"
)]
struct Cli {
    /// 表の代わりに JSON を出力する / print JSON for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Sample(command::sample::Args),
    /// 住民・接種記録を取り込み、承認する / import residents and doses, approve
    #[command(subcommand)]
    Import(command::import::Command),
    Inquire(command::inquire::Args),
    Adopt(command::adopt::Args),
    /// 提供記録を確認する (個人情報保護担当) / read and verify the provision log (privacy officer)
    #[command(subcommand)]
    Log(command::log::Command),
    /// 受領証・証明・書き出した提供記録を、ネットワークなしで検証する / verify receipts, proofs and exported logs offline
    #[command(subcommand)]
    Verify(command::verify::Command),
    /// 開示請求への対応と日々の確認 (個人情報保護担当) / disclosure and daily review (privacy officer)
    #[command(subcommand)]
    Officer(command::officer::Command),
    /// 保管期間と消去 (個人情報保護担当) / retention and erasure (privacy officer)
    #[command(subcommand)]
    Retention(command::retention::Command),
    Demo(demo::Args),
}

/// Runs one command line and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return end(&Failure::Unavailable(format!(
                "実行環境を用意できません / no runtime: {error}"
            )));
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let output = Output::new(cli.json);
    match cli.command {
        Command::Sample(args) => command::sample::run(&args, &output),
        Command::Import(command) => command::import::run(command, &cli.connection, &output).await,
        Command::Inquire(args) => command::inquire::run(args, &cli.connection, &output).await,
        Command::Adopt(args) => command::adopt::run(args, &cli.connection, &output).await,
        Command::Log(command) => command::log::run(command, &cli.connection, &output).await,
        Command::Verify(command) => command::verify::run(command, &output),
        Command::Officer(command) => command::officer::run(command, &cli.connection, &output).await,
        Command::Retention(command) => {
            command::retention::run(command, &cli.connection, &output).await
        }
        Command::Demo(args) => demo::run(args, &output).await,
    }
}

/// Said where something that may be a number was typed as an argument.
const NEVER_AN_ARGUMENT: &str = "個人番号は引数やファイル名に書かないでください（ほかの利用者に見えます）。\
     画面に表示せずに入力するか、標準入力または --number-file で渡します / \
     an individual number is never an argument: it is typed unseen, or read from standard input or --number-file";

/// The parser's help, version or error. It repeats what was typed, but for what may be a number.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let told = match mask::masked(&error.render().to_string()) {
        Some(text) if error.use_stderr() => writeln!(
            std::io::stderr().lock(),
            "{}\n\nvrx: {NEVER_AN_ARGUMENT}",
            text.trim_end()
        ),
        _ => error.print(),
    };
    // Nothing can be said when even standard error is closed.
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    ExitCode::from(if told.is_ok() { code } else { 69 })
}

fn end(failure: &Failure) -> ExitCode {
    let text = failure.to_string();
    let text = match (mask::masked(&text), failure) {
        (Some(masked), Failure::Usage(_)) => format!("{masked}\nvrx: {NEVER_AN_ARGUMENT}"),
        (Some(masked), _) => masked,
        (None, _) => text,
    };
    // When standard error is closed, the exit code still says what happened.
    let _closed = writeln!(std::io::stderr().lock(), "vrx: {text}").is_err();
    ExitCode::from(failure.exit_code())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_the_individual_number() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_id() != "number" && argument.get_id() != "individual_number",
                    "{argument}"
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::Cli::command());
    }
}
