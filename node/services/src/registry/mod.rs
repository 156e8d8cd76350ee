//! The tenant's own register: what staff put in, approve, ask others for, and adopt.

pub mod adopt;
pub mod approve_import;
pub(crate) mod check_answer;
mod import_chunks;
pub mod import_doses;
pub mod import_persons;
pub mod import_stream;
pub mod inquire;
mod inquiry_record;
pub mod inquiry_report;
pub(crate) mod known_checkpoint;
pub mod list_imports;
mod refusal_words;

pub use adopt::{AdoptReport, AdoptRequest, adopt};
pub use approve_import::{ApprovalReport, approve_import};
pub use import_doses::import_doses;
pub use import_persons::import_persons;
pub use import_stream::{ImportEvent, ImportRequest, ImportSummary, RefusedRow};
pub use inquire::inquire;
pub use inquiry_report::{BirthDateCheck, InquireRequest, InquiryReport, InquiryWord};
pub use list_imports::{ImportOverview, ImportsPage, ListImportsRequest, list_imports};
