//! The command line.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 clean,
//! 1 findings, 2 usage or scenario error, 3 driver could not be loaded, 4 no verdict, 101 a defect
//! of dirql, 130 interrupted.

mod cli;

use std::process::ExitCode;

/// Runs that are explored are put back to where they differ.
#[global_allocator]
static ALLOCATOR: dirql::Arena = dirql::Arena;

fn main() -> ExitCode {
    cli::main()
}
