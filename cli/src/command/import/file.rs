//! The file on its way: looked at as a whole first, then sent in pieces.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use vrx_proto::v1::{ImportHeader, ImportRequest, import_request::Part};

use crate::{
    encoding::{self, Encoding},
    failure::Failure,
};

/// Bytes of one message; the wire allows 256 KiB.
const CHUNK: usize = 64 * 1024;

/// What has to be known of a file before its first row leaves.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// How it is encoded.
    pub(crate) encoding: Encoding,
    /// In bytes.
    pub(super) length: u64,
    /// Of the whole file.
    pub(super) sha256: [u8; 32],
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
pub(super) fn messages(
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

#[cfg(test)]
mod tests {
    use super::{Encoding, Prepared};

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
