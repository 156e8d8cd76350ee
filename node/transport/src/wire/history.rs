//! A person's history on the wire.

use vrx_domain::{DisclosureReason, EntryMark};
use vrx_proto::v1;
use vrx_services::audit::{
    Cosigning, Counterparty, HistoryDose, HistoryPart, HistoryRequest, HistoryRow, HistoryView,
    Mark, MarkRequest, MissingEntries, Relation, Story,
};
use zeroize::Zeroize;

use super::answer::receipt_message;
use super::evidence::consent_message;
use super::field::{self, Parsed, choice};

/// Whose history. The text of the number is wiped, whatever comes of it.
pub(crate) fn parse_read(request: &mut v1::ReadHistoryRequest) -> Parsed<HistoryRequest> {
    let number = field::individual_number("individual_number", &request.individual_number);
    request.individual_number.zeroize();
    let view = choice("view", request.view, |code| match code {
        1 => Some(HistoryView::Disclosure),
        2 => Some(HistoryView::Internal),
        _ => None,
    });
    Ok(HistoryRequest {
        number: number?,
        view: view?,
    })
}

/// A mark. The text of the number is wiped, whatever comes of it.
pub(crate) fn parse_mark(request: &mut v1::MarkEntryRequest) -> Parsed<MarkRequest> {
    let number = field::individual_number("individual_number", &request.individual_number);
    request.individual_number.zeroize();
    let reason = match request.reason {
        0 => None,
        code => Some(choice("reason", code, DisclosureReason::from_code)?),
    };
    Ok(MarkRequest {
        number: number?,
        index: request.log_index,
        mark: choice("mark", request.mark, EntryMark::from_code)?,
        reason,
        document: field::reference("document", &request.document)?,
    })
}

/// A row or a gap.
pub(crate) fn part_message(part: HistoryPart) -> v1::HistoryEvent {
    let step = match part {
        HistoryPart::Row(row) => v1::history_event::Step::Row(row_message(*row)),
        HistoryPart::Missing(missing) => v1::history_event::Step::Gap(gap_message(missing)),
    };
    v1::HistoryEvent { step: Some(step) }
}

/// An entry's story.
pub(crate) fn story_message(story: Story) -> v1::ReadEntryStoryResponse {
    let related = story.related.into_iter().map(|(relation, row)| {
        let relation = match relation {
            Relation::SameInquiry => v1::EntryRelation::SameInquiry,
            Relation::Mark => v1::EntryRelation::Mark,
            Relation::Look => v1::EntryRelation::Look,
            Relation::SamePerson => v1::EntryRelation::SamePerson,
        };
        v1::RelatedEntry {
            relation: relation.into(),
            row: Some(row_message(row)),
        }
    });
    v1::ReadEntryStoryResponse {
        related: related.collect(),
        row: Some(row_message(story.row)),
        truncated: story.truncated,
        missing: story.missing,
        cosigning: cosigning_message(story.cosigning).into(),
    }
}

pub(crate) fn cosigning_message(cosigning: Cosigning) -> v1::Cosigning {
    match cosigning {
        Cosigning::NoWitnesses => v1::Cosigning::NoWitnesses,
        Cosigning::Cosigned => v1::Cosigning::Cosigned,
        Cosigning::NotInTime => v1::Cosigning::NotInTime,
    }
}

fn gap_message(missing: MissingEntries) -> v1::HistoryGap {
    v1::HistoryGap {
        missing: missing.count,
        first_seq: missing.first_seq,
        last_index: missing.last_index,
        erased: missing.erased,
    }
}

fn row_message(row: HistoryRow) -> v1::HistoryRow {
    v1::HistoryRow {
        log_index: row.index,
        time: Some(field::timestamp(row.time)),
        kind: i32::from(row.kind),
        subject_seq: row.subject_seq,
        action: row.action,
        phase: row.phase,
        counterparty_concealed: row.counterparty == Counterparty::Concealed,
        counterparty: match row.counterparty {
            Counterparty::Named(code) => code.to_string(),
            Counterparty::None | Counterparty::Concealed => String::new(),
        },
        actor: row.actor,
        outcome: row.outcome,
        cause: row.cause,
        purpose: row.purpose.map_or(0, |purpose| i32::from(purpose.code())),
        legal_basis: row.legal_basis,
        consent: row.consent.as_ref().map(consent_message),
        event_reference: row.event_reference,
        event_date: row.event_date.map(field::date_message),
        doses: row.doses.iter().map(dose_message).collect(),
        dose_count: small(row.dose_count),
        held_back: small(row.held_back),
        withheld: row.withheld.map_or(0, |reason| i32::from(reason.code())),
        mark: row.mark.map(mark_message),
        looked_at: row.looked_at.unwrap_or_default(),
        erasure: row.erasure.map(|erasure| v1::HistoryErasure {
            erasure_id: erasure.id,
            persons: erasure.persons,
            doses: erasure.doses,
            openings: erasure.openings,
        }),
        receipt: row.receipt.as_ref().map(receipt_message),
    }
}

fn dose_message(dose: &HistoryDose) -> v1::HistoryDose {
    let known = dose.known.as_ref();
    v1::HistoryDose {
        dose_id: dose.id.to_string(),
        dose_number: known.map_or(0, |known| known.number),
        date: known.map(|known| field::date_message(known.date)),
        product_name: known.map(|known| known.product.clone()).unwrap_or_default(),
    }
}

fn mark_message(mark: Mark) -> v1::HistoryMark {
    v1::HistoryMark {
        log_index: mark.index,
        mark: i32::from(mark.mark.code()),
        reason: mark.reason.map_or(0, |reason| i32::from(reason.code())),
        document: mark.document,
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
