//! The forms of reports for other programs: each is as its schema says.
#![expect(
    clippy::print_stderr,
    reason = "who runs tests wants to know what was not"
)]

#[path = "support/json_schema.rs"]
mod json_schema;

use std::path::{Path, PathBuf};
use std::process::Command;

use json_schema::judge;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("it is JSON")
}

/// What a command writes in a form, from the root of the sources.
fn written(arguments: &[&str], format: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args(arguments)
        .args(["--format", format])
        .output()
        .expect("the command line can be started");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// Commands with a finding in the middle of a driver, with an earlier half, with a stack, and with
/// none at all.
const COMMANDS: [&[&str]; 5] = [
    &[
        "explore",
        "zoo/timeout-and-completion/timeout-and-completion.sys",
    ],
    &["explore", "zoo/lock-inversion/lock-inversion.sys"],
    &["explore", "zoo/stop-and-write/stop-and-write.sys"],
    &["run", "samples/edu-message-based/edu-message-based.sys"],
    &[
        "run",
        "samples/edu-line-based/edu-line-based.sys",
        "--max-steps",
        "5",
    ],
];

#[test]
fn json_is_as_its_schema_says() {
    for command in COMMANDS {
        let name = if command[0] == "run" {
            "report"
        } else {
            "explore"
        };
        let value = serde_json::from_str(&written(command, "json")).expect("JSON");
        let judged = judge(&schema(&format!("{name}.schema.json")), &value);
        assert_eq!(judged, Ok(()), "{command:?}");
    }
}

#[test]
fn coverage_is_as_its_schema_says() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats-coverage.json");
    let image = "samples/edu-message-based/edu-message-based.sys";
    let coverage = file.display().to_string();
    let _ = written(&["run", image, "--coverage", &coverage], "json");
    let value = serde_json::from_slice(&std::fs::read(&file).expect("it was written"));
    let judged = judge(&schema("coverage.schema.json"), &value.expect("JSON"));
    assert_eq!(judged, Ok(()));
}

#[test]
fn sarif_is_as_the_standards_schema_says() {
    let schema = schema("third-party/sarif-2.1.0.json");
    for command in COMMANDS {
        let value = serde_json::from_str(&written(command, "sarif")).expect("JSON");
        assert_eq!(judge(&schema, &value), Ok(()), "{command:?}");
        let found = value["runs"][0]["results"].as_array().expect("results");
        assert_eq!(found.is_empty(), command[0] == "run", "{command:?}");
    }
}

#[test]
fn sarif_has_both_places_and_the_stack() {
    let sarif: Value = serde_json::from_str(&written(COMMANDS[1], "sarif")).expect("JSON");
    let result = &sarif["runs"][0]["results"][0];
    let file = |location: &Value| location["physicalLocation"]["artifactLocation"]["uri"].clone();
    let line = |location: &Value| location["physicalLocation"]["region"]["startLine"].as_u64();
    let (here, there) = (&result["locations"][0], &result["relatedLocations"][0]);
    assert_eq!(file(here), "zoo/lock-inversion/lock-inversion.c");
    assert_eq!(file(there), "zoo/lock-inversion/lock-inversion.c");
    assert!(line(here) > Some(1) && line(there) > Some(1) && line(here) != line(there));
    let sarif: Value = serde_json::from_str(&written(COMMANDS[2], "sarif")).expect("JSON");
    let frames = &sarif["runs"][0]["results"][0]["stacks"][0]["frames"];
    let name = |index: usize| {
        frames[index]["location"]["logicalLocations"][0]["name"]
            .as_str()
            .map(Into::into)
    };
    let names: Vec<Option<String>> = (0..3).map(name).collect();
    assert_eq!(
        names.into_iter().flatten().collect::<Vec<_>>(),
        ["ZooSet+0xa", "ZooWrite+0x30", "ZooDispatchWrite+0x36"]
    );
}

/// The elements and attributes that `junit-10.xsd` of Jenkins' xUnit plug-in and Ant's schema know,
/// in the part that is written here.
fn check_junit(text: &str) {
    let known: [(&str, &[&str]); 5] = [
        (
            "testsuites",
            &["name", "tests", "failures", "errors", "time"],
        ),
        (
            "testsuite",
            &["name", "tests", "failures", "errors", "time"],
        ),
        ("testcase", &["classname", "name", "time"]),
        ("failure", &["type", "message"]),
        ("error", &["type", "message"]),
    ];
    let mut open: Vec<&str> = Vec::new();
    let mut counts = [0; 3];
    let (head, mut rest) = text.split_once('\n').expect("a head");
    assert_eq!(head, r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    let mut tests = String::new();
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "{rest}");
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, closed) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let (_, allowed) = known.iter().find(|(known, _)| *known == name).expect(name);
        let inside = open.last().copied();
        let expected = match name {
            "testsuites" => None,
            "testsuite" => Some("testsuites"),
            "testcase" => Some("testsuite"),
            _ => Some("testcase"),
        };
        assert_eq!(inside, expected, "{name}");
        if let Some(index) = ["testcase", "failure", "error"]
            .iter()
            .position(|one| *one == name)
        {
            counts[index] += 1;
        }
        if name == "testsuite" {
            tests = tag.into();
        }
        while let Some((attribute, after)) = attributes.split_once("=\"") {
            assert!(allowed.contains(&attribute.trim()), "{attribute} of {name}");
            let (_, after) = after.split_once('"').expect("a value ends");
            attributes = after;
        }
        if !closed {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let [cases, failures, errors] = counts;
    let counted = format!(r#"tests="{cases}" failures="{failures}" errors="{errors}""#);
    assert!(tests.contains(&counted), "{tests} {counted}");
}

#[test]
fn junit_is_as_schemas_of_it_agree() {
    for command in COMMANDS {
        check_junit(&written(command, "junit"));
    }
    assert!(written(COMMANDS[3], "junit").contains("failures=\"0\" errors=\"0\""));
    assert!(written(COMMANDS[4], "junit").contains("failures=\"0\" errors=\"1\""));
}

/// What a real judge of XML schemas says; `None` without one, which `cargo xtask setup` installs.
fn lint(name: &str, xml: &str) -> Option<Result<(), String>> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, xml).expect("a file for the test");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/third-party/junit-10.xsd");
    let mut command = Command::new("xmllint");
    command.arg("--noout").arg("--schema").arg(schema).arg(file);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(output.status.success().then_some(()).ok_or(said))
}

#[test]
fn junit_is_as_the_schema_of_jenkins_says() {
    let wrong = r#"<testsuites><testsuite name="a"/></testsuites>"#;
    let Some(judged) = lint("wrong.xml", wrong) else {
        eprintln!("skipped: xmllint is not here; `cargo xtask setup` installs it where it may");
        return;
    };
    assert!(judged.is_err(), "the schema is looked at");
    for (number, command) in COMMANDS.into_iter().enumerate() {
        let judged = lint(&format!("junit-{number}.xml"), &written(command, "junit"));
        assert_eq!(judged, Some(Ok(())), "{command:?}");
    }
}

#[test]
fn workflow_commands_are_at_the_lines_of_the_source() {
    let text = written(COMMANDS[1], "github");
    let source = std::fs::read_to_string(root().join("zoo/lock-inversion/lock-inversion.c"));
    let source = source.expect("the source");
    let command = text.lines().next().expect("a command");
    let rest = command.strip_prefix("::warning file=zoo/lock-inversion/lock-inversion.c,line=");
    let (line, rest) = rest.expect(command).split_once(',').expect("properties");
    assert!(rest.starts_with("title=DQ0490 locks are taken in the same order everywhere::"));
    let line: usize = line.parse().expect("a number");
    let content = source.lines().nth(line - 1).expect("such a line");
    assert!(content.contains("KeAcquireSpinLock"), "{content}");
    assert_eq!(written(COMMANDS[3], "github"), "");
    assert!(written(COMMANDS[4], "github").starts_with("::warning title=dirql::run samples"));
}

#[test]
fn a_files_name_says_in_which_form_it_is_written() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats");
    std::fs::create_dir_all(&directory).expect("a directory for the test");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dirql"));
    command.current_dir(root()).args(COMMANDS[3]).arg("--quiet");
    for name in ["a.json", "a.xml", "a.sarif", "a.txt"] {
        command.arg("--output").arg(directory.join(name));
    }
    assert!(command.status().expect("it runs").success());
    let begins = |name: &str, with: &str| {
        let text = std::fs::read_to_string(directory.join(name)).expect("it was written");
        assert!(text.starts_with(with), "{name}: {text}");
    };
    begins("a.json", "{\n  \"schema\": \"dirql-report/1\"");
    begins("a.xml", "<?xml");
    begins(
        "a.sarif",
        "{\n  \"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\"",
    );
    begins("a.txt", "");
}

#[test]
fn a_bug_check_has_its_parameters_and_the_stack_of_what_was_interrupted() {
    let explore = ["explore", "zoo/isr-before-init/isr-before-init.sys"];
    let value: Value = serde_json::from_str(&written(&explore, "json")).expect("JSON");
    let finding = &value["discoveries"][0]["finding"];
    let bug_check = &finding["bug_check"];
    assert_eq!(bug_check["code"], 0xD1);
    assert_eq!(bug_check["name"], "DRIVER_IRQL_NOT_LESS_OR_EQUAL");
    let help = finding["help"].as_str().expect("help");
    assert!(
        help.starts_with("the parameters are the address, the IRQL"),
        "{help}"
    );
    let parameters = bug_check["parameters"].as_array().expect("parameters");
    assert_eq!(parameters[..3], ["0x0", "0x6", "0x1"]);
    let frames = finding["stack"].as_array().expect("a stack").iter();
    let frames: Vec<(bool, &str)> = frames
        .map(|frame| {
            let code = frame["code"].as_str().expect("code");
            let function = code.split(['!', '+']).nth(1).expect(code);
            (frame["interrupted"] == true, function)
        })
        .collect();
    let expected = [
        (false, "ZooIsr"),
        (true, "ZooConnect"),
        (false, "ZooStart"),
        (false, "ZooPnp"),
    ];
    assert_eq!(frames, expected);
}
