//! The devices of a scenario, and what is at their other ends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use dirql_chips::models::{self, Kind, ModelError};
use toml::de::DeValue;

use super::decode::{Problems, Table, Value, array, choice, not_one_of, scalar, wrong_kind};
use super::parse::Reader;
use super::problem::Problem;
use super::{ChildSpec, DeviceSpec, Interrupts, OtherEnd};

impl<'t> Reader<'t> {
    pub(super) fn device(
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
        if let Some(text) = self.registers(&table) {
            device.options.push(("registers".into(), text));
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
    pub(super) fn check_other_ends(&self, table: &Table<'t>, devices: &[DeviceSpec]) {
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

    pub(super) fn child(
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
            ModelError::Registers(_) => (table.value("registers").map(Value::span), None),
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
