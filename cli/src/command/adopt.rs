//! `vrx adopt`: what an inquiry brought back goes into the own register, with its origin.

use serde_json::json;
use tonic::transport::Channel;
use vrx_proto::v1::{
    AdoptRecordsRequest, AdoptRecordsResponse, registry_service_client::RegistryServiceClient,
};

use crate::{
    arguments,
    connect::connect,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};

/// 照会で得た接種記録を自庁の台帳に取り込む / adopt what an inquiry brought back
///
/// すべての検証に通った回答だけを取り込めます。どの自治体の何番の提供記録かも残り、別の職員が承認すると有効になります。
/// Only answers that passed every check; another person approves.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 照会番号 (vrx inquire が表示したもの) / the inquiry's id
    #[arg(value_name = "INQUIRY_ID", value_parser = arguments::id)]
    pub(crate) inquiry: uuid::Uuid,
    /// 生年月日の相違を、照会者とは別の職員として確認した / as a second person: same person despite the birth dates
    #[arg(long)]
    pub(crate) confirm_birth_date_difference: bool,
}

/// Runs the command.
pub(crate) async fn run(
    args: Args,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    let adopted = adopt(connect(&profile).await?, &profile, &args).await?;
    let printed = output.json(|| {
        json!({
            "inquiry_id": args.inquiry.to_string(),
            "doses_adopted": adopted.doses_adopted,
            "doses_unchanged": adopted.doses_unchanged,
            "log_index": adopted.log_index,
            "import_id": adopted.import_id,
        })
    })?;
    if printed {
        return Ok(());
    }
    output.line(&format!(
        "{} 件の接種記録を取り込みました（登録済み {} 件、提供記録 {} 番）",
        adopted.doses_adopted, adopted.doses_unchanged, adopted.log_index
    ))?;
    if adopted.import_id.is_empty() {
        return Ok(());
    }
    output.hint(&format!(
        "次に: 別の職員が承認すると有効になります → vrx import approve {} / another person approves next",
        adopted.import_id
    ))
}

/// Asks the node to adopt.
pub(crate) async fn adopt(
    channel: Channel,
    profile: &Profile,
    args: &Args,
) -> Result<AdoptRecordsResponse, Failure> {
    let request = AdoptRecordsRequest {
        municipality_code: profile.municipality.to_string(),
        inquiry_id: args.inquiry.to_string(),
        confirm_birth_date_difference: args.confirm_birth_date_difference,
    };
    Ok(RegistryServiceClient::new(channel)
        .adopt_records(profile.request(request))
        .await?
        .into_inner())
}
