//! The 8259 pair: its ports, its lines, its output.

use std::sync::OnceLock;

use dirql_chips::pic8259::Pic8259;
use dirql_chips::{Level, Width};

use super::client::{Qemu, Reply, drive, in8, out8, paths_of};
use super::script::{Chip, Random};

/// The command ports.
const CHIPS: [u16; 2] = [0x20, 0xA0];
const EDGE_LEVEL: [u16; 2] = [0x4D0, 0x4D1];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Drives a line.
    Line(u8, bool),
    /// All four initialisation words, to both chips.
    Initialize {
        base: u8,
        automatic: bool,
        nested: bool,
    },
    Write(u16, u8),
    Read(u16),
    /// Word 3 with the poll bit to a command port, and the read that it is for.
    Poll(u16),
}

/// Ours, and the lines that are high.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    chips: Pic8259,
    high: u16,
    /// The chips in special mask mode.
    special: [bool; 2],
}

/// The paths of QEMU's two chips, the primary one first.
fn paths() -> &'static [String] {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    PATHS.get_or_init(|| paths_of("isa-i8259"))
}

/// What initialises both chips: the secondary one first, so that it asks for nothing when the
/// primary one begins to look.
fn words(base: u8, automatic: bool, nested: bool) -> Vec<(u16, u8)> {
    let last = 0x01 | u8::from(automatic) << 1 | u8::from(nested) << 4;
    let of = |command: u16, base: u8, wiring: u8| {
        [0x11, base, wiring, last]
            .into_iter()
            .zip([0, 1, 1, 1])
            .map(move |(word, port)| (command + port, word))
    };
    of(CHIPS[1], base.wrapping_add(8), 2)
        .chain(of(CHIPS[0], base, 4))
        .collect()
}

impl Pair {
    fn write(&mut self, port: u16, value: u8) {
        if CHIPS.contains(&port) {
            self.watch(port, value);
        }
        let _ = self.chips.write(port, Width::U8, value.into());
    }

    fn read(&mut self, port: u16) -> u8 {
        self.chips.read(port, Width::U8).expect("one of its ports") as u8
    }

    /// The request register of a chip, by its command port.
    fn requests(&self, command: u16) -> u8 {
        let mut copy = self.clone();
        copy.write(command, 0x0A);
        copy.read(command)
    }

    /// Whether a command that ends the highest input finds one that special mask mode keeps.
    fn ends_a_masked_input(&self, command: u16, value: u8) -> bool {
        let mut copy = self.clone();
        copy.write(command, 0x0B);
        let masked = copy.read(command) & copy.read(command + 1) != 0;
        let is_special = self.special[usize::from(command == CHIPS[1])];
        value & 0x38 == 0x20 && masked && is_special
    }

    /// Follows which chip is in special mask mode.
    fn watch(&mut self, command: u16, value: u8) {
        let special = &mut self.special[usize::from(command == CHIPS[1])];
        if value & 0x10 != 0 {
            *special = false;
        } else if value & 0x48 == 0x48 {
            *special = value & 0x20 != 0;
        }
    }

    fn asks(&self, command: u16) -> bool {
        let mut copy = self.clone();
        copy.write(command, 0x0C);
        copy.read(command) & 0x80 != 0
    }

    /// Edge-triggered inputs of a chip that are high.
    fn high_edges(&self, chip: usize) -> u8 {
        let level = self.clone().read(EDGE_LEVEL[chip]);
        let cascade = u8::from(chip == 0 && self.asks(CHIPS[1])) << 2;
        ((self.high >> (8 * chip)) as u8 | cascade) & !level
    }

    /// Whether a write changes what a high line is to be taken for.
    fn changes_a_high_line(&self, port: u16, value: u8) -> bool {
        EDGE_LEVEL
            .iter()
            .position(|&own| own == port)
            .is_some_and(|chip| {
                let changed = self.clone().read(port) ^ value;
                changed & (self.high >> (8 * chip)) as u8 != 0
            })
    }

    /// Whether a chip's output changes with its special mask mode or by its last initialisation
    /// word.
    fn changes_by_a_mode(&self, step: &Step) -> bool {
        let mut after = self.clone();
        after.run(step);
        let is_mode = match *step {
            Step::Write(0x20 | 0xA0, value) => value & 0x18 == 0x08,
            Step::Write(data @ (0x21 | 0xA1), value) => after.clone().read(data) != value,
            _ => false,
        };
        is_mode
            && CHIPS
                .iter()
                .any(|&chip| self.asks(chip) != after.asks(chip))
    }

    /// Whether the primary chip drops the request that the secondary one made.
    fn withdraws_the_cascade(&self, step: &Step) -> bool {
        let acknowledges = match *step {
            Step::Write(0x20, value) => value & 0x10 != 0,
            Step::Poll(0x20) | Step::Initialize { .. } => true,
            _ => false,
        };
        let mut after = self.clone();
        after.run(step);
        let gone = self.requests(CHIPS[0]) & !after.requests(CHIPS[0]);
        !acknowledges && gone & 1 << 2 != 0
    }
}

impl Chip for Pair {
    type Step = Step;
    const STEPS: usize = 48;

    fn qemu() -> Qemu {
        let mut qemu = Qemu::start(&[]);
        qemu.ask(format!("irq_intercept_out {}", paths()[0]));
        qemu
    }

    fn power_up() -> (Self, Vec<String>) {
        let mut ours = Self {
            chips: Pic8259::new(),
            high: 0,
            special: [false; 2],
        };
        let mut commands: Vec<String> = (0..16)
            .filter(|&line| line != 2)
            .map(|line| drive(&paths()[usize::from(line >> 3)], line & 7, false))
            .collect();
        let levels = EDGE_LEVEL.map(|port| (port, 0));
        for (port, value) in levels.into_iter().chain(words(0x30, false, false)) {
            ours.write(port, value);
            commands.push(out8(port, value));
        }
        (ours, commands)
    }

    fn run(&mut self, step: &Step) -> String {
        let value = match *step {
            Step::Line(line, is_high) => {
                let level = if is_high { Level::High } else { Level::Low };
                self.chips.drive(line, level);
                self.high = self.high & !(1 << line) | u16::from(is_high) << line;
                None
            }
            Step::Initialize {
                base,
                automatic,
                nested,
            } => {
                for (port, value) in words(base, automatic, nested) {
                    self.write(port, value);
                }
                None
            }
            Step::Write(port, value) => {
                self.write(port, value);
                None
            }
            Step::Read(port) => Some(self.read(port)),
            Step::Poll(command) => {
                self.write(command, 0x0C);
                Some(self.read(command))
            }
        };
        answer(value, self.chips.output() == Level::High)
    }

    fn commands(step: &Step) -> Vec<String> {
        match *step {
            Step::Line(line, is_high) => {
                vec![drive(&paths()[usize::from(line >> 3)], line & 7, is_high)]
            }
            Step::Initialize {
                base,
                automatic,
                nested,
            } => words(base, automatic, nested)
                .into_iter()
                .map(|(port, value)| out8(port, value))
                .collect(),
            Step::Write(port, value) => vec![out8(port, value)],
            Step::Read(port) => vec![in8(port)],
            Step::Poll(command) => vec![out8(command, 0x0C), in8(command)],
        }
    }

    fn answer(&self, step: &Step, replies: &[Reply]) -> String {
        let last = replies.last().expect("every step is a command");
        let reads = matches!(step, Step::Read(_) | Step::Poll(_));
        answer(reads.then(|| last.number() as u8), last.levels & 1 != 0)
    }

    fn any_step(&self, random: &mut Random) -> Step {
        let chip = random.pick(&CHIPS);
        match random.below(16) {
            0..5 => Step::Line(random.byte() & 15, random.once_in(2)),
            5 => Step::Initialize {
                base: random.byte() & 0xF8,
                automatic: random.once_in(2),
                nested: random.once_in(2),
            },
            // Words 2 and 3; polls are a step of their own.
            6..9 => Step::Write(chip, random.byte() & 0xE7),
            9 => Step::Write(chip, random.byte() & 0x63 | 0x08),
            10 if random.once_in(4) => Step::Write(chip, random.byte() | 0x10),
            10 | 11 => Step::Write(chip + 1, random.byte()),
            12 => Step::Write(random.pick(&EDGE_LEVEL), random.byte()),
            13 => Step::Read(random.pick(&[0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1])),
            _ => Step::Poll(chip),
        }
    }

    fn is_comparable(&self, step: &Step) -> bool {
        let same = match *step {
            Step::Line(2, _) => false,
            Step::Line(line, false) => {
                let chip = usize::from(line >> 3);
                self.high_edges(chip) & self.requests(CHIPS[chip]) & 1 << (line & 7) == 0
            }
            Step::Write(0x20, value) if value & 0x10 != 0 => self.high_edges(0) == 0,
            Step::Write(0xA0, value) if value & 0x10 != 0 => self.high_edges(1) == 0,
            // A line of the secondary chip would raise the cascade before the primary one begins.
            Step::Initialize { .. } => self.high_edges(0) == 0 && self.high >> 8 == 0,
            Step::Write(port @ (0x20 | 0xA0), value) => !self.ends_a_masked_input(port, value),
            Step::Write(port, value) => !self.changes_a_high_line(port, value),
            Step::Line(..) | Step::Read(_) | Step::Poll(_) => true,
        };
        same && !self.withdraws_the_cascade(step) && !self.changes_by_a_mode(step)
    }
}

fn answer(value: Option<u8>, is_high: bool) -> String {
    let value = value.map_or(String::from("-"), |value| format!("{value:#04x}"));
    format!("{value}{}", if is_high { " INT" } else { "" })
}
