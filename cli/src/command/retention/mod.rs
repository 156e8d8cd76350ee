//! `vrx retention`: what a privacy officer decides about the end of records (保管期間・消去). Each of these calls is an entry.

mod certificate;
mod hold;
mod list;
mod plan;

use std::path::PathBuf;

use serde_json::json;
use vrx_proto::v1::{self, retention_service_client::RetentionServiceClient};

use crate::{
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};
use plan::counts_json;

/// 保管期間と消去 / retention and erasure.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// 今日消去の対象となる件数を数える（変更しない、氏名は出ない）/ count what an erasure would take; changes nothing
    Plan,
    /// 消去を提案する。別の個人情報保護担当の承認を待つ / propose an erasure; another officer approves
    Propose {
        /// 承認待ちの提案があるとき、それを取り下げて代わりに提案する / in the place of the proposal that waits for approval
        #[arg(long)]
        replace: bool,
    },
    /// 他の個人情報保護担当が提案した消去を承認する。消去は取り消せない / approve what another officer proposed; it can't be undone
    Approve {
        /// 消去番号 (vrx retention propose が表示したもの) / the erasure's id
        #[arg(value_name = "ERASURE_ID")]
        erasure: uuid::Uuid,
        /// 取り消せないことを確認した / yes, erase
        #[arg(long, required = true)]
        irrevocably: bool,
    },
    /// 消去記録と進み具合、保留を一覧する / list erasures, how far they are, and holds
    List,
    /// 消去証明書を表示・保存する。署名はこのコマンド自身で確かめる / show or save a certificate; its signature is checked here
    Certificate {
        /// 消去番号 / the erasure's id
        #[arg(value_name = "ERASURE_ID")]
        erasure: uuid::Uuid,
        /// 保存先 / where to save it
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// 個人の消去を保留する（争訟、開示請求の手続中など）/ exempt a person from erasure
    Hold(hold::HoldArgs),
    /// 保留を解く / lift a person's hold
    Lift(hold::LiftArgs),
}

/// Runs the command.
pub(crate) async fn run(
    command: Command,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    match command {
        Command::Plan => plan::plan(&profile, output).await,
        Command::Propose { replace } => plan::propose(&profile, replace, output).await,
        Command::Approve { erasure, .. } => approve(&profile, erasure, output).await,
        Command::List => list::list(&profile, output).await,
        Command::Certificate {
            erasure,
            output: file,
        } => certificate::certificate(&profile, erasure, file.as_deref(), output).await,
        Command::Hold(args) => hold::hold(&profile, &args, output).await,
        Command::Lift(args) => hold::lift(&profile, &args, output).await,
    }
}

async fn approve(profile: &Profile, erasure: uuid::Uuid, output: &Output) -> Result<(), Failure> {
    let request = v1::ApproveErasureRequest {
        municipality_code: profile.municipality.to_string(),
        erasure_id: erasure.to_string(),
    };
    let approved = RetentionServiceClient::new(connect(profile).await?)
        .approve_erasure(profile.request(request))
        .await?
        .into_inner();
    let counts = approved.proposed.unwrap_or_default();
    let printed = output.json(|| {
        json!({
            "erasure_id": erasure.to_string(),
            "proposed": counts_json(&counts),
            "log_index": approved.log_index,
        })
    })?;
    if printed {
        return Ok(());
    }
    output.line(&format!(
        "消去を承認しました：住民 {} 人、接種記録 {} 件、提供記録の内容 {} 件（提供記録 {} 番）",
        counts.persons, counts.doses, counts.openings, approved.log_index
    ))?;
    output.hint("進み具合 → vrx retention list / how far it is")
}
