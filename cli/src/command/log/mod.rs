//! `vrx log`: what a privacy officer sees of the provision log (提供記録). Each of these reads is itself an entry.

mod entries;
mod reconcile;
mod show;
mod verify;

use serde_json::json;

use crate::{
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};
use entries::entry_json;
pub(crate) use entries::{ListArgs, list, show_entries};
pub(crate) use verify::{key as verifier_key, verify};

/// 提供記録の確認 / the provision log.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// 古い順に一覧を表示する / list entries, oldest first
    List(ListArgs),
    /// 1件を、開示内容と証明付きで表示する / show one entry with its opening and proof
    Show {
        /// 提供記録の番号 / the entry's index
        #[arg(value_name = "INDEX")]
        index: u64,
    },
    /// 全件を検証する。署名と証明はこのコマンド自身でも確かめる / verify the whole log; signature and proofs are checked here too
    Verify {
        /// 手元で包含証明を確かめる件数 / entries whose inclusion proof is checked here
        #[arg(long, default_value_t = 8, value_name = "N")]
        proofs: u64,
    },
    /// 相手の提供記録と、こちらの照会・受領証を今すぐ照合する（毎夜自動でも行われる） / reconcile with a provider now
    Reconcile {
        /// 相手の自治体コード (6桁) / the provider's municipality code
        #[arg(value_name = "CODE")]
        provider: String,
    },
}

/// Runs the command.
pub(crate) async fn run(
    command: Command,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    match command {
        Command::List(args) => {
            let listed = list(connect(&profile).await?, &profile, &args).await?;
            let printed = output.json(|| {
                json!({
                    "entries": listed.entries.iter().map(entry_json).collect::<Vec<_>>(),
                    "next_page_token": listed.next_page_token,
                    "log_size": listed.log_size,
                })
            })?;
            if printed {
                return Ok(());
            }
            show_entries(&listed.entries, output)?;
            if listed.next_page_token.is_empty() {
                return Ok(());
            }
            output.hint(&format!(
                "続き → 同じ条件に --page-token {} を付ける / more",
                listed.next_page_token
            ))
        }
        Command::Reconcile { provider } => reconcile::reconcile(&profile, &provider, output).await,
        Command::Show { index } => show::show(&profile, index, output).await,
        Command::Verify { proofs } => {
            let verified = verify(connect(&profile).await?, &profile, proofs, output).await?;
            if !output.json(|| verified.json())? {
                verified.show(output)?;
            }
            verified.conclusion()
        }
    }
}
