//! `vrx import`: files of residents and doses, streamed to the node; approval by a second person; what was imported.

mod file;
mod list;
mod refused;

use std::path::PathBuf;

use serde_json::json;
use tonic::transport::Channel;
use vrx_proto::v1::{
    self, ImportHeader, ImportSummary, import_event::Event,
    registry_service_client::RegistryServiceClient,
};

use crate::{
    connect::connect,
    encoding::Encoding,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};

pub(crate) use file::Prepared;
use file::messages;
use refused::{RefusedFile, refused_path, spares_the_file};

/// 取込の操作 / imports.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// 住民の CSV を取り込む (承認するまで有効にならない) / import residents
    Persons(FileArgs),
    /// 接種記録の CSV (予防接種台帳向け出力の形式) を取り込む / import doses in the official ledger layout
    Doses(FileArgs),
    /// 別の職員が取り込んだものを承認する / approve what another staff member imported
    Approve {
        /// 取込番号 / the import's id
        #[arg(value_name = "IMPORT_ID")]
        import: uuid::Uuid,
    },
    /// 取込の一覧 / list imports
    List {
        /// 件数 / how many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

/// 取り込むファイル / the file.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct FileArgs {
    /// CSV ファイル (UTF-8 または CP932) / CSV file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// 検査だけ行い、何も書き込まない / check only, write nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// 文字コード (省略時はファイル全体から判定) / encoding, recognised when absent
    #[arg(long, value_enum)]
    pub(crate) encoding: Option<Encoding>,
    /// 拒否された行の一覧 (UTF-8 の CSV) の書き出し先 (省略時は FILE.refused.csv) / where refused rows are listed
    #[arg(long, value_name = "PATH")]
    pub(crate) refused: Option<PathBuf>,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Residents.
    Persons,
    /// Doses.
    Doses,
}

/// Runs the command.
pub(crate) async fn run(
    command: Command,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    match command {
        Command::Persons(args) => {
            import_and_report(FileKind::Persons, &args, &profile, output).await
        }
        Command::Doses(args) => import_and_report(FileKind::Doses, &args, &profile, output).await,
        Command::Approve { import } => {
            let approved = approve(connect(&profile).await?, &profile, &import.to_string()).await?;
            let printed = output.json(|| {
                json!({
                    "import_id": import.to_string(),
                    "rows_approved": approved.rows_approved,
                    "log_index": approved.log_index,
                })
            })?;
            if printed {
                return Ok(());
            }
            output.line(&format!(
                "{} 件を承認しました（提供記録 {} 番）",
                approved.rows_approved, approved.log_index
            ))
        }
        Command::List { limit } => list::list(&profile, limit, output).await,
    }
}

async fn import_and_report(
    kind: FileKind,
    args: &FileArgs,
    profile: &Profile,
    output: &Output,
) -> Result<(), Failure> {
    // The file is looked at first: a wrong path shouldn't cost a connection.
    let prepared = Prepared::scan(&args.file, args.encoding)?;
    spares_the_file(args)?;
    let channel = connect(profile).await?;
    let summary = import(channel, kind, args, &prepared, profile, output).await?;
    let refused_path = refused_path(args);
    let printed = output.json(|| {
        json!({
            "import_id": summary.import_id,
            "check": args.check,
            "encoding": prepared.encoding.label(),
            "rows_read": summary.rows_read,
            "rows_new": summary.rows_new,
            "rows_unchanged": summary.rows_unchanged,
            "rows_refused": summary.rows_refused,
            "refused_file": (summary.rows_refused > 0).then(|| refused_path.display().to_string()),
            "log_entries": summary.log_entries,
        })
    })?;
    if !printed {
        report(&summary, args, &prepared, output)?;
    }
    if summary.rows_refused > 0 {
        return Err(Failure::NotDone(format!(
            "{} 行を拒否しました。{} を見て該当行だけ直し、同じコマンドをもう一度実行してください（登録済みの行は変わりません）/ \
             rows refused",
            summary.rows_refused,
            refused_path.display()
        )));
    }
    Ok(())
}

fn report(
    summary: &ImportSummary,
    args: &FileArgs,
    prepared: &Prepared,
    output: &Output,
) -> Result<(), Failure> {
    output.table(
        &[
            "行 rows",
            "登録 entered",
            "登録済み unchanged",
            "拒否行 refused",
            "文字コード",
        ],
        [vec![
            summary.rows_read.to_string(),
            summary.rows_new.to_string(),
            summary.rows_unchanged.to_string(),
            summary.rows_refused.to_string(),
            prepared.encoding.label().to_owned(),
        ]],
    )?;
    if args.check {
        return output.line(
            "検査のみ行いました。何も書き込んでいません / checked only, nothing was written",
        );
    }
    if summary.import_id.is_empty() {
        return output.line(&nothing_new(summary));
    }
    output.line(&format!("取込番号 import id: {}", summary.import_id))?;
    output.hint(&format!(
        "次に: 別の職員が承認すると有効になります → vrx import approve {} / another person approves next",
        summary.import_id
    ))
}

/// Why there is nothing to approve.
fn nothing_new(summary: &ImportSummary) -> String {
    match (summary.rows_unchanged, summary.rows_refused) {
        (_, 0) => "すべて登録済みでした。承認するものはありません / nothing new".to_owned(),
        (0, _) => "すべての行を拒否しました。何も登録していません / all rows were refused, nothing was entered".to_owned(),
        (unchanged, refused) => format!(
            "新しく登録した行はありません（登録済み {unchanged} 行、拒否 {refused} 行）。承認するものはありません / \
             nothing new: {unchanged} unchanged, {refused} refused"
        ),
    }
}

/// Streams a file to the node, lists the refused rows, and gives back what the node says at the end.
pub(crate) async fn import(
    channel: Channel,
    kind: FileKind,
    args: &FileArgs,
    prepared: &Prepared,
    profile: &Profile,
    output: &Output,
) -> Result<ImportSummary, Failure> {
    let header = ImportHeader {
        municipality_code: profile.municipality.to_string(),
        encoding: match prepared.encoding {
            Encoding::Utf8 => v1::Encoding::Utf8.into(),
            Encoding::Cp932 => v1::Encoding::Cp932.into(),
        },
        check: args.check,
        file_sha256: prepared.sha256.to_vec(),
        total_bytes: prepared.length,
    };
    let mut client = RegistryServiceClient::new(channel);
    let mut request = tonic::Request::new(messages(header, args.file.clone()));
    // A file of a large city takes longer than a question.
    request.set_timeout(std::time::Duration::from_hours(6));
    let mut events = match kind {
        FileKind::Persons => client.import_persons(request).await?,
        FileKind::Doses => client.import_doses(request).await?,
    }
    .into_inner();
    let bar = output.progress(
        prepared.length,
        "{bar:40} {bytes}/{total_bytes} {msg} 残り {eta}",
    );
    let mut refused = RefusedFile::new(refused_path(args));
    let mut summary = None;
    let mut header_fault = None;
    loop {
        let event = match events.message().await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(status) => {
                bar.finish_and_clear();
                refused.finish()?;
                return Err(header_fault
                    .as_deref()
                    .map_or_else(|| status.into(), wrong_header));
            }
        };
        match event.event {
            Some(Event::Progress(progress)) => {
                bar.set_position(progress.bytes_read);
                bar.set_message(format!(
                    "{} 行（拒否 {}）",
                    progress.rows_read, progress.rows_refused
                ));
            }
            Some(Event::RefusedRow(row)) => {
                refused.add(&row)?;
                if row.reason_code == "header" {
                    header_fault = Some(row.reason_en);
                }
            }
            Some(Event::Summary(end)) => summary = Some(end),
            None => {}
        }
    }
    bar.finish_and_clear();
    refused.finish()?;
    summary.ok_or_else(|| {
        Failure::Unavailable(
            "取込の結果が届きませんでした。同じファイルをもう一度取り込んでください（二重に登録されません）/ \
             the import broke off; run it again"
                .to_owned(),
        )
    })
}

/// No row of a file can be read when its first one can't.
fn wrong_header(reason: &str) -> Failure {
    Failure::Usage(format!(
        "見出し行が所定の様式ではありません。住民は import persons、接種記録は import doses です。見出し行は vrx sample が作る見本に合わせてください / \
         {reason}"
    ))
}

/// The second person's word.
pub(crate) async fn approve(
    channel: Channel,
    profile: &Profile,
    import: &str,
) -> Result<v1::ApproveImportResponse, Failure> {
    let mut request = tonic::Request::new(v1::ApproveImportRequest {
        municipality_code: profile.municipality.to_string(),
        import_id: import.to_owned(),
    });
    request.set_timeout(std::time::Duration::from_hours(1));
    Ok(RegistryServiceClient::new(channel)
        .approve_import(request)
        .await?
        .into_inner())
}

#[cfg(test)]
mod tests {
    use super::{ImportSummary, nothing_new};

    #[test]
    fn refused_rows_are_never_said_to_stand_in_the_register() {
        let said = |rows_unchanged, rows_refused| {
            nothing_new(&ImportSummary {
                rows_unchanged,
                rows_refused,
                ..ImportSummary::default()
            })
        };
        assert!(said(3, 0).starts_with("すべて登録済み"));
        assert!(said(0, 3).starts_with("すべての行を拒否"));
        assert!(said(2, 1).contains("登録済み 2 行、拒否 1 行"));
    }
}
