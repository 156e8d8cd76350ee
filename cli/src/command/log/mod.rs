//! `vrx log`: what a privacy officer sees of the provision log (提供記録). Each of these reads is itself an entry.

mod entries;
mod fields;
mod key;
mod names;
mod proofs;
mod reconcile;
mod show;
mod verify;

use serde_json::json;

use crate::{
    arguments,
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};
pub(crate) use entries::{ListArgs, cause_label, kind_label, list, show_entries};
use entries::{conclusion, entry_json};
pub(crate) use proofs::Proofs;
pub(crate) use verify::{key, parse_receipt, verify};

/// 提供記録の確認 / the provision log.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// 古い順（または新しい順）に一覧を表示する / list entries, oldest or newest first
    List(ListArgs),
    /// 1件を、開示内容と証明付きで表示する / show one entry with its opening and proof
    Show {
        /// 提供記録の番号 / the entry's index
        #[arg(value_name = "INDEX", value_parser = arguments::index)]
        index: u64,
        /// 受領証を新しいファイルに保存する (C2SP tlog-proof、.tlog-proof) / save the receipt, for vrx verify receipt
        #[arg(long, value_name = "FILE")]
        save: Option<std::path::PathBuf>,
    },
    /// 全件を検証する。署名と証明はこのコマンド自身でも確かめる / verify the whole log; signature and proofs are checked here too
    Verify {
        /// 手元で包含証明を確かめる件数 / entries whose inclusion proof is checked here
        #[arg(long, default_value_t = 8, value_name = "N")]
        proofs: u64,
    },
    /// このログの検証鍵を表示する。ノードの最新の署名で確かめる / print the log's verifier key, checked against the node's newest checkpoint
    Key,
    /// 最新の署名済みの木の先頭を表示する (C2SP tlog-checkpoint) / print the newest signed checkpoint
    Checkpoint {
        /// 証人が副署した最新のものを、副署とともに表示する / the newest one that the witnesses cosigned
        #[arg(long)]
        witnessed: bool,
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
            if !printed {
                show_entries(&listed.entries, output)?;
            }
            if !printed && !listed.next_page_token.is_empty() {
                output.hint(&format!(
                    "続き → 同じ条件に --page-token {} を付ける / more",
                    listed.next_page_token
                ))?;
            }
            conclusion(&listed.entries)
        }
        Command::Show { index, save } => show::show(&profile, index, save.as_deref(), output).await,
        Command::Key => key::show_key(&profile, output).await,
        Command::Checkpoint { witnessed } => {
            key::show_checkpoint(&profile, witnessed, output).await
        }
        Command::Reconcile { provider } => reconcile::reconcile(&profile, &provider, output).await,
        Command::Verify { proofs } => {
            let verified = verify(connect(&profile).await?, &profile, proofs, output).await?;
            if !output.json(|| verified.json())? {
                verified.show(output)?;
            }
            verified.conclusion()
        }
    }
}
