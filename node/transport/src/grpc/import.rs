//! A file on its way in: header, chunks, and the events that go back while it is read.

use std::sync::Arc;

use futures_util::stream;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use vrx_domain::Caller;
use vrx_proto::v1;
use vrx_proto::v1::import_event::Event;
use vrx_proto::v1::import_request::Part;
use vrx_services::import::Encoding;
use vrx_services::registry::{
    ImportEvent, ImportRequest, ImportSummary, import_doses, import_persons,
};
use vrx_services::{ServiceError, TenantServices};
use zeroize::Zeroizing;

use super::call::noted;
use crate::status::status;

/// Events that may wait for the caller; when it doesn't read, the import waits too.
const WAITING: usize = 64;

/// What the file holds.
#[derive(Clone, Copy)]
pub(crate) enum File {
    Persons,
    Doses,
}

/// The first message.
pub(crate) async fn header(
    messages: &mut Streaming<v1::ImportRequest>,
) -> Result<v1::ImportHeader, ServiceError> {
    match messages.message().await {
        Ok(Some(v1::ImportRequest {
            part: Some(Part::Header(header)),
        })) => {
            if header.file_sha256.is_empty() || header.file_sha256.len() == 32 {
                Ok(header)
            } else {
                invalid("header.file_sha256", "isn't 32 bytes")
            }
        }
        _ => invalid("header", "isn't the first message"),
    }
}

/// Runs the import in a task of its own. Its events end with a summary or an error.
pub(crate) fn start(
    tenant: Arc<TenantServices>,
    caller: Caller,
    file: File,
    header: v1::ImportHeader,
    messages: Streaming<v1::ImportRequest>,
) -> mpsc::Receiver<Result<v1::ImportEvent, Status>> {
    let (out, outgoing) = mpsc::channel(WAITING);
    let (events, mut incoming) = mpsc::channel(WAITING);
    let forward = {
        let out = out.clone();
        async move {
            while let Some(event) = incoming.recv().await {
                if out.send(Ok(event_message(event))).await.is_err() {
                    // The caller left. Dropping the receiver tells the import so.
                    return;
                }
            }
        }
    };
    tokio::spawn(async move {
        let encoding = match header.encoding() {
            v1::Encoding::Unspecified => None,
            v1::Encoding::Utf8 => Some(Encoding::Utf8),
            v1::Encoding::Cp932 => Some(Encoding::Cp932),
        };
        let request = ImportRequest {
            check_only: header.check,
            encoding,
        };
        let chunks = Box::pin(chunks(header, messages));
        let run = async {
            match file {
                File::Persons => import_persons(&tenant, &caller, request, chunks, events).await,
                File::Doses => import_doses(&tenant, &caller, request, chunks, events).await,
            }
        };
        let (result, ()) = tokio::join!(run, forward);
        let last = match result {
            Ok(summary) => Ok(summary_message(&summary)),
            Err(error) => Err(status(&noted(Some(&tenant), &caller, error).await)),
        };
        if out.send(last).await.is_err() {
            tracing::debug!("the caller of an import left before its end");
        }
    });
    outgoing
}

/// The file's bytes as they come, compared at the end with what the header said.
fn chunks(
    header: v1::ImportHeader,
    messages: Streaming<v1::ImportRequest>,
) -> impl stream::Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send {
    let state = Some((messages, Sha256::new(), 0_u64, header));
    stream::unfold(state, |state| async {
        let (mut messages, mut hash, read, header) = state?;
        match messages.message().await {
            Ok(Some(v1::ImportRequest {
                part: Some(Part::Chunk(chunk)),
            })) => {
                hash.update(&chunk);
                let read = read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                Some((
                    Ok(Zeroizing::new(chunk)),
                    Some((messages, hash, read, header)),
                ))
            }
            Ok(Some(_)) => Some((
                invalid("chunk", "is missing in a message after the header"),
                None,
            )),
            Ok(None) => {
                if header.total_bytes != 0 && header.total_bytes != read {
                    Some((
                        invalid(
                            "header.total_bytes",
                            "isn't the length of the file that came",
                        ),
                        None,
                    ))
                } else if !header.file_sha256.is_empty()
                    && header.file_sha256 != hash.finalize().as_slice()
                {
                    Some((
                        invalid("header.file_sha256", "isn't the hash of the file that came"),
                        None,
                    ))
                } else {
                    None
                }
            }
            Err(_) => Some((
                invalid("chunk", "broke off before the end of the file"),
                None,
            )),
        }
    })
}

fn invalid<T>(field: &'static str, why: &'static str) -> Result<T, ServiceError> {
    Err(ServiceError::InvalidArgument { field, why })
}

fn event_message(event: ImportEvent) -> v1::ImportEvent {
    let event = match event {
        ImportEvent::Progress { bytes, rows } => Event::Progress(v1::ImportProgress {
            bytes_read: bytes,
            rows_read: rows,
            ..Default::default()
        }),
        ImportEvent::Refused(row) => Event::RefusedRow(v1::RefusedRow {
            line: row.line,
            column: row.column,
            reason_code: row.code.to_owned(),
            reason_ja: row.reason_ja.to_owned(),
            reason_en: row.reason,
        }),
    };
    v1::ImportEvent { event: Some(event) }
}

fn summary_message(summary: &ImportSummary) -> v1::ImportEvent {
    let summary = v1::ImportSummary {
        import_id: summary
            .import
            .map(|import| import.to_string())
            .unwrap_or_default(),
        rows_read: summary.rows,
        rows_new: summary.entered,
        rows_changed: 0,
        rows_unchanged: summary.unchanged,
        rows_refused: summary.refused,
        log_entries: summary.entries,
    };
    v1::ImportEvent {
        event: Some(Event::Summary(summary)),
    }
}
