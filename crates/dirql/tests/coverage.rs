//! `--coverage`: which blocks of drivers ran, and that nothing else changes when somebody asks.

use std::path::{Path, PathBuf};
use std::process::Command;

use lcov::{Reader, Record};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("coverage");
    std::fs::create_dir_all(&directory).expect("a directory");
    directory.join(name)
}

/// What a command prints on standard output, and its exit code.
fn dirql(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("the command line can be started");
    let text = String::from_utf8(output.stdout).expect("output is UTF-8");
    (text, output.status.code())
}

/// The same with `--coverage` for a file; what it prints, and the file.
fn covered(arguments: &[&str], name: &str) -> ((String, Option<i32>), String) {
    let file = file(name);
    let _ = std::fs::remove_file(&file);
    let path = file.display().to_string();
    let arguments = [arguments, &["--coverage", &path]].concat();
    let printed = dirql(&arguments);
    let text = std::fs::read_to_string(&file).expect("the file was written");
    (printed, text)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The function `name` of the first driver.
fn function(coverage: &Value, name: &str) -> Value {
    let functions = coverage["drivers"][0]["functions"].as_array().unwrap();
    let found = functions.iter().find(|function| function["name"] == name);
    found.unwrap_or_else(|| panic!("{name}")).clone()
}

/// As what some block of a function has run, each with its levels.
fn roles(function: &Value) -> Vec<(String, Vec<u64>)> {
    let blocks = function["blocks"].as_array().unwrap().iter();
    let ran = blocks.flat_map(|block| block["ran"].as_array().unwrap());
    let mut roles: Vec<(String, Vec<u64>)> = ran
        .map(|ran| {
            let levels = ran["irqls"].as_array().unwrap().iter();
            (
                ran["role"].as_str().unwrap().to_owned(),
                levels.map(|level| level.as_u64().unwrap()).collect(),
            )
        })
        .collect();
    roles.sort();
    roles.dedup();
    roles
}

/// The line of a source with this text, counted from 1.
fn line_of(source: &str, text: &str, after: &str) -> u64 {
    let source = std::fs::read_to_string(root().join(source)).unwrap();
    let start = source.find(after).unwrap();
    let at = start + source[start..].find(text).unwrap();
    source[..at].matches('\n').count() as u64 + 1
}

const EDU: &str = "samples/edu-message-based/edu-message-based.sys";
const EDU_SOURCE: &str = "samples/edu-message-based/edu-message-based.c";

#[test]
fn blocks_have_run_as_what_called_them() {
    let (_, text) = covered(&["run", EDU], "roles.json");
    let coverage = json(&text);
    let role = |name: &str| roles(&function(&coverage, name));
    let one = |role: &str, levels: &[u64]| vec![(role.to_owned(), levels.to_vec())];
    assert_eq!(role("DriverEntry"), one("DriverEntry", &[0]));
    assert_eq!(role("EduAddDevice"), one("AddDevice", &[0]));
    assert_eq!(role("EduUnload"), one("Unload", &[0]));
    assert_eq!(role("EduDpc"), one("DPC", &[2]));
    assert_eq!(role("EduMessageIsr"), one("ISR", &[6, 7]));
    assert_eq!(role("EduPower"), [], "nobody has asked for power");
    let (_, summary) = covered(&["run", EDU], "roles.txt");
    // What has nothing to do but to return has the line of the function's end.
    let branch = line_of(EDU_SOURCE, "if (causes == 0", "EduService(PEDU_EXTENSION");
    let end = line_of(EDU_SOURCE, "\n}", "EduService(PEDU_EXTENSION") + 1;
    assert!(
        summary.contains(&format!("never ran: ISR EduService ({EDU_SOURCE}:")),
        "{summary}"
    );
    assert!(
        summary.contains(&format!("1 of 6 blocks: line {end} (from line {branch})\n")),
        "{summary}"
    );
}

#[test]
fn a_run_goes_as_it_does_without() {
    for image in [
        EDU,
        "samples/serial-16550/serial-16550.sys",
        "samples/parport-rival/parport-rival.sys",
        "samples/button-rust/button-rust.sys",
        "zoo/list-reused/list-reused.sys",
    ] {
        let command = ["run", image, "--format", "json"];
        let (printed, first) = covered(&command, "same.json");
        assert_eq!(printed, dirql(&command), "{image}");
        assert_eq!(covered(&command, "same.json").1, first, "{image}");
    }
}

#[test]
fn a_search_goes_as_it_does_without_and_workers_make_no_difference() {
    for (image, granularity) in [
        ("zoo/busy-flag/busy-flag.sys", "ddi"),
        ("zoo/lost-update-isr/lost-update-isr.sys", "access"),
    ] {
        let search = |jobs| {
            [
                "explore",
                image,
                "--granularity",
                granularity,
                "--preemptions",
                "1",
                "--keep-going",
                "--format",
                "json",
                "--jobs",
                jobs,
            ]
        };
        let plain = dirql(&search("1"));
        let (printed, one) = covered(&search("1"), "one.json");
        assert_eq!(printed, plain, "{image}");
        let (_, three) = covered(&search("3"), "three.json");
        assert_eq!(one, three, "{image}");
    }
}

#[test]
fn an_audit_says_what_it_never_had_run() {
    let audit = |jobs| ["audit", EDU, "--budget", "24", "--jobs", jobs];
    let ((page, code), one) = covered(&audit("1"), "audit-one.json");
    let (printed, two) = covered(&audit("2"), "audit-two.json");
    assert_eq!((printed, two), ((page.clone(), code), one.clone()));
    let (_, run) = covered(&["run", EDU], "audit-run.json");
    let count = |coverage: &str| json(coverage)["drivers"][0]["ran"].as_u64().unwrap();
    assert!(count(&one) > count(&run), "it tries more than one run does");
    let ran = format!("Coverage of edu-message-based.sys: {} of 127", count(&one));
    assert!(page.contains(&ran), "{page}");
    assert!(page.contains("\n  never ran: "), "{page}");
}

#[test]
fn an_audit_finds_the_same_if_nobody_asks_what_ran() {
    let image = "zoo/lock-inversion/lock-inversion.sys";
    let (covered, code) = dirql(&["audit", image, "--budget", "24"]);
    let plain = dirql(&["audit", image, "--budget", "24", "--no-coverage"]);
    let is_of_coverage =
        |line: &&str| line.starts_with("Coverage of ") || line.starts_with("  never ran: ");
    let left: Vec<&str> = covered
        .lines()
        .filter(|line| !is_of_coverage(line))
        .collect();
    assert!(left.len() < covered.lines().count());
    // The summary has an empty line before it.
    let left = left.join("\n").replacen("\n\n\n", "\n\n", 1) + "\n";
    assert_eq!((left, code), plain);
}

#[test]
fn lcov_can_be_read_and_says_the_same() {
    let (_, text) = covered(&["run", EDU], "edu.info");
    let mut files = Vec::new();
    let (mut lines, mut found, mut functions) = (Vec::new(), (0, 0), Vec::new());
    for record in Reader::new(text.as_bytes()) {
        match record.expect("a record of lcov's") {
            Record::SourceFile { path } => files.push(path),
            Record::LineData { line, count, .. } => lines.push((line, count)),
            Record::LinesFound { found: count } => found.0 += count,
            Record::LinesHit { hit } => found.1 += hit,
            Record::FunctionData { name, count } => functions.push((name, count)),
            _ => {}
        }
    }
    let source = Path::new(EDU_SOURCE);
    assert!(files.iter().any(|file| file == source), "{files:?}");
    let ran = lines.iter().filter(|(_, count)| *count > 0).count();
    assert_eq!(found, (lines.len() as u32, ran as u32));
    let (_, coverage) = covered(&["run", EDU], "edu.json");
    let coverage = json(&coverage);
    for (name, count) in functions {
        let ran = !roles(&function(&coverage, &name)).is_empty();
        assert_eq!(count > 0, ran, "{name}");
    }
}

/// A driver without its symbols: the file says that there are none.
fn stripped(name: &str) -> PathBuf {
    let mut bytes = std::fs::read(root().join(EDU)).unwrap();
    let nt = u32::from_le_bytes(bytes[0x3C..0x40].try_into().unwrap()) as usize;
    // COFF header: pointer to the symbol table, number of symbols; after it, the checksum.
    bytes[nt + 12..nt + 20].fill(0);
    bytes[nt + 24 + 64..nt + 24 + 68].fill(0);
    let path = file(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn without_symbols_places_are_addresses_and_code_is_instructions() {
    let image = stripped("stripped.sys").display().to_string();
    let run = ["run", &image, "--device", "edu,interrupts=msi"];
    let (_, text) = covered(&run, "stripped.txt");
    assert!(text.contains("never ran: 0x"), "{text}");
    assert!(text.contains("never ran: ISR 0x"), "{text}");
    let (_, page) = covered(&run, "stripped.html");
    assert!(page.contains("Code without lines"), "{page}");
    assert!(page.contains("  ret"), "{page}");
    let (_, lcov) = covered(&run, "stripped.info");
    assert_eq!(lcov, "");
}

#[test]
fn the_page_shows_the_source_with_what_ran() {
    let (_, page) = covered(&["run", EDU], "edu.html");
    for wanted in [
        "<h1>edu-message-based.sys: 95 of 127 basic blocks ran</h1>",
        "<td>never ran",
        "ISR at IRQL 6, 7",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
}

#[test]
fn what_ran_before_a_driver_destroyed_its_process_has_run() {
    let image = root().join("crates/dirql/tests/drivers/hostile.sys");
    let copy = file("b-exit.sys");
    std::fs::copy(image, &copy).unwrap();
    let copy = copy.display().to_string();
    let ((_, code), coverage) = covered(&["run", &copy], "b-exit.json");
    assert_eq!(code, Some(1));
    assert!(json(&coverage)["drivers"][0]["ran"].as_u64().unwrap() > 0);
}
