//! From TOML to a [`Scenario`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use dirql_chips::models::{self, Kind, ModelError};
use dirql_image::inf::{RegistryData, RegistryValue};
use dirql_kernel::parport::{Allocation, ChipModes, Cleanup, DeferredChecks, IsrChain};
use dirql_kernel::readings::Reading;
use dirql_kernel::{FailureKind, FailurePoint, WindowsVersion};
use toml::de::{DeTable, DeValue};

use super::bytes::BytesReader;
use super::decode::{
    Problems, Table, Value, array, choice, not_one_of, number, scalar, string, wrong_kind,
};
use super::problem::{Problem, ScenarioError};
use super::step::{self, Names};
use super::{
    ChildSpec, DeviceSpec, DriverSpec, Interrupts, MachineSpec, OtherEnd, PortSettings, Scenario,
    ThreadSpec,
};

/// The most devices that a scenario may have: those of a PCI bus.
const MOST_DEVICES: usize = 32;

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
        self
    }
}

struct Reader<'t> {
    text: &'t str,
    /// Where the line breaks are, in bytes.
    line_ends: Vec<usize>,
    bytes: BytesReader<'t>,
    problems: &'t Problems,
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
        let kinds = [FailureKind::Allocation, FailureKind::Call];
        let mut points = kinds.into_iter().filter_map(|kind| {
            let number = table.number(kind.name(), 1..=u64::MAX)?;
            Some(FailurePoint { kind, number })
        });
        let (first, second) = (points.next(), points.next());
        if second.is_some() || !kinds.iter().any(|kind| table.has(kind.name())) {
            let title = "one thing fails: `allocation` or `call`";
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
            readings: table
                .value("readings")
                .map(|value| self.readings(value))
                .unwrap_or_default(),
        };
        table.finish();
        machine
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

    fn device(
        &self,
        value: &'t Value<'t>,
        drivers: &[String],
        models: &mut BTreeMap<String, Option<Kind>>,
    ) -> Option<DeviceSpec> {
        let table = Table::of(value, "a device", self.problems)?;
        let name = table.required_text("name");
        let model_names: Vec<&str> = models::MODELS.iter().map(|model| model.name).collect();
        let model = table
            .required("model")
            .and_then(|value| choice(value, "a model", &model_names, self.problems));
        let kind = model.and_then(models::find).map(|model| model.kind);
        if let Some(name) = name
            && models.insert(name.to_owned(), kind).is_some()
        {
            let span = table.value("name").map_or(value.span(), Value::span);
            self.problems.add(Problem::new(
                format!("there is a device named `{name}` already"),
                span,
                "a second one",
            ));
        }
        let mut device = DeviceSpec {
            name: name.unwrap_or_default().to_owned(),
            model: model.unwrap_or_default().to_owned(),
            options: self.options(&table),
            interrupts: table
                .value("interrupts")
                .and_then(|value| interrupts(value, kind, self.problems)),
            line: table.number("line", 0..=239),
            shared: table.boolean("shared"),
            driver: self.driver_of(&table, drivers),
            registry: self.registry(&table),
            output: table.text("output").map(PathBuf::from),
            other_end: table
                .value("other_end")
                .and_then(|value| self.other_end(value)),
            lower_filters: self.filters(&table, "lower_filters", drivers),
            upper_filters: self.filters(&table, "upper_filters", drivers),
        };
        if kind == Some(Kind::Legacy)
            && let Some(line) = device.line.take()
        {
            device.options.push(("line".into(), line.to_string()));
        }
        self.check_model(&table, &device);
        if kind == Some(Kind::Pci) && device.shared.is_some() {
            let span = table.value("shared").map_or(value.span(), Value::span);
            self.problems.add(Problem::new(
                "PCI interrupts are always shared",
                span,
                "means nothing for this model",
            ));
        }
        table.finish();
        (!device.name.is_empty() && !device.model.is_empty()).then_some(device)
    }

    fn other_end(&self, value: &'t Value<'t>) -> Option<OtherEnd> {
        let table = Table::of(value, "`other_end`", self.problems)?;
        let loopback = table.boolean("loopback");
        let device = table.text("device");
        let receive = table.value("receive");
        table.finish();
        match (loopback, device, receive) {
            (Some(true), None, None) => Some(OtherEnd::Loopback),
            (None, Some(device), None) => Some(OtherEnd::Device(device.into())),
            (None, None, Some(bytes)) => self.bytes.read(bytes).map(OtherEnd::Sender),
            _ => {
                let title = "`other_end` is a loopback, a device, or what is received";
                let problem = Problem::new(title, value.span(), "expected one of them");
                self.problems.add(problem.note(
                    "{ loopback = true }, { device = \"com2\" } or { receive = { file = \"in.bin\" } }",
                ));
                None
            }
        }
    }

    /// A wire has two ends: the device at the other end is there and has no other one.
    fn check_other_ends(&self, table: &Table<'t>, devices: &[DeviceSpec]) {
        for device in devices {
            let Some(OtherEnd::Device(other)) = &device.other_end else {
                continue;
            };
            let span = other_end_span(table, &device.name);
            let found = devices.iter().find(|found| found.name == *other);
            match found.map(|found| &found.other_end) {
                _ if *other == device.name => {
                    let title = "a device is not at its own other end";
                    let problem = Problem::new(title, span, "this is the device itself");
                    self.problems
                        .add(problem.note("a plug that does that is { loopback = true }"));
                }
                None => {
                    let names: Vec<&str> = devices.iter().map(|device| &*device.name).collect();
                    self.problems.add(unknown_device(span, other, &names));
                }
                Some(None) => {}
                Some(Some(OtherEnd::Device(back))) if *back == device.name => {}
                Some(Some(_)) => {
                    let title = format!("`{other}` has something else at its other end");
                    self.problems
                        .add(Problem::new(title, span, "a wire has two ends"));
                }
            }
        }
    }

    fn driver_of(&self, table: &Table<'t>, drivers: &[String]) -> Option<String> {
        let value = table.value("driver")?;
        let names: Vec<&str> = drivers.iter().map(String::as_str).collect();
        choice(value, "a driver of this scenario", &names, self.problems).map(Into::into)
    }

    /// Names of drivers.
    fn filters(&self, table: &Table<'t>, key: &'static str, drivers: &[String]) -> Vec<String> {
        let values = table
            .value(key)
            .and_then(|value| array(value, self.problems));
        let names: Vec<&str> = drivers.iter().map(String::as_str).collect();
        let name = |value: &'t Value<'t>| {
            choice(value, "a driver of this scenario", &names, self.problems).map(Into::into)
        };
        values
            .unwrap_or_default()
            .into_iter()
            .filter_map(name)
            .collect()
    }

    fn child(
        &self,
        value: &'t Value<'t>,
        drivers: &[String],
        devices: &mut BTreeMap<String, Option<Kind>>,
    ) -> Option<ChildSpec> {
        let table = Table::of(value, "a child", self.problems)?;
        let name = table.required_text("name");
        let child = ChildSpec {
            name: name.unwrap_or_default().to_owned(),
            id: table.required_text("id").unwrap_or_default().to_owned(),
            instance: table.text("instance").map(Into::into),
            driver: self.driver_of(&table, drivers),
        };
        if let Some(name) = name
            && devices.insert(name.to_owned(), None).is_some()
        {
            let span = table.value("name").map_or(value.span(), Value::span);
            let title = format!("there is a device named `{name}` already");
            self.problems.add(Problem::new(title, span, "a second one"));
        }
        table.finish();
        (!child.name.is_empty() && !child.id.is_empty()).then_some(child)
    }

    /// Registry values: a path below a key, and a number, text, or several texts.
    fn registry(&self, table: &Table<'t>) -> Vec<RegistryValue> {
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

    fn options(&self, table: &Table<'t>) -> Vec<(String, String)> {
        let Some(value) = table.value("options") else {
            return Vec::new();
        };
        let DeValue::Table(entries) = value.get_ref() else {
            self.problems
                .add(wrong_kind(value, "options are a table", value.get_ref()));
            return Vec::new();
        };
        let mut options = Vec::new();
        for (key, value) in entries {
            match scalar(value.get_ref()) {
                Some(text) => options.push((key.get_ref().to_string(), text)),
                None => self.problems.add(wrong_kind(
                    value,
                    "expected a string or a number",
                    value.get_ref(),
                )),
            }
        }
        options
    }

    /// Has the model look at its options, and says where it does not like them.
    fn check_model(&self, table: &Table<'t>, device: &DeviceSpec) {
        if device.model.is_empty() {
            return;
        }
        let options: Vec<(&str, &str)> = device
            .options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let Err(error) = models::build(&device.model, &options) else {
            return;
        };
        let (span, fix) = match &error {
            ModelError::UnknownOption { option, hint, .. } => {
                let span = self
                    .option_key(table, option)
                    .or_else(|| table.value("line").map(Value::span));
                (
                    span,
                    hint.map(|hint| ("one with a similar name exists".to_owned(), hint.to_owned())),
                )
            }
            ModelError::NotANumber { option, .. } | ModelError::OutOfRange { option, .. } => (
                self.option_value(table, option)
                    .or_else(|| table.value("line").map(Value::span)),
                None,
            ),
            ModelError::NotAChoice { option, hint, .. } => {
                let fix = hint.map(|hint| {
                    (
                        "one with a similar name exists".to_owned(),
                        format!("\"{hint}\""),
                    )
                });
                (self.option_value(table, option), fix)
            }
            _ => (table.value("line").map(Value::span), None),
        };
        let span = span.unwrap_or(table.span.clone());
        self.problems
            .add(Problem::new(error.to_string(), span, "not for this model").perhaps(fix));
    }

    fn option_key(&self, table: &Table<'t>, option: &str) -> Option<Range<usize>> {
        self.option(table, option).map(|(key, _)| key)
    }

    fn option_value(&self, table: &Table<'t>, option: &str) -> Option<Range<usize>> {
        self.option(table, option).map(|(_, value)| value)
    }

    fn option(&self, table: &Table<'t>, option: &str) -> Option<(Range<usize>, Range<usize>)> {
        let DeValue::Table(entries) = table.value("options")?.get_ref() else {
            return None;
        };
        let (key, value) = entries.iter().find(|(key, _)| key.get_ref() == option)?;
        Some((key.span(), value.span()))
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

/// Which interrupts a device of this kind is given.
pub(super) fn interrupts(
    value: &Value<'_>,
    kind: Option<Kind>,
    problems: &Problems,
) -> Option<Interrupts> {
    let table = Table::of(value, "`interrupts`", problems)?;
    let kinds = ["line", "msi", "msix"];
    let found = table.required("kind");
    let chosen = found.and_then(|value| choice(value, "a kind of interrupt", &kinds, problems));
    let messages = table.number("messages", 1..=2048_u16);
    let wrong = |value: &Value<'_>, label: &str| {
        problems.add(Problem::new(
            "this device has no messages",
            value.span(),
            label,
        ));
    };
    if kind == Some(Kind::Legacy) && chosen.is_some_and(|chosen| chosen != "line") {
        found
            .into_iter()
            .for_each(|value| wrong(value, "only \"line\" for this model"));
    }
    if let (Some("line"), Some(value)) = (chosen, table.value("messages")) {
        wrong(value, "means nothing for a line");
    }
    table.finish();
    match chosen? {
        "line" => Some(Interrupts::Line),
        "msi" => Some(Interrupts::Msi(messages.unwrap_or(u16::MAX))),
        _ => Some(Interrupts::Msix(messages.unwrap_or(u16::MAX))),
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

/// Where the device that is called `name` says what is at its other end.
fn other_end_span(scenario: &Table<'_>, name: &str) -> Range<usize> {
    let devices = scenario.value("device").map(Value::get_ref);
    let mut devices = devices.and_then(DeValue::as_array).into_iter().flatten();
    let device = devices.find(|device| {
        device
            .get_ref()
            .get("name")
            .and_then(|name| name.get_ref().as_str())
            == Some(name)
    });
    let end = device.and_then(|device| device.get_ref().get("other_end"));
    end.map_or(scenario.span.clone(), Value::span)
}

/// The device names that steps may use.
pub(super) fn device_names(models: &BTreeMap<String, Option<Kind>>) -> Vec<&str> {
    models.keys().map(String::as_str).collect()
}

/// So that a step can complain about a device as this file does.
pub(super) fn unknown_device(span: Range<usize>, name: &str, names: &[&str]) -> Problem {
    not_one_of(span, name, "a device of this scenario", names)
}
