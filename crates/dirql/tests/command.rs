//! Transcripts of the command line: help, answers and errors, as they are typed and printed.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

#[test]
fn what_a_driver_finds_on_its_stack_is_the_same_in_every_process() {
    let prints = |padding: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dirql"));
        let output = command
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers"))
            .env("PADDING", padding)
            .args(["run", "leftover.sys", "--trace", "-"])
            .output()
            .expect("the command line can be started");
        let trace = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = trace.lines().find(|line| line.contains("leftover: "));
        line.expect("the driver prints").to_owned()
    };
    assert_eq!(prints(""), prints("a longer environment"));
}

#[test]
fn what_a_driver_beside_exports_is_not_missing() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers"))
        .args(["imports", "shade.sys"])
        .output()
        .expect("the command line can be started");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.contains(" 0 missing"), "{answer}");
    assert!(answer.contains("beside       LibNumber"), "{answer}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_driver_of_the_current_directory_finds_the_one_it_imports_from() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers"))
        .args(["run", "shade.sys"])
        .output()
        .expect("the command line can be started");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("driver lib.sys: loaded"), "{report}");
}
