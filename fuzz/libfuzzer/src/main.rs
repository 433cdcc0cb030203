//! libFuzzer on the entry functions: coverage of our code decides which inputs are kept.
//!
//! `cargo xtask fuzz` builds and runs it. The target is named by `DIRQL_FUZZ_TARGET`, as libFuzzer
//! takes all arguments for itself.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

/// The target that is named.
fn named() -> fn(&[u8]) {
    let name = std::env::var("DIRQL_FUZZ_TARGET").unwrap_or_default();
    let target = dirql_fuzz::TARGETS
        .iter()
        .find(|target| target.name == name);
    match target {
        Some(target) => target.run,
        None => {
            let names: Vec<&str> = dirql_fuzz::TARGETS
                .iter()
                .map(|target| target.name)
                .collect();
            eprintln!("DIRQL_FUZZ_TARGET is one of {}", names.join(", "));
            std::process::exit(2)
        }
    }
}

fuzz_target!(|bytes: &[u8]| RUN.get_or_init(named)(bytes));
