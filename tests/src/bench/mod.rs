//! The benchmarks: `QueryRecords` of a real node against a bare tonic echo, on the same machine, TLS settings and run; imports against plain
//! inserts.

pub mod echo;
pub mod import;
pub mod load;
pub mod machine;
pub mod report;
pub mod statistics;
