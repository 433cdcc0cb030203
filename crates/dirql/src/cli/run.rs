//! `dirql run`

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dirql::report::{FindingReport, PlaceReport, Report, SCHEMA, Verdict, write_report};
use dirql::scenario::Scenario;
use dirql::{BenchError, Found, Progress, Settings, WindowsVersion};
use dirql_host::LoadError;
use dirql_kernel::versions;
use dirql_rules::ids;

use super::args::{Format, Run};
use super::isolate::{self, Channel, Destroyed, Ending, Message};
use super::output::{Output, plain};
use super::{Exit, Failure, trace};

pub(crate) fn run(args: &Run, out: &mut Output) -> Result<Exit, Failure> {
    let (scenario, used) = scenario(args, out.is_styled())?;
    let replay = replay(args, used.as_deref());
    let ending = isolate::isolated(
        args.time_limit,
        |channel| play(args, &scenario, channel),
        |step| out.detail_note(step),
    );
    let ending = ending
        .map_err(|error| Failure::usage(format!("cannot make a process for the run: {error}")))?;
    let mut report = match ending {
        Ending::Done(report) => *report,
        Ending::Failed(failure) => return Err(failure),
        Ending::Destroyed(known) => destroyed(args, &scenario, known),
        Ending::TooLong(known) => too_long(args, &scenario, known),
        Ending::Panicked => {
            return Err(Failure {
                exit: Exit::Defect,
                message: "this is a defect of dirql, not of the driver".into(),
                help: Some(format!(
                    "please report it, with the driver if you can; it happened in\n  {replay}"
                )),
            });
        }
    };
    report.replay = replay;
    write(&report, args, out)?;
    Ok(match report.verdict {
        Verdict::Clean => Exit::Clean,
        Verdict::Findings => Exit::Findings,
        Verdict::NoVerdict => Exit::NoVerdict,
    })
}

/// The scenario to play, and the file that it comes from if there is one.
fn scenario(args: &Run, styled: bool) -> Result<(Scenario, Option<PathBuf>), Failure> {
    let driver = &args.driver;
    if driver.extension() == Some(OsStr::new("toml")) {
        if args.scenario.is_some() {
            return Err(Failure::usage(format!(
                "{} is a scenario, and --scenario names another",
                driver.display()
            )));
        }
        return Ok((read(driver, styled)?, Some(driver.clone())));
    }
    if !driver.is_file() {
        let failure = Failure::usage(format!("{}: there is no such file", driver.display()));
        return Err(failure.help("give the path of a driver, a .sys file for x64"));
    }
    if let Some(file) = &args.scenario {
        return Ok((for_driver(read(file, styled)?, driver)?, Some(file.clone())));
    }
    let found = dirql::discover(driver);
    let named = |mut devices: Vec<dirql::scenario::DeviceSpec>| {
        for index in 0..devices.len() {
            if devices[index].name.is_empty() {
                let before = devices[..index]
                    .iter()
                    .filter(|other| other.model == devices[index].model)
                    .count();
                devices[index].name = format!("{}{before}", devices[index].model);
            }
        }
        devices
    };
    if !args.device.is_empty() {
        let inf = Some(driver.with_extension("inf")).filter(|inf| inf.is_file());
        return Ok((
            Scenario::of_driver(driver, inf, named(args.device.clone())),
            None,
        ));
    }
    match found {
        Found::Scenario(file) => Ok((for_driver(read(&file, styled)?, driver)?, Some(file))),
        Found::Parts { inf, device, .. } => Ok((
            Scenario::of_driver(driver, inf, device.into_iter().collect()),
            None,
        )),
        _ => Ok((Scenario::of_driver(driver, None, Vec::new()), None)),
    }
}

fn read(file: &Path, styled: bool) -> Result<Scenario, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read(file).map_err(|error| {
        Failure::usage(format!("{name}: {error}"))
            .help("--scenario wants the path of a scenario file")
    })?;
    let text = String::from_utf8(text)
        .map_err(|_| Failure::usage(format!("{name}: TOML is UTF-8, and this is not")))?;
    let scenario =
        Scenario::parse(&name, &text).map_err(|error| Failure::usage(error.render(styled)))?;
    let directory = file.parent().unwrap_or(Path::new(""));
    Ok(scenario.in_directory(directory))
}

/// Puts the driver that was named in the place of the scenario's.
fn for_driver(mut scenario: Scenario, driver: &Path) -> Result<Scenario, Failure> {
    let named = dirql::scenario::DriverSpec::new(driver);
    if scenario.drivers.is_empty() {
        scenario.drivers.push(named);
        return Ok(scenario);
    }
    let only = scenario.drivers.len() == 1;
    let names: Vec<String> = scenario
        .drivers
        .iter()
        .map(dirql::scenario::DriverSpec::name)
        .collect();
    let meant = scenario
        .drivers
        .iter_mut()
        .find(|other| only || other.name().eq_ignore_ascii_case(&named.name()));
    match meant {
        Some(other) => {
            other.image = named.image;
            Ok(scenario)
        }
        None => Err(Failure::usage(format!(
            "{} has no driver named `{}`",
            scenario.file,
            named.name()
        ))
        .help(format!("its drivers: {}", names.join(", ")))),
    }
}

/// Plays the scenario in the child.
fn play(args: &Run, scenario: &Scenario, channel: &mut Channel) {
    let message = match try_play(args, scenario, channel) {
        Ok(report) => Message::Done(Box::new(report)),
        Err(failure) => Message::Failed(failure),
    };
    channel.send(&message);
}

fn try_play(args: &Run, scenario: &Scenario, channel: &Channel) -> Result<Report, Failure> {
    let mut settings = Settings::default();
    settings.windows = args.windows;
    settings.processors = args.processors;
    settings.max_steps = args.max_steps;
    let mut teller = channel
        .try_clone()
        .map_err(|error| Failure::usage(format!("no pipe: {error}")))?;
    settings.progress = Some(Box::new(move |progress| match progress {
        Progress::Step(step) => teller.send(&Message::Step(step)),
        Progress::Finding(finding) => teller.send(&Message::Finding(finding)),
    }));
    let mut trace_error = None;
    if let Some(path) = &args.trace {
        let wrong = |error: io::Error| Failure::usage(format!("{}: {error}", path.display()));
        let (sink, error) = trace::sink(path).map_err(wrong)?;
        settings.sink = Some(sink);
        trace_error = Some((path, error));
    }
    let windows = args
        .windows
        .or(scenario.machine.windows)
        .unwrap_or(WindowsVersion::Ten);
    let report = dirql::play(scenario, settings).map_err(|error| bench_failure(&error, windows))?;
    if let Some((path, error)) = trace_error
        && let Some(error) = error.take()
    {
        return Err(Failure::usage(format!("{}: {error}", path.display())));
    }
    Ok(report)
}

fn bench_failure(error: &BenchError, windows: WindowsVersion) -> Failure {
    let load = matches!(
        error,
        BenchError::Load(_)
            | BenchError::NoEntryPoint(_)
            | BenchError::DriverObject { .. }
            | BenchError::DriverEntry { .. }
    );
    let help = match error {
        BenchError::Load(error) => load_help(error, windows),
        BenchError::NoEntryPoint(_) => {
            Some("it is a library of drivers; name the driver that uses it".into())
        }
        BenchError::DriverEntry { .. } => Some("see what it did before: --trace -".into()),
        BenchError::NotInInf { .. } => {
            Some("choose a device that the INF is for, or move the INF away".into())
        }
        BenchError::NoDriver(_) => Some("a driver is named as its file is, without .sys".into()),
        _ => None,
    };
    Failure {
        exit: if load { Exit::Load } else { Exit::Usage },
        message: error.to_string(),
        help,
    }
}

fn load_help(error: &LoadError, windows: WindowsVersion) -> Option<String> {
    match error {
        LoadError::Image { .. } => {
            Some("what can be run are drivers for x64, as the linker wrote them".into())
        }
        LoadError::EntryPointNotFound { missing, .. } => {
            let first = WindowsVersion::ALL
                .into_iter()
                .filter(|version| *version > windows)
                .find(|version| {
                    missing
                        .iter()
                        .all(|entry| versions::exists(&entry.name, *version))
                });
            let when = first.map(|version| {
                format!("Windows {version} has all of them (--windows {version}); ")
            });
            let connect = missing
                .iter()
                .any(|entry| &*entry.name == "IoConnectInterruptEx");
            let how = if connect {
                "a driver for both links iointex, or looks the routine up with MmGetSystemRoutineAddress"
            } else {
                "a driver for both looks a routine up with MmGetSystemRoutineAddress"
            };
            Some(format!("{}{how}", when.unwrap_or_default()))
        }
        _ => None,
    }
}

/// The report of a run whose process the driver destroyed.
fn destroyed(args: &Run, scenario: &Scenario, known: Destroyed) -> Report {
    let step = known
        .step
        .as_ref()
        .map(|step| format!("; it happened in the step: {step}"));
    let message = format!(
        "the process ended {}{}",
        known.how,
        step.unwrap_or_default()
    );
    let mut report = without_end(args, scenario, known, Verdict::Findings);
    report.ended_early = Some("the driver destroyed its process".into());
    report.findings.push(process_finding(message));
    report
}

fn process_finding(message: String) -> FindingReport {
    let rule = dirql_rules::rule(ids::PROCESS_DESTROYED);
    let text = |text: Option<&'static str>| text.unwrap_or_default().to_owned();
    FindingReport {
        rule: ids::PROCESS_DESTROYED.to_string(),
        severity: "error".into(),
        headline: text(rule.map(|rule| rule.headline)),
        message,
        place: PlaceReport::default(),
        earlier: None,
        help: text(rule.map(|rule| rule.help)),
        source: text(rule.map(|rule| rule.source)),
        windows: text(rule.map(|rule| rule.windows)),
    }
}

fn too_long(args: &Run, scenario: &Scenario, known: Destroyed) -> Report {
    let found = known.findings.iter().any(FindingReport::is_defect);
    let step = known
        .step
        .as_ref()
        .map(|step| format!(", in the step: {step}"));
    let why = format!(
        "{} seconds of real time are over{}",
        args.time_limit,
        step.unwrap_or_default()
    );
    let verdict = if found {
        Verdict::Findings
    } else {
        Verdict::NoVerdict
    };
    let mut report = without_end(args, scenario, known, verdict);
    report.ended_early = Some(why);
    report
}

fn without_end(args: &Run, scenario: &Scenario, known: Destroyed, verdict: Verdict) -> Report {
    let windows = args
        .windows
        .or(scenario.machine.windows)
        .unwrap_or(WindowsVersion::Ten);
    let mut report = Report::empty(
        windows,
        args.processors.or(scenario.machine.processors).unwrap_or(1),
    );
    report.verdict = verdict;
    report.findings = known.findings;
    report
}

fn write(report: &Report, args: &Run, out: &mut Output) -> Result<(), Failure> {
    debug_assert_eq!(report.schema, SCHEMA);
    let detail = out.detail();
    match args.format {
        Format::Human => write_report(out.results(), report, detail)?,
        Format::Json => write_json(out.results(), report)?,
    }
    for path in &args.output {
        let bytes = if path.extension() == Some(OsStr::new("json")) {
            plain(|out| write_json(out, report))
        } else {
            plain(|out| write_report(out, report, detail))
        };
        let written = bytes.and_then(|bytes| std::fs::write(path, bytes));
        written.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn write_json(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

/// The command that does the same again, whatever is beside the driver then.
fn replay(args: &Run, scenario: Option<&Path>) -> String {
    let mut words = vec![
        "dirql".to_owned(),
        "run".to_owned(),
        args.driver.display().to_string(),
    ];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if let Some(file) = scenario.filter(|file| *file != args.driver) {
        option("--scenario", file.display().to_string());
    }
    if let Some(processors) = args.processors {
        option("--processors", processors.to_string());
    }
    if let Some(windows) = args.windows {
        option("--windows", windows.to_string());
    }
    if let Some(steps) = args.max_steps {
        option("--max-steps", steps.to_string());
    }
    for device in &args.device {
        option("--device", device_text(device));
    }
    words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A device as `--device` takes it.
fn device_text(device: &dirql::scenario::DeviceSpec) -> String {
    use dirql::scenario::Interrupts;
    let mut text = device.model.clone();
    let mut key = |name: &str, value: &str| text.push_str(&format!(",{name}={value}"));
    if !device.name.is_empty() {
        key("name", &device.name);
    }
    match device.interrupts {
        None => {}
        Some(Interrupts::Line) => key("interrupts", "line"),
        Some(Interrupts::Msi(u16::MAX)) => key("interrupts", "msi"),
        Some(Interrupts::Msix(u16::MAX)) => key("interrupts", "msix"),
        Some(Interrupts::Msi(count)) => key("interrupts", &format!("msi:{count}")),
        Some(Interrupts::Msix(count)) => key("interrupts", &format!("msix:{count}")),
    }
    if let Some(line) = device.line {
        key("line", &line.to_string());
    }
    if let Some(shared) = device.shared {
        key("shared", &shared.to_string());
    }
    if let Some(driver) = &device.driver {
        key("driver", driver);
    }
    for (name, value) in &device.options {
        key(name, value);
    }
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_if_a_shell_would_take_them_apart() {
        assert_eq!(quoted("a/b-c.sys"), "a/b-c.sys");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
