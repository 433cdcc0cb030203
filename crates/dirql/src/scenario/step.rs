//! One step of a thread.

use std::collections::BTreeMap;
use std::time::Duration;

use dirql_chips::models::Kind;
use dirql_chips::{ModemLines, SerialEvent, Stimulus};
use dirql_kernel::io::RequestKind;
use dirql_kernel::io::pnp::PowerState;
use toml::de::DeValue;

use super::bytes::{BytesReader, LONGEST_TRANSFER};
use super::decode::{
    Problems, Table, Value, array, choice, duration, not_one_of, number, string, wrong_kind,
};
use super::device::{device_names, interrupts, unknown_device};
use super::expect;
use super::near::nearest;
use super::problem::Problem;
use super::{Action, DeviceRequest, Explored, Step, Target};

/// What steps may refer to.
pub(super) struct Names<'n> {
    pub(super) devices: &'n BTreeMap<String, Option<Kind>>,
    /// Names that steps give to what they open.
    pub(super) handles: &'n [String],
    /// Names that steps give to what they send.
    pub(super) requests: &'n [String],
    /// Names that steps signal.
    pub(super) signals: &'n [String],
    pub(super) drivers: &'n [String],
}

/// Keys that say what a step does. A step has exactly one of them.
const ACTIONS: [&str; 33] = [
    "start",
    "stop",
    "rebalance",
    "remove",
    "surprise_remove",
    "query_stop",
    "cancel_stop",
    "query_remove",
    "cancel_remove",
    "open",
    "cleanup",
    "close",
    "read",
    "write",
    "ioctl",
    "await",
    "cancel",
    "expect_pending",
    "press",
    "release",
    "receive",
    "serial",
    "expect_sent",
    "interrupt",
    "power",
    "query_power",
    "sleep",
    "signal",
    "wait",
    "wait_idle",
    "explore",
    "unload",
    "flush",
];

pub(super) fn read(
    value: &Value<'_>,
    line: u32,
    names: &Names<'_>,
    bytes: BytesReader<'_>,
) -> Option<Step> {
    let problems = bytes.problems;
    let table = Table::of(value, "a step", problems)?;
    let found: Vec<&str> = ACTIONS
        .into_iter()
        .filter(|action| table.has(action))
        .collect();
    let action = match found[..] {
        [action] => action,
        [] => {
            no_action(value, problems);
            return None;
        }
        [first, second, ..] => {
            let (key, _) =
                table.entry(ACTIONS[ACTIONS.iter().position(|action| *action == second)?])?;
            let title = format!("a step does one thing; this one has `{first}` and `{second}`");
            problems.add(Problem::new(
                title,
                key.span(),
                "put it into a step of its own",
            ));
            return None;
        }
    };
    let reader = Reader {
        table: &table,
        names,
        bytes,
        problems,
    };
    let action = reader.action(action);
    table.finish();
    action.map(|action| Step { action, line })
}

/// None of the keys is an action: one may be misspelled.
fn no_action(value: &Value<'_>, problems: &Problems) {
    let DeValue::Table(entries) = value.get_ref() else {
        return;
    };
    let near = entries
        .keys()
        .find_map(|key| Some((key, nearest(key.get_ref(), ACTIONS)?)));
    let title = "a step says what it does";
    let note = format!("one of: {}", ACTIONS.join(", "));
    problems.add(match near {
        Some((key, near)) => Problem::new(title, key.span(), "unknown key")
            .note(note)
            .replace(format!("a key with a similar name exists: `{near}`"), near),
        None => Problem::new(title, value.span(), "nothing here does").note(note),
    });
}

struct Reader<'r, 't> {
    table: &'r Table<'t>,
    names: &'r Names<'r>,
    bytes: BytesReader<'r>,
    problems: &'r Problems,
}

impl Reader<'_, '_> {
    fn action(&self, action: &str) -> Option<Action> {
        match action {
            "start" => self.plug_and_play("start", DeviceRequest::Start),
            "stop" => self.plug_and_play("stop", DeviceRequest::Stop),
            "rebalance" => {
                let device = self.table.value("rebalance")?.get_ref().as_str();
                let kind = device.and_then(|name| self.names.devices.get(name).copied()?);
                let wish = self.table.value("interrupts");
                let wish = wish.and_then(|value| interrupts(value, kind, self.problems));
                self.plug_and_play("rebalance", DeviceRequest::Rebalance(wish))
            }
            "remove" => self.plug_and_play("remove", DeviceRequest::Remove),
            "surprise_remove" => {
                self.plug_and_play("surprise_remove", DeviceRequest::SurpriseRemove)
            }
            "query_stop" => self.plug_and_play("query_stop", DeviceRequest::QueryStop),
            "cancel_stop" => self.plug_and_play("cancel_stop", DeviceRequest::CancelStop),
            "query_remove" => self.plug_and_play("query_remove", DeviceRequest::QueryRemove),
            "cancel_remove" => self.plug_and_play("cancel_remove", DeviceRequest::CancelRemove),
            "power" => self.power("power", DeviceRequest::Power),
            "query_power" => self.power("query_power", DeviceRequest::QueryPower),
            "open" => self.open(),
            "cleanup" => {
                let (handle, expect) = (self.handle("cleanup"), expect::status(self.table));
                Some(Action::Cleanup {
                    handle: handle?,
                    expect,
                })
            }
            "close" => {
                let (handle, expect) = (self.handle("close"), expect::status(self.table));
                Some(Action::Close {
                    handle: handle?,
                    expect,
                })
            }
            "read" => self.read(),
            "write" => self.write(),
            "flush" => self.request("flush", Some(RequestKind::Flush), None),
            "ioctl" => self.control(),
            "await" => {
                let name = self.request_name("await");
                let expected = expect::expected(self.table, self.data("expect_data"));
                name.map(|name| Action::Await { name, expected })
            }
            "cancel" => self.request_name("cancel").map(Action::Cancel),
            "expect_pending" => self
                .request_name("expect_pending")
                .map(Action::ExpectPending),
            "signal" => self
                .table
                .text("signal")
                .map(|name| Action::Signal(name.into())),
            "wait" => self
                .name("wait", "a name that a step signals", self.names.signals)
                .map(Action::Wait),
            "serial" => self.serial(),
            "press" => self.stimulus("press", Some(Stimulus::Press)),
            "release" => self.stimulus("release", Some(Stimulus::Release)),
            "receive" => self.stimulus("receive", self.required_data().map(Stimulus::Receive)),
            "interrupt" => self.interrupt(),
            "expect_sent" => {
                let (device, data) = (self.device("expect_sent"), self.required_data());
                Some(Action::ExpectSent {
                    device: device?,
                    data: data?,
                })
            }
            "sleep" => self.sleep().map(Action::Sleep),
            "wait_idle" => self.true_only("wait_idle").map(|()| Action::WaitIdle),
            "explore" => self.explore().map(Action::Explore),
            "unload" => self.unload(),
            // Every name of ACTIONS has its arm; a test reads a step of each.
            _ => None,
        }
    }

    fn plug_and_play(&self, key: &'static str, request: DeviceRequest) -> Option<Action> {
        let (device, expect) = (self.device(key), expect::status(self.table));
        Some(Action::Device {
            device: device?,
            request,
            expect,
        })
    }

    fn stimulus(&self, key: &'static str, stimulus: Option<Stimulus>) -> Option<Action> {
        let device = self.device(key);
        Some(Action::Stimulus {
            device: device?,
            stimulus: stimulus?,
        })
    }

    fn interrupt(&self) -> Option<Action> {
        let (device, source) = (
            self.device("interrupt"),
            self.table.number("source", 0..=2047_u16),
        );
        let device = device?;
        Some(match source {
            Some(source) => Action::Stimulus {
                device,
                stimulus: Stimulus::Interrupt(source),
            },
            None => Action::InterruptOnce { device },
        })
    }

    /// A request, which the thread waits for, or only sends and calls by a name.
    ///
    /// `data_key` is the key for what comes back, if anything does.
    fn request(
        &self,
        key: &'static str,
        request: Option<RequestKind>,
        data_key: Option<(&'static str, Option<Vec<u8>>)>,
    ) -> Option<Action> {
        let handle = self.handle(key);
        if self.table.has("async") {
            return self.send(handle, request, data_key.map(|(key, _)| key));
        }
        let expected = expect::expected(self.table, data_key.and_then(|(_, data)| data));
        // It is a key of this step, too.
        self.table.value("async");
        Some(Action::Request {
            handle: handle?,
            request: request?,
            expected,
        })
    }

    fn send(
        &self,
        handle: Option<String>,
        request: Option<RequestKind>,
        data_key: Option<&'static str>,
    ) -> Option<Action> {
        let name = self.table.text("async");
        for key in [Some("expect"), Some("expect_information"), data_key]
            .into_iter()
            .flatten()
        {
            if let Some((key, _)) = self.table.entry(key) {
                let title = "a step that only sends does not know how the request ends";
                let problem = Problem::new(title, key.span(), "not here");
                self.problems
                    .add(problem.note("put it into the step that awaits the request"));
            }
        }
        Some(Action::Send {
            handle: handle?,
            request: request?,
            name: name?.into(),
        })
    }

    /// The name of a request that some step sends.
    fn request_name(&self, key: &'static str) -> Option<String> {
        self.name(
            key,
            "the name of a request that is sent with `async`",
            self.names.requests,
        )
    }

    fn name(&self, key: &'static str, what: &str, known: &[String]) -> Option<String> {
        let value = self.table.value(key)?;
        let name = string(value, self.problems)?;
        if known.iter().any(|known| known == name) {
            return Some(name.into());
        }
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        self.problems
            .add(not_one_of(value.span(), name, what, &names));
        None
    }

    fn device(&self, key: &'static str) -> Option<String> {
        let value = self.table.value(key)?;
        let name = string(value, self.problems)?;
        if !self.names.devices.contains_key(name) {
            self.problems.add(unknown_device(
                value.span(),
                name,
                &device_names(self.names.devices),
            ));
            return None;
        }
        Some(name.into())
    }

    /// The name of what was opened: a device, a path, or the name that the step gave it.
    fn handle(&self, key: &'static str) -> Option<String> {
        let value = self.table.value(key)?;
        let name = string(value, self.problems)?;
        let devices = self.names.devices;
        let known = name.starts_with('\\')
            || devices.contains_key(name)
            || self.names.handles.iter().any(|handle| handle == name);
        if !known {
            let mut names = device_names(devices);
            names.extend(self.names.handles.iter().map(String::as_str));
            self.problems
                .add(unknown_device(value.span(), name, &names));
            return None;
        }
        Some(name.into())
    }

    fn open(&self) -> Option<Action> {
        let value = self.table.value("open")?;
        let name = string(value, self.problems);
        let handle = self.table.text("handle");
        let expect = expect::status(self.table);
        let if_possible = self.table.boolean("if_possible").unwrap_or(false);
        let name = name?;
        let target = match name.strip_prefix('\\') {
            Some(_) => Target::Path(name.into()),
            None => Target::Device(self.device("open")?),
        };
        Some(Action::Open {
            target,
            handle: handle.unwrap_or(name).into(),
            expect,
            if_possible,
        })
    }

    fn read(&self) -> Option<Action> {
        let length = self
            .table
            .required("length")
            .and_then(|value| number(value, 0..=LONGEST_TRANSFER, self.problems));
        let offset = self.offset();
        let expect_data = self.data("expect_data");
        self.request(
            "read",
            length.map(|length| RequestKind::Read { length, offset }),
            Some(("expect_data", expect_data)),
        )
    }

    fn write(&self) -> Option<Action> {
        let (data, offset) = (self.required_data(), self.offset());
        self.request(
            "write",
            data.map(|data| RequestKind::Write { data, offset }),
            None,
        )
    }

    fn control(&self) -> Option<Action> {
        let code = self
            .table
            .required("code")
            .and_then(|value| number(value, 0..=u32::MAX, self.problems));
        let input = self.data("in").unwrap_or_default();
        let output = self.data("out").unwrap_or_default();
        let output_length = self.table.number("out_length", 0..=LONGEST_TRANSFER);
        let internal = self.table.boolean("internal").unwrap_or(false);
        let expect_out = self.data("expect_out");
        let output_length = output_length
            .or(expect_out.as_ref().map(|data| data.len() as u32))
            .unwrap_or(0)
            .max(output.len() as u32);
        let request = code.map(|code| RequestKind::Control {
            code,
            input,
            output,
            output_length,
            internal,
        });
        self.request("ioctl", request, Some(("expect_out", expect_out)))
    }

    /// Something that is not bytes arrives at a serial port.
    fn serial(&self) -> Option<Action> {
        let device = self.device("serial");
        let events = ["break", "parity_error", "framing_error", "modem"];
        let event = self
            .table
            .required("event")
            .and_then(|value| choice(value, "a serial event", &events, self.problems));
        let byte = || {
            let value = self.table.required("byte");
            value.and_then(|value| number(value, 0..=0xFF_u8, self.problems))
        };
        let event = match event? {
            "break" => SerialEvent::Break,
            "parity_error" => SerialEvent::ParityError(byte()?),
            "framing_error" => SerialEvent::FramingError(byte()?),
            _ => SerialEvent::Modem(self.modem_lines()?),
        };
        Some(Action::Stimulus {
            device: device?,
            stimulus: Stimulus::Serial(event),
        })
    }

    /// The modem inputs that are asserted from now on; the others are not.
    fn modem_lines(&self) -> Option<ModemLines> {
        let value = self.table.required("asserted")?;
        let mut lines = ModemLines::default();
        for value in array(value, self.problems)? {
            match choice(
                value,
                "a modem input",
                &["cts", "dsr", "ri", "dcd"],
                self.problems,
            )? {
                "cts" => lines.cts = true,
                "dsr" => lines.dsr = true,
                "ri" => lines.ri = true,
                _ => lines.dcd = true,
            }
        }
        Some(lines)
    }

    fn power(
        &self,
        key: &'static str,
        request: impl FnOnce(PowerState) -> DeviceRequest,
    ) -> Option<Action> {
        let device = self.device(key);
        let states = ["D0", "D1", "D2", "D3", "S0", "S1", "S2", "S3", "S4", "S5"];
        let state = self
            .table
            .required("state")
            .and_then(|value| choice(value, "a power state", &states, self.problems));
        let expect = expect::status(self.table);
        let (kind, number) = state?.split_at(1);
        let number = number.parse().ok()?;
        let state = match kind {
            "D" => PowerState::Device(number),
            _ => PowerState::System(number),
        };
        Some(Action::Device {
            device: device?,
            request: request(state),
            expect,
        })
    }

    fn unload(&self) -> Option<Action> {
        let if_possible = self.table.boolean("if_possible").unwrap_or(false);
        let value = self.table.value("unload")?;
        match value.get_ref() {
            DeValue::Boolean(true) => Some(Action::Unload {
                driver: None,
                if_possible,
            }),
            DeValue::String(_) => {
                let names: Vec<&str> = self.names.drivers.iter().map(String::as_str).collect();
                let name = choice(value, "a driver of this scenario", &names, self.problems)?;
                Some(Action::Unload {
                    driver: Some(name.into()),
                    if_possible,
                })
            }
            other => {
                self.problems.add(wrong_kind(
                    value,
                    "expected true or the name of a driver",
                    other,
                ));
                None
            }
        }
    }

    fn explore(&self) -> Option<Explored> {
        let value = self.table.value("explore")?;
        let places = ["from_here", "until_here"];
        let place = choice(value, "a place", &places, self.problems)?;
        Some(match place {
            "from_here" => Explored::FromHere,
            _ => Explored::UntilHere,
        })
    }

    fn true_only(&self, key: &'static str) -> Option<()> {
        let value = self.table.value(key)?;
        if matches!(value.get_ref(), DeValue::Boolean(true)) {
            return Some(());
        }
        let problem = Problem::new(
            format!("`{key}` is always true"),
            value.span(),
            "expected true",
        );
        self.problems.add(problem.replace("write it so", "true"));
        None
    }

    fn offset(&self) -> i64 {
        self.table.number("offset", 0..=i64::MAX).unwrap_or(0)
    }

    /// Bytes from `data` or `text`, one of which must be there.
    fn required_data(&self) -> Option<Vec<u8>> {
        if self.table.has("text") {
            let text = self.table.text("text");
            if let Some((key, _)) = self.table.entry("data") {
                let title = "a step has `data` or `text`, not both";
                self.problems
                    .add(Problem::new(title, key.span(), "one too many"));
            }
            return text.map(|text| text.as_bytes().to_vec());
        }
        self.table
            .required("data")
            .and_then(|value| self.bytes.read(value))
    }

    fn data(&self, key: &'static str) -> Option<Vec<u8>> {
        self.table
            .value(key)
            .and_then(|value| self.bytes.read(value))
    }

    fn sleep(&self) -> Option<Duration> {
        duration(self.table.value("sleep")?, self.problems)
    }
}

#[cfg(test)]
pub(super) const ALL_ACTIONS: &[&str] = &ACTIONS;
