//! `vrx officer mark`: whether an entry is disclosed, and whether its concealed counterparty may be named.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient};

use crate::{
    arguments, command::inquire::read_number, connect::connect, failure::Failure, output::Output,
    profile::Profile,
};

/// 1件の記録の開示区分を決める / mark an entry
///
/// 決定も、その人についての提供記録に残ります。相手方の名は、二人の担当がそれぞれ決めたときに示されます。
/// The mark is an entry about the same person; a counterparty is named when two officers have said so.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 提供記録の番号 / the entry's index
    #[arg(value_name = "INDEX", value_parser = arguments::index)]
    index: u64,
    /// 決定の内容 / what it is marked as
    #[arg(value_enum)]
    mark: Mark,
    /// 不開示の理由: 個人情報保護法第78条第1項の号 (1〜7) / why it isn't disclosed
    #[arg(long, value_name = "1-7", value_parser = clap::value_parser!(i32).range(1..=7), required_if_eq("mark", "withhold"))]
    reason: Option<i32>,
    /// 決裁番号 (英数字と . _ -) / the decision's reference
    #[arg(long, value_name = "REF")]
    document: String,
    /// 個人番号を1行で書いたファイル (使用後は消してください) / file with the number
    #[arg(long, value_name = "FILE")]
    number_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mark {
    /// 不開示 (番号法第23条第2項)
    Withhold,
    /// 不開示を解く
    Release,
    /// 伏せている相手方の名を示してよい (二人目の担当で有効)
    NameCounterparty,
}

/// Runs the command.
pub(super) async fn run(args: &Args, profile: &Profile, output: &Output) -> Result<(), Failure> {
    let number = read_number(args.number_file.as_deref())?;
    let mark = match args.mark {
        Mark::Withhold => v1::EntryMark::Withhold,
        Mark::Release => v1::EntryMark::Release,
        Mark::NameCounterparty => v1::EntryMark::NameCounterparty,
    };
    let request = v1::MarkEntryRequest {
        municipality_code: profile.municipality.to_string(),
        individual_number: number.digits().iter().copied().map(char::from).collect(),
        log_index: args.index,
        mark: mark.into(),
        reason: args.reason.unwrap_or_default(),
        document: args.document.clone(),
    };
    let mut client = AuditServiceClient::new(connect(profile).await?);
    let marked = client
        .mark_entry(profile.request(request))
        .await?
        .into_inner();
    let printed =
        output.json(|| json!({ "log_index": marked.log_index, "officers": marked.officers }))?;
    if printed {
        return Ok(());
    }
    output.line(&format!(
        "提供記録 {} 番の決定を {} 番に記録しました。",
        args.index, marked.log_index
    ))?;
    if mark == v1::EntryMark::NameCounterparty && marked.officers < 2 {
        output.hint(
            "相手方の名は、もう一人の担当が同じ決定をすると示されます / one more officer is needed",
        )?;
    }
    Ok(())
}
