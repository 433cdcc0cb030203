//! The computers that cases are played on.

use dirql::scenario::{DeviceSpec, Interrupts};
use dirql::{Bench, BenchError, Driver, Reading, WindowsVersion};
use dirql_abi::Irql;
use dirql_contract::{Case, Hand, Number};
use dirql_kernel::hal::{InterruptGrant, Resource};

/// The line that PCI devices share.
const PCI_LINE: u8 = 20;

/// The name of a device.
pub(crate) fn name(device: usize) -> String {
    format!("dev{device}")
}

/// A computer for a case, with its devices started and open.
pub(crate) fn build(case: &Case, windows: WindowsVersion, hand: Hand) -> Result<Bench, BenchError> {
    let image = match hand {
        Hand::Iointex => "contract-iointex.sys",
        Hand::C | Hand::Rust => "contract.sys",
    };
    let mut builder = Bench::builder()
        .windows(windows)
        .processors(case.processors)
        .readings(case.readings.iter().map(|name| {
            name.parse::<Reading>()
                .expect("it is the name of a reading")
        }))
        .driver(Driver::file(
            dirql_contract::directory().join("driver").join(image),
        )?);
    for (index, device) in case.devices.iter().enumerate() {
        builder = builder.device(spec(index, device));
    }
    let bench = builder.build()?;
    bench.load()?;
    for index in 0..case.devices.len() {
        bench.start(&name(index))?;
        bench.open(&name(index))?;
    }
    Ok(bench)
}

fn spec(index: usize, device: &str) -> DeviceSpec {
    let button = || {
        DeviceSpec::new(name(index), "button")
            .option("port", 0x280 + 0x10 * index)
            .option("line", 10)
    };
    let queues = |count: &str| -> u16 { count.parse().expect("a count of messages") };
    let pci = |count: u16| {
        DeviceSpec::new(name(index), "msix")
            .option("queues", count)
            .option("messages", count)
    };
    if let Some(count) = device.strip_prefix("msix") {
        return pci(queues(count)).interrupts(Interrupts::Msix(queues(count)));
    }
    if let Some(count) = device.strip_prefix("msi") {
        return pci(queues(count))
            .option("msi", count)
            .interrupts(Interrupts::Msi(queues(count)));
    }
    match device {
        "line" => pci(4).interrupts(Interrupts::Line).line(PCI_LINE),
        "button" => button(),
        "edge" => button().option("trigger", "edge"),
        "shared-edge" => button().option("trigger", "edge").shared(true),
        "two-lines" => button().option("line2", 11),
        _ => panic!("there is no device `{device}`"),
    }
}

/// One interrupt as the translated list has it: several messages in one descriptor are as many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assigned {
    pub(crate) vector: u32,
    pub(crate) irql: Irql,
    pub(crate) latched: bool,
    pub(crate) shared: bool,
    pub(crate) affinity: u64,
    pub(crate) group: u16,
    pub(crate) raw: u32,
}

/// What a device was given.
pub(crate) fn assigned(bench: &Bench, device: usize) -> Result<Vec<Assigned>, BenchError> {
    let resources = bench.resources(&name(device))?;
    Ok(resources.iter().flat_map(interrupts).collect())
}

fn interrupts(resource: &Resource) -> Vec<Assigned> {
    let Resource::Interrupt(grant) = resource else {
        return Vec::new();
    };
    (0..grant.count() as u32)
        .map(|index| one(grant, index))
        .collect()
}

fn one(grant: &InterruptGrant, index: u32) -> Assigned {
    let vector = u32::from(grant.vector.0) + index;
    Assigned {
        vector,
        irql: if grant.message {
            Irql((vector >> 4) as u8)
        } else {
            grant.irql
        },
        latched: grant.latched,
        shared: grant.shared,

        affinity: grant.affinity,
        group: grant.group,
        raw: grant.line,
    }
}

/// What a [`Number`] stands for; `own` is given.
pub(crate) fn number(value: &Number, own: u64, all: &[Assigned]) -> Option<u64> {
    let text = match value {
        Number::Is(number) => return Some(*number),
        Number::Named(text) => text,
    };
    let mut words = text.split_whitespace();
    let levels = || all.iter().map(|one| u64::from(one.irql.0));
    let base = match words.next()? {
        "own" => own,
        "highest" => levels().max()?,
        "lowest" => levels().min()?,
        "raw" => u64::from(all.first()?.raw),
        word => word.parse().ok()?,
    };
    match (words.next(), words.next().map(str::parse::<u64>)) {
        (None, _) => Some(base),
        (Some("+"), Some(Ok(by))) => Some(base + by),
        (Some("-"), Some(Ok(by))) => base.checked_sub(by),
        _ => None,
    }
}
