//! `vrx retention hold` and `lift`: a person by number, which is typed unseen or read from standard input or a file.

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::civil::Date;
use serde_json::json;
use vrx_domain::IndividualNumber;
use vrx_proto::v1::{self, retention_service_client::RetentionServiceClient};

use crate::{
    clock, command::inquire::read_number, connect::connect, failure::Failure, output::Output,
    profile::Profile,
};

/// Whom to exempt, why and how long.
#[derive(clap::Args, Debug)]
pub(crate) struct HoldArgs {
    /// 保留の理由 / why
    #[arg(long, value_enum)]
    ground: Ground,
    /// 事案の整理番号 (英数字と . _ -)。事案ごとに別の保留になり、同じ番号では期限を延ばすことだけができる / the case's reference; each has a hold of its own
    #[arg(long, value_name = "REF")]
    reference: String,
    /// この日まで（省略すると解くまで）/ the last day; without it until lifted
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = clock::parse_date)]
    until: Option<Date>,
    /// 個人番号を1行で書いたファイル (使用後は消してください) / file with the number
    #[arg(long, value_name = "FILE")]
    number_file: Option<PathBuf>,
}

/// Which hold of whom to lift.
#[derive(clap::Args, Debug)]
pub(crate) struct LiftArgs {
    /// 保留したときの整理番号。ほかの整理番号の保留は残る / the reference it was placed under; holds of others stand
    #[arg(long, value_name = "REF")]
    reference: String,
    /// 個人番号を1行で書いたファイル (使用後は消してください) / file with the number
    #[arg(long, value_name = "FILE")]
    number_file: Option<PathBuf>,
}

/// Why a person's records stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ground {
    /// 争訟・審査請求
    Dispute,
    /// 開示請求
    Disclosure,
    /// その他
    Other,
}

/// Places a hold.
pub(super) async fn hold(
    profile: &Profile,
    args: &HoldArgs,
    output: &Output,
) -> Result<(), Failure> {
    let number = read_number(args.number_file.as_deref())?;
    let ground = match args.ground {
        Ground::Dispute => v1::HoldGround::Dispute,
        Ground::Disclosure => v1::HoldGround::Disclosure,
        Ground::Other => v1::HoldGround::Other,
    };
    let request = v1::PlaceHoldRequest {
        municipality_code: profile.municipality.to_string(),
        individual_number: text(&number),
        until: args.until.map(clock::date_to_wire),
        ground: ground.into(),
        reference: args.reference.clone(),
    };
    let held = RetentionServiceClient::new(connect(profile).await?)
        .place_hold(profile.request(request))
        .await?
        .into_inner();
    let done = "消去を保留しました";
    let not = "この個人番号の住民は登録されていません / no such person is registered";
    conclude(("placed", held.placed), held.log_index, (done, not), output)
}

/// Lifts a hold.
pub(super) async fn lift(
    profile: &Profile,
    args: &LiftArgs,
    output: &Output,
) -> Result<(), Failure> {
    let number = read_number(args.number_file.as_deref())?;
    let request = v1::LiftHoldRequest {
        municipality_code: profile.municipality.to_string(),
        individual_number: text(&number),
        reference: args.reference.clone(),
    };
    let lifted = RetentionServiceClient::new(connect(profile).await?)
        .lift_hold(profile.request(request))
        .await?
        .into_inner();
    let done = "保留を解きました";
    let not = "この整理番号の保留はありません / no hold of this reference stands";
    conclude(
        ("lifted", lifted.lifted),
        lifted.log_index,
        (done, not),
        output,
    )
}

fn conclude(
    (name, is_done): (&str, bool),
    log_index: u64,
    (done, not): (&str, &str),
    output: &Output,
) -> Result<(), Failure> {
    let printed = output.json(|| json!({ name: is_done, "log_index": log_index }))?;
    if !is_done {
        return Err(Failure::NotDone(not.to_owned()));
    }
    if printed {
        return Ok(());
    }
    output.line(&format!("{done}（提供記録 {log_index} 番）"))
}

/// The digits as the wire has them: an encoder needs a text of its own, which `Drop` can't wipe.
fn text(number: &IndividualNumber) -> String {
    number.digits().iter().copied().map(char::from).collect()
}
