//! Whose signatures count: the log's key, and how many of which witnesses.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use vrx_tlog::{
    Checkpoint, CheckpointError, Cosigned, NoteError, Quorum, SignedNote, VerifierKey, WitnessKey,
    is_other_epoch,
};

use super::{Stop, malformed, numbers};
use crate::{arguments, clock, failure::Failure};

/// What a file is called that can't be read as one.
const WHAT: &str = "署名済みの木の先頭 (checkpoint)";

/// How a file begins that has a checkpoint inside.
pub(super) const PROOF: &str = "c2sp.org/tlog-proof@";

/// Public keys, from somewhere that the one who sent the file can't change.
#[derive(clap::Args, Debug)]
pub(super) struct Trust {
    /// ログの検証鍵。名前がログの名前 (origin) になる / the log's verifier key; its name is the log's origin
    #[arg(long, value_name = "VKEY", value_parser = arguments::log_key)]
    vkey: VerifierKey,
    /// 証人の検証鍵。証人の数だけ繰り返す / a witness's verifier key, as often as there are witnesses
    #[arg(long = "witness", value_name = "VKEY", value_parser = arguments::witness_key)]
    witnesses: Vec<WitnessKey>,
    /// 連署が必要な証人の数 (省略時は全員) / how many of the witnesses must have cosigned; all when absent
    #[arg(long, value_name = "N", value_parser = numbers::count)]
    quorum: Option<usize>,
}

/// A checkpoint that the trusted keys signed.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    cosigned: Cosigned,
    witnesses: Vec<String>,
}

impl Trust {
    /// A log and a witness that must have cosigned it.
    pub(super) fn of(vkey: VerifierKey, witness: WitnessKey) -> Self {
        Self {
            vkey,
            witnesses: vec![witness],
            quorum: None,
        }
    }

    /// Checks the log's signature on the text of a checkpoint, and the quorum. `path` is where it was read.
    pub(super) fn open(&self, note: &str, path: &Path) -> Result<Signed, Stop> {
        let quorum = Quorum::new(
            self.witnesses.clone(),
            self.quorum.unwrap_or(self.witnesses.len()),
        )
        .map_err(|error| {
            Failure::Usage(format!(
                "--witness と --quorum が合いません / witnesses and quorum don't fit: {error}"
            ))
        })?;
        let checkpoint = self.open_log(note, path)?;
        let note = SignedNote::parse(note).map_err(|error| malformed(path, WHAT, &error))?;
        let cosigned = quorum.evaluate(&note).map_err(|error| {
            Stop::NotProved(
                "証人の連署に正しくないものがあります",
                format!("a witness: {error}"),
            )
        })?;
        if !cosigned.reached() {
            return Err(Stop::NotProved(
                "証人の連署が足りません",
                format!(
                    "{} witnesses cosigned and {} are needed",
                    cosigned.count(),
                    cosigned.needed()
                ),
            ));
        }
        Ok(Signed {
            checkpoint,
            cosigned,
            witnesses: self
                .witnesses
                .iter()
                .map(|key| key.name().to_owned())
                .collect(),
        })
    }

    /// Checks the log's signature alone.
    pub(super) fn open_log(&self, note: &str, path: &Path) -> Result<Checkpoint, Stop> {
        Checkpoint::open(note, &self.vkey, self.vkey.name()).map_err(|error| {
            let text = error.to_string();
            let claimed = note.lines().next().unwrap_or_default();
            match error {
                // Its first line names another format: the caller holds the wrong file, and nobody forged anything.
                CheckpointError::Note(_) if claimed.starts_with(PROOF) => {
                    Stop::Failed(Failure::Usage(format!(
                        "{} は checkpoint ではなく証明のファイル (tlog-proof) です。vrx verify proof か vrx verify receipt を使ってください / \
                         this is a tlog-proof: use vrx verify proof or vrx verify receipt",
                        path.display()
                    )))
                }
                CheckpointError::Note(NoteError::NotSigned)
                    if is_other_epoch(claimed, self.vkey.name()) =>
                {
                    Stop::NotProved(
                        "この鍵は、このログの別の系列（epoch）のものです。ファイルの系列の鍵を指定してください",
                        format!(
                            "the file is of {claimed}, and the key of {}: another epoch of that log, with another key id",
                            self.vkey.name()
                        ),
                    )
                }
                CheckpointError::Note(NoteError::NotSigned) => {
                    Stop::NotProved("この鍵の署名がありません", text)
                }
                CheckpointError::Note(NoteError::BadSignature) => {
                    Stop::NotProved("この鍵の署名が正しくありません", text)
                }
                CheckpointError::Origin => Stop::NotProved("別のログのものです", text),
                _ => Stop::Failed(malformed(path, WHAT, &text)),
            }
        })
    }
}

impl Signed {
    /// Who stands for the root, for people: Japanese and English.
    pub(super) fn sentence(&self) -> (String, String) {
        let Checkpoint { origin, size, .. } = &self.checkpoint;
        let (count, of) = (self.cosigned.count(), self.witnesses.len());
        let (japanese, english) = if of == 0 {
            ("ています".to_owned(), String::new())
        } else {
            (
                format!("、証人 {of} 者のうち {count} 者が連署しています"),
                format!(" and cosigned by {count} of {of} witnesses"),
            )
        };
        (
            format!("ログ {origin} の {size} 件の木は、このログの鍵で署名され{japanese}"),
            format!("the tree of {size} entries of the log {origin} is signed by its key{english}"),
        )
    }

    /// Whether a witness that is trusted has cosigned it.
    pub(super) fn is_cosigned(&self) -> bool {
        self.cosigned.count() > 0
    }

    /// What a signature alone leaves open: Japanese and English.
    pub(super) fn open(&self) -> (&'static str, &'static str) {
        if self.cosigned.count() == 0 {
            (
                "ログがほかの人にも同じ木を示しているか（証人の連署で分かります）、記録がすべて残されているか",
                "that the log shows everybody the same tree (cosignatures of witnesses do), that everything done was logged",
            )
        } else {
            (
                "記録されるべきことがすべて記録されたか",
                "that everything done was logged",
            )
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let cosigned = self.witnesses.iter().zip(&self.cosigned.times);
        json!({
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": STANDARD.encode(self.checkpoint.root),
            "cosignatures": cosigned
                .filter_map(|(name, time)| {
                    let at = clock::show_millis((*time)?.saturating_mul(1000));
                    Some(json!({ "witness": name, "time": at }))
                })
                .collect::<Vec<_>>(),
            "quorum": self.cosigned.needed(),
        })
    }
}
