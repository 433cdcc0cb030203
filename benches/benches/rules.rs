//! What judging by rules costs: the same run with rules and without.
//!
//! Of scenarios each side makes a computer, loads the driver, plays and takes the computer apart. Of
//! routines each side makes a computer and calls them in a loop, long enough that the computer does
//! not matter.
#![expect(
    clippy::print_stderr,
    reason = "a scenario that cannot be played is told"
)]

use std::path::Path;

use dirql::scenario::Scenario;
use dirql::{Driver, Settings};
use dirql_benches::{compare_in, report};
use dirql_host::Host;
use dirql_kernel::Config;
use dirql_kernel::ke::ThreadBody;

dirql_host::import! {
    fn ExAllocatePoolWithTag(pool: u32, bytes: u64, tag: u32) -> u64;
    fn ExFreePoolWithTag(address: u64, tag: u32);
    fn KeCancelTimer(timer: u64) -> u8;
    fn KeInitializeEvent(event: u64, kind: u32, state: u8);
    fn KeInitializeSpinLock(lock: u64);
    fn KeInitializeTimer(timer: u64);
    fn KeQueryInterruptTime() -> u64;
    fn KeReleaseSpinLock(lock: u64, irql: u8);
    fn KeSetEvent(event: u64, increment: i32, wait: u8) -> i32;
    fn KeSetTimer(timer: u64, due: i64, dpc: u64) -> u8;
}

const TAG: u32 = 0x656C_7552;

/// Rounds of a loop of routines, which take a few milliseconds.
const ROUNDS: u32 = 20_000;

/// Scenarios below the root of the repository, the largest sample first.
const SCENARIOS: &[&str] = &[
    "samples/serial-16550/serial-16550.toml",
    "samples/nvme-msix/nvme-msix.toml",
    "samples/edu-dma/edu-dma.toml",
];

/// Batches of each side: a scenario takes up to some 100 ms.
const BATCHES: usize = 51;

const AIM: &str = "at most 1.3";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in SCENARIOS {
        of_scenario(&root, name);
    }
    let acquire: fn() -> Acquire = || dirql_host::native::routine("KeAcquireSpinLockRaiseToDpc");
    of_loop("a spin lock is taken and released", move |memory| {
        let acquire = acquire();
        KeInitializeSpinLock(memory);
        for _ in 0..ROUNDS {
            KeReleaseSpinLock(memory, acquire(memory));
        }
    });
    of_loop("two spin locks, one inside of the other", move |memory| {
        let acquire = acquire();
        let (outer, inner) = (memory, memory + 64);
        KeInitializeSpinLock(outer);
        KeInitializeSpinLock(inner);
        for _ in 0..ROUNDS {
            let before = acquire(outer);
            KeReleaseSpinLock(inner, acquire(inner));
            KeReleaseSpinLock(outer, before);
        }
    });
    of_loop("pool is allocated and freed, 64 bytes", |_| {
        for _ in 0..ROUNDS {
            ExFreePoolWithTag(ExAllocatePoolWithTag(0, 64, TAG), TAG);
        }
    });
    of_loop("an event is set, a timer set and cancelled", |memory| {
        KeInitializeEvent(memory, 0, 0);
        KeInitializeTimer(memory + 64);
        for _ in 0..ROUNDS {
            KeSetEvent(memory, 0, 0);
            KeSetTimer(memory + 64, -1_000_000, 0);
            KeCancelTimer(memory + 64);
        }
    });
    of_loop("the time is asked for", |_| {
        for _ in 0..ROUNDS {
            std::hint::black_box(KeQueryInterruptTime());
        }
    });
}

type Acquire = extern "win64" fn(u64) -> u8;

fn of_scenario(root: &Path, name: &str) {
    let file = root.join(name);
    let text = std::fs::read_to_string(&file).expect("the scenario can be read");
    let scenario = match Scenario::parse(name, &text) {
        Ok(scenario) => scenario.in_directory(file.parent().unwrap_or(root)),
        Err(error) => return eprintln!("{}", error.render(false)),
    };
    let drivers = dirql::read_drivers(&scenario).expect("the driver can be read");
    let comparison = compare_in(
        BATCHES,
        (1, |_| play(&scenario, &drivers, true)),
        (1, |_| play(&scenario, &drivers, false)),
    );
    report(name, "the same without rules", &comparison, AIM);
}

fn play(scenario: &Scenario, drivers: &[Driver], rules: bool) {
    let mut scenario = scenario.clone();
    scenario.machine.no_rules = !rules;
    let mut settings = Settings::default();
    settings.drivers = Some(drivers.to_vec());
    settings.outputs = Some(Box::new(|_, _| Ok(())));
    let report = dirql::play(&scenario, settings).expect("the scenario can be played");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

fn of_loop(name: &str, body: impl Fn(u64) + Copy + 'static) {
    let comparison = compare_in(
        BATCHES,
        (ROUNDS, move |_| on_a_computer(true, body)),
        (ROUNDS, move |_| on_a_computer(false, body)),
    );
    report(name, "the same without rules", &comparison, AIM);
}

fn on_a_computer(rules: bool, body: impl Fn(u64) + 'static) {
    let host = Host::new(Config {
        max_steps: u64::MAX,
        rules,
        ..Config::default()
    })
    .expect("a computer");
    let thread = ThreadBody::Native(Box::new(move |_| {
        body(ExAllocatePoolWithTag(0, 256, TAG));
        Ok(())
    }));
    host.kernel().spawn_thread("bench", 8, thread);
    host.run_until_idle();
}
