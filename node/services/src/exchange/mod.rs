//! The exchange: another municipality asks, this one answers (提供).

pub mod answer;
mod decide;
pub mod provide;

pub use answer::{Answer, AnswerBytes, ExchangeAnswer, ExchangeQuery};
pub use provide::provide;
