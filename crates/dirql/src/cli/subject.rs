//! What a command is given to run: a driver, a scenario, and what changes it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dirql::scenario::Scenario;
use dirql::{BenchError, Found, Level, Levels, WindowsVersion};
use dirql_host::LoadError;
use dirql_kernel::versions;

use super::args::Subject;
use super::{Exit, Failure, isolate};

/// The scenario to play, and the file that it comes from if there is one.
pub(crate) fn scenario(
    args: &Subject,
    styled: bool,
) -> Result<(Scenario, Option<PathBuf>), Failure> {
    if args.no_sandbox {
        isolate::switch_sandbox_off();
    }
    let (mut scenario, file) = find_scenario(args, styled)?;
    scenario.machine.special_pool |= args.special_pool;
    scenario.machine.no_rules |= args.no_rules;
    Ok((scenario, file))
}

/// The Windows that is run: what the command line says, or the scenario, or 10.
pub(crate) fn windows(args: &Subject, scenario: &Scenario) -> WindowsVersion {
    args.windows
        .or(scenario.machine.windows)
        .unwrap_or(WindowsVersion::Ten)
}

fn find_scenario(args: &Subject, styled: bool) -> Result<(Scenario, Option<PathBuf>), Failure> {
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
        let what = match driver.exists() {
            true => "this is a directory or a device, and no file",
            false => "there is no such file",
        };
        let failure = Failure::usage(format!("{}: {what}", driver.display()));
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
            Scenario::of_driver(
                driver,
                inf,
                device.into_iter().map(|device| *device).collect(),
            ),
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

/// The rules that are judged otherwise.
pub(crate) fn levels(args: &Subject) -> Levels {
    let mut levels = Levels::default();
    for (rules, level) in [
        (&args.allow, Level::Allow),
        (&args.warn, Level::Warn),
        (&args.deny, Level::Deny),
    ] {
        for rule in rules {
            levels.set(*rule, level);
        }
    }
    levels
}

/// Why a run could not begin, or a driver be loaded.
pub(crate) fn failure(error: &BenchError, windows: WindowsVersion) -> Failure {
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
        BenchError::DriverEntry { said, .. } if said.is_empty() => {
            Some("see what it did before: --trace -".into())
        }
        BenchError::DriverEntry { said, .. } => Some(format!(
            "it printed `{said}`; see what else it did before: --trace -"
        )),
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
        LoadError::Fixed { .. } => Some(
            "link it with relocations (not /FIXED, not --disable-reloc-section): a system loads drivers where there is room".into(),
        ),
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

/// The command that does the same again, whatever is beside the driver then.
pub(crate) fn command(name: &[&str], args: &Subject, scenario: Option<&Path>) -> String {
    let mut words = vec![String::from("dirql")];
    words.extend(name.iter().map(ToString::to_string));
    words.push(args.driver.display().to_string());
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
    for (name, rules) in [
        ("--allow", &args.allow),
        ("--warn", &args.warn),
        ("--deny", &args.deny),
    ] {
        for rule in rules {
            option(name, rule.to_string());
        }
    }
    if args.no_sandbox {
        words.push("--no-sandbox".into());
    }
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    for device in &args.device {
        option("--device", device_text(device));
    }
    if args.special_pool {
        words.push(String::from("--special-pool"));
    }
    if args.no_rules {
        words.push(String::from("--no-rules"));
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
