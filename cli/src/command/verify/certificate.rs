//! `vrx verify certificate`: an erasure certificate (消去証明書), a C2SP signed note under the key of the municipality's log.

use std::path::PathBuf;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use vrx_domain::ERASURE_CERTIFICATE;
use vrx_tlog::{NoteError, SignedNote, VerifierKey, is_other_epoch};

use super::{Stop, Verdict, malformed, read};

/// What a file is called that can't be read as one.
const WHAT: &str = "消去証明書";

/// A certificate, and whose it has to be.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 消去した自治体の提供記録の検証鍵 / the verifier key of the municipality's log
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    vkey: VerifierKey,
    /// 消去証明書のファイル (vrx retention certificate の --output) / the certificate
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Checks a certificate's signature, and that it is one.
pub(super) fn certificate(args: &Args) -> Result<Verdict, Stop> {
    let file = read(&args.file)?;
    let wrong = |why: &str| Stop::Failed(malformed(&args.file, WHAT, &why));
    let note = SignedNote::parse(&file).map_err(|error| wrong(&error.to_string()))?;
    let mut lines = note.text().lines();
    if lines.next() != Some(ERASURE_CERTIFICATE) {
        return Err(wrong("it has another title"));
    }
    let lines: Option<Vec<Line<'_>>> = lines.map(Line::of).collect();
    let lines = lines.ok_or_else(|| wrong("a line isn't a name and a value"))?;
    let said = |name: &str| {
        let line = lines.iter().find(|line| line.name == name);
        line.map(|line| line.value)
            .ok_or_else(|| wrong("a line is missing"))
    };
    let log = said("log")?;
    if let Err(error) = note.verify(&args.vkey) {
        return Err(not_signed(&error, log, &args.vkey));
    }
    if log != args.vkey.name() {
        return Err(Stop::NotProved(
            "別のログのものです",
            format!("it is of the log {log}, signed by another log's key"),
        ));
    }
    let (municipality, erasure) = (said("municipality")?, said("erasure")?);
    let (persons, doses, openings) = (said("persons")?, said("doses")?, said("openings")?);
    let (live, last) = (said("live")?, said("final")?);
    let mut details: Map<String, Value> = lines
        .iter()
        .map(|line| (line.name.to_owned(), line.value.into()))
        .collect();
    let hash = hex::encode(Sha256::digest(file.as_bytes()));
    details.insert("sha256".to_owned(), hash.clone().into());
    let fields = lines
        .iter()
        .map(|line| row(line.label, line.value))
        .chain([row("この証明書のハッシュ SHA-256", &hash)]);
    Ok(Verdict {
        proved: (
            format!(
                "{municipality} は、消去 {erasure} で住民 {persons} 人、接種記録 {doses} 件、提供記録の内容 {openings} 件を {live} までに消去し、\
                 最後の控えを {last} までに破棄すると、ログ {log} の鍵で署名しています"
            ),
            format!(
                "the key of the log {log} signed that the erasure {erasure} took {persons} persons, {doses} doses and {openings} openings of the \
                 log by {live}, and that the last backup goes by {last}"
            ),
        ),
        open: (
            "書かれていることが実際に行われたか、最後の控えが期日までに破棄されたか、この証明書のハッシュが消去記録にあるか\
             （担当が vrx log show で certificate_sha256 を見ます）",
            "that what it says was done, that the last backup was destroyed by that day, that the entry of the erasure has the certificate's \
             hash (an officer sees certificate_sha256 in vrx log show)",
        ),
        details: Value::Object(details),
        fields: fields.collect(),
    })
}

/// One line: `消去番号 erasure: …`.
struct Line<'a> {
    label: &'a str,
    /// The label's English word.
    name: &'a str,
    value: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (label, value) = line.split_once(": ")?;
        let (_, name) = label.rsplit_once(' ')?;
        Some(Self { label, name, value })
    }
}

fn row(label: &str, value: &str) -> Vec<String> {
    ["証明書", label, value].map(str::to_owned).to_vec()
}

fn not_signed(error: &NoteError, log: &str, key: &VerifierKey) -> Stop {
    match error {
        NoteError::NotSigned if is_other_epoch(log, key.name()) => Stop::NotProved(
            "この鍵は、このログの別の系列（epoch）のものです。証明書の系列の鍵を指定してください",
            format!(
                "the certificate is of {log}, and the key of {}: another epoch of that log, with another key id",
                key.name()
            ),
        ),
        NoteError::NotSigned => Stop::NotProved("この鍵の署名がありません", error.to_string()),
        _ => Stop::NotProved("この鍵の署名が正しくありません", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of a file; nobody has the private half of the key.
    fn check(text: &str) -> Result<Verdict, Stop> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("certificate");
        std::fs::write(&file, text).unwrap();
        certificate(&Args { vkey: key(), file })
    }

    fn key() -> VerifierKey {
        let origin = vrx_tlog::origin("vrx.example", "142051", 1);
        let public = (0..=u8::MAX).map(|byte| [byte; 32]);
        let mut keys = public.filter_map(|key| VerifierKey::from_public_key(&origin, &key).ok());
        keys.next().unwrap()
    }

    fn signed(text: &str) -> String {
        vrx_tlog::sign_note(text, &key(), |_| [7; 64])
    }

    #[test]
    fn a_wrong_signature_proves_nothing_and_another_file_is_no_certificate() {
        let text = format!("{ERASURE_CERTIFICATE}\n提供記録 log: {}\n", key().name());
        let wrong = check(&signed(&text));
        assert!(matches!(wrong, Err(Stop::NotProved(..))), "{wrong:?}");
        for other in [
            "",
            "text\n",
            &signed("another\n1\n"),
            &signed(&format!("{text}no line\n")),
        ] {
            let other = check(other);
            assert!(matches!(other, Err(Stop::Failed(_))), "{other:?}");
        }
    }
}
