//! `import.body`: who entered it, who approved it, what came of it.

use vrx_domain::{ImportId, UnixMillis};
use zeroize::Zeroizing;

use super::{Malformed, Reader, Writer};
use crate::registry::{ImportCounts, ImportHeader, ImportKind, ImportRecord, ImportState};

/// kind u8 | entered by | entered at u64 | digest 32 | (approved by, at u64)? | added u64 | changed u64 | unchanged u64 |
/// chunks u32 | (first u64, last u64)?
pub(crate) fn encode_import(import: &ImportRecord) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut out = Writer::new();
    out.u8(import.header.kind as u8);
    out.text(&import.header.entered_by)?;
    out.u64(import.header.entered_at.0);
    out.raw(&import.header.digest);
    let approval = match &import.state {
        ImportState::Entered => None,
        ImportState::Approved { by, at } => Some((by, at)),
    };
    out.option(approval, |out, (by, at)| {
        out.text(by)?;
        out.u64(at.0);
        Ok(())
    })?;
    out.u64(import.counts.added);
    out.u64(import.counts.changed);
    out.u64(import.counts.unchanged);
    out.u32(import.chunks);
    out.option(import.log_range, |out, (first, last)| {
        out.u64(first);
        out.u64(last);
        Ok(())
    })?;
    Ok(out.finish())
}

pub(crate) fn decode_import(id: ImportId, bytes: &[u8]) -> Result<ImportRecord, Malformed> {
    let mut body = Reader::new(bytes);
    let header = ImportHeader {
        id,
        kind: kind(body.u8()?)?,
        entered_by: body.text()?.to_owned(),
        entered_at: UnixMillis(body.u64()?),
        digest: body.array()?,
    };
    let approval = body.option(|body| Ok((body.text()?.to_owned(), UnixMillis(body.u64()?))))?;
    let counts = ImportCounts {
        added: body.u64()?,
        changed: body.u64()?,
        unchanged: body.u64()?,
    };
    let chunks = body.u32()?;
    let log_range = body.option(|body| Ok((body.u64()?, body.u64()?)))?;
    body.end()?;
    let state = approval.map_or(ImportState::Entered, |(by, at)| ImportState::Approved {
        by,
        at,
    });
    Ok(ImportRecord {
        header,
        state,
        counts,
        chunks,
        log_range,
    })
}

fn kind(byte: u8) -> Result<ImportKind, Malformed> {
    [ImportKind::Persons, ImportKind::Doses, ImportKind::Adoption]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
        .ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_comes_back_as_it_was_written() {
        let id = ImportId::from_bytes([4; 16]);
        let mut import = ImportRecord {
            header: ImportHeader {
                id,
                kind: ImportKind::Doses,
                entered_by: "spiffe://vrx.example/x".to_owned(),
                entered_at: UnixMillis(5),
                digest: [9; 32],
            },
            state: ImportState::Entered,
            counts: ImportCounts {
                added: 1,
                changed: 2,
                unchanged: 3,
            },
            chunks: 2,
            log_range: None,
        };
        assert_eq!(
            decode_import(id, &encode_import(&import).unwrap()),
            Ok(import.clone())
        );
        import.state = ImportState::Approved {
            by: "b".to_owned(),
            at: UnixMillis(6),
        };
        import.log_range = Some((3, 9));
        assert_eq!(
            decode_import(id, &encode_import(&import).unwrap()),
            Ok(import)
        );
    }
}
