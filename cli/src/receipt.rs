//! A receipt (提供記録の受領証) as a file: C2SP tlog-proof, which `vrx verify receipt` and other people's tools read.

use std::{io::Write as _, path::Path};

use vrx_proto::v1;
use vrx_tlog::{Receipt, TlogProof};

use crate::{
    failure::Failure,
    outputs::{self, Place},
};

/// What is said of a receipt that isn't one.
type Wrong = &'static str;

/// A receipt off the wire.
pub(crate) fn parse(receipt: &v1::Receipt) -> Result<Receipt, Wrong> {
    let hashes = |hashes: &[Vec<u8>]| -> Result<Vec<[u8; 32]>, Wrong> {
        hashes
            .iter()
            .map(|hash| {
                hash.as_slice()
                    .try_into()
                    .map_err(|_| "a hash isn't 32 bytes")
            })
            .collect()
    };
    Ok(Receipt {
        log_index: receipt.log_index,
        leaf: receipt
            .leaf
            .as_slice()
            .try_into()
            .map_err(|_| "the leaf isn't 134 bytes")?,
        checkpoint: receipt.checkpoint.clone(),
        inclusion_proof: hashes(&receipt.inclusion_proof)?,
        consistency_proof: hashes(&receipt.consistency_proof)?,
    })
}

/// Refuses a path where no new file can be written. Asked before the call whose answer is to be saved.
pub(crate) fn free(path: &Path) -> Result<(), Failure> {
    outputs::free([Place::File(path)])
}

/// Writes the receipt to a new file. Its leaf is the proof's extra data, so that the file stands alone; the keys that open it aren't there.
pub(crate) fn save(receipt: Option<&v1::Receipt>, path: &Path) -> Result<(), Failure> {
    let receipt = receipt
        .ok_or("there is none")
        .and_then(parse)
        .map_err(|why| {
            Failure::NotDone(format!(
                "受領証を保存できません / the receipt can't be saved: {why}"
            ))
        })?;
    let failed = |error: &std::io::Error| Failure::file("書き込み", path, error);
    let mut file = std::fs::File::create_new(path).map_err(|error| failed(&error))?;
    write!(file, "{}", TlogProof::from(&receipt)).map_err(|error| failed(&error))?;
    file.sync_all().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::{free, parse, save, v1};

    fn receipt() -> v1::Receipt {
        v1::Receipt {
            log_index: 3,
            leaf: vec![1; 134],
            checkpoint: "log\n4\nroot\n\n\u{2014} log AAAAAQID\n".to_owned(),
            inclusion_proof: vec![vec![2; 32], vec![3; 32]],
            consistency_proof: vec![vec![4; 32]],
        }
    }

    #[test]
    fn a_saved_receipt_is_a_tlog_proof_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.tlog-proof");
        free(&path).unwrap();
        save(Some(&receipt()), &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let proof = vrx_tlog::TlogProof::parse(&text).unwrap();
        assert_eq!((proof.index, proof.inclusion_proof.len()), (3, 2));
        assert_eq!(proof.extra, Some(vec![1; 134]));
        assert_eq!(proof.checkpoint, receipt().checkpoint);
        assert_eq!(free(&path).unwrap_err().exit_code(), 2);
        assert_eq!(save(Some(&receipt()), &path).unwrap_err().exit_code(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn what_is_no_receipt_is_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.tlog-proof");
        let mut short = receipt();
        short.leaf.pop();
        assert!(parse(&short).is_err());
        assert_eq!(save(Some(&short), &path).unwrap_err().exit_code(), 1);
        assert_eq!(save(None, &path).unwrap_err().exit_code(), 1);
        assert!(!path.exists());
    }
}
