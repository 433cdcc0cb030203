//! A driver that does not mean well (`tests/drivers/hostile.c`): whatever it tries, the command
//! ends with a finding, and nothing outside the worker changes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory of its own for a driver that is called `name`.
fn directory(name: &str) -> PathBuf {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/hostile.sys");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("hostile-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory for the test");
    std::fs::copy(image, directory.join(format!("{name}.sys"))).expect("the driver is there");
    directory
}

/// Has the driver `name` do what it is called after, which is wrong; the rules that were found to
/// be broken.
fn attempt(name: &str, more: &[&str]) -> Vec<String> {
    let (code, rules) = play(name, more);
    assert_eq!(code, Some(1), "{name}");
    rules
}

/// Has the driver `name` do what it is called after; the exit code, and the rules.
fn play(name: &str, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let directory = directory(name);
    let command = if more.first() == Some(&"explore") {
        "explore"
    } else {
        "run"
    };
    let more = if command == "run" { more } else { &more[1..] };
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(&directory)
        .args([command, &format!("{name}.sys"), "--format", "json"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("the command line can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    // What is on standard output is the report, and nothing that the driver wrote.
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {errors}"));
    assert!(!errors.contains("written by the driver"), "{name}");
    let left = std::fs::read_dir(&directory).expect("it can be listed");
    assert_eq!(left.count(), 1, "{name} has left a file");
    std::fs::remove_dir_all(&directory).expect("it can be removed");

    let findings = match command {
        "run" => report["findings"].as_array().cloned().unwrap_or_default(),
        _ => report["discoveries"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|found| found["finding"].clone())
            .collect(),
    };
    let rules = findings
        .iter()
        .filter_map(|finding| finding["rule"].as_str());
    (output.status.code(), rules.map(Into::into).collect())
}

/// The driver `name` does what is right; a search that was given a budget has used it up.
fn is_right(name: &str, more: &[&str]) {
    let code = if more.is_empty() { 0 } else { 4 };
    assert_eq!(play(name, more), (Some(code), Vec::new()), "{name}");
}

/// Every access of a driver is looked at.
const WATCHED: [&str; 5] = ["explore", "--granularity", "access", "--budget", "1"];

const CALLS: [&str; 15] = [
    "write", "read", "create", "map", "protect", "close", "dup", "fork", "execute", "kill",
    "parent", "socket", "trace", "control", "exit",
];

#[test]
fn a_system_call_is_not_carried_out_but_found() {
    for name in CALLS {
        assert_eq!(attempt(name, &[]), ["DQ0600"], "{name}");
    }
    // `int 0x80`
    assert_eq!(attempt("1", &[]), ["DQ0600"]);
}

#[test]
fn what_a_system_call_would_do_is_asked_of_the_kernel() {
    is_right("k1", &[]);
}

#[test]
fn a_system_call_is_found_in_code_that_is_watched() {
    for points in ["ddi", "access", "instruction"] {
        let explore = ["explore", "--granularity", points, "--budget", "1"];
        assert_eq!(attempt("fork", &explore), ["DQ0600"], "{points}");
    }
}

#[test]
fn a_system_call_of_32_bit_code_ends_the_worker_or_is_no_instruction() {
    let found = attempt("2", &[]);
    assert!(found == ["DQ0450"] || found == ["DQ0001"], "{found:?}");
}

#[test]
fn an_instruction_of_ours_makes_no_system_call_for_a_driver() {
    for name in CALLS {
        let found = attempt(&format!("b-{name}"), &[]);
        match name {
            // The worker may do these to itself, and what comes next is anything.
            "protect" | "close" => assert!(!found.is_empty(), "{name}"),
            "exit" => assert_eq!(found, ["DQ0450"]),
            _ => assert_eq!(found, ["DQ0601"], "{name}"),
        }
    }
}

#[test]
fn a_routine_of_the_kernel_is_called_through_a_pointer() {
    is_right("kb", &[]);
}

#[test]
fn as_much_memory_is_written_that_is_the_drivers() {
    is_right("k4", &[]);
}

#[test]
fn a_smashed_worker_is_reported_by_its_parent() {
    for name in ["3", "4"] {
        let found = attempt(name, &[]);
        assert!(
            found == ["DQ0450"] || found == ["DQ0602"],
            "{name} {found:?}"
        );
    }
}

#[test]
fn writing_through_every_pointer_in_sight_is_found() {
    for name in ["5", "6"] {
        let found = attempt(name, &[]);
        let known = ["DQ0001", "DQ0450", "DQ0602"];
        assert!(
            !found.is_empty() && found.iter().all(|rule| known.contains(&rule.as_str())),
            "{name} {found:?}"
        );
    }
}

#[test]
fn a_store_outside_the_computer_is_found_where_accesses_are_recorded() {
    assert_eq!(attempt("6", &WATCHED), ["DQ0602"]);
    // Accesses are looked at when the kernel is entered next; until then so many stores may have
    // ended the worker.
    let found = attempt("5", &WATCHED);
    assert!(found == ["DQ0450"] || found == ["DQ0602"], "{found:?}");
}

#[test]
fn a_store_to_a_variable_of_its_own_is_right_where_accesses_are_recorded() {
    is_right("k6", &WATCHED);
}

#[test]
fn a_stack_without_end_a_jump_to_nowhere_and_a_loop_are_found() {
    assert_eq!(attempt("7", &[]), ["DQ0001"]);
    assert_eq!(attempt("8", &[]), ["DQ0001"]);
    assert_eq!(attempt("9", &[]), ["DQ0003"]);
}

#[test]
fn without_the_sandbox_a_driver_has_the_users_rights() {
    let directory = directory("create");
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(&directory)
        .args(["run", "create.sys", "--no-sandbox"])
        .output()
        .expect("the command line can be started");
    assert_eq!(output.status.code(), Some(0));
    assert!(directory.join("dirql-was-here").exists());
}

/// A sample that was linked for one address, at which nothing can be here.
#[test]
fn a_driver_without_relocations_is_told_how_to_be_linked() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../samples/edu-line-based/edu-line-based.sys");
    let mut bytes = std::fs::read(sample).unwrap();
    let nt = u32::from_le_bytes(bytes[0x3C..0x40].try_into().unwrap()) as usize;
    // COFF header: IMAGE_FILE_RELOCS_STRIPPED; optional header: no checksum, no relocation directory.
    bytes[nt + 22] |= 1;
    bytes[nt + 24 + 64..nt + 24 + 68].fill(0);
    bytes[nt + 24 + 112 + 5 * 8..][..8].fill(0);
    let path = directory("fixed").join("fixed.sys");
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .arg("run")
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("has no relocations"), "{text}");
    assert!(text.contains("help: link it with relocations"), "{text}");
}
