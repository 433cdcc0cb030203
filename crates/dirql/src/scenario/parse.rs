//! From TOML to a [`Scenario`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dirql_image::inf::{RegistryData, RegistryValue};
use dirql_kernel::parport::{Allocation, ChipModes, Cleanup, DeferredChecks, IsrChain};
use dirql_kernel::readings::Reading;
use dirql_kernel::{FailureKind, FailurePoint, WindowsVersion};
use toml::de::{DeTable, DeValue};

use super::bytes::BytesReader;
use super::decode::{Problems, Table, Value, array, choice, duration, number, string, wrong_kind};
use super::problem::{Problem, ScenarioError};
use super::step::{self, Names};
use super::{DeviceSpec, DriverSpec, FileSpec, MachineSpec, PortSettings, Scenario, ThreadSpec};

/// The most devices that a scenario may have: those of a PCI bus.
const MOST_DEVICES: usize = 32;

/// The most files that a scenario may put on a drive.
const MOST_FILES: usize = 256;

/// The most threads that a scenario may have.
const MOST_THREADS: usize = 64;

impl Scenario {
    /// Reads the text of a scenario file. `file` is its path, for messages, and its directory is
    /// where files with data are; the drivers' paths stay as they are written.
    ///
    /// # Errors
    /// The text is not TOML, or not a scenario. The error has every problem that was found.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let problem = Problem::new("this is not TOML", span, error.message());
                return Err(ScenarioError::new(file, text, vec![problem]));
            }
        };
        let problems = Problems::default();
        let mut scenario = Reader {
            text,
            line_ends: text.match_indices('\n').map(|(at, _)| at).collect(),
            bytes: BytesReader {
                directory: Path::new(file).parent().unwrap_or(Path::new("")),
                problems: &problems,
            },
            problems: &problems,
        }
        .scenario(document.get_ref());
        let problems = problems.into_inner();
        if !problems.is_empty() {
            return Err(ScenarioError::new(file, text, problems));
        }
        scenario.file = file.into();
        Ok(scenario)
    }

    /// Takes paths in it to be relative to `directory`.
    #[must_use]
    pub fn in_directory(mut self, directory: &Path) -> Self {
        for driver in &mut self.drivers {
            driver.image = directory.join(&driver.image);
            driver.inf = driver.inf.take().map(|inf| directory.join(inf));
        }
        for device in &mut self.devices {
            device.output = device.output.take().map(|output| directory.join(output));
        }
        for file in &mut self.machine.files {
            file.output = file.output.take().map(|output| directory.join(output));
        }
        self
    }
}

pub(super) struct Reader<'t> {
    text: &'t str,
    /// Where the line breaks are, in bytes.
    line_ends: Vec<usize>,
    pub(super) bytes: BytesReader<'t>,
    pub(super) problems: &'t Problems,
}

impl<'t> Reader<'t> {
    fn scenario(&self, document: &'t DeTable<'t>) -> Scenario {
        let table = Table::new(document, 0..self.text.len(), "a scenario", self.problems);
        let machine = table
            .value("machine")
            .map(|value| self.machine(value))
            .unwrap_or_default();
        let parallel_port = table
            .value("parallel_port")
            .map(|value| self.parallel_port(value))
            .unwrap_or_default();
        let drivers = table
            .value("driver")
            .map(|value| self.drivers(value))
            .unwrap_or_default();
        let driver_names: Vec<String> = drivers.iter().map(DriverSpec::name).collect();
        let device_values = table
            .value("device")
            .map(|value| self.tables(value, MOST_DEVICES));
        let mut models = BTreeMap::new();
        let devices = device_values.unwrap_or_default().into_iter();
        let devices: Vec<DeviceSpec> = devices
            .filter_map(|value| self.device(value, &driver_names, &mut models))
            .collect();
        self.check_other_ends(&table, &devices);
        let children = table
            .value("child")
            .map(|value| self.tables(value, MOST_DEVICES));
        let children = children.unwrap_or_default().into_iter();
        let children = children
            .filter_map(|value| self.child(value, &driver_names, &mut models))
            .collect();
        let thread_values = table
            .value("thread")
            .map(|value| self.tables(value, MOST_THREADS));
        let named = |key| named(thread_values.as_deref().unwrap_or_default(), key);
        let (handles, requests, signals) = (named("handle"), named("async"), named("signal"));
        let names = Names {
            devices: &models,
            handles: &handles,
            requests: &requests,
            signals: &signals,
            drivers: &driver_names,
        };
        let threads = thread_values.unwrap_or_default().into_iter();
        let threads = threads
            .filter_map(|value| self.thread(value, &names))
            .collect();
        let fail = table.value("fail").and_then(|value| self.fail(value));
        table.finish();
        Scenario {
            file: String::new(),
            machine,
            parallel_port,
            drivers,
            devices,
            children,
            threads,
            fail,
        }
    }

    fn fail(&self, value: &'t Value<'t>) -> Option<FailurePoint> {
        let table = Table::of(value, "[fail]", self.problems)?;
        let kinds = [
            FailureKind::Allocation,
            FailureKind::Call,
            FailureKind::Connect,
        ];
        let mut points = kinds.into_iter().filter_map(|kind| {
            let number = table.number(kind.name(), 1..=u64::MAX)?;
            Some(FailurePoint { kind, number })
        });
        let (first, second) = (points.next(), points.next());
        if second.is_some() || !kinds.iter().any(|kind| table.has(kind.name())) {
            let title = "one thing fails: `allocation`, `call` or `connect`";
            self.problems
                .add(Problem::new(title, value.span(), "expected one of them"));
        }
        table.finish();
        first
    }

    fn machine(&self, value: &'t Value<'t>) -> MachineSpec {
        let Some(table) = Table::of(value, "[machine]", self.problems) else {
            return MachineSpec::default();
        };
        let names = WindowsVersion::ALL.map(WindowsVersion::name);
        let windows = table
            .value("windows")
            .and_then(|value| choice(value, "a Windows version", &names, self.problems))
            .and_then(|name| name.parse().ok());
        let machine = MachineSpec {
            processors: table.number("processors", 1..=256),
            windows,
            max_steps: table.number("max_steps", 1..=u64::MAX),
            late: table
                .value("late")
                .and_then(|value| duration(value, self.problems)),
            readings: table
                .value("readings")
                .map(|value| self.readings(value))
                .unwrap_or_default(),
            special_pool: table.boolean("special_pool").unwrap_or_default(),
            no_rules: table.boolean("no_rules").unwrap_or_default(),
            files: table
                .value("file")
                .map(|value| self.tables(value, MOST_FILES))
                .unwrap_or_default()
                .into_iter()
                .filter_map(|value| self.file(value))
                .collect(),
        };
        table.finish();
        machine
    }

    /// A file on drive C:.
    fn file(&self, value: &'t Value<'t>) -> Option<FileSpec> {
        let table = Table::of(value, "a file", self.problems)?;
        let path = table.required("path")?;
        let data = table.value("data").and_then(|value| self.bytes.read(value));
        let output = table.text("output").map(PathBuf::from);
        table.finish();
        let text = string(path, self.problems)?;
        let drive = text.get(..3).unwrap_or_default();
        if !drive.eq_ignore_ascii_case(r"C:\") || text.len() == 3 || text.ends_with('\\') {
            let title = format!("`{text}` is not the path of a file on drive C:");
            let problem = Problem::new(title, path.span(), r"for example 'C:\Windows\data.bin'");
            self.problems.add(problem);
            return None;
        }
        Some(FileSpec {
            path: text.into(),
            data,
            output,
        })
    }

    /// How the function driver of parallel ports reads what is said in two ways.
    fn parallel_port(&self, value: &'t Value<'t>) -> PortSettings {
        let Some(table) = Table::of(value, "[parallel_port]", self.problems) else {
            return PortSettings::default();
        };
        let named = |key: &'static str, names: &[&'static str; 2]| {
            let value = table.value(key)?;
            choice(value, "a reading", names, self.problems)
        };
        let settings = PortSettings {
            isr_chain: named("isr_chain", &IsrChain::NAMES)
                .and_then(IsrChain::of_name)
                .unwrap_or_default(),
            deferred_checks: named("deferred_checks", &DeferredChecks::NAMES)
                .and_then(DeferredChecks::of_name)
                .unwrap_or_default(),
            cleanup: named("cleanup", &Cleanup::NAMES)
                .and_then(Cleanup::of_name)
                .unwrap_or_default(),
            allocation: named("allocation", &Allocation::NAMES)
                .and_then(Allocation::of_name)
                .unwrap_or_default(),
            chip_modes: named("chip_modes", &ChipModes::NAMES)
                .and_then(ChipModes::of_name)
                .unwrap_or_default(),
        };
        table.finish();
        settings
    }

    fn readings(&self, value: &'t Value<'t>) -> Vec<Reading> {
        let names = Reading::ALL.map(Reading::name);
        let values = array(value, self.problems).unwrap_or_default();
        values
            .into_iter()
            .filter_map(|value| {
                choice(value, "a reading", &names, self.problems)?
                    .parse()
                    .ok()
            })
            .collect()
    }

    fn drivers(&self, value: &'t Value<'t>) -> Vec<DriverSpec> {
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        let mut drivers = Vec::<DriverSpec>::new();
        for value in values {
            let Some(driver) = self.driver(value) else {
                continue;
            };
            if drivers
                .iter()
                .any(|other| other.name().eq_ignore_ascii_case(&driver.name()))
            {
                let title = format!("there is a driver named `{}` already", driver.name());
                self.problems
                    .add(Problem::new(title, value.span(), "a second one"));
            }
            drivers.push(driver);
        }
        drivers
    }

    fn driver(&self, value: &'t Value<'t>) -> Option<DriverSpec> {
        let table = Table::of(value, "[driver]", self.problems)?;
        let path = |key| table.text(key).map(PathBuf::from);
        let image = table.required_text("image").map(PathBuf::from);
        let inf = path("inf");
        let registry = self.registry(&table);
        table.finish();
        Some(DriverSpec {
            image: image?,
            inf,
            registry,
        })
    }

    fn tables(&self, value: &'t Value<'t>, most: usize) -> Vec<&'t Value<'t>> {
        let values = match value.get_ref() {
            DeValue::Table(_) => {
                let title = "expected an array of tables";
                self.problems.add(
                    wrong_kind(value, title, value.get_ref())
                        .note("write its name in double brackets: [[...]]"),
                );
                return Vec::new();
            }
            _ => array(value, self.problems).unwrap_or_default(),
        };
        if values.len() > most {
            let title = format!("there are {} of these", values.len());
            self.problems
                .add(Problem::new(title, value.span(), format!("at most {most}")));
        }
        values
    }

    /// Registry values: a path below a key, and a number, text, or several texts.
    pub(super) fn registry(&self, table: &Table<'t>) -> Vec<RegistryValue> {
        let Some(value) = table.value("registry") else {
            return Vec::new();
        };
        let DeValue::Table(entries) = value.get_ref() else {
            let problem = wrong_kind(value, "registry values are a table", value.get_ref());
            self.problems
                .add(problem.note("for example { 'Parameters\\Depth' = 16 }"));
            return Vec::new();
        };
        let entry = |key: &str, value| {
            let (subkey, name) = key.rsplit_once('\\').unwrap_or(("", key));
            let data = self.registry_data(value)?;
            Some(RegistryValue {
                subkey: subkey.into(),
                name: name.into(),
                data,
            })
        };
        let values = entries.iter();
        values
            .filter_map(|(key, value)| entry(key.get_ref(), value))
            .collect()
    }

    fn registry_data(&self, value: &'t Value<'t>) -> Option<RegistryData> {
        match value.get_ref() {
            DeValue::String(text) => Some(RegistryData::String(text.to_string())),
            DeValue::Integer(_) => {
                let number = number(value, 0..=u64::MAX, self.problems)?;
                Some(u32::try_from(number).map_or(RegistryData::Qword(number), RegistryData::Dword))
            }
            DeValue::Array(values) => {
                let texts = values.iter().map(|value| string(value, self.problems));
                let texts: Option<Vec<String>> = texts.map(|text| text.map(Into::into)).collect();
                texts.map(RegistryData::MultiString)
            }
            other => {
                let problem = wrong_kind(value, "this is no registry value", other);
                self.problems
                    .add(problem.note("a whole number (REG_DWORD, REG_QWORD), a string (REG_SZ) or an array of strings (REG_MULTI_SZ)"));
                None
            }
        }
    }

    fn thread(&self, value: &'t Value<'t>, names: &Names<'_>) -> Option<ThreadSpec> {
        let table = Table::of(value, "a thread", self.problems)?;
        let priority = table
            .number("priority", 1..=31)
            .unwrap_or(ThreadSpec::PRIORITY);
        let steps = table
            .required("steps")
            .and_then(|value| array(value, self.problems))
            .unwrap_or_default();
        let steps = steps.into_iter().filter_map(|value| {
            let before = self
                .line_ends
                .partition_point(|end| *end < value.span().start);
            step::read(value, before as u32 + 1, names, self.bytes)
        });
        let thread = ThreadSpec {
            priority,
            steps: steps.collect(),
        };
        table.finish();
        Some(thread)
    }
}

/// The texts that steps of these threads have for `key`: the names that they give to something.
fn named(threads: &[&Value<'_>], key: &str) -> Vec<String> {
    let steps = threads
        .iter()
        .filter_map(|thread| thread.get_ref().get("steps")?.get_ref().as_array());
    let names = steps
        .flatten()
        .filter_map(|step| step.get_ref().get(key)?.get_ref().as_str());
    names.map(Into::into).collect()
}
