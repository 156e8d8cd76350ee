//! `erasure_run.body` and `hold.body`.

use vrx_domain::{ErasureId, Hold, HoldGround, PersonId, Reference, UnixMillis};
use zeroize::Zeroizing;

use super::{Malformed, Reader, Writer};
use crate::retention::{Blanks, ErasureCounts, ErasureRun, ErasureStage, HoldRecord, RunBlanks};

/// stage u8 | proposed by | at u64 | persons, doses, openings u64 | openings below u64 | (approved by, at u64)? | done: persons,
/// doses, openings u64 | stayed u64 | openings next u64 | certificate | entry u64? | (blank before, blank after: count u64, chain
/// 32 bytes each), or nothing in a run that was begun without counting
pub(crate) fn encode_erasure(run: &ErasureRun) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut out = Writer::new();
    out.u8(run.stage as u8);
    out.text(&run.proposed_by)?;
    out.u64(run.proposed_at.0);
    counts(&mut out, &run.proposed);
    out.u64(run.openings_below);
    out.option(run.approved.as_ref(), |out, (by, at)| {
        out.text(by)?;
        out.u64(at.0);
        Ok(())
    })?;
    counts(&mut out, &run.done);
    out.u64(run.stayed);
    out.u64(run.openings_next);
    out.text(&run.certificate)?;
    out.option(run.entry, |out, entry| {
        out.u64(entry);
        Ok(())
    })?;
    if let Some(RunBlanks { before, after }) = &run.blanks {
        for blanks in [before, after] {
            out.u64(blanks.count);
            out.raw(&blanks.chain);
        }
    }
    Ok(out.finish())
}

/// The run in a body; when its files were rewritten stands in the row.
pub(crate) fn decode_erasure(
    id: ErasureId,
    rewritten_at: Option<UnixMillis>,
    bytes: &[u8],
) -> Result<ErasureRun, Malformed> {
    let mut body = Reader::new(bytes);
    let stage = ErasureStage::of(body.u8()?).ok_or(Malformed)?;
    let mut run = ErasureRun {
        id,
        stage,
        proposed_by: body.text()?.to_owned(),
        proposed_at: UnixMillis(body.u64()?),
        proposed: read_counts(&mut body)?,
        openings_below: body.u64()?,
        approved: body.option(|body| Ok((body.text()?.to_owned(), UnixMillis(body.u64()?))))?,
        done: read_counts(&mut body)?,
        stayed: body.u64()?,
        openings_next: body.u64()?,
        rewritten_at,
        certificate: body.text()?.to_owned(),
        entry: body.option(Reader::u64)?,
        blanks: None,
    };
    if !body.is_at_end() {
        let (before, after) = (read_blanks(&mut body)?, read_blanks(&mut body)?);
        run.blanks = Some(RunBlanks { before, after });
    }
    body.end()?;
    Ok(run)
}

fn counts(out: &mut Writer, counts: &ErasureCounts) {
    for count in [counts.persons, counts.doses, counts.openings] {
        out.u64(count);
    }
}

fn read_counts(body: &mut Reader<'_>) -> Result<ErasureCounts, Malformed> {
    Ok(ErasureCounts {
        persons: body.u64()?,
        doses: body.u64()?,
        openings: body.u64()?,
    })
}

fn read_blanks(body: &mut Reader<'_>) -> Result<Blanks, Malformed> {
    Ok(Blanks {
        count: body.u64()?,
        chain: body.array()?,
    })
}

/// until? | ground u8 | reference | placed by | at u64 | subjects u8 | 32 bytes each
pub(crate) fn encode_hold(record: &HoldRecord) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let Hold {
        until,
        ground,
        reference,
        placed_by,
        placed_at,
    } = &record.hold;
    let mut out = Writer::new();
    out.option(*until, |out, until| {
        out.date(until);
        Ok(())
    })?;
    out.u8(ground.code());
    out.text(reference.as_str())?;
    out.text(placed_by)?;
    out.u64(placed_at.0);
    out.u8(u8::try_from(record.subjects.len()).map_err(|_| Malformed)?);
    record.subjects.iter().for_each(|subject| out.raw(subject));
    Ok(out.finish())
}

pub(crate) fn decode_hold(person: PersonId, bytes: &[u8]) -> Result<HoldRecord, Malformed> {
    let mut body = Reader::new(bytes);
    let hold = Hold {
        until: body.option(Reader::date)?,
        ground: HoldGround::from_code(body.u8()?).ok_or(Malformed)?,
        reference: Reference::parse(body.text()?).map_err(|_| Malformed)?,
        placed_by: body.text()?.to_owned(),
        placed_at: UnixMillis(body.u64()?),
    };
    let count = body.u8()?;
    let subjects = (0..count).map(|_| body.array());
    let subjects = subjects.collect::<Result<_, _>>()?;
    body.end()?;
    Ok(HoldRecord {
        person,
        hold,
        subjects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_and_a_hold_come_back_as_they_were_written() {
        let id = ErasureId::from_bytes([4; 16]);
        let mut run = ErasureRun {
            id,
            proposed_by: "a".to_owned(),
            proposed_at: UnixMillis(1),
            proposed: ErasureCounts {
                persons: 2,
                doses: 3,
                openings: 4,
            },
            openings_below: 5,
            approved: None,
            stage: ErasureStage::Proposed,
            done: ErasureCounts::default(),
            stayed: 0,
            openings_next: 0,
            rewritten_at: None,
            certificate: String::new(),
            entry: None,
            blanks: None,
        };
        for _ in 0..3 {
            let bytes = encode_erasure(&run).unwrap();
            let read = decode_erasure(id, run.rewritten_at, &bytes);
            assert_eq!(read.as_ref(), Ok(&run));
            run.approved = Some(("b".to_owned(), UnixMillis(6)));
            run.stage = ErasureStage::Recorded;
            run.rewritten_at = Some(UnixMillis(7));
            run.certificate = "消去証明書\n".to_owned();
            run.entry = Some(8);
            let (count, chain) = (run.blanks.map_or(1, |_| 10), [11; 32]);
            run.blanks = Some(RunBlanks {
                before: Blanks::default(),
                after: Blanks { count, chain },
            });
        }
        let cut = encode_erasure(&run).unwrap();
        assert_eq!(
            decode_erasure(id, None, &cut[..cut.len() - 1]),
            Err(Malformed)
        );
        let person = PersonId::from_bytes([5; 16]);
        let hold = HoldRecord {
            person,
            hold: Hold {
                until: "2026-03-31".parse().ok(),
                ground: HoldGround::Dispute,
                reference: Reference::parse("k-1").unwrap(),
                placed_by: "c".to_owned(),
                placed_at: UnixMillis(9),
            },
            subjects: vec![[1; 32], [2; 32]],
        };
        let bytes = encode_hold(&hold).unwrap();
        assert_eq!(decode_hold(person, &bytes), Ok(hold));
        assert_eq!(decode_hold(person, &bytes[..9]), Err(Malformed));
    }
}
