//! `vrx officer history`: all that the log holds about one person, for a request for disclosure (開示請求).

mod document;
mod rows;

use std::path::{Path, PathBuf};

use tonic::transport::Channel;
use vrx_domain::IndividualNumber;
use vrx_proto::v1;

use self::{
    document::document,
    rows::{csv, history_json},
};
use super::{
    events::{Read, read},
    files,
};
use crate::{
    command::inquire::read_number,
    connect::connect,
    failure::Failure,
    labels,
    output::Output,
    outputs::{self, Place},
    paper::{pdf, text},
    profile::Profile,
};

pub(super) use self::rows::row_json;

/// 一人についての提供・照会・閲覧の記録をすべて古い順に示す (開示請求) / all that the log holds about one person
///
/// 個人番号は画面に表示せずに入力します（または標準入力・--number-file から読みます）。この閲覧も、その人についての記録に残ります。
/// 不開示と決めた記録は、--internal を付けない限り示しません。欠けている記録があれば、その旨を示して終了コード 1 で終わります。
/// The number is typed unseen, or read from standard input or a file. A missing entry is said, and ends with exit code 1.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 個人番号を1行で書いたファイル (使用後は消してください) / file with the number
    #[arg(long, value_name = "FILE")]
    number_file: Option<PathBuf>,
    /// 内部用: 不開示とした記録と開示区分の決定も示す / for the officer alone: with what isn't disclosed
    #[arg(long)]
    internal: bool,
    /// 印刷用の PDF を書き出す / write a PDF
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
    /// CSV を書き出す / write CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// 1件ごとの証明を <番号>.tlog-proof として、新しいフォルダーに保存する / save each entry's offline proof in a new folder
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: &Args, profile: &Profile, output: &Output) -> Result<(), Failure> {
    let files = args
        .pdf
        .iter()
        .chain(&args.csv)
        .map(|path| Place::File(path));
    outputs::free(files.chain(args.proofs.as_deref().map(Place::Folder)))?;
    let number = read_number(args.number_file.as_deref())?;
    let view = if args.internal {
        v1::HistoryView::Internal
    } else {
        v1::HistoryView::Disclosure
    };
    let read = read(connect(profile).await?, profile, &number, view).await?;
    drop(number);
    let document = document(&read, profile, args.internal);
    if let Some(path) = &args.pdf {
        files::write(path, &pdf(&document)?)?;
    }
    if let Some(path) = &args.csv {
        files::write(path, &csv(&read, args.internal)?)?;
    }
    if let Some(folder) = &args.proofs {
        files::save_proofs(folder, &read.receipts()?)?;
    }
    if !output.json(|| history_json(&read, args.internal))? {
        output.line(&text(&document))?;
    }
    if read.rows().next().is_none() {
        return conclusion(&read);
    }
    if let Some(hint) = labels::cosigning_hint(read.start.cosigning()) {
        output.hint(hint)?;
    }
    conclusion(&read)
}

/// Reads a person's history for disclosure and saves each entry's proof below `folder`; gives their files. The demo's.
pub(crate) async fn disclose(
    channel: Channel,
    profile: &Profile,
    number: &IndividualNumber,
    folder: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let read = read(channel, profile, number, v1::HistoryView::Disclosure).await?;
    let receipts = read.receipts()?;
    files::save_proofs(folder, &receipts)?;
    conclusion(&read)?;
    let files = receipts
        .iter()
        .map(|receipt| files::proof_path(folder, receipt));
    Ok(files.collect())
}

/// Done only when nothing is missing and no proof is wrong.
fn conclusion(read: &Read) -> Result<(), Failure> {
    if read.missing > 0 {
        return Err(Failure::NotDone(format!(
            "この人についての記録が {} 件欠けています。開示する前に vrx log verify を実行し、運用担当者と調べてください / \
             {} entries about this person are missing",
            read.missing, read.missing
        )));
    }
    read.proofs.conclusion()
}
