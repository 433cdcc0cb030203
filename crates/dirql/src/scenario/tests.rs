//! Reading scenarios: every key once, and what is wrong with files.

use std::time::Duration;

use dirql_abi::NtStatus;
use dirql_chips::{ModemLines, SerialEvent, Stimulus};
use dirql_kernel::WindowsVersion;
use dirql_kernel::io::RequestKind;
use dirql_kernel::io::pnp::PowerState;
use dirql_kernel::readings::Reading;
use snapbox::prelude::*;
use snapbox::{assert_data_eq, str};

use super::step::ALL_ACTIONS;
use super::{
    Action, DeviceRequest, DeviceSpec, DriverSpec, Expect, Expected, Explored, Interrupts,
    OtherEnd, RegistryData, Scenario, Target,
};

/// A computer with one device of each kind, and these steps.
fn with_steps(steps: &str) -> String {
    format!(
        r#"
[driver]
image = "panel.sys"

[[device]]
name = "edu0"
model = "edu"

[[device]]
name = "button0"
model = "button"

[[thread]]
steps = [
{steps}
]

[[thread]]
steps = [{{ flush = "edu0", async = "asked" }}, {{ signal = "go" }}]
"#
    )
}

fn steps(text: &str) -> Vec<Action> {
    let scenario = Scenario::parse("test.toml", &with_steps(text)).unwrap();
    let steps = scenario.threads[0].steps.iter();
    steps.map(|step| step.action.clone()).collect()
}

fn step(text: &str) -> Action {
    let mut all = steps(&format!("{{ {text} }}"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn wrong(text: &str) -> String {
    Scenario::parse("test.toml", text)
        .expect_err("it is wrong")
        .to_string()
}

/// The problems of one step, without the file around it.
fn wrong_step(text: &str) -> String {
    let error = Scenario::parse("test.toml", &with_steps(&format!("{{ {text} }}")));
    let error = error.expect_err("it is wrong");
    let problem = |problem: &super::Problem| {
        let fix = problem
            .fix
            .as_ref()
            .map(|(_, _, text)| format!(" => {text}"));
        format!(
            "{} ({}){}",
            problem.title,
            problem.label,
            fix.unwrap_or_default()
        )
    };
    let problems: Vec<String> = error.problems().iter().map(problem).collect();
    problems.join("\n")
}

#[test]
fn a_scenario_says_how_the_parallel_port_reads() {
    use dirql_kernel::parport::Settings;
    let parsed = Scenario::parse(
        "test.toml",
        r#"
[parallel_port]
isr_chain = "first-claim"
deferred_checks = "dirql"
cleanup = "port"
allocation = "plain"
chip_modes = "lenient"
"#,
    );
    assert_eq!(parsed.unwrap().parallel_port, Settings::SAMPLE);
    let none = Scenario::parse("test.toml", "").unwrap();
    assert_eq!(none.parallel_port, Settings::default());
    let wrong = "[parallel_port]\nisr_chain = \"first\"";
    assert!(Scenario::parse("test.toml", wrong).is_err());
}

#[test]
fn every_key_of_a_machine_a_driver_and_a_device_is_read() {
    let scenario = Scenario::parse(
        "test.toml",
        r#"
[machine]
processors = 256
windows = "8.1"
max_steps = 5
late = "3ms"
readings = ["inactive-messages-wait", "no-threaded-dpcs"]

[[driver]]
image = "one.sys"
inf = "one.inf"

[[driver]]
image = "two.sys"

[[device]]
name = "e"
model = "edu"
interrupts = { kind = "msi", messages = 3 }
options = { dma_mask = 0xff }
line = 17
driver = "two"

[[device]]
name = "b"
model = "button"
interrupts = { kind = "line" }
line = 239
shared = false

[[thread]]
priority = 31
steps = []
"#,
    )
    .unwrap();
    assert_eq!(scenario.file, "test.toml");
    assert_eq!(scenario.machine.processors, Some(256));
    assert_eq!(scenario.machine.windows, Some(WindowsVersion::EightOne));
    assert_eq!(scenario.machine.max_steps, Some(5));
    assert_eq!(scenario.machine.late, Some(Duration::from_millis(3)));
    assert_eq!(
        scenario.machine.readings,
        [Reading::InactiveMessagesWait, Reading::NoThreadedDpcs]
    );
    let one = DriverSpec {
        inf: Some("one.inf".into()),
        ..DriverSpec::new("one.sys")
    };
    assert_eq!(scenario.drivers, [one, DriverSpec::new("two.sys")]);
    let edu = DeviceSpec::new("e", "edu")
        .interrupts(Interrupts::Msi(3))
        .option("dma_mask", "0xff");
    let button = DeviceSpec::new("b", "button")
        .interrupts(Interrupts::Line)
        .option("line", 239);
    assert_eq!(
        scenario.devices,
        [edu.line(17).driver("two"), button.shared(false)]
    );
    assert_eq!(
        (
            scenario.threads[0].priority,
            scenario.threads[0].steps.len()
        ),
        (31, 0)
    );
}

#[test]
fn registry_values_are_numbers_text_and_several_texts() {
    let text = r"
[driver]
image = 'a.sys'
registry = { 'Parameters\Queue\Depth' = 16, Big = 0x100000000, Name = 'x', Names = ['y', 'z'] }
[[device]]
name = 'e'
model = 'edu'
registry = { Depth = 4294967295 }
";
    let scenario = Scenario::parse("t", text).unwrap();
    let mut values = scenario.drivers[0].registry.clone();
    values.sort_by(|one, other| one.name.cmp(&other.name));
    let value = |subkey: &str, name: &str, data| super::RegistryValue {
        subkey: subkey.into(),
        name: name.into(),
        data,
    };
    let names = vec!["y".to_owned(), "z".to_owned()];
    let expected = [
        value("", "Big", RegistryData::Qword(0x1_0000_0000)),
        value(r"Parameters\Queue", "Depth", RegistryData::Dword(16)),
        value("", "Name", RegistryData::String("x".into())),
        value("", "Names", RegistryData::MultiString(names)),
    ];
    assert_eq!(values, expected);
    assert_eq!(
        scenario.devices[0].registry,
        [value("", "Depth", RegistryData::Dword(u32::MAX))]
    );
    let driver = |value: &str| {
        wrong(&format!(
            "driver = {{ image = 'a.sys', registry = {value} }}"
        ))
    };
    assert!(driver("5").contains("registry values are a table"));
    assert!(driver("{ a = 1.5 }").contains("this is no registry value"));
    assert!(driver("{ a = -1 }").contains("-1 is not in 0..=18446744073709551615"));
    assert!(driver("{ a = [1] }").contains("expected a string"));
}

#[test]
fn paths_are_beside_the_scenario_unless_they_are_absolute() {
    let text = "driver = [{ image = \"a.sys\", inf = \"/b.inf\" }]";
    let scenario = Scenario::parse("x/test.toml", text)
        .unwrap()
        .in_directory("x".as_ref());
    assert_eq!(scenario.drivers[0].image.to_str(), Some("x/a.sys"));
    assert_eq!(
        scenario.drivers[0].inf.as_ref().unwrap().to_str(),
        Some("/b.inf")
    );
}

#[test]
fn an_empty_file_is_a_scenario() {
    assert_eq!(Scenario::parse("", "").unwrap(), Scenario::default());
}

#[test]
fn a_step_knows_its_line() {
    let text = with_steps("{ start = \"edu0\" },\n\n{ press = \"button0\" },");
    let scenario = Scenario::parse("test.toml", &text).unwrap();
    let lines: Vec<u32> = scenario.threads[0]
        .steps
        .iter()
        .map(|step| step.line)
        .collect();
    assert_eq!(lines, [15, 17]);
}

#[test]
fn every_action_is_read() {
    let device = |request, expect| Action::Device {
        device: "edu0".into(),
        request,
        expect,
    };
    let request = |request, expect_data| Action::Request {
        handle: "edu0".into(),
        request,
        expected: Expected {
            data: expect_data,
            ..Expected::default()
        },
    };
    let stimulus = |stimulus| Action::Stimulus {
        device: "button0".into(),
        stimulus,
    };
    let cases = [
        (
            "start = 'edu0'",
            device(DeviceRequest::Start, Expect::Success),
        ),
        (
            "stop = 'edu0', expect = 'any'",
            device(DeviceRequest::Stop, Expect::Any),
        ),
        (
            "rebalance = 'edu0'",
            device(DeviceRequest::Rebalance(None), Expect::Success),
        ),
        (
            "rebalance = 'edu0', interrupts = { kind = 'msi', messages = 1 }, expect = 'any'",
            device(
                DeviceRequest::Rebalance(Some(Interrupts::Msi(1))),
                Expect::Any,
            ),
        ),
        (
            "remove = 'edu0', expect = 'STATUS_UNSUCCESSFUL'",
            device(
                DeviceRequest::Remove,
                Expect::Exactly(NtStatus::UNSUCCESSFUL),
            ),
        ),
        (
            "surprise_remove = 'edu0', expect = '0xC0000001'",
            device(
                DeviceRequest::SurpriseRemove,
                Expect::Exactly(NtStatus::UNSUCCESSFUL),
            ),
        ),
        (
            "power = 'edu0', state = 'D3'",
            device(DeviceRequest::Power(PowerState::Device(3)), Expect::Success),
        ),
        (
            "query_power = 'edu0', state = 'S4', expect = 'any'",
            device(
                DeviceRequest::QueryPower(PowerState::System(4)),
                Expect::Any,
            ),
        ),
        (
            "query_stop = 'edu0'",
            device(DeviceRequest::QueryStop, Expect::Success),
        ),
        (
            "cancel_stop = 'edu0'",
            device(DeviceRequest::CancelStop, Expect::Success),
        ),
        (
            "query_remove = 'edu0'",
            device(DeviceRequest::QueryRemove, Expect::Success),
        ),
        (
            "cancel_remove = 'edu0'",
            device(DeviceRequest::CancelRemove, Expect::Success),
        ),
        (
            "cleanup = 'edu0'",
            Action::Cleanup {
                handle: "edu0".into(),
                expect: Expect::Success,
            },
        ),
        (
            "open = 'edu0', handle = 'h', if_possible = true",
            Action::Open {
                target: Target::Device("edu0".into()),
                handle: "h".into(),
                expect: Expect::Success,
                if_possible: true,
            },
        ),
        (
            r"open = '\Device\X'",
            Action::Open {
                target: Target::Path(r"\Device\X".into()),
                handle: r"\Device\X".into(),
                expect: Expect::Success,
                if_possible: false,
            },
        ),
        (
            r"close = '\Device\X', expect = 'SUCCESS'",
            Action::Close {
                handle: r"\Device\X".into(),
                expect: Expect::Exactly(NtStatus::SUCCESS),
            },
        ),
        (
            "read = 'edu0', length = 4, offset = 8, expect_data = '01 fF'",
            request(
                RequestKind::Read {
                    length: 4,
                    offset: 8,
                },
                Some(vec![1, 255]),
            ),
        ),
        (
            "write = 'edu0', data = ''",
            request(
                RequestKind::Write {
                    data: vec![],
                    offset: 0,
                },
                None,
            ),
        ),
        (
            "ioctl = 'edu0', code = 0x222000, in = '00', expect_out = '01 02', internal = true",
            request(
                RequestKind::Control {
                    code: 0x22_2000,
                    input: vec![0],
                    output: vec![],
                    output_length: 2,
                    internal: true,
                },
                Some(vec![1, 2]),
            ),
        ),
        ("flush = 'edu0'", request(RequestKind::Flush, None)),
        ("press = 'button0'", stimulus(Stimulus::Press)),
        ("release = 'button0'", stimulus(Stimulus::Release)),
        (
            "receive = 'button0', text = 'hi'",
            stimulus(Stimulus::Receive(b"hi".to_vec())),
        ),
        (
            "interrupt = 'button0', source = 2",
            stimulus(Stimulus::Interrupt(2)),
        ),
        (
            "interrupt = 'edu0'",
            Action::InterruptOnce {
                device: "edu0".into(),
            },
        ),
        (
            "expect_sent = 'edu0', data = '6869'",
            Action::ExpectSent {
                device: "edu0".into(),
                data: b"hi".to_vec(),
            },
        ),
        (
            "await = 'asked', expect = 'any', expect_information = 3, expect_data = { text = 'hi' }",
            Action::Await {
                name: "asked".into(),
                expected: Expected {
                    status: Expect::Any,
                    information: Some(3),
                    data: Some(b"hi".to_vec()),
                },
            },
        ),
        ("cancel = 'asked'", Action::Cancel("asked".into())),
        (
            "expect_pending = 'asked'",
            Action::ExpectPending("asked".into()),
        ),
        ("signal = 'go'", Action::Signal("go".into())),
        ("wait = 'go'", Action::Wait("go".into())),
        (
            "serial = 'button0', event = 'break'",
            stimulus(Stimulus::Serial(SerialEvent::Break)),
        ),
        (
            "serial = 'button0', event = 'framing_error', byte = 255",
            stimulus(Stimulus::Serial(SerialEvent::FramingError(255))),
        ),
        (
            "serial = 'button0', event = 'modem', asserted = ['cts', 'dcd']",
            stimulus(Stimulus::Serial(SerialEvent::Modem(ModemLines {
                cts: true,
                dcd: true,
                ..ModemLines::default()
            }))),
        ),
        (
            "flush = 'edu0', async = 'asked'",
            Action::Send {
                handle: "edu0".into(),
                request: RequestKind::Flush,
                name: "asked".into(),
            },
        ),
        ("sleep = '10ms'", Action::Sleep(Duration::from_millis(10))),
        ("sleep = '0ns'", Action::Sleep(Duration::ZERO)),
        ("wait_idle = true", Action::WaitIdle),
        ("explore = 'from_here'", Action::Explore(Explored::FromHere)),
        (
            "explore = 'until_here'",
            Action::Explore(Explored::UntilHere),
        ),
        (
            "unload = true",
            Action::Unload {
                driver: None,
                if_possible: false,
            },
        ),
        (
            "unload = 'panel'",
            Action::Unload {
                driver: Some("panel".into()),
                if_possible: false,
            },
        ),
    ];
    for (text, action) in &cases {
        assert_eq!(step(text), *action, "{text}");
    }
    for action in ALL_ACTIONS {
        assert!(
            cases
                .iter()
                .any(|(text, _)| text.starts_with(&format!("{action} = "))),
            "{action}"
        );
    }
}

#[test]
fn bytes_come_from_digits_text_patterns_and_files() {
    let data = |text: &str| match step(&format!("write = 'edu0', data = {text}")) {
        Action::Request {
            request: RequestKind::Write { data, .. },
            ..
        } => data,
        other => panic!("{other:?}"),
    };
    assert_eq!(data("'01 02'"), [1, 2]);
    assert_eq!(data("{ text = 'hi' }"), b"hi");
    assert_eq!(
        data("{ pattern = 'count', length = 3, skip = 254 }"),
        [254, 255, 0]
    );
    assert_eq!(data("{ pattern = 'fill', length = 2, byte = 7 }"), [7, 7]);
    let all = data("{ pattern = 'random', length = 40, seed = 9 }");
    let part = data("{ pattern = 'random', length = 13, seed = 9, skip = 21 }");
    assert_eq!(part, all[21..34], "a part of a pattern is that part");
    assert_ne!(all, data("{ pattern = 'random', length = 40 }"));
    let directory = std::env::temp_dir().join(format!("dirql-bytes-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("a.bin"), b"beside").unwrap();
    let file = directory.join("s.toml");
    let text = with_steps("{ write = 'edu0', data = { file = 'a.bin' } }");
    let scenario = Scenario::parse(file.to_str().unwrap(), &text).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let Action::Request { request, .. } = &scenario.threads[0].steps[0].action else {
        panic!("{scenario:?}")
    };
    assert_eq!(
        *request,
        RequestKind::Write {
            data: b"beside".to_vec(),
            offset: 0
        }
    );
}

#[test]
fn the_other_end_is_a_plug_a_port_or_a_sender() {
    let port = |name: &str, end: &str| {
        format!("[[device]]\nname = '{name}'\nmodel = 'uart16550'\nother_end = {end}\n")
    };
    let ends = |text: &str| -> Vec<Option<OtherEnd>> {
        let scenario = Scenario::parse("t", text)
            .unwrap()
            .in_directory("x".as_ref());
        let devices = scenario.devices.into_iter();
        devices.map(|device| device.other_end).collect()
    };
    assert_eq!(
        ends(&port("a", "{ loopback = true }")),
        [Some(OtherEnd::Loopback)]
    );
    let pair = port("a", "{ device = 'b' }") + &port("b", "{ device = 'a' }");
    assert_eq!(
        ends(&pair),
        ["b", "a"].map(|name| Some(OtherEnd::Device(name.into())))
    );
    assert_eq!(
        ends(&port("a", "{ receive = '68' }")),
        [Some(OtherEnd::Sender(b"h".to_vec()))]
    );
    for (text, title) in [
        (
            port("a", "{ }"),
            "`other_end` is a loopback, a device, or what is received",
        ),
        (
            port("a", "{ loopback = true, receive = '' }"),
            "`other_end` is a loopback, a device, or what is received",
        ),
        (
            port("a", "{ device = 'a' }"),
            "a device is not at its own other end",
        ),
        (
            port("a", "{ device = 'c' }"),
            "`c` is not a device of this scenario",
        ),
        (
            port("a", "{ device = 'b' }") + &port("b", "{ loopback = true }"),
            "`b` has something else at its other end",
        ),
        (
            port("a", "{ lopback = true }"),
            "`other_end` has no key `lopback`",
        ),
    ] {
        assert!(wrong(&text).contains(title), "{}", wrong(&text));
    }
}

#[test]
fn one_thing_can_be_made_to_fail() {
    let fail = |text: &str| {
        Scenario::parse("t", &format!("[fail]\n{text}"))
            .unwrap()
            .fail
    };
    assert_eq!(
        fail("allocation = 3"),
        Some("allocation:3".parse().unwrap())
    );
    assert_eq!(fail("call = 1"), Some("call:1".parse().unwrap()));
    let one = "one thing fails: `allocation`, `call` or `connect`";
    for (text, title) in [
        ("", one),
        ("allocation = 1\ncall = 1", one),
        ("call = 0", "0 is not in 1..="),
        ("cal = 1", "[fail] has no key `cal`"),
    ] {
        let wrong = wrong(&format!("[fail]\n{text}"));
        assert!(wrong.contains(title), "{wrong}");
    }
}

#[test]
fn a_handle_with_a_name_of_its_own_is_used_by_that_name() {
    let all = steps("{ open = 'edu0', handle = 'second' },\n{ close = 'second' }");
    assert_eq!(
        all[1],
        Action::Close {
            handle: "second".into(),
            expect: Expect::Success
        }
    );
    assert_eq!(
        wrong_step("close = 'secnd'"),
        "`secnd` is not a device of this scenario (unknown)"
    );
}

#[test]
fn what_is_wrong_with_a_step_is_said() {
    let cases = [
        (
            "strat = 'edu0'",
            "a step says what it does (unknown key) => start",
        ),
        ("", "a step says what it does (nothing here does)"),
        (
            "start = 'edu0', stop = 'edu0'",
            "a step does one thing; this one has `start` and `stop` (put it into a step of its own)",
        ),
        (
            "start = 'edu1'",
            "`edu1` is not a device of this scenario (unknown) => \"edu0\"",
        ),
        (
            "start = 5",
            "expected a string (this is a whole number) => \"5\"",
        ),
        (
            "start = 'edu0', expects = 'any'",
            "a step has no key `expects` (unknown key) => expect",
        ),
        (
            "start = 'edu0', expect = 'STATUS_SUCESS'",
            "`STATUS_SUCESS` is not a status (unknown) => \"STATUS_SUCCESS\"",
        ),
        (
            "read = 'edu0', length = 1, async = 'r', expect = 'any'",
            "a step that only sends does not know how the request ends (not here)",
        ),
        (
            "await = 'askd'",
            "`askd` is not the name of a request that is sent with `async` (unknown) => \"asked\"",
        ),
        (
            "wait = 'gone'",
            "`gone` is not a name that a step signals (unknown)",
        ),
        (
            "write = 'edu0', data = { pattern = 'count' }",
            "a source of bytes has no `length` (`length` is missing here)",
        ),
        (
            "write = 'edu0', data = { fil = 'x' }",
            "bytes are one of `text`, `file` and `pattern` (expected one of them)\na source of bytes has no key `fil` (unknown key) => file",
        ),
        (
            "write = 'edu0', data = { file = '/nowhere/to/be/found' }",
            "`/nowhere/to/be/found` cannot be read: No such file or directory (os error 2) (no such bytes)",
        ),
        (
            "serial = 'edu0', event = 'parity_error'",
            "a step has no `byte` (`byte` is missing here)",
        ),
        (
            "power = 'edu0', state = 'D4'",
            "`D4` is not a power state (unknown) => \"D0\"",
        ),
        (
            "start = 'edu0', expect = '0x1C0000001'",
            "`0x1C0000001` is not a status (unknown)",
        ),
        (
            "read = 'edu0'",
            "a step has no `length` (`length` is missing here)",
        ),
        (
            "read = 'edu0', length = -1",
            "-1 is not in 0..=16777216 (expected 0..=16777216)",
        ),
        (
            "read = 'edu0', length = 16777217",
            "16777217 is not in 0..=16777216 (expected 0..=16777216)",
        ),
        (
            "write = 'edu0', data = '123'",
            "3 hexadecimal digits are not whole bytes (two digits for each byte)",
        ),
        (
            "write = 'edu0', data = '0x12'",
            "`x` is not a hexadecimal digit (bytes are pairs of hexadecimal digits)",
        ),
        (
            "write = 'edu0', data = '00', text = 'a'",
            "a step has `data` or `text`, not both (one too many)",
        ),
        (
            "ioctl = 'edu0', code = 0x100000000",
            "0x100000000 is not in 0..=4294967295 (expected 0..=4294967295)",
        ),
        (
            "power = 'edu0', state = 'D4'",
            "`D4` is not a power state (unknown) => \"D0\"",
        ),
        (
            "sleep = '10'",
            "`10` is not a time (expected a number and a unit) => \"10ms\"",
        ),
        (
            "sleep = '10h'",
            "`10h` is not a time (expected a number and a unit)",
        ),
        (
            "sleep = '99999999999999999999s'",
            "`99999999999999999999s` is not a time (expected a number and a unit)",
        ),
        (
            "wait_idle = false",
            "`wait_idle` is always true (expected true) => true",
        ),
        (
            "unload = false",
            "expected true or the name of a driver (this is true or false)",
        ),
        (
            "unload = 'pannel'",
            "`pannel` is not a driver of this scenario (unknown) => \"panel\"",
        ),
        (
            "interrupt = 'edu0', source = 2048",
            "2048 is not in 0..=2047 (expected 0..=2047)",
        ),
    ];
    for (text, problem) in cases {
        assert_eq!(wrong_step(text), problem, "{text}");
    }
}

#[test]
fn an_unknown_key_is_underlined_with_the_one_that_was_meant() {
    assert_data_eq!(
        wrong("[machine]\nproccessors = 2\n"),
        str![[r#"
error: [machine] has no key `proccessors`
 --> test.toml:2:1
  |
2 | proccessors = 2
  | ^^^^^^^^^^^ unknown key
  |
  = note: keys here: file, late, max_steps, no_rules, processors, readings, special_pool, windows
help: a key with a similar name exists: `processors`
  |
2 - proccessors = 2
2 + processors = 2
  |
"#]]
        .raw()
    );
}

#[test]
fn every_problem_of_a_file_is_reported_at_once() {
    let text = r#"
[machine]
processors = 257
windows = 10

[driver]
inf = "x.inf"

[[device]]
name = "edu0"
model = "edo"

[[device]]
name = "button0"
model = "button"
interrupts = { kind = "msi", messages = 1 }
options = { line = 240, colour = "red" }
"#;
    assert_data_eq!(
        wrong(text),
        str![[r#"
error: 257 is not in 1..=256
 --> test.toml:3:14
  |
3 | processors = 257
  |              ^^^ expected 1..=256

error: expected a string
 --> test.toml:4:11
  |
4 | windows = 10
  |           ^^ this is a whole number
  |
help: put it into quotes
  |
4 - windows = 10
4 + windows = "10"
  |

error: [driver] has no `image`
 --> test.toml:6:1
  |
6 | [driver]
  | ^^^^^^^^ `image` is missing here

error: `edo` is not a model
  --> test.toml:11:9
   |
11 | model = "edo"
   |         ^^^^^ unknown
   |
   = note: one of: button, edu, [..]
help: one with a similar name exists
   |
11 - model = "edo"
11 + model = "edu"
   |

error: this device has no messages
  --> test.toml:16:23
   |
16 | interrupts = { kind = "msi", messages = 1 }
   |                       ^^^^^ only "line" for this model

error: model `button` has no option `colour`; options: [..]
  --> test.toml:17:25
   |
17 | options = { line = 240, colour = "red" }
   |                         ^^^^^^ not for this model
"#]]
    );
}

#[test]
fn text_that_is_not_toml_is_an_error_at_its_place() {
    assert_data_eq!(
        wrong("[machine\nprocessors = 2\n"),
        str![[r#"
error: this is not TOML
 --> test.toml:1:9
  |
1 | [machine
  |         ^ unclosed table, expected `]`
"#]]
        .raw()
    );
    for text in ["\0", "a", "[[", "= 1", "x = {", "\u{feff}]", "[a]\n[a]"] {
        assert!(Scenario::parse("t", text).is_err(), "{text:?}");
    }
}

#[test]
fn devices_and_drivers_have_names_of_their_own() {
    let twice = |what: &str| format!("{what}\n{what}");
    let device = "[[device]]\nname = 'e'\nmodel = 'edu'\n";
    assert!(wrong(&twice(device)).contains("there is a device named `e` already"));
    let driver = "[[driver]]\nimage = 'a.sys'\n";
    assert!(wrong(&twice(driver)).contains("there is a driver named `a` already"));
    assert!(
        wrong(&format!("{driver}{device}driver = 'b'"))
            .contains("`b` is not a driver of this scenario")
    );
}

#[test]
fn tables_that_should_be_arrays_say_how_to_write_them() {
    assert!(wrong("[device]\nname = 'e'\n").contains("write its name in double brackets"));
    assert!(wrong("thread = 5").contains("expected an array"));
    assert!(wrong("machine = 5").contains("[machine] is a table"));
    assert!(wrong("[[thread]]\nsteps = 'x'").contains("expected an array"));
    assert!(wrong("[[thread]]\nsteps = [1]").contains("a step is a table"));
    assert!(wrong("[[thread]]\n").contains("a thread has no `steps`"));
}

#[test]
fn there_is_a_limit_to_devices_and_threads() {
    let many = |what: &str, count: usize| -> String {
        (0..count)
            .map(|n| what.replace('#', &n.to_string()))
            .collect()
    };
    let device = "[[device]]\nname = 'e#'\nmodel = 'edu'\n";
    assert!(Scenario::parse("t", &many(device, 32)).is_ok());
    assert!(wrong(&many(device, 33)).contains("there are 33 of these"));
    let thread = "[[thread]]\nsteps = []\n";
    assert!(Scenario::parse("t", &many(thread, 64)).is_ok());
    assert!(wrong(&many(thread, 65)).contains("there are 65 of these"));
}

#[test]
fn options_that_a_model_does_not_take_are_shown_where_they_are() {
    let device = |rest: &str| format!("[[device]]\nname = 'e'\nmodel = 'edu'\n{rest}\n");
    assert_data_eq!(
        wrong(&device("options = { dma_mosk = 1 }")),
        str![[r#"
error: model `edu` has no option `dma_mosk`, did you mean `dma_mask`?; options: dma_mask
 --> test.toml:4:13
  |
4 | options = { dma_mosk = 1 }
  |             ^^^^^^^^ not for this model
  |
help: one with a similar name exists
  |
4 - options = { dma_mosk = 1 }
4 + options = { dma_mask = 1 }
  |
"#]]
        .raw()
    );
    assert!(wrong(&device("options = 5")).contains("options are a table"));
    assert!(
        wrong(&device("options = { dma_mask = [] }")).contains("expected a string or a number")
    );
    assert!(wrong(&device("shared = true")).contains("PCI interrupts are always shared"));
    assert!(
        wrong(&device("interrupts = { kind = 'line', messages = 1 }"))
            .contains("means nothing for a line")
    );
    assert!(
        wrong(&device("interrupts = { kind = 'msi', messages = 0 }"))
            .contains("0 is not in 1..=2048")
    );
    assert!(wrong(&device("interrupts = { messages = 1 }")).contains("`interrupts` has no `kind`"));
}

#[test]
fn a_rendered_problem_may_be_styled() {
    let error = Scenario::parse("t", "x = 1").unwrap_err();
    assert!(error.render(true).contains('\u{1b}'));
    assert!(!error.render(false).contains('\u{1b}'));
}

#[test]
fn a_file_has_a_path_on_drive_c_and_bytes_or_a_place_to_go_to() {
    let text = r#"
        driver = { image = "a.sys" }
        machine = { file = [
            { path = 'C:\Windows\a.bin', data = "01 02" },
            { path = 'c:\temp\log.txt', output = "log.txt" },
        ] }
        "#;
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let scenario = scenario.in_directory(std::path::Path::new("/there"));
    let [first, second] = &scenario.machine.files[..] else {
        panic!("two files")
    };
    assert_eq!(first.data.as_deref(), Some(&[1, 2][..]));
    assert_eq!(second.data, None);
    assert_eq!(
        second.output.as_deref(),
        Some(std::path::Path::new("/there/log.txt"))
    );
    for path in ["D:\\a", "C:\\", "C:\\a\\", "a", "C:a"] {
        let text = format!("driver = {{ image = 'a.sys' }}\n[[machine.file]]\npath = '{path}'");
        let error = Scenario::parse("test.toml", &text).unwrap_err();
        assert!(error.to_string().contains("drive C:"), "{error}");
    }
}
