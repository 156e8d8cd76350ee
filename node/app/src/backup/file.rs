//! The encrypted file of one backup: rows in, age (<https://age-encryption.org/v1>) out, hashed on the way.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use age::x25519::{Identity, Recipient};
use age::{Decryptor, Encryptor};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use vrx_domain::Tenant;
use vrx_storage::copy::{Next, Row, RowCounts, StreamError, StreamReader, StreamWriter, Table};

use super::durable;
use crate::failure::Failure;

/// Bytes read or written at once.
const BUFFER: usize = 1 << 20;

/// What a writing thread is given.
pub(super) enum Chunk {
    /// Rows of a table.
    Rows(&'static Table, Vec<Row>),
    /// All rows were given: without this the file never gets its name.
    End,
}

/// A file that was written whole.
pub(super) struct Written {
    pub(super) counts: RowCounts,
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
}

/// Writes a backup from the rows that arrive, and gives it its name at their end. Blocks; `None` when they stopped before it.
pub(super) fn write(
    path: &Path,
    tenant: &Tenant,
    recipients: &[Recipient],
    mut rows: mpsc::Receiver<Chunk>,
) -> Result<Option<Written>, Failure> {
    let file = durable::begin(path)?;
    let written = encrypt(&file, path, tenant, recipients, &mut rows);
    if let Ok(Some(_)) = &written {
        durable::finish(&file, path)?;
    } else {
        let part = durable::unfinished(path);
        std::fs::remove_file(&part).map_err(|error| Failure::io("remove", &part, &error))?;
    }
    written
}

fn encrypt(
    file: &File,
    path: &Path,
    tenant: &Tenant,
    recipients: &[Recipient],
    rows: &mut mpsc::Receiver<Chunk>,
) -> Result<Option<Written>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::unavailable(format!(
            "cannot write {}: {error}; make room or choose another backup_dir",
            path.display()
        ))
    };
    let all = recipients
        .iter()
        .map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(all).map_err(|error| {
        Failure::configuration(format!(
            "backup_recipients: {error}; write age1… recipients"
        ))
    })?;
    let hashed = Hashed::new(BufWriter::with_capacity(BUFFER, file));
    let sealed = encryptor
        .wrap_output(hashed)
        .map_err(|error| failed(&error))?;
    let mut stream = StreamWriter::begin(sealed, tenant).map_err(|error| failed(&error))?;
    loop {
        match rows.blocking_recv() {
            Some(Chunk::Rows(table, rows)) => {
                stream.rows(table, &rows).map_err(|error| failed(&error))?;
            }
            Some(Chunk::End) => break,
            None => return Ok(None),
        }
    }
    let (sealed, counts) = stream.end().map_err(|error| failed(&error))?;
    let mut hashed = sealed.finish().map_err(|error| failed(&error))?;
    hashed.flush().map_err(|error| failed(&error))?;
    Ok(Some(Written {
        counts,
        sha256: hashed.hash.finalize().into(),
        bytes: hashed.bytes,
    }))
}

/// The SHA-256 and the length of a file. Blocks.
pub(super) fn hash(path: &Path) -> Result<([u8; 32], u64), Failure> {
    let failed = |error: io::Error| Failure::io("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hashed = Hashed::new(io::sink());
    io::copy(&mut file, &mut hashed).map_err(failed)?;
    Ok((hashed.hash.finalize().into(), hashed.bytes))
}

/// Decrypts a backup and gives its frames away; the last one is the end. Blocks. Whoever listens may stop listening.
pub(super) fn read(
    path: &Path,
    identity: &Identity,
    tenant: &Tenant,
    frames: &mpsc::Sender<Next>,
) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::storage(format!(
            "{}: {why}; nothing was replaced: take another backup, or the identity that belongs to its recipient",
            path.display()
        ))
    };
    let file = File::open(path).map_err(|error| Failure::io("read", path, &error))?;
    let plain = Decryptor::new_buffered(BufReader::with_capacity(BUFFER, file))
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)))
        .map_err(|error| refused(&error))?;
    let stream = |error: StreamError| refused(&error);
    let mut reader = StreamReader::begin(BufReader::new(plain)).map_err(stream)?;
    if reader.tenant() != *tenant {
        return Err(refused(&"it holds another tenant than its manifest says"));
    }
    loop {
        let next = reader.next().map_err(stream)?;
        let ended = matches!(next, Next::End(_));
        if frames.blocking_send(next).is_err() || ended {
            return Ok(());
        }
    }
}

/// Passes bytes on and hashes them.
struct Hashed<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashed<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            hash: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
