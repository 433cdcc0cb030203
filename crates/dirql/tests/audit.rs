//! `dirql audit` on every sample and every driver of the zoo: nothing is found where nothing is
//! wrong, and what was planted is found.

#[path = "support/effort.rs"]
mod effort;

use std::path::{Path, PathBuf};
use std::process::Command;

use dirql::audit::{Audit, Case, Effort, Facts, Hunt, Trial, battery, key};
use dirql::scenario::Scenario;
use dirql::{Points, Strategy, WindowsVersion};

use effort::effort;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dirql(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_dirql"))
        .current_dir(root())
        .args(arguments)
        .output()
        .expect("the command line can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (
        text(output.stdout) + &text(output.stderr),
        output.status.code(),
    )
}

fn audit(arguments: &[&str]) -> (String, Option<i32>) {
    let effort = effort();
    let effort = effort.iter().map(String::as_str);
    let all: Vec<&str> = ["audit"]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(effort)
        .collect();
    dirql(&all)
}

/// The directories of a directory, in order.
fn names(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(directory)).expect("it is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("it can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A driver that moves each byte by itself.
#[test]
fn a_long_life_has_a_brief_one_take_its_place() {
    let sample = "samples/parport-fifo/parport-fifo.sys";
    let (out, _) = dirql(&["audit", sample, "--budget", "1"]);
    let steps = |title: &str| {
        let line = out.lines().find(|line| line.starts_with(title));
        let last = line.and_then(|line| line.split_whitespace().last());
        last.and_then(|of| of.parse::<u64>().ok()).expect(&out)
    };
    assert!(
        out.contains("\na life without long requests, as in all that follows"),
        "{out}"
    );
    assert!(steps("a storm of interrupts") < 2 * 10_000, "{out}");
    let (out, code) = dirql(&["audit", sample, "--trial", "brief-life,spurious=500"]);
    assert_eq!(code, Some(0), "{out}");
    let twice = ["audit", sample, "--trial", "life,brief-life"];
    assert_eq!(dirql(&twice).1, Some(2));
}

/// What comes after a request that nobody can cancel is tried all the same.
#[test]
fn a_request_that_cannot_be_cancelled_does_not_end_a_life() {
    let driver = "crates/dirql/tests/drivers/careless.sys";
    let (out, code) = dirql(&["audit", driver, "--trial", "life"]);
    assert_eq!(code, Some(1), "{out}");
    let left = out.matches("was cancelled, and is under way still").count();
    assert!(left > 1, "{out}");
    assert!(out.contains("error[DQ0460]"), "{out}");
}

/// What comes after a request that stops the system is tried all the same.
#[test]
fn a_request_that_stops_the_system_hides_nothing() {
    let driver = "crates/dirql/tests/drivers/unchecked.sys";
    let (out, code) = dirql(&["audit", driver, "--budget", "24"]);
    assert_eq!(code, Some(1), "{out}");
    let title = "\na life without what stops the system, as in all that follows";
    assert!(out.contains(title), "{out}");
    assert!(out.contains("error[DQ0001]"), "{out}");
    assert!(
        out.contains("error[DQ0150]") && out.contains("tag 'Unch'"),
        "{out}"
    );
    let again = out.lines().find(|line| line.contains("life,without="));
    let trial = again.and_then(|line| line.rsplit(' ').next()).expect(&out);
    let (played, code) = dirql(&["audit", driver, "--trial", trial]);
    assert_eq!(code, Some(1), "{played}");
    assert!(played.contains("error[DQ0150]"), "{played}");
}

#[test]
fn nothing_is_found_in_a_sample() {
    for name in names("samples") {
        let (out, code) = audit(&[&format!("samples/{name}/{name}.sys")]);
        assert_eq!(code, Some(0), "{name}\n{out}");
    }
}

#[test]
fn nothing_is_found_in_what_was_put_right() {
    for name in names("zoo") {
        let scenario = format!("zoo/{name}/{name}.toml");
        let twin = format!("zoo/{name}/{name}-fixed.sys");
        let (out, code) = audit(&[&twin, "--scenario", &scenario]);
        assert_eq!(code, Some(0), "{name}\n{out}");
    }
}

/// What a few runs of an audit find: the driver, the rule, and the two functions that the report
/// names, or one. `cargo xtask zoo --audit` tries as much as a user does, on the whole zoo.
#[rustfmt::skip] // read as a table
const PLANTED: [(&str, &str, &str, &str); 19] = [
    ("allocated-twice", "DQ0556", "!ZooWrite", "!ZooWrite"),
    ("busy-flag", "DQ0556", "!ZooWrite", "!ZooWrite"),
    ("dpc-after-free", "DQ0535", "!ZooGone", "!ZooIsr"),
    ("dpc-arguments", "DQ0557", "!ZooTake", "!ZooTake"),
    ("dpc-on-two-processors", "DQ0555", "!ZooDpc", "!ZooDpc"),
    ("empty-list", "DQ0555", "!ZooWrite", "!ZooWrite"),
    ("initialised-twice", "DQ0556", "!ZooInitialise", "!ZooInitialise"),
    ("lock-inversion", "DQ0490", "!ZooWrite", "!ZooRead"),
    ("lost-update-dpc", "DQ0555", "!ZooWrite", "!ZooDpc"),
    ("lost-update-isr", "DQ0555", "!ZooCount", "!ZooIsr"),
    ("lost-update-plain", "DQ0555", "!ZooWrite", "!ZooWrite"),
    ("lost-update-threads", "DQ0555", "!ZooWrite", "!ZooWrite"),
    ("reference-plain", "DQ0555", "!ZooReference", "!ZooReference"),
    ("ring-torn", "DQ0557", "!ZooRead", "!ZooWrite"),
    ("state-word", "DQ0555", "!ZooWait", "!ZooIsr"),
    ("synchronize-inversion", "DQ0490", "!ZooDrain", "!ZooWrite"),
    ("torn-read", "DQ0557", "!ZooLook", "!ZooIsr"),
    ("two-starts", "DQ0556", "!ZooWaitPut", "!ZooWait"),
    ("wrong-lock", "DQ0555", "!ZooWrite", "!ZooIsr"),
];

#[test]
fn what_was_planted_is_found_with_its_functions_and_shown_again() {
    for (name, rule, one, other) in PLANTED {
        let image = format!("zoo/{name}/{name}.sys");
        let (out, code) = audit(&[&image]);
        assert_eq!(code, Some(1), "{name}\n{out}");
        let found = out.split("\n\n").find(|part| {
            part.contains(&format!("[{rule}]")) && part.contains(one) && part.contains(other)
        });
        let found = found.unwrap_or_else(|| panic!("{name}\n{out}"));
        let again = found
            .split("again: dirql ")
            .nth(1)
            .expect("the command that shows it again");
        let words: Vec<&str> = again.split_whitespace().collect();
        let (shown, code) = dirql(&words);
        assert_eq!(code, Some(1), "{name}\n{shown}");
        assert!(shown.contains(&format!("[{rule}]")), "{name}\n{shown}");
    }
}

/// Of a long run there is a part.
#[test]
fn a_survey_of_a_part_of_a_run_finds_what_is_in_it() {
    let scenario = root().join("zoo/lost-update-plain/lost-update-plain.toml");
    let text = std::fs::read_to_string(&scenario).expect("it is there");
    let scenario = Scenario::parse("lost-update-plain.toml", &text).expect("it is a scenario");
    let scenario = scenario.in_directory(&root().join("zoo/lost-update-plain"));
    let audit = Audit::new(scenario, Some(2), None, None).expect("the driver is there");
    let survey = |cut| {
        let result = audit.survey(&Trial::default(), cut, |_| {}, &mut |_| true);
        result.expect("runs begin")
    };
    let whole = survey(None);
    assert!(whole.complete && !whole.found.is_empty());
    let most = survey(Some(5000));
    assert_eq!((most.no_verdict, most.complete), (0, false));
    assert_eq!(most.found.len(), whole.found.len());
}

#[test]
fn workers_make_no_difference() {
    let image = "zoo/lock-inversion/lock-inversion.sys";
    let run = |jobs| dirql(&["audit", image, "--budget", "24", "--jobs", jobs]);
    assert_eq!(run("1"), run("3"));
}

#[test]
fn a_driver_without_a_description_of_its_hardware_is_audited() {
    let directory = std::env::temp_dir().join(format!("dirql-audit-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let image = directory.join("unknown.sys");
    std::fs::copy(root().join("zoo/torn-read/torn-read-fixed.sys"), &image).expect("a copy");
    let (out, code) = dirql(&["audit", &image.display().to_string(), "--budget", "24"]);
    std::fs::remove_dir_all(&directory).expect("it is there");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("device device0 (hostile)"), "{out}");
}

/// It connects to a line, and is refused where there are several messages.
#[test]
fn a_driver_that_cannot_do_with_messages_is_given_its_line() {
    let directory = std::env::temp_dir().join(format!("dirql-line-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let image = directory.join("unknown.sys");
    std::fs::copy(root().join("zoo/torn-read/torn-read-fixed.sys"), &image).expect("a copy");
    let (out, _) = dirql(&["audit", &image.display().to_string(), "--trial", "life"]);
    std::fs::remove_dir_all(&directory).expect("it is there");
    let start = out.lines().find(|line| line.contains("start device0"));
    assert!(
        start.is_some_and(|line| line.contains("STATUS_SUCCESS")),
        "{out}"
    );
}

/// Its AddDevice refuses; what it made when it was loaded is there all the same.
#[test]
fn what_a_driver_named_when_it_was_loaded_is_used() {
    let image = "crates/dirql/tests/drivers/careless.sys";
    let (out, code) = dirql(&["audit", image, "--budget", "24"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("[DQ0460]"), "{out}");
    assert!(
        out.contains("note: device0 never started, so most of the driver was not tried: "),
        "{out}"
    );
    let (out, _) = dirql(&["audit", image, "--trial", "life"]);
    for step in [
        r"[0] start device0 ",
        r"[0] open \Device\Careless ",
        r"[0] read \Device\Careless 4096 bytes",
        r"[1] open \Device\Careless ",
        r"[1] read \Device\Careless of another 4096 bytes",
    ] {
        assert!(out.contains(step), "{step}\n{out}");
    }
}

/// Nothing was tried then, and nothing is clean.
#[test]
fn a_driver_that_says_no_when_it_is_loaded_is_not_audited() {
    let image = "crates/dirql/tests/drivers/hostile.sys";
    for arguments in [&["--budget", "24"][..], &["--trial", "life"]] {
        let (out, code) = dirql(&[&["audit", image], arguments].concat());
        assert_eq!(code, Some(3), "{out}");
        assert!(out.contains("DriverEntry returned STATUS_"), "{out}");
    }
}

#[test]
fn a_trial_that_is_none_is_a_usage_error() {
    let image = "samples/edu-line-based/edu-line-based.sys";
    let (out, code) = dirql(&["audit", image, "--trial", "spurius=3"]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("`spurius=3` is no part of a trial"), "{out}");
}

/// Nobody cancels in its scenario; the cancel routine leaves a request that it has ended where the DPC
/// finds it.
#[test]
fn what_is_under_way_is_cancelled_at_every_step() {
    let text = r#"
        driver = [{ image = "forgetful.sys" }]
        device = [{ name = "edu0", model = "edu", interrupts = { kind = "line" } }]

        [machine]
        processors = 2

        [[thread]]
        steps = [
            { start = "edu0" },
            { open = "edu0" },
            { write = "edu0", data = "0100 0000" },
            { wait_idle = true },
            { close = "edu0" },
            { remove = "edu0" },
            { unload = true },
        ]
    "#;
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let scenario = scenario.in_directory(&root().join("crates/dirql/tests/drivers"));
    let audit = Audit::new(scenario, None, None, None).expect("the driver is there");
    let found = |trial: Trial| {
        let report = audit.play(&trial, None, None).expect("it can be played");
        report.findings.into_iter().map(|finding| finding.rule)
    };
    assert_eq!(found(Trial::default()).count(), 0);
    let mut trials = (40..80).map(|step| format!("cancelled={step}").parse().expect("a trial"));
    assert!(trials.any(|trial| found(trial).any(|rule| rule == "DQ0170")));
}

/// Around its request to connect, also before that has given it the callbacks of an ISR.
#[test]
fn a_port_client_bears_an_interrupt_before_it_knows_that_it_is_connected() {
    let sample = "samples/parport-reader/parport-reader";
    let (image, scenario) = (format!("{sample}.sys"), format!("{sample}.toml"));
    let mut calls = 0;
    for step in 96..108 {
        let trial = format!("caused={step}");
        let arguments = ["audit", &image, "--scenario", &scenario, "--trial", &trial];
        let (out, code) = dirql(&[&arguments[..], &["--trace", "-"]].concat());
        assert_eq!(code, Some(0), "{trial}: {out}");
        let before = out.split("KeSynchronizeExecution called").next();
        calls += usize::from(before.is_some_and(|before| before.contains("ClientIsr")));
    }
    assert_ne!(calls, 0, "no interrupt came between");
}

/// The scenario frees the port that it has asked for, whether or not it got it.
#[test]
fn what_a_scenario_does_itself_is_not_held_against_a_driver() {
    let image = "samples/parport-reader/parport-reader.sys";
    let mut cancelled = 0;
    for step in 248..256 {
        let trial = format!("cancelled={step}");
        let (out, code) = dirql(&["audit", image, "--trial", &trial]);
        assert_eq!(code, Some(0), "{trial}: {out}");
        cancelled += usize::from(out.contains("STATUS_CANCELLED"));
    }
    assert_ne!(cancelled, 0, "no request was under way");
}

/// What goes wrong between two calls of a start is found although there are thousands of steps
/// behind it, which are most of those that could be tried.
#[test]
fn a_moment_that_comes_once_in_a_long_run_is_tried() {
    let directory = root().join("zoo/isr-before-init");
    let file = directory.join("isr-before-init.toml");
    let text = std::fs::read_to_string(&file).expect("the scenario can be read");
    let work = r#"{ write = "edu0", data = "0100 0000" }, { read = "edu0", length = 4 },"#;
    let text = text.replace("{ close", &(work.repeat(2000) + "{ close"));
    let image = "isr-before-init.sys";
    let text = text.replace(image, &directory.join(image).display().to_string());
    let scenario = Scenario::parse(&file.display().to_string(), &text).expect("it is right");
    let audit = Audit::new(scenario, None, None, None).expect("the driver can be read");
    let (_, facts) = audit.look_at(&Trial::default()).expect("it runs");
    let facts = Facts {
        scenario: Some(facts),
        ..Facts::default()
    };
    let groups = battery(&facts, WindowsVersion::Ten, 2, Effort::of_runs(1200));
    let title = "an interrupt that nobody expects, at every step";
    let group = groups.iter().find(|group| group.title == title);
    let group = group.expect("the device has an interrupt");
    assert!(group.of > Some(5000) && group.cases.len() == 50);
    let found = group.cases.iter().filter(|case| {
        let Case::Run(trial) = case else {
            panic!("an act is done in one run")
        };
        let result = audit.try_out(trial).expect("it runs");
        result.found.iter().any(|(found, _)| found.rule == "DQ0001")
    });
    assert_ne!(
        found.count(),
        0,
        "the buffer of the ISR was there each time"
    );
}

#[test]
fn a_trial_can_be_looked_at() {
    let image = "samples/edu-line-based/edu-line-based.sys";
    let trial = ["audit", image, "--trial", "life,spurious=40"];
    let (out, code) = dirql(&[&trial[..], &["--timeline"]].concat());
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("ISR for vector 0x60 returned FALSE"), "{out}");
    let (out, code) = dirql(&[&trial[..], &["--trace", "-"]].concat());
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("thread 0: start edu0"), "{out}");
    let (out, code) = dirql(&["audit", image, "--timeline"]);
    assert_eq!(code, Some(2), "{out}");
}

/// What is used late is used after it was freed in an order with two switches of a life.
#[test]
fn a_thread_that_is_not_waited_for_is_found_by_two_switches_of_a_life() {
    let scenario = r#"
        driver = [{ image = "thread-after-free.sys" }]
        device = [{ name = "edu0", model = "edu", interrupts = { kind = "line" } }]
    "#;
    let scenario = Scenario::parse("test.toml", scenario).unwrap_or_else(|error| panic!("{error}"));
    let scenario = scenario.in_directory(&root().join("zoo/thread-after-free"));
    let audit = Audit::new(scenario, Some(2), None, None).expect("the driver is there");
    let (_, facts) = audit.look_at(&Trial::life()).expect("it can be played");
    let facts = Facts {
        life: Some(facts),
        ..Facts::default()
    };
    let groups = battery(&facts, WindowsVersion::Ten, 2, Effort::USUAL);
    let title = "lives in other orders";
    let group = groups.iter().find(|group| group.title == title);
    let Some(Case::Hunt(hunt)) = group.and_then(|group| group.cases.first()) else {
        panic!("orders of a life are searched")
    };
    // The part with it of what is searched, which is the same in every run.
    let hunt = Hunt {
        part: (42, 64),
        runs: hunt.runs * hunt.part.1 / 64,
        ..hunt.clone()
    };
    let result = audit.hunt(&hunt, Points::Usual, |_| {}, &mut |known| {
        known.found.is_empty()
    });
    let found = result.expect("it can be played").found;
    let (finding, trial) = found.first().expect("it is found");
    assert!(trial.starts_with("life,special-pool,order="), "{trial}");
    assert_eq!(
        key(finding)[..3],
        [
            "DQ0302",
            "thread-after-free.sys!ZooThread",
            "thread-after-free.sys!ZooGone"
        ]
    );
}

#[test]
fn who_waits_for_a_device_that_is_gone_is_told_with_its_loop() {
    let audit = of_messages("unplugged");
    let found = (1..400).find_map(|step| {
        let trial = format!("life,pulled={step}").parse().expect("a trial");
        let report = audit.play(&trial, None, None).expect("it can be played");
        let hang = |finding: &dirql::report::FindingReport| finding.rule == "DQ0003";
        report.findings.into_iter().find(hang)
    });
    let found = found.expect("an interrupt finds the device gone");
    let code = found.place.code.unwrap_or_default();
    assert!(code.contains("unplugged.sys"), "{code}");
    assert!(found.earlier.is_some());
}

#[test]
fn what_was_made_to_fail_is_named() {
    let image = "zoo/lost-update-isr/lost-update-isr.sys";
    let audit = |trial: &str| {
        let text = std::fs::read_to_string(root().join("zoo/lost-update-isr/lost-update-isr.toml"));
        let scenario = Scenario::parse("test.toml", &text.expect("it is there"));
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        let scenario = scenario.in_directory(&root().join("zoo/lost-update-isr"));
        let audit = Audit::new(scenario, None, None, None).expect(image);
        let trial = trial.parse().expect("a trial");
        audit.explain(&trial).expect("it can be played").failed
    };
    assert_eq!(audit("life"), None);
    let failed = audit("life,fail=connect:1").expect("it is connected");
    assert!(failed.contains("IoConnectInterruptEx"), "{failed}");
    assert!(
        failed.contains("lost-update-isr.sys!ZooConnect"),
        "{failed}"
    );
}

/// Audits of a driver of these tests with a device that has messages.
fn of_messages(name: &str) -> Audit {
    let text = format!(
        r#"
        driver = [{{ image = "{name}.sys" }}]
        device = [{{ name = "edu0", model = "edu" }}]

        [machine]
        processors = 2
        "#
    );
    let scenario = Scenario::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let scenario = scenario.in_directory(&root().join("crates/dirql/tests/drivers"));
    Audit::new(scenario, None, None, None).expect("the driver is there")
}

#[test]
fn who_claims_everything_is_found_where_a_device_with_messages_has_its_line() {
    let found = |trial: &str| {
        let trial = trial.parse().expect("a trial");
        let report = of_messages("claims").play(&trial, None, None);
        let findings = report.expect("it can be played").findings;
        findings.into_iter().map(|finding| finding.rule)
    };
    assert_eq!(found("life,foreign=60").count(), 0);
    assert!(found("life,line,foreign=60").any(|rule| rule == "DQ0123"));
}

#[test]
fn who_ends_what_is_being_cancelled_is_found_by_one_switch() {
    let trial: Trial = "life,cancelled=1".parse().expect("a trial");
    let audit = of_messages("ender");
    let report = audit.play(&trial, None, None).expect("it can be played");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let hunt = Hunt {
        trial,
        strategy: Strategy::Bounded { switches: 1 },
        at_accesses: false,
        part: (0, 1),
        runs: 400,
    };
    let result = audit.hunt(&hunt, Points::Usual, |_| {}, &mut |_| true);
    let found = result.expect("it can be played").found;
    let both = |finding: &dirql::report::FindingReport| {
        finding.rule == "DQ0170" && finding.earlier.is_some()
    };
    assert!(found.iter().any(|(finding, _)| both(finding)), "{found:?}");
}
