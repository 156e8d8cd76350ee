//! `vrx verify`: what anybody can check with a file and public keys, without a node, a network, a database or a profile.
//!
//! Each subcommand ends in a [`Verdict`]: one sentence about what is proved, one about what isn't. `trust.rs` says whose signatures
//! count; the mathematics is `vrx_tlog`'s.

mod certificate;
mod log;
mod numbers;
mod opened;
mod proof;
mod strays;
mod trust;

pub(crate) use proof::witnessed_proof;
use serde_json::{Map, Value, json};

use crate::{failure::Failure, output::Output};

/// 受領証・証明・書き出した提供記録を、手元だけで検証する / verify offline.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// ハッシュの木に葉があることの証明 / that a leaf stands in a tree
    Inclusion(numbers::InclusionArgs),
    /// 新しい木が古い木の続きであることの証明 / that a newer tree continues an older one
    Consistency(numbers::ConsistencyArgs),
    /// 署名済みの木の先頭 (C2SP tlog-checkpoint) / a signed checkpoint
    Checkpoint(proof::CheckpointArgs),
    /// 1件の証明のファイル (C2SP tlog-proof) / a proof of one entry
    Proof(proof::ProofArgs),
    /// 提供記録の受領証 (.tlog-proof、または vrx inquire・log show の --json の出力) / a receipt
    Receipt(proof::ReceiptArgs),
    /// 書き出した提供記録のフォルダー (C2SP tlog-tiles) / an exported log
    Log(log::Args),
    /// 消去証明書 (vrx retention certificate が保存したもの) / an erasure certificate
    Certificate(certificate::Args),
}

/// What was proved, and what wasn't.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Japanese and English: what is proved.
    proved: (String, String),
    /// Japanese and English: what isn't proved by this.
    open: (&'static str, &'static str),
    /// The same for programs.
    details: Value,
    /// What the entry says, for people: commitment, name, value.
    fields: Vec<Vec<String>>,
}

/// Why there is no verdict.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is what it should be, and it doesn't hold. Japanese, English.
    NotProved(&'static str, String),
    /// It can't be read, or isn't what it should be.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs the command.
pub(crate) fn run(command: Command, output: &Output) -> Result<(), Failure> {
    let (what, outcome) = match command {
        Command::Inclusion(args) => ("inclusion", numbers::inclusion(&args)),
        Command::Consistency(args) => ("consistency", numbers::consistency(&args)),
        Command::Checkpoint(args) => ("checkpoint", proof::checkpoint(&args)),
        Command::Proof(args) => ("proof", proof::proof(&args)),
        Command::Receipt(args) => ("receipt", proof::receipt(&args)),
        Command::Log(args) => ("log", log::log(&args, output)),
        Command::Certificate(args) => ("certificate", certificate::certificate(&args)),
    };
    match outcome {
        Ok(verdict) => verdict.print(what, output),
        Err(Stop::NotProved(japanese, english)) => {
            output.json(|| json!({ "what": what, "proved": false, "reason": english }))?;
            Err(Failure::NotDone(format!(
                "証明されませんでした: {japanese} / not proved: {english}"
            )))
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

impl Verdict {
    fn print(self, what: &str, output: &Output) -> Result<(), Failure> {
        let (japanese, english) = self.proved;
        let (open_japanese, open_english) = self.open;
        let printed = output.json(|| {
            let mut all = Map::new();
            all.insert("what".to_owned(), what.into());
            all.insert("proved".to_owned(), true.into());
            all.insert("statement".to_owned(), english.clone().into());
            all.insert("not_proved".to_owned(), open_english.into());
            if let Value::Object(details) = self.details {
                all.extend(details);
            }
            Value::Object(all)
        })?;
        if printed {
            return Ok(());
        }
        output.line(&format!(
            "証明されました: {japanese}。これだけでは分からないこと: {open_japanese} / \
             proved: {english}; not proved by this: {open_english}"
        ))?;
        if self.fields.is_empty() {
            return Ok(());
        }
        output.table(&["区分", "項目", "値"], self.fields)
    }
}

/// Reads a file that the caller named, up to a size that no such file has.
fn read(path: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read as _;
    const MOST: u64 = 16 << 20;
    let failed = |error: &std::io::Error| Failure::file("読み込み", path, error);
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(|error| failed(&error))?
        .take(MOST)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    Ok(text)
}

/// A file that isn't in the format it should have.
fn malformed(path: &std::path::Path, what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!(
        "{} は{what}として読めません / malformed: {why}",
        path.display()
    ))
}
