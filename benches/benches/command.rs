//! The command, from start to exit: `dirql run` of a bundled sample, which loads it, lets its
//! device interrupt, unloads it and prints the summary. Against a command that does nothing.

use std::path::Path;
use std::process::Command;

use dirql_benches::{EMPTY_PROCESS, compare, each, report, start_to_exit};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(&root)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "dirql",
            "--bin",
            "dirql",
        ])
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "dirql can be built"
    );
    // This program is in `deps` of the folder where the command is.
    let program = std::env::current_exe().expect("a program has a path");
    let folder = program.ancestors().nth(2).expect("two folders up");
    let command = folder.join("dirql").to_string_lossy().into_owned();
    let sample = root.join("samples/edu-message-based/edu-message-based.sys");
    let sample = sample.to_string_lossy().into_owned();
    report(
        "dirql run of a sample, start to exit",
        EMPTY_PROCESS,
        &compare(
            (1, each(|| start_to_exit(&command, &["run", &sample]))),
            (1, each(|| start_to_exit("true", &[]))),
        ),
        "at most 20 ms",
    );
}
