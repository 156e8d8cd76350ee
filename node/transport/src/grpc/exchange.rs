//! `ExchangeService.QueryRecords` (接種記録の照会): tenant, fields, the use case, and what of it leaves.

use std::sync::Arc;

use http::{HeaderMap, Response};
use http_body::Body;
use prost::Message;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use vrx_domain::{Caller, Member, RequestId};
use vrx_proto::{OUTCOME_NOTHING, TRAILER_OUTCOME, TRAILER_RECEIPT, TRAILER_REQUEST_ID, v1};
use vrx_services::exchange::{ExchangeAnswer, provide};
use vrx_services::{Deadline, Openings};
use vrx_services::{ServiceError, TenantServices};
use vrx_tlog::Receipt;

use super::call::{Node, noted};
use super::dispatch::refusal;
use super::unary::{self, ReplyBody};
use crate::access;
use crate::wire::answer::{hashes, receipt_message};
use crate::wire::query;

/// No valid request comes near this many bytes.
const LONGEST_REQUEST: usize = 16 * 1024;

/// One call of a member whose role and membership are checked. The log of the tenant that is asked takes a refusal; before
/// that is known, the log of `tenant`.
pub(crate) async fn query_records<B>(
    node: &Node,
    caller: &Caller,
    member: &Member,
    body: B,
    deadline: Deadline,
    mut tenant: Option<&Arc<TenantServices>>,
) -> Response<ReplyBody>
where
    B: Body<Data = bytes::Bytes> + Unpin,
{
    let answered = answer(node, caller, member, body, deadline, &mut tenant).await;
    node.traffic.exchange(&answered);
    match answered {
        Ok(response) => response,
        Err(error) => refusal(&noted(tenant, caller, error).await),
    }
}

async fn answer<'a, B>(
    node: &'a Node,
    caller: &Caller,
    member: &Member,
    body: B,
    deadline: Deadline,
    tenant: &mut Option<&'a Arc<TenantServices>>,
) -> Result<Response<ReplyBody>, ServiceError>
where
    B: Body<Data = bytes::Bytes> + Unpin,
{
    let request: v1::QueryRecordsRequest = deadline
        .wait(unary::read(body, LONGEST_REQUEST))
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)??;
    let asked = query::asked(&request)?;
    let ctx = access::check_asked_tenant(&node.tenants, caller, asked)?;
    *tenant = Some(ctx);
    let query = query::parse(asked, request)?;
    let request_id = query.request_id;

    let recorded = provide(ctx, caller, member, query, deadline).await?;
    let (answer, receipt, openings) = recorded.into_parts();
    match answer {
        ExchangeAnswer::Found(bytes) => Ok(found(bytes.into_bytes(), &receipt, &openings)),
        ExchangeAnswer::Nothing => nothing(request_id, &receipt, &openings)
            .ok_or_else(|| ServiceError::internal(&*node.shared.random, "a trailer can't be made")),
    }
}

/// The message with the answer, its openings and its receipt.
fn found(
    mut answer: zeroize::Zeroizing<Vec<u8>>,
    receipt: &Receipt,
    openings: &Openings,
) -> Response<ReplyBody> {
    let mut message = v1::QueryRecordsResponse {
        answer: std::mem::take(&mut *answer),
        openings: Some(v1::Openings {
            k_subject: openings.k_subject().to_vec(),
            k_actor: openings.k_actor().to_vec(),
            k_content: openings.k_content().to_vec(),
        }),
        receipt: Some(receipt_message(receipt)),
    };
    let response = unary::reply(&message, HeaderMap::new());
    unary::wipe(&mut [&mut message.answer]);
    if let Some(keys) = &mut message.openings {
        unary::wipe(&mut [&mut keys.k_subject, &mut keys.k_actor, &mut keys.k_content]);
    }
    response
}

/// The empty message and the trailers that say so. The key of `C_subject` stays here: it would tell the cause.
fn nothing(
    request_id: RequestId,
    receipt: &Receipt,
    openings: &Openings,
) -> Option<Response<ReplyBody>> {
    let proof = v1::Nothing {
        log_index: receipt.log_index,
        leaf: receipt.leaf.to_vec(),
        checkpoint: receipt.checkpoint.clone(),
        inclusion_proof: hashes(&receipt.inclusion_proof),
        consistency_proof: hashes(&receipt.consistency_proof),
        k_actor: openings.k_actor().to_vec(),
        k_content: openings.k_content().to_vec(),
    };
    let mut trailers = MetadataMap::with_capacity(4);
    trailers.insert(TRAILER_OUTCOME, OUTCOME_NOTHING.parse().ok()?);
    trailers.insert(TRAILER_REQUEST_ID, request_id.to_string().parse().ok()?);
    trailers.insert_bin(
        TRAILER_RECEIPT,
        BinaryMetadataValue::from_bytes(&proof.encode_to_vec()),
    );
    Some(unary::reply(
        &v1::QueryRecordsResponse::default(),
        trailers.into_headers(),
    ))
}
