//! The gRPC services: parse, call one use case, convert. No rule stands here.
//!
//! - [`dispatch`]: every call's way in: identity, role, then the service. A path that isn't listed is refused.
//! - [`exchange`]: `QueryRecords`, the busy one, on [`unary`].
//! - [`registry`] and [`audit`]: what staff and officers call, on tonic's generated servers.
//! - [`receipts`] and [`reconciliation`]: what another member's node asks for beside an exchange, on tonic's generated servers; [`member`] is
//!   what both begin with.
//! - [`own`]: what calls of the tenant's own staff and officers begin with.
//! - [`import`]: a file on its way in. [`history`]: a person's entries on their way out. [`progress`]: work that tells how far it is.
//! - [`retention`]: what officers plan, propose and approve of erasures, on tonic's generated server.
//! - [`health`]: readiness, as the app last found it.

pub(crate) mod audit;
pub(crate) mod call;
pub(crate) mod dispatch;
pub(crate) mod exchange;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod member;
pub(crate) mod own;
pub(crate) mod progress;
pub(crate) mod receipts;
pub(crate) mod reconciliation;
pub(crate) mod registry;
pub(crate) mod retention;
pub(crate) mod unary;
