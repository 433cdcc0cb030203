//! One 8259A.

use super::spec::{POLLED, icw1, icw4, ocw2, ocw3};

/// Which initialisation word is expected on the data port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// None: the data port is the mask.
    #[default]
    Ready,
    Icw2,
    Icw3,
    Icw4,
}

/// One chip. Inputs are bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chip {
    /// High now.
    inputs: u8,
    /// Level-triggered.
    level: u8,
    /// Rose since the last acknowledgement, and still high. Edge-triggered inputs only.
    risen: u8,
    in_service: u8,
    mask: u8,
    /// The input of lowest priority; the one after it has the highest.
    lowest: u8,
    vector_base: u8,
    step: Step,
    /// The initialisation's first word.
    icw1: u8,
    auto_end: bool,
    rotates_on_auto_end: bool,
    special_nested: bool,
    special_mask: bool,
    reads_in_service: bool,
    polls: bool,
    /// The input behind which another chip is, as a bit; 0 on the secondary chip.
    cascade: u8,
}

impl Chip {
    /// After power-up, which the data sheet leaves undefined: everything is masked here.
    pub(super) const fn new(cascade: u8) -> Self {
        Self {
            inputs: 0,
            level: 0,
            risen: 0,
            in_service: 0,
            mask: 0xFF,
            lowest: 7,
            vector_base: 0,
            step: Step::Ready,
            icw1: 0,
            auto_end: false,
            rotates_on_auto_end: false,
            special_nested: false,
            special_mask: false,
            reads_in_service: false,
            polls: false,
            cascade,
        }
    }

    /// After power-up. The inputs stay, since they belong to the wires.
    pub(super) const fn reset(&mut self) {
        let inputs = self.inputs;
        *self = Self::new(self.cascade);
        self.inputs = inputs;
    }

    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    pub(super) const fn set_level(&mut self, level: u8) {
        self.level = level;
        self.risen &= !level;
    }

    /// "Edge and Level Triggered Modes": in both, a request lasts while its input is high.
    pub(super) const fn drive(&mut self, input: u8, high: bool) {
        let bit = 1 << (input & 7);
        if !high {
            self.inputs &= !bit;
            self.risen &= !bit;
        } else if self.inputs & bit == 0 {
            self.inputs |= bit;
            self.risen |= bit & !self.level;
        }
    }

    /// The input that the chip asks the processor for, if any.
    pub(super) fn pending(&self) -> Option<u8> {
        let candidate = self.highest(self.requests() & !self.mask)?;
        let mut blocking = self.in_service;
        if self.special_mask {
            blocking &= !self.mask;
        }
        if self.special_nested {
            // The other chip sorts out its own priorities.
            blocking &= !self.cascade;
        }
        let blocked = self.highest(blocking);
        blocked
            .is_none_or(|other| self.rank(candidate) < self.rank(other))
            .then_some(candidate)
    }

    /// The processor takes `input`.
    pub(super) const fn acknowledge(&mut self, input: u8) {
        let bit = 1 << (input & 7);
        self.risen &= !bit;
        if !self.auto_end {
            self.in_service |= bit;
        } else if self.rotates_on_auto_end {
            self.lowest = input & 7;
        }
    }

    /// The vector of an input. Input 7 is also what is said when nothing is pending.
    pub(super) const fn vector(&self, input: u8) -> u8 {
        self.vector_base | input & 7
    }

    pub(super) fn write_command(&mut self, value: u8) {
        if value & icw1::INIT != 0 {
            self.initialise(value);
        } else if value & ocw3::SELECT != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    pub(super) const fn write_data(&mut self, value: u8) {
        let needs_icw4 = self.icw1 & icw1::NEEDS_ICW4 != 0;
        let last = if needs_icw4 { Step::Icw4 } else { Step::Ready };
        match self.step {
            Step::Ready => self.mask = value,
            Step::Icw2 => {
                self.vector_base = value & 0xF8;
                self.step = if self.icw1 & icw1::SINGLE != 0 {
                    last
                } else {
                    Step::Icw3
                };
            }
            // How the chips are wired is a matter of the board, not of what is written here.
            Step::Icw3 => self.step = last,
            Step::Icw4 => {
                self.auto_end = value & icw4::AUTO_END != 0;
                self.special_nested = value & icw4::SPECIAL_NESTED != 0;
                self.step = Step::Ready;
            }
        }
    }

    pub(super) fn read_command(&mut self) -> u8 {
        match self.poll() {
            Some(polled) => polled,
            None if self.reads_in_service => self.in_service,
            None => self.requests(),
        }
    }

    pub(super) fn read_data(&mut self) -> u8 {
        self.poll().unwrap_or(self.mask)
    }

    /// "Poll Command": the next read acknowledges, from either port.
    fn poll(&mut self) -> Option<u8> {
        if !core::mem::take(&mut self.polls) {
            return None;
        }
        let Some(input) = self.pending() else {
            return Some(0);
        };
        self.acknowledge(input);
        Some(POLLED | input)
    }

    /// "Initialization Command Words 1 and 2": the edges seen are forgotten, the mask is cleared,
    /// input 7 has the lowest priority, special mask mode is off, requests are read, and without a
    /// fourth word its functions are off.
    const fn initialise(&mut self, icw1: u8) {
        let (inputs, level, vector_base) = (self.inputs, self.level, self.vector_base);
        *self = Self::new(self.cascade);
        self.inputs = inputs;
        self.level = level;
        self.vector_base = vector_base;
        self.mask = 0;
        self.icw1 = icw1;
        self.step = Step::Icw2;
    }

    fn end_highest(&mut self) -> Option<u8> {
        let mut ending = self.in_service;
        if self.special_mask {
            // "an IS bit that is masked by an IMR bit will not be cleared by a non-specific EOI"
            ending &= !self.mask;
        }
        let input = self.highest(ending)?;
        self.in_service &= !(1 << input);
        Some(input)
    }

    /// "Operation Control Word 2", the table of its commands.
    fn write_ocw2(&mut self, value: u8) {
        let input = value & ocw2::INPUT;
        match value >> ocw2::COMMAND_SHIFT {
            // Rotate in automatic EOI mode, clear and set.
            0 => self.rotates_on_auto_end = false,
            4 => self.rotates_on_auto_end = true,
            // Non-specific EOI, without and with rotation.
            1 => {
                self.end_highest();
            }
            5 => {
                if let Some(ended) = self.end_highest() {
                    self.lowest = ended;
                }
            }
            // Specific EOI, without and with rotation.
            3 => self.in_service &= !(1 << input),
            7 => {
                self.in_service &= !(1 << input);
                self.lowest = input;
            }
            // Set priority.
            6 => self.lowest = input,
            // No operation.
            _ => {}
        }
    }

    const fn write_ocw3(&mut self, value: u8) {
        if value & ocw3::POLL != 0 {
            self.polls = true;
        }
        if value & ocw3::READ != 0 {
            self.reads_in_service = value & ocw3::READ_IN_SERVICE != 0;
        }
        if value & ocw3::SET_SPECIAL_MASK != 0 {
            self.special_mask = value & ocw3::SPECIAL_MASK != 0;
        }
    }

    /// The interrupt request register.
    const fn requests(&self) -> u8 {
        self.risen | self.inputs & self.level
    }

    /// The input of highest priority in a set.
    fn highest(&self, set: u8) -> Option<u8> {
        (1..=8)
            .map(|step| (self.lowest + step) & 7)
            .find(|input| set >> input & 1 != 0)
    }

    /// 0 for the input of highest priority, 7 for the one of lowest.
    const fn rank(&self, input: u8) -> u8 {
        input.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }
}
