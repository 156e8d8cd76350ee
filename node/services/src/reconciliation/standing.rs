//! How far the reconciliation with a member is: the newest `reconcile` entry about it, found by its tag like a person's.

use vrx_crypto::TagKind;
use vrx_domain::{EntryKind, MunicipalityCode, UnixMillis, audit};
use vrx_provision_log::{Entry, Subject};
use vrx_storage::SubjectTag;

use crate::{
    audit::list::{content_value, text},
    error::ServiceError,
    record::{own_deadline, read_error},
    tenants::TenantServices,
};

/// The action of these entries.
pub(super) const RECONCILE: &str = audit::MEMBER_ACTION;

/// Where a pair stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// When it was reconciled last; 0 for never.
    pub(super) at: UnixMillis,
    /// Entries of the member's present log below this place are reconciled.
    pub(super) until: u64,
}

/// Reads it. Another log of the member's (a new epoch) begins at its first entry.
pub(super) async fn load(
    ctx: &TenantServices,
    member: MunicipalityCode,
    log_origin: &str,
) -> Result<Standing, ServiceError> {
    let (reader, deadline) = (ctx.log.reader(), own_deadline());
    let failed = |error| read_error(ctx, &error);
    let head = reader.subject_head(member_tag(ctx, member), deadline).await;
    let Some(head) = head.map_err(failed)? else {
        return Ok(Standing {
            at: UnixMillis(0),
            until: 0,
        });
    };
    let entries = reader.entries(head.last_index, 1, deadline).await;
    let Some(entry) = entries.map_err(failed)?.into_iter().next() else {
        return Err(ctx.internal("the newest entry about a member isn't in the log"));
    };
    let at = UnixMillis(entry.leaf.time);
    let Some(opening) = entry
        .opening
        .filter(|opening| text(opening.actor.get("action")) == RECONCILE)
    else {
        // Its time in the log is over: everything is held against everything once more.
        return Ok(Standing { at, until: 0 });
    };
    let same_log = content_value(&opening.content, "log_origin") == log_origin;
    let until = content_value(&opening.content, "until_index");
    Ok(Standing {
        at,
        until: if same_log {
            until.parse().unwrap_or(0)
        } else {
            0
        },
    })
}

/// An entry that moves it on.
pub(super) fn entry(
    ctx: &TenantServices,
    member: MunicipalityCode,
    actor: audit::Fields,
    content: audit::Fields,
) -> Entry {
    Entry {
        kind: EntryKind::Control,
        actor,
        subject: Subject::Known {
            tag: member_tag(ctx, member),
            fields: audit::member_subject(member, RECONCILE),
        },
        content,
    }
}

/// No person's: their tags are made of twelve digits.
fn member_tag(ctx: &TenantServices, member: MunicipalityCode) -> SubjectTag {
    let value = format!("member/{member}");
    let (_, tag) = ctx
        .keyring
        .tags(TagKind::Subject, value.as_bytes())
        .active();
    SubjectTag(tag.0)
}
