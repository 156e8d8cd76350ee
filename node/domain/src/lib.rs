//! The nouns and rules of the field: what a resident, a dose, a code or a consent *is*, before anybody stores or sends it.
//!
//! - **Here:** types that can only be made from valid input (parse, don't validate), the rules over them, the tables of committed audit fields, and
//!   the two traits by which time and randomness come in ([`Clock`], [`Random`]).
//! - **Never here:** I/O, a database, a socket, a cipher, a hash. Every function gives the same result for the same arguments.
//! - **Secrets:** a type that carries the individual number or a name has no `Debug`, no `Display`, no `Clone`; copying is spelled `duplicate`.
//! - **Errors** say which rule was broken and never repeat the value that broke it.
//! - **Start reading** at [`IndividualNumber`], then [`Dose`] with [`hold_back`], then the specification of log fields in [`audit`].
//! - **To add a type:** one file a noun, its Japanese term and source in the doc comment, its parser, its tests at the bottom, a line below.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod audit;
mod coded;
mod disclosure;
mod dose;
mod holiday;
mod identity;
mod ids;
mod individual_number;
mod inquiry;
mod member;
mod municipality;
mod outcome;
mod person;
mod retention;
mod time;
mod voucher;

pub use audit::{EntryKind, Field, Fields, SecretFields};
pub use disclosure::{DisclosureReason, EntryMark};
pub use dose::{
    Dose, DoseError, DoseNumber, DoseOrigin, DoseStatus, HoldReason, check_registered_at, hold_back,
};
pub use identity::{Caller, IdentityError, Role, SpiffeId, spki_der};
pub use ids::{
    DoseId, EntryId, ErasureId, IdError, ImportId, InquiryId, LegalBasis, PersonId, Reference,
    RequestId, Tenant, TenantId,
};
pub use individual_number::{IndividualNumber, NumberError};
pub use inquiry::{
    Consent, ConsentMethod, Evidence, IdentityConfirmation, IdentityDocument, Purpose,
};
pub use member::{Member, MemberWitnesses, Members, MembersError};
pub use municipality::{CodeError, MunicipalityCode, PlaceCode};
pub use outcome::{Cause, Outcome, WithheldCause};
pub use person::{AddresseeNumber, Person, PersonError, PersonalText, Protection, Sex};
pub use retention::{
    CeasedYears, DoseYears, ERASURE_CERTIFICATE, FINAL_DAYS, Hold, HoldGround, OpeningYears,
    RecordSpan, RetentionError, RetentionPolicy, Years,
};
pub use time::{Clock, Date, DateError, Random, UnixMillis};
pub use voucher::{VoucherError, VoucherLine, VoucherNumber};
