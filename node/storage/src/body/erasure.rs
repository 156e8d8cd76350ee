//! `erasure_run.body` and `hold.body`.

use vrx_domain::{ErasureId, Hold, HoldGround, PersonId, Reference, UnixMillis};
use zeroize::Zeroizing;

use super::{Malformed, Reader, Writer};
use crate::hold::HoldRecord;
use crate::retention::{Blanks, ErasureCounts, ErasureRun, ErasureStage, RunBlanks};

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

/// hold | subjects u8 | 32 bytes each | further holds up to the end; each hold: until? | ground u8 | reference | placed by | at u64
pub(crate) fn encode_hold(record: &HoldRecord) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let (first, further) = record.holds.split_first().ok_or(Malformed)?;
    let mut out = Writer::new();
    put_hold(&mut out, first)?;
    out.u8(u8::try_from(record.subjects.len()).map_err(|_| Malformed)?);
    record.subjects.iter().for_each(|subject| out.raw(subject));
    for hold in further {
        put_hold(&mut out, hold)?;
    }
    Ok(out.finish())
}

fn put_hold(out: &mut Writer, hold: &Hold) -> Result<(), Malformed> {
    out.option(hold.until, |out, until| {
        out.date(until);
        Ok(())
    })?;
    out.u8(hold.ground.code());
    out.text(hold.reference.as_str())?;
    out.text(&hold.placed_by)?;
    out.u64(hold.placed_at.0);
    Ok(())
}

fn read_hold(body: &mut Reader<'_>) -> Result<Hold, Malformed> {
    Ok(Hold {
        until: body.option(Reader::date)?,
        ground: HoldGround::from_code(body.u8()?).ok_or(Malformed)?,
        reference: Reference::parse(body.text()?).map_err(|_| Malformed)?,
        placed_by: body.text()?.to_owned(),
        placed_at: UnixMillis(body.u64()?),
    })
}

pub(crate) fn decode_hold(person: PersonId, bytes: &[u8]) -> Result<HoldRecord, Malformed> {
    let mut body = Reader::new(bytes);
    let mut holds = vec![read_hold(&mut body)?];
    let count = body.u8()?;
    let subjects = (0..count).map(|_| body.array());
    let subjects = subjects.collect::<Result<_, _>>()?;
    while !body.is_at_end() {
        holds.push(read_hold(&mut body)?);
    }
    Ok(HoldRecord {
        person,
        holds,
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
        let until = |until: &str, reference: &str| Hold {
            until: until.parse().ok(),
            ground: HoldGround::Dispute,
            reference: Reference::parse(reference).unwrap(),
            placed_by: "c".to_owned(),
            placed_at: UnixMillis(9),
        };
        let mut record = HoldRecord {
            person,
            holds: vec![until("2026-03-31", "k-1")],
            subjects: vec![[1; 32], [2; 32]],
        };
        let alone = encode_hold(&record).unwrap();
        assert_eq!(decode_hold(person, &alone).as_ref(), Ok(&record));
        assert_eq!(decode_hold(person, &alone[..9]), Err(Malformed));
        record.holds.push(until("", "k-2"));
        record.holds.push(until("2027-03-31", "k-3"));
        let bytes = encode_hold(&record).unwrap();
        assert_eq!(decode_hold(person, &bytes), Ok(record));
        assert!(
            bytes.starts_with(&alone),
            "what one hold wrote stays as it is"
        );
        assert_eq!(
            decode_hold(person, &bytes[..bytes.len() - 1]),
            Err(Malformed)
        );
    }
}
