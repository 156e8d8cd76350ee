//! The commands, one a file. Each has its `Args` (which are its documentation) and a `run`.

pub(crate) mod adopt;
pub(crate) mod import;
pub(crate) mod inquire;
pub(crate) mod log;
pub(crate) mod officer;
pub(crate) mod retention;
pub(crate) mod sample;
pub(crate) mod verify;
