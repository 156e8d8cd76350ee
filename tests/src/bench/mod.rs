//! The benchmark: `QueryRecords` of a real node against a bare tonic echo, on the same machine, TLS settings and run.

pub mod echo;
pub mod load;
pub mod machine;
pub mod report;
pub mod statistics;
