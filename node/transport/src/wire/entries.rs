//! Entries of the log, and its verification, on the wire.

use vrx_domain::EntryKind;
use vrx_proto::v1;
use vrx_proto::v1::verify_log_event::Event;
use vrx_services::audit::{
    EntryFilter, EntrySummary, ListRequest, LogVerified, Order, ShownEntry, VerifyProgress,
};
use vrx_tlog::{Checkpoint, SignedNote};

use super::answer::hashes;
use super::field::{self, Parsed};

/// Which entries.
pub(crate) fn list_request(request: &v1::ListEntriesRequest) -> Parsed<ListRequest> {
    let kind = match request.kind {
        0 => None,
        number => Some(field::choice("kind", number, EntryKind::from_code)?),
    };
    let time = |name, value: &Option<prost_types::Timestamp>| match value {
        None => Ok(None),
        Some(_) => field::time(name, value.as_ref()).map(Some),
    };
    Ok(ListRequest {
        page_size: request.page_size,
        page_token: field::page_token("page_token", &request.page_token)?,
        filter: EntryFilter {
            kind,
            from: time("from", &request.from)?,
            until: time("until", &request.until)?,
        },
        order: if request.newest_first {
            Order::NewestFirst
        } else {
            Order::OldestFirst
        },
    })
}

/// An entry of a list.
pub(crate) fn summary(entry: EntrySummary) -> v1::LogEntry {
    v1::LogEntry {
        log_index: entry.index,
        time: Some(field::timestamp(entry.time)),
        kind: i32::from(entry.kind),
        actor: entry.actor,
        action: entry.action,
        outcome: entry.outcome,
        cause: entry.cause,
        damaged: entry.is_damaged,
        ..v1::LogEntry::default()
    }
}

/// One entry with its proof.
pub(crate) fn shown(entry: ShownEntry) -> v1::GetEntryResponse {
    let entry_id = vrx_tlog::Leaf::decode(&entry.leaf)
        .map(|leaf| vrx_domain::EntryId::from_bytes(leaf.entry_id).to_string())
        .unwrap_or_default();
    let fields = entry.fields.into_iter().map(|field| v1::EntryField {
        commitment: field.part.to_owned(),
        name: field.name,
        value: field.value,
    });
    v1::GetEntryResponse {
        entry: Some(v1::LogEntry {
            log_index: entry.index,
            time: Some(field::timestamp(entry.time)),
            kind: i32::from(entry.kind),
            entry_id,
            fields: fields.collect(),
            subject_seq: entry.subject_seq,
            previous_index: entry.previous_index.unwrap_or_default(),
            ..v1::LogEntry::default()
        }),
        receipt: Some(v1::Receipt {
            log_index: entry.index,
            leaf: entry.leaf,
            checkpoint: entry.checkpoint,
            inclusion_proof: hashes(&entry.inclusion_proof),
            consistency_proof: Vec::new(),
        }),
        // An opening that isn't what the leaf commits to is an error, never shown.
        commitments_verified: true,
    }
}

/// How far a verification is.
pub(crate) fn progress_message(progress: VerifyProgress) -> v1::VerifyLogEvent {
    let progress = v1::VerifyProgress {
        entries_checked: progress.checked,
        entries_total: progress.total,
    };
    v1::VerifyLogEvent {
        event: Some(Event::Progress(progress)),
    }
}

/// How it ended.
pub(crate) fn report(verified: LogVerified) -> v1::VerifyLogEvent {
    const MOST: usize = 100;
    let root = SignedNote::parse(&verified.checkpoint)
        .ok()
        .and_then(|note| Checkpoint::parse(note.text()).ok())
        .map(|checkpoint| checkpoint.root.to_vec());
    let mut findings = verified.faults;
    let ok = findings.is_empty();
    findings.truncate(MOST);
    let report = v1::VerifyReport {
        ok,
        size: verified.entries,
        root: root.unwrap_or_default(),
        checkpoint: verified.checkpoint,
        findings,
        openings_checked: verified.entries.saturating_sub(verified.erased),
    };
    v1::VerifyLogEvent {
        event: Some(Event::Report(report)),
    }
}
