//! The program `vrx`: parse the command line, run one command, end with its exit code. Everything else is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    vrx_cli::run(std::env::args_os())
}
