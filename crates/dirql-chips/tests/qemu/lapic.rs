//! A local APIC: its registers, messages that reach it, inter-processor interrupts that it sends to
//! itself, and the vectors that its processor takes.
//!
//! The test protocol does not reach the registers, since they are their processor's. So QEMU runs a
//! firmware, `monitor.s`, that does what a table in memory says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dirql_chips::lapic::spec::register;
use dirql_chips::lapic::{Ipi, Output};
use dirql_chips::{InterruptMessage, Lapic, MessageWrite, Width};

use super::client::{Qemu, Reply, read32, temporary, write32};
use super::script::{Chip, Random};

const BASE: u32 = 0xFEE0_0000;
/// Where the firmware's table is, and how many records are in it.
const TABLE: u64 = 0x10010;
const COUNT: u64 = 0x10000;
/// The vectors that scripts use: some share a class.
const VECTORS: [u8; 8] = [0x31, 0x32, 0x41, 0x5F, 0x60, 0x61, 0x90, 0xFE];
/// More than can be requested and in service together.
const MOST: usize = 2 * VECTORS.len();
/// Registers that can be read: not the error status, the arbitration priority, which is 0 there,
/// and the timer, which does not stand still.
const READABLE: [u64; 16] = [
    register::ID,
    register::TPR,
    register::PPR,
    register::LDR,
    register::DFR,
    register::SVR,
    register::ISR + 0x10,
    register::ISR + 0x20,
    register::ISR + 0x30,
    register::TMR + 0x10,
    register::TMR + 0x20,
    register::IRR + 0x10,
    register::IRR + 0x20,
    register::IRR + 0x30,
    register::ICR_LOW,
    register::ICR_HIGH,
];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Write(u64, u32),
    Read(u64),
    /// A message: the low bits of its address, and its data.
    Message(u32, u32),
    /// Lets the processor take an interrupt.
    Take,
}

/// Ours.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    chip: Lapic,
}

/// What brings the chip to a known state from any other: nothing in service, nothing requested,
/// every vector last requested as an edge.
fn start() -> Vec<Step> {
    let enable = [
        Step::Write(register::SVR, 0x1FF),
        Step::Write(register::TPR, 0),
        Step::Write(register::LDR, 0),
        Step::Write(register::DFR, u32::MAX),
        Step::Write(register::ICR_HIGH, 0),
        Step::Write(register::ICR_LOW, 0x0004_4031),
    ];
    let edges = VECTORS.map(|vector| Step::Message(0, vector.into()));
    let end = Step::Write(register::EOI, 0);
    let ends = [end; MOST];
    let takes = [Step::Take, end].repeat(MOST);
    [&enable[..], &ends, &edges, &takes].concat()
}

/// The record of a step in the firmware's table.
fn record(step: &Step) -> [u32; 3] {
    match *step {
        Step::Write(register, value) => [0, BASE + register as u32, value],
        Step::Read(register) => [1, BASE + register as u32, 0],
        Step::Message(address, data) => [0, BASE | address, data],
        Step::Take => [2, 0, 0],
    }
}

fn firmware() -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/qemu/monitor.s");
    let (object, image) = (temporary("object"), temporary("firmware"));
    run(Command::new("as")
        .arg("--32")
        .arg(source)
        .arg("-o")
        .arg(&object));
    run(Command::new("objcopy")
        .args(["-O", "binary", "-j", ".text"])
        .arg(&object)
        .arg(&image));
    fs::remove_file(object).expect("it was just made");
    image
}

fn run(command: &mut Command) {
    let status = command.status();
    let program = command.get_program().display().to_string();
    let status = status.unwrap_or_else(|error| {
        panic!("cannot run {program} ({error}); on Debian or Ubuntu: apt-get install binutils")
    });
    assert!(status.success(), "{program} fails");
}

impl Chip for Registers {
    type Step = Step;
    const STEPS: usize = 64;

    fn qemu() -> Qemu {
        let image = firmware();
        Qemu::start_running(&["-bios", &image.display().to_string()]).with_file(image)
    }

    fn power_up() -> (Self, Vec<String>) {
        let mut ours = Self {
            chip: Lapic::new(0),
        };
        for step in start() {
            ours.run(&step);
        }
        (ours, Vec::new())
    }

    fn run(&mut self, step: &Step) -> String {
        match *step {
            Step::Write(register, value) => {
                let output = self.chip.write(register, Width::U32, value.into());
                if let Some(Output::Ipi(ipi)) = output {
                    self.take_ipi(ipi);
                }
                String::from("-")
            }
            Step::Read(register) => format!("{:#x}", self.chip.read(register, Width::U32)),
            Step::Message(address, data) => {
                let address = u64::from(BASE | address);
                let message = InterruptMessage::decode(MessageWrite { address, data });
                let message = message.expect("it is in the window");
                if self.chip.is_addressed(&message) {
                    let _ = self.chip.receive(message);
                }
                String::from("-")
            }
            Step::Take => match self.chip.acknowledge() {
                Some(vector) => format!("{:#x}", vector.0),
                None => String::from("none"),
            },
        }
    }

    fn commands(_: &Step) -> Vec<String> {
        Vec::new()
    }

    fn answer(&self, step: &Step, replies: &[Reply]) -> String {
        let value = replies[0].number();
        match step {
            Step::Write(..) | Step::Message(..) => String::from("-"),
            Step::Take if value == 0xFFFF_FFFF => String::from("none"),
            Step::Read(_) | Step::Take => format!("{value:#x}"),
        }
    }

    fn any_step(&self, random: &mut Random) -> Step {
        let vector = u32::from(random.pick(&VECTORS));
        let destination = u32::from(random.pick(&[0_u8, 0, 0, 0x11, 0x12, 0x01, 0xFF]));
        match random.below(16) {
            0 => Step::Write(register::TPR, random.byte().into()),
            1 => Step::Write(register::TPR, 0),
            2 => Step::Write(register::LDR, random.word()),
            3 => Step::Write(register::DFR, random.pick(&[0x0FFF_FFFF, 0xFFFF_FFFF])),
            4 => Step::Write(register::ICR_HIGH, destination << 24),
            // Physical or logical, fixed, to the destination or by a shorthand.
            5 | 6 => Step::Write(register::ICR_LOW, random.word() & 0x000C_4800 | vector),
            7 => Step::Write(register::ICR_LOW, 0x4100 | vector),
            8..11 => {
                // Physical or logical, edge or level, fixed or lowest priority.
                let address = destination << 12 | random.word() & 4;
                let trigger = random.pick(&[0, 0xC000]);
                Step::Message(address, trigger | random.word() & 0x100 | vector)
            }
            11 => Step::Write(register::EOI, 0),
            12 | 13 => Step::Take,
            _ => Step::Read(random.pick(&READABLE)),
        }
    }

    fn is_comparable(&self, step: &Step) -> bool {
        // A cluster's broadcast.
        let is_cluster = self.chip.clone().read(register::DFR, Width::U32) >> 28 == 0;
        let destination = self.chip.clone().read(register::ICR_HIGH, Width::U32) >> 24;
        match *step {
            Step::Message(address, _) => {
                !(is_cluster && address & 4 != 0 && address >> 12 & 0xFF == 0xFF)
            }
            Step::Write(register::ICR_LOW, value) => {
                !(is_cluster && value & 0x800 != 0 && destination == 0xFF)
            }
            _ => true,
        }
    }

    fn theirs(qemu: &mut Qemu, script: &[Step]) -> Vec<Vec<Reply>> {
        let start = start();
        let records: Vec<[u32; 3]> = start.iter().chain(script).map(record).collect();
        let text: String = records
            .as_flattened()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let length = 12 * records.len();
        qemu.run(&[
            format!("write {TABLE:#x} {length} 0x{text}"),
            write32(COUNT, records.len() as u32),
        ]);
        while qemu.ask(read32(COUNT)).number() != 0 {}
        let table = qemu.ask(format!("read {TABLE:#x} {length}")).value;
        let values = table.trim_start_matches("0x").as_bytes().chunks(24);
        values
            .skip(start.len())
            .map(|record| {
                let digits = str::from_utf8(&record[16..]).expect("digits");
                let value = u32::from_str_radix(digits, 16).expect("digits");
                vec![Reply {
                    value: format!("{:#x}", value.swap_bytes()),
                    ..Reply::default()
                }]
            })
            .collect()
    }
}

impl Registers {
    fn take_ipi(&mut self, ipi: Ipi) {
        if ipi.reaches(&self.chip) {
            let _ = self.chip.receive(ipi.message);
        }
    }
}
