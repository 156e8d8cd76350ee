//! `vrx-node`: the node of a municipality. `vrx-node --help` is its manual.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use vrx_node::command::Arguments;

/// Measured: fewer CPU microseconds a request than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match vrx_node::command::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; the exit code still tells.
            drop(writeln!(std::io::stderr(), "vrx-node: {failure}"));
            ExitCode::from(failure.code as u8)
        }
    }
}
