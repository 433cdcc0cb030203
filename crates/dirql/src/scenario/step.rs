//! One step of a thread.

use std::collections::BTreeMap;
use std::time::Duration;

use dirql_abi::NtStatus;
use dirql_chips::Stimulus;
use dirql_chips::models::Kind;
use dirql_kernel::io::RequestKind;
use toml::de::DeValue;

use super::decode::{Problems, Table, Value, choice, number, string, wrong_kind};
use super::near::nearest;
use super::parse::{device_names, unknown_device};
use super::problem::Problem;
use super::{Action, DeviceRequest, Expect, Step, Target};

/// What steps may refer to.
pub(super) struct Names<'n> {
    pub(super) devices: &'n BTreeMap<String, Option<Kind>>,
    /// Names that steps give to what they open.
    pub(super) handles: &'n [String],
    pub(super) drivers: &'n [String],
}

/// Keys that say what a step does. A step has exactly one of them.
const ACTIONS: [&str; 19] = [
    "start",
    "stop",
    "remove",
    "surprise_remove",
    "open",
    "close",
    "read",
    "write",
    "ioctl",
    "press",
    "release",
    "receive",
    "expect_sent",
    "interrupt",
    "power",
    "sleep",
    "wait_idle",
    "unload",
    "flush",
];

/// The longest transfer of one request, in bytes.
const LONGEST_TRANSFER: u32 = 1 << 24;

pub(super) fn read(
    value: &Value<'_>,
    line: u32,
    names: &Names<'_>,
    problems: &Problems,
) -> Option<Step> {
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
    problems: &'r Problems,
}

impl Reader<'_, '_> {
    fn action(&self, action: &str) -> Option<Action> {
        match action {
            "start" => self.plug_and_play("start", DeviceRequest::Start),
            "stop" => self.plug_and_play("stop", DeviceRequest::Stop),
            "remove" => self.plug_and_play("remove", DeviceRequest::Remove),
            "surprise_remove" => {
                self.plug_and_play("surprise_remove", DeviceRequest::SurpriseRemove)
            }
            "power" => self.power(),
            "open" => self.open(),
            "close" => {
                let (handle, expect) = (self.handle("close"), self.expect());
                Some(Action::Close {
                    handle: handle?,
                    expect,
                })
            }
            "read" => self.read(),
            "write" => self.write(),
            "flush" => self.request("flush", Some(RequestKind::Flush), None),
            "ioctl" => self.control(),
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
            "sleep" => self.duration().map(Action::Sleep),
            "wait_idle" => self.true_only("wait_idle").map(|()| Action::WaitIdle),
            "unload" => self.unload(),
            // Every name of ACTIONS has its arm; a test reads a step of each.
            _ => None,
        }
    }

    fn plug_and_play(&self, key: &'static str, request: DeviceRequest) -> Option<Action> {
        let (device, expect) = (self.device(key), self.expect());
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

    fn request(
        &self,
        key: &'static str,
        request: Option<RequestKind>,
        expect_data: Option<Vec<u8>>,
    ) -> Option<Action> {
        let (handle, expect) = (self.handle(key), self.expect());
        Some(Action::Request {
            handle: handle?,
            request: request?,
            expect,
            expect_data,
        })
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
        let expect = self.expect();
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
            expect_data,
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
        let output_length = self.table.number("out_length", 0..=LONGEST_TRANSFER);
        let internal = self.table.boolean("internal").unwrap_or(false);
        let expect_out = self.data("expect_out");
        let output_length = output_length
            .or(expect_out.as_ref().map(|data| data.len() as u32))
            .unwrap_or(0);
        let request = code.map(|code| RequestKind::Control {
            code,
            input,
            output_length,
            internal,
        });
        self.request("ioctl", request, expect_out)
    }

    fn power(&self) -> Option<Action> {
        let device = self.device("power");
        let states = ["D0", "D1", "D2", "D3"];
        let state = self
            .table
            .required("state")
            .and_then(|value| choice(value, "a device power state", &states, self.problems))
            .and_then(|name| states.iter().position(|state| *state == name));
        let expect = self.expect();
        Some(Action::Device {
            device: device?,
            request: DeviceRequest::Power(state? as u8),
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

    fn expect(&self) -> Expect {
        let Some(value) = self.table.value("expect") else {
            return Expect::Success;
        };
        let Some(text) = string(value, self.problems) else {
            return Expect::Success;
        };
        match text {
            "any" => return Expect::Any,
            "success" => return Expect::Success,
            _ => {}
        }
        let bits = text
            .strip_prefix("0x")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let status = bits
            .map(NtStatus::from_bits)
            .or_else(|| NtStatus::from_name(text));
        if let Some(status) = status {
            return Expect::Exactly(status);
        }
        let names = NtStatus::TABLE.iter().map(|(_, name)| *name);
        let whole = if text.starts_with("STATUS_") {
            text.to_owned()
        } else {
            format!("STATUS_{text}")
        };
        let fix = nearest(&whole, names).map(|name| {
            (
                "one with a similar name exists".to_owned(),
                format!("\"{name}\""),
            )
        });
        let note =
            "a name such as STATUS_SUCCESS, a number such as 0xC0000001, \"success\" or \"any\"";
        let problem = Problem::new(format!("`{text}` is not a status"), value.span(), "unknown");
        self.problems.add(problem.note(note).perhaps(fix));
        Expect::Success
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
            .and_then(|value| self.bytes(value))
    }

    fn data(&self, key: &'static str) -> Option<Vec<u8>> {
        self.table.value(key).and_then(|value| self.bytes(value))
    }

    /// Bytes as hexadecimal digits, spaces between them as one likes.
    fn bytes(&self, value: &Value<'_>) -> Option<Vec<u8>> {
        let text = string(value, self.problems)?;
        let digits: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if let Some(wrong) = digits.iter().find(|digit| !digit.is_ascii_hexdigit()) {
            let title = format!("`{wrong}` is not a hexadecimal digit");
            let problem =
                Problem::new(title, value.span(), "bytes are pairs of hexadecimal digits");
            self.problems
                .add(problem.note("for example \"0500 0000\"; spaces do not count"));
            return None;
        }
        if !digits.len().is_multiple_of(2) {
            let title = format!("{} hexadecimal digits are not whole bytes", digits.len());
            self.problems.add(Problem::new(
                title,
                value.span(),
                "two digits for each byte",
            ));
            return None;
        }
        let nibble = |digit: char| digit.to_digit(16).unwrap_or(0) as u8;
        Some(
            digits
                .chunks_exact(2)
                .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
                .collect(),
        )
    }

    /// A time such as `"10ms"`.
    fn duration(&self) -> Option<Duration> {
        let value = self.table.value("sleep")?;
        let text = string(value, self.problems)?;
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (count, unit) = text.split_at(split);
        let nanoseconds: Option<u64> = match unit {
            "ns" => Some(1),
            "us" => Some(1_000),
            "ms" => Some(1_000_000),
            "s" => Some(1_000_000_000),
            _ => None,
        };
        let total = nanoseconds.and_then(|unit| count.parse::<u64>().ok()?.checked_mul(unit));
        if total.is_none() {
            let problem = Problem::new(
                format!("`{text}` is not a time"),
                value.span(),
                "expected a number and a unit",
            );
            let fix = (unit.is_empty() && !count.is_empty())
                .then(|| ("give it a unit".to_owned(), format!("\"{count}ms\"")));
            self.problems
                .add(problem.note("units: ns, us, ms, s").perhaps(fix));
        }
        total.map(Duration::from_nanos)
    }
}

#[cfg(test)]
pub(super) const ALL_ACTIONS: &[&str] = &ACTIONS;
