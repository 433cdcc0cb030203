//! The 16550A: its ports and its line. In loopback it receives what it sends.
//!
//! QEMU's sends at once, so ours is told at once that its delays are over; time-outs do not happen.

use dirql_chips::uart16550::{Uart16550, spec};
use dirql_chips::{Device, Effect, Effects, Level, Region, Width};

use super::client::{Qemu, Reply, in8, out8};
use super::script::{Chip, Random};

const BASE: u16 = 0x3F8;
const LINE: u8 = 4;
/// What brings the chip to a known state from any other: no loopback, FIFOs cleared, the
/// transmitter's interrupt taken, nothing received, 9600 baud.
const START: [(u8, Option<u8>); 16] = [
    (3, Some(0x00)),
    (4, Some(0x00)),
    (2, Some(0x01)),
    (2, Some(0x00)),
    (1, Some(0x02)),
    (2, None),
    (1, Some(0x00)),
    (5, None),
    (0, None),
    (6, None),
    (3, Some(0x80)),
    (0, Some(0x0C)),
    (1, Some(0x00)),
    (3, Some(0x00)),
    (7, Some(0x00)),
    (2, None),
];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Write(u8, u8),
    Read(u8),
}

/// Ours, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    chip: Uart16550,
    is_high: bool,
}

impl Port {
    fn access(&mut self, register: u8, value: Option<u8>) -> u8 {
        let mut out = Effects::new();
        let at = u64::from(register);
        let answer = match value {
            Some(value) => {
                self.chip
                    .write(Region(0), at, Width::U8, value.into(), &mut out);
                0
            }
            None => self.chip.read(Region(0), at, Width::U8, &mut out) as u8,
        };
        while !out.is_empty() {
            for effect in core::mem::take(&mut out) {
                match effect {
                    Effect::Interrupt { level, .. } => self.is_high = level == Level::High,
                    // The low two bits are the kind, and 3 is a time-out.
                    Effect::Timer { token, .. } if token & 3 != 3 => {
                        self.chip.timer(token, &mut out);
                    }
                    _ => {}
                }
            }
        }
        answer
    }

    fn peek(&self, register: u8) -> u8 {
        self.clone().access(register, None)
    }

    fn is_latched(&self) -> bool {
        self.peek(3) & spec::line::DLAB != 0
    }

    fn has_fifos(&self) -> bool {
        self.peek(2) & spec::interrupt::FIFOS != 0
    }

    /// On a PC OUT2 lets the interrupt through, and in loopback it is off.
    fn is_gate_open(&self) -> bool {
        self.peek(4) & (spec::modem::OUT2 | spec::modem::LOOP) == spec::modem::OUT2
    }

    /// A change of the modem inputs would interrupt.
    fn has_modem_interrupt(&self) -> bool {
        let mut copy = self.clone();
        copy.access(3, Some(0));
        let enabled = copy.peek(1) & spec::enable::MODEM_STATUS != 0;
        enabled && copy.peek(6) & spec::input::DELTAS != 0
    }
}

impl Chip for Port {
    type Step = Step;
    const STEPS: usize = 64;

    fn qemu() -> Qemu {
        let mut qemu = Qemu::start(&[
            "-chardev",
            "null,id=wire",
            "-device",
            "isa-serial,chardev=wire,iobase=0x3f8,irq=4",
        ]);
        qemu.ask("irq_intercept_in ioapic");
        qemu
    }

    fn power_up() -> (Self, Vec<String>) {
        let mut ours = Self {
            chip: Uart16550::new(),
            is_high: false,
        };
        let mut commands = Vec::new();
        for (register, value) in START {
            ours.access(register, value);
            let port = BASE + u16::from(register);
            commands.push(value.map_or_else(|| in8(port), |value| out8(port, value)));
        }
        (ours, commands)
    }

    fn run(&mut self, step: &Step) -> String {
        let value = match *step {
            Step::Write(register, value) => {
                self.access(register, Some(value));
                None
            }
            Step::Read(register) => Some(self.access(register, None)),
        };
        answer(step, value, self.is_high)
    }

    fn commands(step: &Step) -> Vec<String> {
        vec![match *step {
            Step::Write(register, value) => out8(BASE + u16::from(register), value),
            Step::Read(register) => in8(BASE + u16::from(register)),
        }]
    }

    fn answer(&self, step: &Step, replies: &[Reply]) -> String {
        let reply = &replies[0];
        let value = matches!(step, Step::Read(_)).then(|| reply.number() as u8);
        let is_high = reply.levels & 1 << LINE != 0;
        answer(step, value, is_high && self.is_gate_open())
    }

    fn any_step(&self, random: &mut Random) -> Step {
        match random.below(20) {
            0..5 => Step::Write(0, random.byte()),
            5 | 6 => Step::Write(1, random.byte() & 0x0F),
            7 => Step::Write(2, random.byte() & 0xC7),
            8 => Step::Write(2, 0x01 | random.byte() & 0xC0),
            9 => Step::Write(3, random.byte() & 0x83 | 0x03),
            10 => Step::Write(3, random.byte() & 0x7F),
            11 => Step::Write(4, random.byte()),
            12 => Step::Write(4, 0x10 | random.byte() & 0x0F),
            13 => Step::Write(7, random.byte()),
            14..17 => Step::Read(0),
            _ => Step::Read(random.below(8) as u8),
        }
    }

    fn is_comparable(&self, step: &Step) -> bool {
        let status = self.peek(5);
        let same = match *step {
            Step::Write(0, value) if !self.is_latched() => {
                value < 0x20 << (self.peek(3) & spec::line::DATA_BITS)
            }
            Step::Write(2, value) => {
                let changes = (value & 1 != 0) != self.has_fifos();
                (value & 1 != 0 || value & 0xC6 == 0)
                    && (changes || value & spec::fifo::CLEAR_TRANSMITTER == 0)
            }
            Step::Read(0) if !self.is_latched() => {
                self.has_fifos() || status & spec::status::DATA != 0
            }
            Step::Write(..) | Step::Read(_) => true,
        };
        let mut after = self.clone();
        after.run(step);
        same && !after.has_modem_interrupt() && !self.has_modem_interrupt()
    }
}

/// The changes of the modem inputs are not compared.
fn answer(step: &Step, value: Option<u8>, is_high: bool) -> String {
    let mask = match step {
        Step::Read(6) => !spec::input::DELTAS,
        _ => 0xFF,
    };
    let value = value.map_or(String::from("-"), |value| format!("{:#04x}", value & mask));
    format!("{value}{}", if is_high { " INT" } else { "" })
}
