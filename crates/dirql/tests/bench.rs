//! The library: computers with devices and drivers, in this process.

use std::path::PathBuf;

use dirql::scenario::{DeviceSpec, Interrupts, RegistryData};
use dirql::{Bench, BenchError, Builder, Driver, WindowsVersion};
use dirql_abi::NtStatus;
use dirql_chips::{Stimulus, Width};
use dirql_kernel::Event;
use dirql_kernel::cm::DeviceKeyKind;
use dirql_kernel::hal::Resource;
use dirql_kernel::io::RequestKind;
use dirql_rules::ids;

fn sample(name: &str) -> Driver {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../samples")
        .join(name)
        .join(name);
    let driver = Driver::file(path.with_extension("sys")).unwrap();
    driver.inf_file(path.with_extension("inf")).unwrap()
}

/// The same image as another driver.
fn sample_as(name: &str, other: &str) -> Driver {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../samples")
        .join(name)
        .join(name);
    let image = std::fs::read(path.with_extension("sys")).unwrap();
    let inf = std::fs::read(path.with_extension("inf")).unwrap();
    Driver::image(format!("{other}.sys"), image)
        .inf(format!("{other}.inf"), &inf)
        .unwrap()
}

fn button() -> DeviceSpec {
    DeviceSpec::new("button0", "button")
        .option("line", 10)
        .option("line2", 11)
}

fn two_vectors() -> Builder {
    Bench::builder()
        .device(button())
        .driver(sample("legacy-two-vectors"))
}

fn started(builder: Builder, device: &str) -> Bench {
    let bench = builder.build().unwrap();
    bench.load().unwrap();
    bench.start(device).unwrap();
    bench.open(device).unwrap();
    bench
}

/// Removes and unloads what `started` began, and nothing is left behind.
fn finish(bench: &Bench, device: &str) {
    bench.close(device).unwrap();
    bench.remove(device).unwrap();
    bench.unload().unwrap();
    assert_eq!(bench.findings(), []);
    assert_eq!(bench.outcome(), None);
}

#[test]
fn a_button_that_is_held_interrupts_before_connect_returns() {
    let bench = two_vectors().record(10_000).build().unwrap();
    bench.load().unwrap();
    bench.press("button0").unwrap();
    assert_eq!(bench.counters().vectors(), [].into(), "nobody is connected");
    bench.start("button0").unwrap();

    let events = bench.events();
    let find =
        |wanted: &dyn Fn(&Event) -> bool| events.iter().position(|entry| wanted(&entry.event));
    let connect = "IoConnectInterrupt";
    let enter = find(&|event| matches!(event, Event::DdiEnter { name, .. } if *name == connect));
    let isr = find(&|event| matches!(event, Event::IsrEnter { .. }));
    let leave = find(&|event| matches!(event, Event::DdiLeave { name, .. } if *name == connect));
    assert!(
        enter.is_some() && enter < isr && isr < leave,
        "{enter:?} {isr:?} {leave:?}"
    );

    bench.open("button0").unwrap();
    finish(&bench, "button0");
}

#[test]
fn a_request_is_under_way_until_what_it_waits_for_happens() {
    let bench = started(two_vectors(), "button0");
    let pending = bench
        .submit(
            "button0",
            RequestKind::Read {
                length: 1,
                offset: 0,
            },
        )
        .unwrap();
    assert_eq!(bench.poll(&pending).unwrap(), None);
    assert!(matches!(
        bench.read("button0", 1),
        Err(BenchError::StillWaiting(_))
    ));
    bench.press("button0").unwrap();
    let completion = bench
        .poll(&pending)
        .unwrap()
        .expect("the button was pressed");
    assert_eq!(
        (completion.status, completion.data),
        (NtStatus::SUCCESS, vec![0])
    );
    bench.release("button0").unwrap();
    finish(&bench, "button0");
}

#[test]
fn a_request_can_be_cancelled() {
    let bench = started(two_vectors(), "button0");
    let pending = bench
        .submit(
            "button0",
            RequestKind::Read {
                length: 1,
                offset: 0,
            },
        )
        .unwrap();
    assert!(bench.cancel(&pending).unwrap());
    let completion = bench.poll(&pending).unwrap().expect("it was cancelled");
    assert_eq!(completion.status, NtStatus::CANCELLED);
    assert!(completion.expect_success().is_err());
    finish(&bench, "button0");
}

#[test]
fn a_device_may_be_open_more_than_once() {
    let bench = started(two_vectors(), "button0");
    bench.open_as("button0", "second").unwrap();
    bench.press("button0").unwrap();
    assert_eq!(bench.read("second", 1).unwrap().data, [0]);
    bench.close("second").unwrap();
    assert!(matches!(
        bench.read("second", 1),
        Err(BenchError::NotOpen(_))
    ));
    finish(&bench, "button0");
}

#[test]
fn two_drivers_share_a_level_sensitive_line_and_the_first_that_claims_ends_it() {
    let edu = |name: &str, driver: &str| {
        DeviceSpec::new(name, "edu")
            .interrupts(Interrupts::Line)
            .line(20)
            .driver(driver)
    };
    let bench = Bench::builder()
        .device(edu("edu0", "edu-line-based"))
        .device(edu("edu1", "edu-fully-specified"))
        .driver(sample("edu-line-based"))
        .driver(sample("edu-fully-specified"))
        .build()
        .unwrap();
    bench.load().unwrap();
    for device in ["edu0", "edu1"] {
        bench.start(device).unwrap();
        bench.open(device).unwrap();
    }
    let vector = vector(&bench, "edu0");
    assert_eq!(vector, self::vector(&bench, "edu1"), "one line, one vector");
    let calls = |bench: &Bench| {
        let counters = bench.counters().vector(vector);
        (counters.total(), counters.isr_calls, counters.claimed)
    };
    bench
        .write("edu0", &[3, 0, 0, 0])
        .unwrap()
        .expect_success()
        .unwrap();
    assert_eq!(bench.read("edu0", 4).unwrap().data, [6, 0, 0, 0]);
    assert_eq!(
        calls(&bench),
        (1, 1, 1),
        "the first claims, the second is not asked"
    );
    bench
        .write("edu1", &[4, 0, 0, 0])
        .unwrap()
        .expect_success()
        .unwrap();
    assert_eq!(bench.read("edu1", 4).unwrap().data, [24, 0, 0, 0]);
    assert_eq!(
        calls(&bench),
        (2, 3, 2),
        "the first does not claim, the second does"
    );
    for device in ["edu0", "edu1"] {
        bench.close(device).unwrap();
        bench.remove(device).unwrap();
    }
    bench.unload_driver("edu-line-based").unwrap();
    bench.unload_driver("edu-fully-specified").unwrap();
    assert_eq!(bench.findings(), []);
}

#[test]
fn two_drivers_share_a_latched_line_and_it_goes_round_until_nobody_claims() {
    let button = |number: u8, driver: &str| {
        DeviceSpec::new(format!("button{number}"), "button")
            .option("port", 0x280 + 0x10 * u32::from(number))
            .option("line", 10)
            .option("line2", 11)
            .option("trigger", "edge")
            .shared(true)
            .driver(driver)
    };
    let bench = Bench::builder()
        .device(button(0, "legacy-two-vectors"))
        .device(button(1, "other"))
        .driver(sample("legacy-two-vectors"))
        .driver(sample_as("legacy-two-vectors", "other"))
        .build()
        .unwrap();
    bench.load().unwrap();
    bench.start("button0").unwrap();
    bench.start("button1").unwrap();
    let vector = vector(&bench, "button0");
    bench.press("button0").unwrap();
    let counters = bench.counters().vector(vector);
    assert_eq!(counters.total(), 1);
    assert_eq!(
        (counters.isr_calls, counters.claimed),
        (4, 1),
        "a round with a claim, and one without"
    );
    bench.press("button1").unwrap();
    let counters = bench.counters().vector(vector);
    assert_eq!(
        (counters.total(), counters.isr_calls, counters.claimed),
        (2, 8, 2)
    );
    // The second one's edge is not seen: the line is asserted already.
    for number in 0..2 {
        let device = bench.device_id(&format!("button{number}")).unwrap();
        bench
            .kernel()
            .stimulate(device, &dirql_chips::Stimulus::Press);
    }
    bench.run_until_idle().unwrap();
    let counters = bench.counters().vector(vector);
    assert_eq!(
        (counters.total(), counters.isr_calls, counters.claimed),
        (3, 12, 4),
        "one round with two claims, and one without"
    );
    bench.remove("button0").unwrap();
    bench.remove("button1").unwrap();
    assert_eq!(bench.findings(), []);
}

/// The vector of a device's first interrupt.
fn vector(bench: &Bench, device: &str) -> u8 {
    let resources = bench.resources(device).unwrap();
    let interrupt = resources.iter().find_map(|resource| match resource {
        Resource::Interrupt(grant) => Some(grant.vector.0),
        _ => None,
    });
    interrupt.expect("it was given an interrupt")
}

#[test]
fn names_that_nobody_has_are_errors() {
    let bench = two_vectors().build().unwrap();
    bench.load().unwrap();
    let name = |result: Result<(), BenchError>| result.unwrap_err().to_string();
    assert_eq!(name(bench.start("x")), "there is no device `x`");
    assert_eq!(name(bench.press("x")), "there is no device `x`");
    assert_eq!(name(bench.open("x")), "there is no device `x`");
    assert_eq!(name(bench.close("x")), "`x` is not open");
    assert_eq!(
        name(bench.unload_driver("x")),
        "there is no loaded driver `x`"
    );
    assert_eq!(name(bench.output("x").map(drop)), "there is no device `x`");
    assert!(
        name(bench.open(r"\Device\x")).contains("opening failed with STATUS_OBJECT_NAME_NOT_FOUND")
    );
    let bytes = bench.receive("button0", b"x");
    assert!(name(bytes).contains("its model has no such input"));
    assert!(bench.open("button0").is_err(), "it is not started");
    assert_eq!(bench.findings(), []);
}

#[test]
fn operations_in_the_wrong_order_are_errors() {
    let bench = two_vectors().build().unwrap();
    bench.load().unwrap();
    assert!(bench.stop("button0").is_err(), "it is not started");
    assert!(bench.remove("button0").is_err());
    bench.start("button0").unwrap();
    assert!(bench.start("button0").is_err(), "it is started");
    bench.stop("button0").unwrap();
    bench.start("button0").unwrap();
    bench.remove("button0").unwrap();
    bench.start("button0").unwrap();
    bench.surprise_remove("button0").unwrap();
    bench.remove("button0").unwrap();
    bench.unload().unwrap();
    assert!(bench.unload().is_err(), "it is unloaded");
    assert_eq!(bench.findings(), []);
}

#[test]
fn nobody_answers_where_a_device_was_that_was_pulled_out() {
    let bench = started(
        Bench::builder()
            .device(DeviceSpec::new("edu0", "edu").line(20))
            .driver(sample("edu-line-based")),
        "edu0",
    );
    let memory = bench.resources("edu0").unwrap().into_iter();
    let mut window = memory.filter_map(|resource| match resource {
        Resource::Memory { base, .. } => Some(base),
        _ => None,
    });
    let base = window.next_back().expect("a window of registers");
    let identification = || bench.kernel().read_device(base, Width::U32);
    assert_eq!(identification(), 0x0100_00ED);
    bench.surprise_remove("edu0").unwrap();
    assert_eq!(identification(), 0xFFFF_FFFF);
}

#[test]
fn a_device_without_power_does_not_interrupt() {
    let device = DeviceSpec::new("edu0", "edu").interrupts(Interrupts::Line);
    let builder = Bench::builder().device(device);
    let bench = started(builder.driver(sample("edu-line-based")), "edu0");
    let vector = vector(&bench, "edu0");
    let taken = || {
        let counters = bench.counters();
        counters.vectors().get(&vector).map_or(0, |one| one.total())
    };
    for (state, expected) in [(3, 0), (0, 1)] {
        bench.set_power("edu0", state).unwrap();
        bench.stimulate("edu0", Stimulus::Interrupt(0)).unwrap();
        bench.run_until_idle().unwrap();
        assert_eq!(taken(), expected, "D{state}");
    }
}

#[test]
fn what_cannot_be_built_says_why() {
    let wrong = |builder: Builder| builder.build().unwrap_err().to_string();
    let device = |spec| wrong(Bench::builder().device(spec));
    assert!(wrong(Bench::builder().processors(0)).contains("1 to 256 processors, not 0"));
    assert!(wrong(Bench::builder().processors(257)).contains("1 to 256 processors, not 257"));
    assert!(device(DeviceSpec::new("e", "edo")).contains("device `e`: no model `edo`"));
    assert!(device(DeviceSpec::new("e", "edu").line(64)).contains("there is no line 64"));
    assert!(
        device(DeviceSpec::new("e", "edu").driver("x")).contains("there is no loaded driver `x`")
    );
    let twice = Bench::builder().device(button()).device(button());
    assert!(wrong(twice).contains("there is a device named \"button0\" already"));
    let other = Bench::builder()
        .device(button())
        .driver(sample("edu-line-based"));
    assert!(
        wrong(other).contains(r"has no device with the hardware ID of `button0`, DIRQL\button")
    );
    assert!(
        Driver::file("no-such-file.sys")
            .unwrap_err()
            .to_string()
            .starts_with("no-such-file.sys: ")
    );
    assert!(
        sample("edu-line-based")
            .inf("x.inf", b"[")
            .unwrap_err()
            .to_string()
            .starts_with("x.inf:1:1: ")
    );
}

#[test]
fn a_driver_that_windows_would_not_load_is_not_loaded() {
    let bench = Bench::builder()
        .windows(WindowsVersion::Server2003)
        .driver(sample("edu-line-based"))
        .build()
        .unwrap();
    let error = bench.load().unwrap_err();
    assert!(matches!(error, BenchError::Load(_)), "{error}");
    drop(bench);
    let bench = Bench::builder()
        .driver(Driver::image("x.sys", *b"not a driver"))
        .build()
        .unwrap();
    assert!(matches!(bench.load(), Err(BenchError::Load(_))));
}

extern "win64" fn refuses(_driver: u64, _path: u64) -> i32 {
    NtStatus::UNSUCCESSFUL.0
}

extern "win64" fn stays(_driver: u64, _path: u64) -> i32 {
    0
}

#[test]
fn a_driver_entry_that_fails_is_an_error_with_its_status() {
    let bench = Bench::builder()
        .driver(Driver::native("no.sys", refuses))
        .build()
        .unwrap();
    let error = bench.load().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no: DriverEntry returned STATUS_UNSUCCESSFUL (0xC0000001)"
    );
    assert_eq!(error.status(), Some(NtStatus::UNSUCCESSFUL));
    assert!(bench.unload().is_err());
}

#[test]
fn a_driver_without_an_unload_routine_stays() {
    let bench = Bench::builder()
        .driver(Driver::native("stays.sys", stays))
        .build()
        .unwrap();
    bench.load().unwrap();
    let error = bench.unload().unwrap_err();
    assert_eq!(error.to_string(), "stays: the driver has no Unload routine");
}

mod forgetful {
    //! A driver that calls a routine where it must not.

    dirql_host::import! {
        fn KeRaiseIrqlToDpcLevel() -> u8;
        fn ExAllocatePoolWithTag(kind: u32, bytes: u64, tag: u32) -> u64;
    }

    pub(crate) extern "win64" fn entry(_driver: u64, _path: u64) -> i32 {
        KeRaiseIrqlToDpcLevel();
        // PagedPool, which may not be asked for at this level.
        ExAllocatePoolWithTag(1, 16, 0);
        0
    }
}

#[test]
fn what_a_driver_does_wrong_is_found_and_the_bench_goes_on() {
    let bench = Bench::builder()
        .driver(Driver::native("forgetful.sys", forgetful::entry))
        .build()
        .unwrap();
    bench.load().unwrap();
    let rules: Vec<_> = bench
        .findings()
        .iter()
        .map(|finding| finding.rule)
        .collect();
    assert!(rules.contains(&ids::POOL_LEVEL), "{rules:?}");
    assert!(
        bench
            .findings()
            .iter()
            .all(|finding| bench.describe(finding.place.address).is_some())
    );
}

#[test]
fn the_first_finding_ends_a_run_that_is_told_so() {
    let driver = Driver::native("forgetful.sys", forgetful::entry);
    let bench = Bench::builder()
        .driver(driver)
        .stop_at_finding()
        .build()
        .unwrap();
    assert!(matches!(bench.load(), Err(BenchError::Ended(_))));
    assert_eq!(bench.findings().len(), 1);
    assert!(
        matches!(bench.unload(), Err(BenchError::Ended(_))),
        "nothing happens after the end"
    );
}

#[test]
fn a_run_that_uses_up_its_steps_ends() {
    let bench = two_vectors().max_steps(1000).build().unwrap();
    bench.load().unwrap();
    let result = bench.on_kernel_thread(|kernel| {
        loop {
            kernel.yield_point()?;
        }
        #[expect(unreachable_code, reason = "names the type")]
        Ok(())
    });
    assert!(
        matches!(result, Err(BenchError::Ended(Some(dirql::Outcome::Budget)))),
        "{result:?}"
    );
}

#[test]
fn a_thread_that_waits_for_ever_is_an_error() {
    let bench = Bench::builder().build().unwrap();
    let result = bench.on_kernel_thread(|kernel| {
        let event = kernel.allocate_system(64);
        kernel.ke_initialize_event(dirql_kernel::DriverPtr::new(event), 0, 0)?;
        kernel.ke_wait_for_single_object(event, 0, 0, 0, dirql_kernel::DriverPtr::NULL)
    });
    assert!(matches!(
        result,
        Err(BenchError::StillWaiting("the thread"))
    ));
    assert_eq!(
        bench.on_kernel_thread(|_| Ok(7)).unwrap(),
        7,
        "and the next one is not affected"
    );
}

#[test]
fn one_bench_after_the_other_starts_from_nothing() {
    let numbers = || {
        let bench = started(two_vectors().processors(2), "button0");
        bench.press("button0").unwrap();
        finish(&bench, "button0");
        (
            bench.counters().ddi_calls(),
            bench.counters().vectors(),
            bench.kernel().step(),
        )
    };
    assert_eq!(numbers(), numbers());
}

#[test]
fn the_registry_has_what_the_inf_and_the_bench_put_there() {
    let driver = sample("edu-message-based")
        .registry("Parameters", "Depth", RegistryData::Dword(16))
        .registry("", "Name", RegistryData::String("x".into()));
    let device = DeviceSpec::new("edu0", "edu").registry("", "Own", RegistryData::Dword(7));
    let bench = Bench::builder()
        .device(device)
        .driver(driver)
        .build()
        .unwrap();
    bench.load().unwrap();
    bench.start("edu0").unwrap();
    let kernel = bench.kernel();
    let service = r"\Registry\Machine\System\CurrentControlSet\Services\edu-message-based";
    let dword = |key: &str, name: &str| {
        let (kind, data) = kernel.registry_get(key, name)?;
        (kind == 4).then(|| u32::from_le_bytes(data.try_into().unwrap()))
    };
    assert_eq!(dword(&format!(r"{service}\Parameters"), "Depth"), Some(16));
    assert_eq!(
        kernel.registry_get(service, "Name"),
        Some((1, vec![b'x', 0, 0, 0]))
    );
    let device = kernel
        .pdo_of_device(bench.device_id("edu0").unwrap())
        .unwrap();
    let hardware = kernel
        .device_key_path(device, DeviceKeyKind::Hardware)
        .unwrap();
    let messages = format!(r"{hardware}\Interrupt Management\MessageSignaledInterruptProperties");
    assert_eq!(dword(&messages, "MSISupported"), Some(1));
    assert_eq!(dword(&hardware, "Own"), Some(7));
}

#[test]
fn counters_may_be_left_out_and_events_are_only_kept_on_request() {
    let bench = started(two_vectors().without_counters(), "button0");
    bench.press("button0").unwrap();
    assert_eq!(bench.counters().vectors(), [].into());
    assert!(bench.events().is_empty());
    finish(&bench, "button0");
}

mod careless {
    //! A driver that does not think of the second of two allocations failing.

    dirql_host::import! {
        fn ExAllocatePoolWithTag(kind: u32, bytes: u64, tag: u32) -> u64;
        fn ExFreePoolWithTag(block: u64, tag: u32) -> ();
    }

    const FAILED: i32 = dirql_abi::NtStatus::INSUFFICIENT_RESOURCES.0;

    /// Forgets the first block.
    pub(crate) extern "win64" fn leaks(_driver: u64, _path: u64) -> i32 {
        let (first, second) = (
            ExAllocatePoolWithTag(0, 16, 1),
            ExAllocatePoolWithTag(0, 16, 1),
        );
        if first == 0 || second == 0 {
            return FAILED;
        }
        ExFreePoolWithTag(first, 1);
        ExFreePoolWithTag(second, 1);
        0
    }

    /// Frees the first block twice.
    pub(crate) extern "win64" fn frees_twice(_driver: u64, _path: u64) -> i32 {
        let (first, second) = (
            ExAllocatePoolWithTag(0, 16, 1),
            ExAllocatePoolWithTag(0, 16, 1),
        );
        ExFreePoolWithTag(first, 1);
        if second == 0 {
            ExFreePoolWithTag(first, 1);
            return FAILED;
        }
        ExFreePoolWithTag(second, 1);
        0
    }
}

#[test]
fn what_a_driver_does_wrong_when_something_fails_is_found() {
    let rules = |entry, fail: Option<&str>| -> Vec<_> {
        let mut builder = Bench::builder().driver(Driver::native("careless.sys", entry));
        if let Some(fail) = fail {
            builder = builder.fail(fail.parse().unwrap());
        }
        let bench = builder.build().unwrap();
        assert_eq!(bench.load().is_ok(), fail.is_none());
        assert_eq!(bench.kernel().failure().is_some(), fail.is_some());
        bench
            .findings()
            .iter()
            .map(|finding| finding.rule)
            .collect()
    };
    assert_eq!(rules(careless::leaks, None), []);
    assert_eq!(rules(careless::leaks, Some("call:2")), [ids::POOL_LEAK]);
    assert_eq!(rules(careless::leaks, Some("call:1")), [ids::POOL_LEAK]);
    assert_eq!(rules(careless::frees_twice, None), []);
    assert_eq!(
        rules(careless::frees_twice, Some("call:2")),
        [ids::BAD_FREE]
    );
}
