//! Chips and device models: any register access, line and message.

use core::fmt::Debug;

use dirql_chips::ioapic::IoApic;
use dirql_chips::lapic::LocalPin;
use dirql_chips::models::{self, PluggedDevice};
use dirql_chips::pci::{Function, Output, Outputs};
use dirql_chips::pic8259::Pic8259;
use dirql_chips::{
    Device, Effect, Effects, InterruptMessage, Lapic, Level, MessageWrite, ModemLines, Region,
    SerialEvent, Stimulus, Vector, Width,
};

use crate::input::Input;

/// How many accesses one input makes.
const STEPS: usize = 256;

fn width(input: &mut Input<'_>) -> Width {
    match input.byte() & 3 {
        0 => Width::U8,
        1 => Width::U16,
        2 => Width::U32,
        _ => Width::U64,
    }
}

fn level(bit: u8) -> Level {
    if bit & 1 == 0 {
        Level::Low
    } else {
        Level::High
    }
}

/// Runs steps on a chip and on its copy, which must answer alike and end alike.
fn twice<Chip: Clone + Debug + PartialEq, Answer: Debug + PartialEq>(
    chip: &mut Chip,
    bytes: &[u8],
    step: impl Fn(&mut Chip, &mut Input<'_>) -> Answer,
) {
    let mut input = Input::new(bytes);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let (mut copy, mut again) = (chip.clone(), input.clone());
        let answer = step(chip, &mut input);
        assert_eq!(step(&mut copy, &mut again), answer);
        assert_eq!(copy, *chip);
    }
}

/// The 8259 pair. Its ports are near each other, and so is what is accessed here.
pub fn pic(bytes: &[u8]) {
    let mut pair = Pic8259::new();
    twice(&mut pair, bytes, |pair, input| {
        let action = input.byte();
        let port =
            [0x20, 0xA0, 0x4D0, 0x00][usize::from(action >> 3 & 3)] + u16::from(action >> 5 & 1);
        match action & 7 {
            0 | 1 => {
                pair.drive(input.byte() & 0x1F, level(action >> 3));
                0
            }
            2 | 3 => pair
                .write(port, width(input), input.byte().into())
                .map_or(1, |()| 0),
            4 => u64::from(pair.acknowledge().0) + 1,
            5 if action == 0xFD => {
                pair.reset();
                0
            }
            _ => pair.read(port, width(input)).unwrap_or(u64::MAX),
        }
    });
}

/// The IO-APIC.
pub fn io_apic(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut chip = IoApic::new(input.byte(), input.byte());
    let rest = bytes.get(2..).unwrap_or_default();
    twice(&mut chip, rest, |chip, input| {
        let action = input.byte();
        match action & 7 {
            0 | 1 => (
                chip.drive(input.byte(), level(action >> 3))
                    .into_iter()
                    .collect(),
                0,
            ),
            2 => (chip.write(0, Width::U8, input.byte().into()), 0),
            3 => (chip.write(0x10, Width::U32, input.word().into()), 0),
            4 => (chip.end_of_interrupt(Vector(input.byte())), 0),
            5 => {
                let offset = u64::from(input.half());
                (chip.write(offset, width(input), input.long()), 0)
            }
            6 => {
                let offset = u64::from(input.half());
                (Vec::new(), chip.read(offset, width(input)))
            }
            _ => (
                chip.set_mask(input.byte(), action & 8 != 0)
                    .into_iter()
                    .collect(),
                0,
            ),
        }
    });
}

/// A local APIC: registers in memory and as MSRs, messages, pins, its timer, acknowledging.
pub fn local_apic(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut chip = Lapic::with_x2apic_id(input.word() & 0x1FF);
    let rest = bytes.get(4..).unwrap_or_default();
    twice(&mut chip, rest, |chip, input| {
        let action = input.byte();
        let register = u64::from(input.byte()) << 4;
        match action & 15 {
            0..3 => format!(
                "{:?}",
                chip.write(register, Width::U32, input.word().into())
            ),
            3 | 4 => format!("{}", chip.read(register, Width::U32)),
            5 => format!(
                "{:?}",
                chip.write(input.half().into(), width(input), input.long())
            ),
            6 => format!("{:?}", chip.read(input.half().into(), width(input))),
            7 => format!(
                "{:?}",
                chip.set_apic_base(0xFEE0_0000 | u64::from(input.byte()) << 8)
            ),
            8 => format!(
                "{:?}",
                chip.write_msr(0x800 + u32::from(input.half() & 0xFF), input.long())
            ),
            9 => format!(
                "{:?}",
                chip.read_msr(0x800 + u32::from(input.half() & 0xFF))
            ),
            10 => {
                let write = MessageWrite {
                    address: 0xFEE0_0000 | u64::from(input.word() & 0xF_FFFF),
                    data: input.word(),
                };
                match InterruptMessage::decode(write) {
                    Ok(message) if chip.is_addressed(&message) => {
                        format!("{:?}", chip.receive(message))
                    }
                    _ => String::new(),
                }
            }
            11 => {
                chip.advance(input.word().into());
                format!("{:?}", chip.clocks_to_timer())
            }
            12 => {
                let pin = if action & 16 == 0 {
                    LocalPin::Lint0
                } else {
                    LocalPin::Lint1
                };
                format!(
                    "{:?} {}",
                    chip.drive(pin, level(action >> 5)),
                    chip.wants_ext_int()
                )
            }
            13 => format!("{:?}", chip.acknowledge()),
            _ => format!("{:?}", chip.end_of_interrupt()),
        }
    });
}

/// What a device asked for and has not got yet.
#[derive(Debug, Default)]
struct Due {
    timers: Vec<u32>,
    reads: Vec<(u32, u32)>,
}

impl Due {
    /// Keeps at most a few: a device may ask for ever.
    fn add(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Timer { token, .. } if self.timers.len() < 64 => self.timers.push(token),
                Effect::StopTimer { token } => self.timers.retain(|other| *other != token),
                Effect::DmaRead { token, length, .. } if self.reads.len() < 64 => {
                    self.reads.push((token, length));
                }
                _ => {}
            }
        }
    }
}

/// Any device model, behind its bus if it has one.
pub fn device(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let model = &models::MODELS[usize::from(input.byte()) % models::MODELS.len()];
    match models::build(model.name, &[]) {
        Ok(PluggedDevice::Legacy(mut legacy)) => legacy_device(&mut *legacy.device, &mut input),
        Ok(PluggedDevice::Pci(mut function)) => pci_function(&mut function, &mut input),
        Err(error) => panic!("{} cannot be built without options: {error}", model.name),
    }
}

fn legacy_device(device: &mut dyn Device, input: &mut Input<'_>) {
    let mut due = Due::default();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let mut out = Effects::new();
        match input.byte() & 7 {
            0..3 => {
                let (region, offset, width) = place(input);
                device.write(region, offset, width, input.long(), &mut out);
            }
            3 | 4 => {
                let (region, offset, width) = place(input);
                let value = device.read(region, offset, width, &mut out);
                assert!(value <= width.ones(), "wider than the access");
            }
            5 => {
                if let Some(token) = due.timers.pop() {
                    device.timer(token, &mut out);
                }
            }
            6 => {
                device.stimulate(&stimulus(input), &mut out);
            }
            _ if input.byte() == 0xFF => device.reset(&mut out),
            _ => match due.reads.pop() {
                Some((token, length)) => {
                    let bytes = input.take(length.min(4096) as usize);
                    device.dma_data(token, bytes, &mut out);
                }
                None => device.timer(input.word(), &mut out),
            },
        }
        due.add(out);
    }
}

fn pci_function(function: &mut Function, input: &mut Input<'_>) {
    let mut due = Due::default();
    let mut out = Outputs::new();
    function.write_config(0x04, Width::U16, 6, &mut out);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() & 7 {
            0 | 1 => {
                let (region, offset, width) = place(input);
                function.write(region.0, offset, width, input.long(), &mut out);
            }
            2 | 3 => {
                let (region, offset, width) = place(input);
                let value = function.read(region.0, offset, width, &mut out);
                assert!(value <= width.ones(), "wider than the access");
            }
            4 => {
                let at = input.half() & 0x1FF;
                function.write_config(at, width(input), input.long(), &mut out);
                let _ = function.config().read(at, Width::U64);
            }
            5 => {
                if let Some(token) = due.timers.pop() {
                    function.timer(token, &mut out);
                }
            }
            6 => {
                function.stimulate(&stimulus(input), &mut out);
            }
            _ if input.byte() == 0xFF => function.reset(&mut out),
            _ => match due.reads.pop() {
                Some((token, length)) => {
                    let bytes = input.take(length.min(4096) as usize);
                    function.dma_data(token, bytes, &mut out);
                }
                None => function.timer(input.word(), &mut out),
            },
        }
        let effects = core::mem::take(&mut out)
            .into_iter()
            .filter_map(|output| match output {
                Output::Timer { after_100ns, token } => Some(Effect::Timer { after_100ns, token }),
                Output::StopTimer { token } => Some(Effect::StopTimer { token }),
                Output::DmaRead {
                    address,
                    length,
                    token,
                } => Some(Effect::DmaRead {
                    address,
                    length,
                    token,
                }),
                _ => None,
            });
        due.add(effects.collect());
    }
}

/// Mostly where registers are, sometimes anywhere.
fn place(input: &mut Input<'_>) -> (Region, u64, Width) {
    let how = input.byte();
    let offset = match how & 3 {
        0 => u64::from(input.byte()),
        1 => u64::from(input.byte()) << 2,
        2 => u64::from(input.half()),
        _ => input.long(),
    };
    let region = if how & 0x30 == 0x30 { how >> 6 } else { 0 };
    (Region(region), offset, width(input))
}

fn stimulus(input: &mut Input<'_>) -> Stimulus {
    let kind = input.byte();
    match kind & 15 {
        0 => Stimulus::Press,
        1 => Stimulus::Release,
        2..5 => Stimulus::Receive(input.take(usize::from(kind >> 4)).to_vec()),
        5 => Stimulus::Serial(SerialEvent::Break),
        6 => Stimulus::Serial(SerialEvent::ParityError(input.byte())),
        7 => Stimulus::Serial(SerialEvent::FramingError(input.byte())),
        8 => Stimulus::Serial(SerialEvent::Modem(ModemLines {
            cts: kind & 0x10 != 0,
            dsr: kind & 0x20 != 0,
            ri: kind & 0x40 != 0,
            dcd: kind & 0x80 != 0,
        })),
        9..12 => Stimulus::Pin {
            pin: input.byte().into(),
            level: level(kind >> 4),
        },
        _ => Stimulus::Interrupt(input.half()),
    }
}
