//! `vrx import`: files of residents and doses, streamed to the node; approval by a second person; what was imported.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::Channel;
use vrx_proto::v1::{
    self, ImportHeader, ImportRequest, ImportSummary, RefusedRow, import_event::Event,
    import_request::Part, registry_service_client::RegistryServiceClient,
};

use crate::{
    clock,
    connect::connect,
    encoding::{self, Encoding},
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};

/// Bytes of one message; the wire allows 256 KiB.
const CHUNK: usize = 64 * 1024;

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
        Command::List { limit } => list(&profile, limit, output).await,
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
            "rows_changed": summary.rows_changed,
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
            "読込 read",
            "新規 new",
            "変更 changed",
            "変更なし unchanged",
            "拒否 refused",
            "文字コード",
        ],
        [vec![
            summary.rows_read.to_string(),
            summary.rows_new.to_string(),
            summary.rows_changed.to_string(),
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
        return output.line("すべて登録済みでした。承認するものはありません / nothing new");
    }
    output.line(&format!("取込番号 import id: {}", summary.import_id))?;
    output.hint(&format!(
        "次に: 別の職員が承認すると有効になります → vrx import approve {} / another person approves next",
        summary.import_id
    ))
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
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Progress(progress)) => {
                bar.set_position(progress.bytes_read);
                bar.set_message(format!(
                    "{} 行（拒否 {}）",
                    progress.rows_read, progress.rows_refused
                ));
            }
            Some(Event::RefusedRow(row)) => refused.add(&row)?,
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

async fn list(profile: &Profile, limit: u32, output: &Output) -> Result<(), Failure> {
    let request = v1::ListImportsRequest {
        municipality_code: profile.municipality.to_string(),
        page_size: limit,
        page_token: String::new(),
    };
    let imports = RegistryServiceClient::new(connect(profile).await?)
        .list_imports(profile.request(request))
        .await?
        .into_inner()
        .imports;
    let printed = output.json(|| imports.iter().map(import_json).collect())?;
    if printed {
        return Ok(());
    }
    output.table(
        &[
            "取込番号",
            "種類",
            "状態",
            "取込者",
            "承認者",
            "開始",
            "読込",
            "新規",
            "変更",
            "拒否",
        ],
        imports.iter().map(|import| {
            vec![
                import.import_id.clone(),
                kind_label(import.kind()).0.to_owned(),
                state_label(import.state()).0.to_owned(),
                import.entered_by.clone(),
                import.approved_by.clone(),
                clock::show(import.created_at.as_ref()),
                import.rows_read.to_string(),
                import.rows_new.to_string(),
                import.rows_changed.to_string(),
                import.rows_refused.to_string(),
            ]
        }),
    )
}

fn import_json(import: &v1::Import) -> serde_json::Value {
    json!({
        "import_id": import.import_id,
        "kind": kind_label(import.kind()).1,
        "state": state_label(import.state()).1,
        "entered_by": import.entered_by,
        "approved_by": import.approved_by,
        "created_at": clock::show_rfc3339(import.created_at.as_ref()),
        "rows_read": import.rows_read,
        "rows_new": import.rows_new,
        "rows_changed": import.rows_changed,
        "rows_unchanged": import.rows_unchanged,
        "rows_refused": import.rows_refused,
    })
}

fn kind_label(kind: v1::ImportKind) -> (&'static str, &'static str) {
    match kind {
        v1::ImportKind::Persons => ("住民", "persons"),
        v1::ImportKind::Doses => ("接種記録", "doses"),
        v1::ImportKind::Unspecified => ("不明", "unknown"),
    }
}

fn state_label(state: v1::ImportState) -> (&'static str, &'static str) {
    match state {
        v1::ImportState::Entered => ("承認待ち", "entered"),
        v1::ImportState::Approved => ("承認済み", "approved"),
        v1::ImportState::Incomplete => ("中断", "incomplete"),
        v1::ImportState::Unspecified => ("不明", "unknown"),
    }
}

/// What has to be known of a file before its first row leaves.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// How it is encoded.
    pub(crate) encoding: Encoding,
    length: u64,
    sha256: [u8; 32],
}

impl Prepared {
    /// Reads the whole file once for its encoding and once for its hash.
    pub(crate) fn scan(file: &Path, wanted: Option<Encoding>) -> Result<Self, Failure> {
        let encoding = match wanted {
            Some(encoding) => encoding,
            None => encoding::detect(file)?,
        };
        let unreadable = |error: std::io::Error| Failure::file("読み込み", file, &error);
        let mut input = std::fs::File::open(file).map_err(unreadable)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0_u8; CHUNK];
        let mut length = 0;
        loop {
            let read = std::io::Read::read(&mut input, &mut buffer).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            hash.update(buffer.get(..read).unwrap_or_default());
            length += read as u64;
        }
        Ok(Self {
            encoding,
            length,
            sha256: hash.finalize().into(),
        })
    }
}

/// The header, then the file; a file that can't be read to its end breaks the stream off, and the node sees that.
fn messages(
    header: ImportHeader,
    file: PathBuf,
) -> impl Stream<Item = ImportRequest> + Send + 'static {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        let Ok(mut input) = tokio::fs::File::open(&file).await else {
            return;
        };
        loop {
            let mut chunk = vec![0_u8; CHUNK];
            match input.read(&mut chunk).await {
                Ok(read) if read > 0 => chunk.truncate(read),
                _ => return,
            }
            if sender
                .send(ImportRequest {
                    part: Some(Part::Chunk(chunk)),
                })
                .await
                .is_err()
            {
                return;
            }
        }
    });
    tokio_stream::once(ImportRequest {
        part: Some(Part::Header(header)),
    })
    .chain(ReceiverStream::new(receiver))
}

fn refused_path(args: &FileArgs) -> PathBuf {
    args.refused.clone().unwrap_or_else(|| {
        let mut name = args.file.clone().into_os_string();
        name.push(".refused.csv");
        PathBuf::from(name)
    })
}

/// The list of refused rows: made with the first one, so that a clean import leaves no file; an older list of the same name goes.
struct RefusedFile {
    path: PathBuf,
    writer: Option<csv::Writer<std::fs::File>>,
}

impl RefusedFile {
    fn new(path: PathBuf) -> Self {
        Self { path, writer: None }
    }

    fn add(&mut self, row: &RefusedRow) -> Result<(), Failure> {
        let path = &self.path;
        let failed =
            |error: csv::Error| Failure::file("書き込み", path, &std::io::Error::other(error));
        let writer = if let Some(writer) = &mut self.writer {
            writer
        } else {
            let mut writer = csv::Writer::from_path(path).map_err(failed)?;
            writer
                .write_record(["line", "column", "reason", "reason_en", "code"])
                .map_err(failed)?;
            self.writer.insert(writer)
        };
        writer
            .write_record([
                &row.line.to_string(),
                &row.column,
                &row.reason_ja,
                &row.reason_en,
                &row.reason_code,
            ])
            .map_err(failed)
    }

    fn finish(self) -> Result<(), Failure> {
        let path = self.path;
        let failed = |error: std::io::Error| Failure::file("書き込み", &path, &error);
        match self.writer {
            Some(mut writer) => writer.flush().map_err(failed),
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, FileArgs, Prepared, RefusedFile, RefusedRow, refused_path};

    fn row(line: u64) -> RefusedRow {
        RefusedRow {
            line,
            column: "個人番号".to_owned(),
            reason_code: "check-digit".to_owned(),
            reason_ja: "検査数字が合いません".to_owned(),
            reason_en: "wrong check digit".to_owned(),
        }
    }

    #[test]
    fn the_list_of_refused_rows_exists_only_when_there_are_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.refused.csv");
        let mut refused = RefusedFile::new(path.clone());
        refused.add(&row(7)).unwrap();
        refused.finish().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "line,column,reason,reason_en,code\n7,個人番号,検査数字が合いません,wrong check digit,check-digit\n"
        );
        RefusedFile::new(path.clone()).finish().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_list_stands_beside_the_file() {
        let mut args = FileArgs {
            file: "in/persons.csv".into(),
            check: false,
            encoding: None,
            refused: None,
        };
        assert_eq!(
            refused_path(&args),
            std::path::Path::new("in/persons.csv.refused.csv")
        );
        args.refused = Some("elsewhere.csv".into());
        assert_eq!(refused_path(&args), std::path::Path::new("elsewhere.csv"));
    }

    #[test]
    fn a_file_is_measured_and_recognised_before_it_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, b"abc").unwrap();
        let prepared = Prepared::scan(&path, None).unwrap();
        assert_eq!(prepared.length, 3);
        assert_eq!(
            hex::encode(prepared.sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Prepared::scan(&path, Some(Encoding::Cp932))
                .unwrap()
                .encoding,
            Encoding::Cp932
        );
        assert_eq!(
            Prepared::scan(&folder.path().join("none"), None)
                .unwrap_err()
                .exit_code(),
            2
        );
    }
}
