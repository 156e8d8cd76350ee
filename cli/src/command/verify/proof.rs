//! `vrx verify checkpoint`, `proof` and `receipt`: one signed text, and one entry under it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use vrx_tlog::{
    Hash, Leaf, Receipt, TlogProof, VerifierKey, WitnessKey, leaf_hash, verify_consistency,
    verify_inclusion,
};

use super::{
    Stop, Verdict, malformed, numbers, opened, read,
    trust::{PROOF, Signed, Trust},
};
use crate::{clock, failure::Failure};

/// A signed checkpoint.
#[derive(clap::Args, Debug)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    trust: Trust,
    /// checkpoint のファイル / the file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A proof of one entry of any log.
#[derive(clap::Args, Debug)]
pub(crate) struct ProofArgs {
    #[command(flatten)]
    trust: Trust,
    /// 記録のハッシュ (base64)。省略時は証明に付いたデータのもの / the entry's hash; that of the proof's extra data when absent
    #[arg(long, value_name = "B64", value_parser = numbers::hash, conflicts_with = "entry")]
    leaf_hash: Option<Hash>,
    /// 記録そのもののファイル / the entry itself
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// .tlog-proof のファイル / the file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A receipt of vrx.
#[derive(clap::Args, Debug)]
pub(crate) struct ReceiptArgs {
    #[command(flatten)]
    trust: Trust,
    /// 以前に保存した同じログの checkpoint。続きであることも確かめる / an older checkpoint of the log, to be continued
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// 記録の内容と鍵のファイル (JSON)。記録がそれを約束していることも確かめる / what the entry commits to, with its keys
    ///
    /// 個人番号が要るときは、画面に表示せずに尋ねます（または標準入力から読みます）/ an individual number is asked for unseen.
    #[arg(long, value_name = "FILE")]
    openings: Option<PathBuf>,
    /// 受領証のファイル / the file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Checks a checkpoint's signatures.
pub(super) fn checkpoint(args: &CheckpointArgs) -> Result<Verdict, Stop> {
    let signed = args.trust.open(&read(&args.file)?, &args.file)?;
    Ok(Verdict {
        proved: signed.sentence(),
        open: signed.open(),
        details: signed.json(),
        fields: Vec::new(),
    })
}

/// Checks a tlog-proof.
pub(super) fn proof(args: &ProofArgs) -> Result<Verdict, Stop> {
    let proof = TlogProof::parse(&read(&args.file)?)
        .map_err(|error| malformed(&args.file, "証明 (tlog-proof)", &error))?;
    let hash = match (&args.leaf_hash, &args.entry, &proof.extra) {
        (Some(hash), _, _) => *hash,
        (None, Some(path), _) => {
            let entry =
                std::fs::read(path).map_err(|error| Failure::file("読み込み", path, &error))?;
            leaf_hash(&entry)
        }
        (None, None, Some(extra)) => leaf_hash(extra),
        (None, None, None) => {
            return Err(Stop::Failed(Failure::Usage(
                "この証明には記録が付いていません。--leaf-hash か --entry で指定してください / \
                 which entry? the proof has no extra data"
                    .to_owned(),
            )));
        }
    };
    let signed = args.trust.open(&proof.checkpoint, &args.file)?;
    included(proof.index, &hash, &proof.inclusion_proof, &signed)?;
    let (japanese, english) = signed.sentence();
    let index = proof.index;
    let mut details = signed.json();
    add(&mut details, "index", index.into());
    Ok(Verdict {
        proved: (
            format!("この記録は {index} 番にあり、{japanese}"),
            format!("the entry stands at index {index}, and {english}"),
        ),
        open: if signed.is_cosigned() {
            ("記録の内容が正しいか", "that what the entry says is true")
        } else {
            (
                "記録の内容が正しいか、ログがほかの人にも同じ木を示しているか（証人の連署で分かります）",
                "that what the entry says is true, that the log shows everybody the same tree (cosignatures of witnesses do)",
            )
        },
        details,
        fields: Vec::new(),
    })
}

/// Checks a tlog-proof whose entry stands in it, under the log's key and one witness's. Gives what is proved: Japanese, English.
pub(crate) fn witnessed_proof(
    file: &Path,
    log: &VerifierKey,
    witness: &WitnessKey,
) -> Result<(String, String), Failure> {
    let args = ProofArgs {
        trust: Trust::of(log.clone(), witness.clone()),
        leaf_hash: None,
        entry: None,
        file: file.to_owned(),
    };
    match proof(&args) {
        Ok(verdict) => Ok(verdict.proved),
        Err(Stop::NotProved(japanese, english)) => {
            Err(Failure::NotDone(format!("{japanese} / {english}")))
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Checks a receipt.
pub(super) fn receipt(args: &ReceiptArgs) -> Result<Verdict, Stop> {
    let receipt = read_receipt(&read(&args.file)?, &args.file)?;
    let signed = args.trust.open(&receipt.checkpoint, &args.file)?;
    let leaf = Leaf::decode(&receipt.leaf)
        .map_err(|error| malformed(&args.file, "提供記録の受領証", &error))?;
    if leaf.index != receipt.log_index {
        return Err(Stop::NotProved(
            "受領証の番号が記録の番号と違います",
            "the leaf stands at another index than the receipt says".to_owned(),
        ));
    }
    included(
        receipt.log_index,
        &leaf_hash(&receipt.leaf),
        &receipt.inclusion_proof,
        &signed,
    )?;
    let continued = match &args.known {
        Some(path) => Some(continues(args, path, &receipt, &signed)?),
        None => None,
    };
    let opened = match &args.openings {
        Some(path) => Some(opened::open(&read(path)?, path, &leaf)?),
        None => None,
    };
    let (kind, kind_english) = kind(leaf.kind);
    let time = clock::show_millis(leaf.time);
    let (japanese, english) = signed.sentence();
    let index = leaf.index;
    let mut proved = vec![(
        format!("{time} の{kind}の記録が {index} 番にあり、{japanese}"),
        format!("an entry ({kind_english}) of {time} stands at index {index}, and {english}"),
    )];
    proved.extend(continued.map(|size| {
        (
            format!("。手元の {size} 件の木の続きです"),
            format!("; it continues the known tree of {size} entries"),
        )
    }));
    proved.extend(opened.as_ref().map(opened::Opened::sentence));
    let mut details = signed.json();
    add(&mut details, "log_index", index.into());
    add(&mut details, "time", time.into());
    add(&mut details, "kind", kind_english.into());
    add(
        &mut details,
        "entry_id",
        uuid::Uuid::from_bytes(leaf.entry_id).to_string().into(),
    );
    add(&mut details, "continues", continued.into());
    let mut fields = Vec::new();
    if let Some(opened) = opened {
        add(&mut details, "openings", opened.json());
        fields = opened.rows();
    }
    Ok(Verdict {
        proved: proved.into_iter().unzip::<String, String, _, _>(),
        open: match (args.openings.is_some(), signed.is_cosigned()) {
            (true, true) => ("示されていない項目の内容", "what isn't shown here"),
            (false, true) => (
                "誰について何が記録されたか（--openings が要ります）",
                "whom and what the entry is about (--openings)",
            ),
            (true, false) => (
                "示されていない項目の内容、ログがほかの人にも同じ木を示しているか（証人の連署で分かります）",
                "what isn't shown here, that the log shows everybody the same tree (cosignatures of witnesses do)",
            ),
            (false, false) => (
                "誰について何が記録されたか（--openings が要ります）、ログがほかの人にも同じ木を示しているか（証人の連署で分かります）",
                "whom and what the entry is about (--openings), that the log shows everybody the same tree (cosignatures of witnesses do)",
            ),
        },
        details,
        fields,
    })
}

fn included(index: u64, hash: &Hash, path: &[Hash], signed: &Signed) -> Result<(), Stop> {
    let checkpoint = &signed.checkpoint;
    verify_inclusion(index, checkpoint.size, hash, path, &checkpoint.root).map_err(|error| {
        Stop::NotProved(
            "この記録が署名された木にあることは証明されません",
            format!("inclusion: {error}"),
        )
    })
}

/// The size of the known tree that the receipt's tree continues.
fn continues(
    args: &ReceiptArgs,
    path: &Path,
    receipt: &Receipt,
    signed: &Signed,
) -> Result<u64, Stop> {
    let known = args.trust.open_log(&read(path)?, path)?;
    verify_consistency(
        known.size,
        signed.checkpoint.size,
        &known.root,
        &signed.checkpoint.root,
        &receipt.consistency_proof,
    )
    .map_err(|error| {
        Stop::NotProved(
            "手元の木の続きであることは証明されません",
            format!("consistency with the known checkpoint: {error}"),
        )
    })?;
    Ok(known.size)
}

/// A receipt as `--json` prints it, alone or inside the whole output.
#[derive(Deserialize)]
struct JsonReceipt {
    log_index: u64,
    leaf: String,
    checkpoint: String,
    inclusion_proof: Vec<String>,
    #[serde(default)]
    consistency_proof: Vec<String>,
}

fn read_receipt(text: &str, path: &Path) -> Result<Receipt, Failure> {
    let wrong = |why: &dyn std::fmt::Display| malformed(path, "受領証", why);
    if text.starts_with(PROOF) {
        let proof = TlogProof::parse(text).map_err(|error| wrong(&error))?;
        let leaf = proof.extra.and_then(|extra| extra.try_into().ok());
        return Ok(Receipt {
            log_index: proof.index,
            leaf: leaf.ok_or_else(|| wrong(&"its extra data isn't a leaf of 134 bytes"))?,
            checkpoint: proof.checkpoint,
            inclusion_proof: proof.inclusion_proof,
            consistency_proof: Vec::new(),
        });
    }
    let mut value: Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    if let Some(inner) = value.get_mut("receipt") {
        value = inner.take();
    }
    let json: JsonReceipt = serde_json::from_value(value).map_err(|error| wrong(&error))?;
    let hashes = |hashes: &[String]| -> Result<Vec<Hash>, Failure> {
        hashes
            .iter()
            .map(|hash| bytes(hash).ok_or_else(|| wrong(&"a hash isn't 32 bytes in hexadecimal")))
            .collect()
    };
    Ok(Receipt {
        log_index: json.log_index,
        leaf: bytes(&json.leaf).ok_or_else(|| wrong(&"the leaf isn't 134 bytes in hexadecimal"))?,
        inclusion_proof: hashes(&json.inclusion_proof)?,
        consistency_proof: hashes(&json.consistency_proof)?,
        checkpoint: json.checkpoint,
    })
}

fn bytes<const N: usize>(hexadecimal: &str) -> Option<[u8; N]> {
    hex::decode(hexadecimal).ok()?.try_into().ok()
}

fn kind(code: u8) -> (&'static str, &'static str) {
    match code {
        1 => ("提供", "exchange"),
        2 => ("照会", "inquiry"),
        3 => ("窓口", "desk"),
        4 => ("管理", "control"),
        5 => ("消去", "erasure"),
        6 => ("開始", "genesis"),
        _ => ("不明", "unknown"),
    }
}

fn add(details: &mut Value, key: &str, value: Value) {
    if let Value::Object(details) = details {
        details.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, read_receipt};

    fn json() -> String {
        let (leaf, hash) = ("01".repeat(134), "02".repeat(32));
        format!(
            r#"{{"outcome":"found","receipt":{{"log_index":3,"leaf":"{leaf}","checkpoint":"a\n","inclusion_proof":["{hash}","{hash}"]}}}}"#
        )
    }

    #[test]
    fn a_receipt_is_read_alone_and_out_of_a_whole_output() {
        let whole = read_receipt(&json(), Path::new("f")).unwrap();
        let alone = json()
            .replace(r#"{"outcome":"found","receipt":"#, "")
            .replace("}}", "}");
        assert_eq!(read_receipt(&alone, Path::new("f")).unwrap(), whole);
        assert_eq!((whole.log_index, whole.inclusion_proof.len()), (3, 2));
        assert!(whole.consistency_proof.is_empty());
    }

    #[test]
    fn a_damaged_file_is_a_usage_error_and_nothing_else() {
        let whole = json();
        for end in 0..whole.len() {
            assert_eq!(
                read_receipt(&whole[..end], Path::new("f"))
                    .unwrap_err()
                    .exit_code(),
                2
            );
        }
        for (from, to) in [
            ("0101", "01"),
            ("0202", "02"),
            ("0101", "010g"),
            (r#""log_index":3"#, r#""log_index":-3"#),
            (r#""log_index":3"#, r#""log_index":03"#),
            (r#""log_index":3"#, r#""log_index":18446744073709551616"#),
            (r#""receipt":{"#, r#""receipt":null,"x":{"#),
        ] {
            let damaged = whole.replacen(from, to, 1);
            assert_eq!(
                read_receipt(&damaged, Path::new("f"))
                    .unwrap_err()
                    .exit_code(),
                2,
                "{damaged}"
            );
        }
    }
}
