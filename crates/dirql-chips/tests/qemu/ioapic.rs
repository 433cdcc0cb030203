//! The IO-APIC: its window, its pins, its messages.
//!
//! Where local APICs would be there is memory here, so a message stays to be seen.

use dirql_chips::ioapic::{IoApic, MessageOut, spec::BASE};
use dirql_chips::{Level, Width};

use super::client::{Qemu, Reply, drive, read32, select_configuration, write32};
use super::script::{Chip, Random};

const PINS: u8 = 24;
/// The destinations that scripts use, and where messages to them are written: one place for
/// physical and one for logical destinations.
const DESTINATIONS: [u8; 3] = [0x00, 0x05, 0xFF];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Drives a pin.
    Pin(u8, bool),
    /// The upper half of a pin's entry, which is the destination, and then the lower one.
    Entry(u8, u32),
    /// The upper half alone: a destination.
    Destination(u8, u8),
    /// Selects a register and reads the window.
    Read(u8),
    /// The register at 0x40.
    EndOfInterrupt(u8),
}

/// Ours.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    chip: IoApic,
}

fn places() -> impl Iterator<Item = u64> {
    DESTINATIONS.into_iter().flat_map(|destination| {
        [0, 4].map(|mode| 0xFEE0_0000 | u64::from(destination) << 12 | mode)
    })
}

fn select(index: u8) -> String {
    write32(BASE, index.into())
}

fn lower(pin: u8) -> u8 {
    0x10 + 2 * pin
}

fn write_half(index: u8, value: u32) -> [String; 2] {
    [select(index), write32(BASE + 0x10, value)]
}

impl Pins {
    fn write(&mut self, index: u8, value: u32) -> Vec<MessageOut> {
        let none = self.chip.write(0, Width::U32, index.into());
        assert_eq!(none, []);
        self.chip.write(0x10, Width::U32, value.into())
    }

    fn read(&mut self, index: u8) -> u32 {
        let none = self.chip.write(0, Width::U32, index.into());
        assert_eq!(none, []);
        self.chip.read(0x10, Width::U32) as u32
    }
}

impl Chip for Pins {
    type Step = Step;
    const STEPS: usize = 32;

    fn qemu() -> Qemu {
        // Its window 2 becomes the memory.
        let mut qemu = Qemu::start(&[
            "-object",
            "memory-backend-memfd,id=memory,size=1M,share=on",
            "-device",
            "ivshmem-plain,memdev=memory,addr=2",
        ]);
        for (offset, value) in [(0x18, 0xFEE0_0000_u32), (0x1C, 0), (0x04, 0x0002)] {
            qemu.ask(select_configuration(2, offset));
            qemu.ask(format!("outl 0xcfc {value:#x}"));
        }
        qemu.ask(write32(0xFEE0_0000, 0x1234_5678));
        assert_eq!(qemu.ask(read32(0xFEE0_0000)).number(), 0x1234_5678);
        qemu
    }

    fn power_up() -> (Self, Vec<String>) {
        let ours = Self {
            chip: IoApic::new(0, PINS),
        };
        let mut commands = Vec::new();
        for pin in 0..PINS {
            // A level-triggered pin that goes low asks for nothing any more, and one that becomes
            // edge-triggered awaits nothing.
            commands.extend(write_half(lower(pin), 1 << 16 | 1 << 15));
            commands.push(drive("ioapic", pin, false));
            commands.extend(write_half(lower(pin), 1 << 16));
            commands.extend(write_half(lower(pin) + 1, 0));
        }
        commands.extend(places().map(|place| write32(place, 0)));
        (ours, commands)
    }

    fn run(&mut self, step: &Step) -> String {
        let mut messages = Vec::new();
        let mut value = None;
        match *step {
            Step::Pin(pin, is_high) => {
                let level = if is_high { Level::High } else { Level::Low };
                messages.extend(self.chip.drive(pin, level));
            }
            Step::Entry(pin, low) => messages = self.write(lower(pin), low),
            Step::Destination(pin, destination) => {
                messages = self.write(lower(pin) + 1, u32::from(destination) << 24);
            }
            Step::Read(index) => value = Some(self.read(index)),
            Step::EndOfInterrupt(vector) => {
                messages = self.chip.write(0x40, Width::U32, vector.into());
            }
        }
        let seen = places().map(|place| {
            let mut writes = messages.iter().map(|out| out.message.encode());
            // The last message to a place is what is left there.
            writes
                .rfind(|write| write.address & !8 == place)
                .map_or(0, |write| write.data)
        });
        answer(value, seen)
    }

    fn commands(step: &Step) -> Vec<String> {
        let mut commands = match *step {
            Step::Pin(pin, is_high) => vec![drive("ioapic", pin, is_high)],
            Step::Entry(pin, low) => write_half(lower(pin), low).into(),
            Step::Destination(pin, destination) => {
                write_half(lower(pin) + 1, u32::from(destination) << 24).into()
            }
            Step::Read(index) => vec![select(index), read32(BASE + 0x10)],
            Step::EndOfInterrupt(vector) => vec![write32(BASE + 0x40, vector.into())],
        };
        commands.extend(places().flat_map(|place| [read32(place), write32(place, 0)]));
        commands
    }

    fn answer(&self, step: &Step, replies: &[Reply]) -> String {
        let begin = replies.len() - 2 * places().count();
        let seen = replies[begin..].chunks(2).map(|pair| {
            let data = pair[0].number() as u32;
            // QEMU leaves the assert bit of level-triggered messages out.
            data | (data >> 15 & 1) << 14
        });
        let reads = matches!(step, Step::Read(_));
        answer(reads.then(|| replies[begin - 1].number() as u32), seen)
    }

    fn any_step(&self, random: &mut Random) -> Step {
        // A few pins and vectors, so that they meet.
        let pin = 1 + random.below(5) as u8;
        let vector = 0x50 + random.below(4) as u32;
        match random.below(12) {
            0..5 => Step::Pin(pin, random.once_in(2)),
            5..8 => Step::Entry(pin, random.word() & 0x0001_DF00 | vector),
            8 => Step::Destination(pin, random.pick(&DESTINATIONS)),
            9 => Step::Read(random.pick(&[0x01, lower(pin), lower(pin), lower(pin) + 1])),
            _ => Step::EndOfInterrupt(vector as u8),
        }
    }

    fn is_comparable(&self, step: &Step) -> bool {
        match *step {
            Step::Pin(pin, is_high) => (self.chip.level(pin) == Level::High) != is_high,
            Step::Entry(pin, low) => {
                let before = self.chip.entry(pin).expect("a pin").into_bits() as u32;
                let changes_trigger = (before ^ low) & 1 << 15 != 0;
                let is_high = self.chip.level(pin) == Level::High;
                let is_ext_int = low >> 8 & 7 == 7;
                low & 1 << 13 == 0 && !is_ext_int && !(changes_trigger && is_high)
            }
            Step::Destination(..) | Step::Read(_) | Step::EndOfInterrupt(_) => true,
        }
    }
}

fn answer(value: Option<u32>, seen: impl Iterator<Item = u32>) -> String {
    let mut text = value.map_or(String::from("-"), |value| format!("{value:#010x}"));
    for (place, data) in places().zip(seen).filter(|&(_, data)| data != 0) {
        text += &format!(" {place:#x}:{data:#x}");
    }
    text
}
