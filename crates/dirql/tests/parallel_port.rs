//! Clients of the parallel port that do something wrong.

use std::path::PathBuf;

use dirql::scenario::{DeviceSpec, RegistryData};
use dirql::{Bench, Builder, Driver};
use dirql_kernel::io::RequestKind;
use dirql_kernel::parport::{DeferredChecks, Settings};
use dirql_kernel::{Event, Outcome};
use dirql_rules::ids;

/// IOCTL_INTERNAL_PARALLEL_DISCONNECT_INTERRUPT and IOCTL_INTERNAL_RELEASE_PARALLEL_PORT_INFO.
const DISCONNECT: u32 = 0x16_0038;
const RELEASE: u32 = 0x16_003C;

/// IOCTL_INTERNAL_PARALLEL_PORT_ALLOCATE and IOCTL_INTERNAL_PARALLEL_PORT_FREE.
const ALLOCATE: u32 = 0x16_002C;
const FREE: u32 = 0x16_00A0;

fn reader() -> Vec<u8> {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples");
    std::fs::read(samples.join("parport-reader/parport-reader.sys")).unwrap()
}

/// The reader with another control code in place of one, which its code has once.
fn reader_with(code: u32, other: u32) -> Vec<u8> {
    let mut image = reader();
    let (code, other) = (code.to_le_bytes(), other.to_le_bytes());
    let places: Vec<usize> = (0..image.len() - 4)
        .filter(|at| image[*at..*at + 4] == code)
        .collect();
    assert_eq!(places.len(), 1, "the code is in the image once");
    image[places[0]..places[0] + 4].copy_from_slice(&other);
    image
}

/// A port whose peer follows a script, and that lets clients connect.
fn port() -> Builder {
    let value = RegistryData::Dword;
    let device = DeviceSpec::new("lpt1", "parport")
        .option("modes", "ps2")
        .option("peer", "script")
        .registry("", "EnableConnectInterruptIoctl", value(1))
        .registry("", "FilterResourceMethod", value(2));
    Bench::builder().device(device)
}

#[test]
fn a_client_of_the_class_driver_sends_and_receives() {
    let drivers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers");
    let bench = port()
        .record(10_000)
        .driver(Driver::file(drivers.join("class.sys")).unwrap())
        .build()
        .unwrap();
    bench.receive("lpt1", b"pong!").unwrap();
    bench.load().unwrap();
    let printed: Vec<String> = bench
        .events()
        .into_iter()
        .filter_map(|entry| match entry.event {
            Event::DebugPrint(text) => Some(text.trim_end().to_owned()),
            _ => None,
        })
        .collect();
    let expected = [
        // Centronics, compatibility, nibble and byte mode.
        "class: modes 0x0017",
        "class: written 0x00000000, 4",
        "class: read 0x00000000, 3: pon",
        "class: terminated 0x00000000",
        "class: negotiated 0x00000000",
        "class: reverse 0x00000000",
        "class: read 0x00000000, 2: g!",
        "class: forward 0x00000000",
        "class: selected 0x00000000, 0xc000000d",
        "class: deselected 0x00000000",
    ];
    assert_eq!(printed, expected);
    assert_eq!(bench.output("lpt1").unwrap(), b"ping");
    assert!(bench.findings().is_empty(), "{:#?}", bench.findings());
}

#[test]
fn a_client_that_unloads_without_disconnecting_is_found_and_its_code_is_not_run() {
    let image = reader_with(DISCONNECT, RELEASE);
    let bench = port()
        .driver(Driver::image("reader.sys", image))
        .build()
        .unwrap();
    bench.load().unwrap();
    bench.unload().unwrap();
    let rules: Vec<_> = bench
        .findings()
        .iter()
        .map(|finding| finding.rule)
        .collect();
    assert_eq!(rules, [ids::PORT_LEFT_CONNECTED]);
    let connected = bench.findings()[0].earlier.clone().unwrap();
    assert_eq!(connected.0, "it was connected here");
    // The next interrupt jumps to where the ISR was, and the system stops there.
    let _ = bench.stimulate("lpt1", dirql_chips::Stimulus::Interrupt(0));
    let outcome = bench.outcome();
    assert!(
        matches!(outcome, Some(Outcome::BugCheck { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_check_that_relies_on_dirql_is_found_where_it_runs_at_dispatch_level() {
    let settings = Settings {
        deferred_checks: DeferredChecks::Dispatch,
        ..Settings::default()
    };
    for (settings, expected) in [
        (Settings::default(), &[][..]),
        (
            settings,
            &[ids::PORT_CALLBACK_LEVEL, ids::PORT_CALLBACK_LEVEL],
        ),
    ] {
        let bench = port()
            .parallel_port(settings)
            .driver(Driver::image("reader.sys", reader()))
            .build()
            .unwrap();
        bench.load().unwrap();
        bench.open_as(r"\Device\ParallelPort0", "other").unwrap();
        let ask = |code| {
            let request = RequestKind::Control {
                code,
                input: Vec::new(),
                output: Vec::new(),
                output_length: 0,
                internal: true,
            };
            bench
                .request("other", request)
                .unwrap()
                .expect_success()
                .unwrap();
        };
        ask(ALLOCATE);
        bench.receive("lpt1", b"x").unwrap();
        bench.run_until_idle().unwrap();
        ask(FREE);
        let rules: Vec<_> = bench
            .findings()
            .iter()
            .map(|finding| finding.rule)
            .collect();
        assert_eq!(rules, expected);
    }
}

#[test]
fn a_driver_called_parport_is_the_function_driver() {
    let drivers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drivers");
    let image = std::fs::read(drivers.join("legacy.sys")).unwrap();
    let bench = port()
        .driver(Driver::image("Parport.sys", image))
        .build()
        .unwrap();
    bench.load().unwrap();
    let own = bench.open_as(r"\Device\ParallelPort0", "own");
    assert!(own.is_err(), "the kernel's own is not there");
}
